//! Writing the files of applications, and taking them back.
//!
//! The index names files before they are written and until they are gone: whoever is interrupted leaves nothing that is not known.

use snug_exports::files::{State, digest};
use snug_exports::link::{LinkError, Links};
use snug_exports::{Application, ApplicationName, Exports, Files, Index};

use super::caches;
use super::compose::Composed;
use crate::command::export::unwritten;
use crate::context::Context;
use crate::error::CommandError;
use crate::exports;

/// What the host has of applications.
pub struct Host {
    /// The index.
    pub exports: Exports,
    /// The links that entries run.
    pub links: Links,
    /// Entries and icons.
    pub files: Files,
}

impl Host {
    /// This user's.
    pub fn of_user() -> Result<Self, CommandError> {
        let exports = exports::of_user().map_err(unwritten)?;
        let directory = exports.directory();
        let links = Links::of_applications(directory);
        let files = Files::new(directory);
        Ok(Self { links, files, exports })
    }
}

/// Why an application is not on the host, in words.
pub type Why = String;

/// Writes one: what somebody has changed stays as he has it, and is told.
///
/// # Errors
/// The index or a file cannot be written: then nothing of it is there, or what there was before. Otherwise, within, why this one is not.
pub fn write(context: &Context, host: &Host, composed: &Composed) -> Result<Result<(), Why>, CommandError> {
    let announced =
        host.exports.change(|index| announce(context, host, index, composed)).map_err(unwritten)??;
    let (application, was_there) = match announced {
        Ok(announced) => announced,
        Err(why) => return Ok(Err(why)),
    };
    let written = host.exports.change(|index| {
        // Somebody else may have taken it back, or written it anew.
        let Some(at) = index.applications.iter().position(|there| *there == application) else {
            return Ok(());
        };
        let finished = fill(host, &application, composed)?;
        index.applications[at] = finished;
        Ok(())
    });
    match written.map_err(unwritten).and_then(|written| written) {
        Ok(()) => Ok(Ok(())),
        // What it had before still leads somewhere, and the index knows the rest.
        Err(error) if was_there => Err(error),
        Err(error) => {
            take_back(context, |there| there.is(&composed.name))?;
            Err(error)
        }
    }
}

/// Puts into the index what will be there; also whether it has the application already.
fn announce(
    context: &Context,
    host: &Host,
    index: &mut Index,
    composed: &Composed,
) -> Result<Result<(Application, bool), Why>, CommandError> {
    host.links.repair(&context.paths.shim()).map_err(unlinked)?;
    let name = &composed.name;
    let link = name.link().map_err(|error| CommandError::failed(error.to_string()))?;
    if let snug_exports::link::State::Foreign(kind) = host.links.state(&link).map_err(unwritten)? {
        return Ok(Err(format!("{} is {kind} of your own", host.links.place(&link).display())));
    }
    let before = index.applications.iter().find(|there| there.is(name)).cloned();
    let of_others = |place: &str| {
        index.applications.iter().any(|there| !there.is(name) && there.files.contains_key(place))
    };
    let mut application = Application {
        container: name.container.clone(),
        id: name.id.clone(),
        path: composed.path.clone(),
        directory: composed.directory.clone(),
        package: composed.package.as_ref().map(|package| package.name.to_string()),
        version: composed.package.as_ref().map(|package| package.version.clone()),
        files: before.as_ref().map(|before| before.files.clone()).unwrap_or_default(),
        replaces: before.as_ref().map(|before| before.replaces.clone()).unwrap_or_default(),
    };
    for (place, content) in &composed.files {
        if of_others(place) {
            continue;
        }
        let wanted = digest(content);
        let state = host.files.state(place).map_err(refused)?;
        let known = [application.files.get(place), application.replaces.get(place), Some(&wanted)];
        if state != State::Missing && !state.is_one_of(known.into_iter().flatten()) {
            let shown = host.files.place(place);
            if *place == name.entry() && before.is_none() {
                return Ok(Err(format!("{} is there and not Snug's", shown.display())));
            }
            context.printer.notice(&format!("{} is your own: it stays as it is", shown.display()));
            continue;
        }
        if let State::File(there) = state
            && there != wanted
        {
            application.replaces.insert(place.clone(), there);
        }
        application.files.insert(place.clone(), wanted);
    }
    if !index.has_room_for(&application) {
        let why =
            format!("the applications of {} have as much of the index as one container may", name.container);
        return Ok(Err(format!("{why}; `snug unexport --app ID` makes room")));
    }
    index.applications.retain(|there| !there.is(name));
    index.applications.push(application.clone());
    Ok(Ok((application, before.is_some())))
}

/// Writes what the index has: icons, the link, and then the entry, which needs both.
fn fill(host: &Host, application: &Application, composed: &Composed) -> Result<Application, CommandError> {
    let name = &composed.name;
    let mut finished = Application { replaces: Default::default(), ..application.clone() };
    let is_meant = |place: &str| {
        composed
            .files
            .get(place)
            .is_some_and(|content| application.files.get(place) == Some(&digest(content)))
    };
    let write = |place: &str| -> Result<(), CommandError> {
        let (Some(content), Some(wanted)) = (composed.files.get(place), application.files.get(place)) else {
            return Ok(());
        };
        let state = host.files.state(place).map_err(refused)?;
        let is_there = state.is_one_of([wanted].into_iter());
        let is_ours = state == State::Missing || state.is_one_of(application.replaces.get(place).into_iter());
        if !is_there && is_ours && is_meant(place) {
            host.files.write(place, content, &state).map_err(refused)?;
        }
        Ok(())
    };
    let entry = name.entry();
    for place in composed.files.keys().filter(|place| **place != entry) {
        write(place)?;
    }
    let link = name.link().map_err(|error| CommandError::failed(error.to_string()))?;
    host.links.make(&link).map_err(unlinked)?;
    write(&entry)?;
    // What it had before and has no more.
    for (place, digest) in &application.files {
        if !composed.files.contains_key(place) {
            let known = [digest].into_iter().chain(application.replaces.get(place));
            host.files.remove(place, known).map_err(refused)?;
            finished.files.remove(place);
        }
    }
    Ok(finished)
}

fn unlinked(error: LinkError) -> CommandError {
    CommandError::failed("the link that an application's entry runs cannot be made").caused_by(error)
}

fn refused(error: snug_exports::files::FileError) -> CommandError {
    CommandError::failed("a file of an application cannot be written").caused_by(error)
}

/// Takes applications back, and tells what stays since somebody has changed it; their names.
///
/// # Errors
/// The index cannot be written.
pub fn take_back(
    context: &Context,
    is_meant: impl Fn(&Application) -> bool,
) -> Result<Vec<ApplicationName>, CommandError> {
    let host = Host::of_user()?;
    let taken = host.exports.change(|index| {
        let mut taken = Vec::new();
        index.applications.retain_mut(|application| {
            if !is_meant(application) {
                return true;
            }
            taken.push(application.name());
            remove(context, &host, application);
            // What could not be removed is still known.
            !application.files.is_empty()
        });
        taken
    });
    let taken = taken.map_err(unwritten)?;
    if !taken.is_empty() {
        caches::renew(context, &host.files, true);
    }
    Ok(taken)
}

/// Removes an application's files: the entry first, which needs the others. Those that could not be are left in it.
fn remove(context: &Context, host: &Host, application: &mut Application) {
    let entry = application.name().entry();
    let mut places: Vec<String> = application.files.keys().cloned().collect();
    places.sort_by_key(|place| *place != entry);
    for place in places {
        let known = application.files.get(&place).into_iter().chain(application.replaces.get(&place));
        match host.files.remove(&place, known) {
            Ok(true) => {}
            Ok(false) => {
                let shown = host.files.place(&place);
                context.printer.warning(&format!("{} was changed by somebody: it stays", shown.display()));
            }
            Err(error) => {
                context.printer.warning(&format!("a file is left that leads to no application: {error}"));
                continue;
            }
        }
        application.files.remove(&place);
        application.replaces.remove(&place);
    }
    let removed = application
        .name()
        .link()
        .map_err(|error| error.to_string())
        .and_then(|link| host.links.remove(&link).map_err(|error| error.to_string()));
    if let Err(error) = removed {
        context.printer.warning(&format!("a link is left that leads to no application: {error}"));
    }
}
