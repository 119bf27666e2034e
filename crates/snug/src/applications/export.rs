//! Letting the host have applications: those that were named, those of packages, those that it has already and that may have changed.

use std::time::Duration;

use snug_core::name::ContainerName;
use snug_desktop::exec::is_program;
use snug_exports::{ApplicationId, ApplicationName};

use super::caches;
use super::compose::{Composed, Surroundings, compose};
use super::guest::{self, Found};
use super::packages;
use super::place::{self, Host, take_back};
use super::survey::{Places, Survey};
use crate::command::export::unwritten;
use crate::context::Context;
use crate::error::CommandError;
use crate::words;

/// Applications of one question to a container, and those that come with packages: one of a whole desktop has some hundred.
const MOST: usize = 200;
/// Ids that are offered in the place of one that there is not.
const OFFERED: usize = 5;
/// How long a container may take to say what it has; it may have to start.
const PATIENCE: Duration = Duration::from_secs(120);
/// Types that are named.
const SHOWN: usize = 5;

/// How applications were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// By name: each has to be there.
    Named,
    /// They came with packages: what menus do not show is of no use.
    OfPackages,
    /// The host has them already.
    Again,
}

/// An application that the host has now.
#[derive(Debug)]
pub struct Exported {
    /// What menus call it.
    pub shown: String,
    /// Where its entry is.
    pub place: std::path::PathBuf,
}

/// What the host has now, and what it has not.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Those that it has.
    pub exported: Vec<Exported>,
    /// Those that it has not, and why.
    pub left: Vec<(ApplicationId, String)>,
}

/// Lets the host have applications of a container, which is started when it does not run.
///
/// # Errors
/// The container cannot be asked; the index or a file cannot be written. With [`Wish::Named`] also what is not there or cannot be had.
pub fn export(
    context: &Context,
    container: &ContainerName,
    ids: &[ApplicationId],
    wish: Wish,
) -> Result<Outcome, CommandError> {
    let mut outcome = Outcome::default();
    // How many a guest's packages bring is the guest's word.
    if wish == Wish::OfPackages && ids.len() > MOST {
        let left = words::count(ids.len() - MOST, "application");
        context.printer.notice(&format!("{left} more of {container}: the menus get {MOST} at once"));
        context.printer.hint("`snug export --app ID` exports others");
        return export_some(context, container, &ids[..MOST], wish);
    }
    for some in ids.chunks(MOST) {
        let Outcome { exported, left } = export_some(context, container, some, wish)?;
        outcome.exported.extend(exported);
        outcome.left.extend(left);
    }
    Ok(outcome)
}

/// Those of one question.
fn export_some(
    context: &Context,
    container: &ContainerName,
    ids: &[ApplicationId],
    wish: Wish,
) -> Result<Outcome, CommandError> {
    let host = Host::of_user()?;
    let found = guest::fetch(context, container, ids, PATIENCE)?;
    if wish == Wish::Named {
        check_all(context, container, ids, &found)?;
    }
    let names: Vec<ApplicationName> = found.iter().map(|found| named(container, &found.id)).collect();
    let mut survey = Survey::take(&Places::of_environment(host.files.data()), &names);
    let is_trusted = context.target(container).policy().trusted;
    let mut composed = Vec::new();
    let mut outcome = Outcome::default();
    let packages = packages::of(context, container, &found);
    for ((found, name), package) in found.iter().zip(names).zip(packages) {
        let program = program(&host, &name)?;
        let surroundings = Surroundings { container, is_trusted, survey: &survey };
        match compose(found, &surroundings, name, &program) {
            Ok(one) if wish == Wish::OfPackages && one.is_hidden => {
                context.printer.detail(&format!("{} of {container} is in no menu", found.id));
            }
            Ok(one) => {
                survey.open(&one.types);
                composed.push(Composed { package, ..one });
            }
            Err(error) => outcome.left.push((found.id.clone(), error.to_string())),
        }
    }
    refuse_left(container, wish, &outcome)?;
    for one in &composed {
        match place::write(context, &host, one)? {
            Err(why) => outcome.left.push((one.name.id.clone(), why)),
            Ok(()) => {
                if wish == Wish::Named {
                    tell(context, one);
                }
                let place = host.files.place(&one.name.entry());
                outcome.exported.push(Exported { shown: one.shown.clone(), place });
            }
        }
    }
    if !outcome.exported.is_empty() {
        let with_icons = composed.iter().any(|one| one.files.len() > 1);
        caches::renew(context, &host.files, with_icons);
    }
    refuse_left(container, wish, &outcome)?;
    Ok(outcome)
}

/// Has the host's applications be what the container has now, and tells what there is no more. What fails is told, and is no reason to fail.
pub fn renew(context: &Context, container: &ContainerName) {
    match refresh(context, container) {
        Ok(gone) => {
            for id in gone {
                context.printer.notice(&format!("not in the menus any more: {id}"));
            }
        }
        Err(error) => {
            context.printer.warning(&format!("applications of {container} in the menus may be old: {error}"))
        }
    }
}

/// Brings the applications that the host has of a container up to date: those that have changed there, and takes back what is not there any
/// more. The ids of the latter.
///
/// # Errors
/// As of [`export`].
fn refresh(context: &Context, container: &ContainerName) -> Result<Vec<ApplicationId>, CommandError> {
    let ids = exported_ids(container)?;
    if ids.is_empty() {
        return Ok(ids);
    }
    let gone = forget_gone(context, container, &ids)?;
    let left: Vec<ApplicationId> = ids.into_iter().filter(|id| !gone.contains(id)).collect();
    let outcome = export(context, container, &left, Wish::Again)?;
    for (id, why) in outcome.left {
        context.printer.warning(&format!("{id} of {container} stays as it was: {why}"));
    }
    Ok(gone)
}

/// The applications that the host has of a container, and that are there now.
///
/// # Errors
/// The container cannot be asked; the index cannot be read.
pub fn present(context: &Context, container: &ContainerName) -> Result<Vec<ApplicationId>, CommandError> {
    let mut ids = exported_ids(container)?;
    if !ids.is_empty() {
        let there = guest::list(context, container, PATIENCE)?;
        ids.retain(|id| there.contains(id));
    }
    Ok(ids)
}

/// Takes back the applications that were there `before` a change and are not any more; their ids.
///
/// # Errors
/// The container cannot be asked; the index cannot be written.
pub fn forget_gone(
    context: &Context,
    container: &ContainerName,
    before: &[ApplicationId],
) -> Result<Vec<ApplicationId>, CommandError> {
    if before.is_empty() {
        return Ok(Vec::new());
    }
    let there = present(context, container)?;
    let is_gone = |id: &ApplicationId| before.contains(id) && !there.contains(id);
    let taken = take_back(context, |one| one.container == *container && is_gone(&one.id))?;
    Ok(taken.into_iter().map(|name| name.id).collect())
}

fn exported_ids(container: &ContainerName) -> Result<Vec<ApplicationId>, CommandError> {
    let index = Host::of_user()?.exports.read().map_err(unwritten)?;
    let own = index.applications.into_iter().filter(|one| one.container == *container);
    Ok(own.map(|one| one.id).collect())
}

fn named(container: &ContainerName, id: &ApplicationId) -> ApplicationName {
    ApplicationName { container: container.clone(), id: id.clone() }
}

/// What the entry runs on the host.
fn program(host: &Host, name: &ApplicationName) -> Result<String, CommandError> {
    let link = name.link().map_err(|error| CommandError::failed(error.to_string()))?;
    let place = host.links.place(&link);
    place.to_str().filter(|place| is_program(place)).map(str::to_owned).ok_or_else(|| {
        let shown = snug_core::text::escape(&place.display().to_string()).into_owned();
        CommandError::user(format!("no desktop entry can run {shown}"))
            .hint("a path with '=', '%' or control characters cannot stand in one; XDG_DATA_HOME says where data is")
    })
}

/// All that were named are there.
fn check_all(
    context: &Context,
    container: &ContainerName,
    ids: &[ApplicationId],
    found: &[Found],
) -> Result<(), CommandError> {
    let Some(missing) = ids.iter().find(|id| !found.iter().any(|found| found.id == **id)) else {
        return Ok(());
    };
    let error = CommandError::user(format!("{container} has no application {missing}"));
    // What cannot be listed cannot be offered.
    let mut there = guest::list(context, container, PATIENCE).unwrap_or_default();
    // One that is no file, or longer than any.
    there.retain(|id| id != missing);
    let word = missing.as_str().to_ascii_lowercase();
    let (near, others): (Vec<&ApplicationId>, Vec<&ApplicationId>) =
        there.iter().partition(|id| id.as_str().to_ascii_lowercase().contains(&word));
    let offered: Vec<&str> =
        near.into_iter().chain(others).map(ApplicationId::as_str).take(OFFERED).collect();
    Err(if offered.is_empty() {
        error.hint(format!("{container} has no applications with entries for menus"))
    } else {
        let more = if there.len() > offered.len() { ", …" } else { "" };
        error.hint(format!("it has {}{more}", offered.join(", ")))
    })
}

/// Where one that was named cannot be had.
fn refuse_left(container: &ContainerName, wish: Wish, outcome: &Outcome) -> Result<(), CommandError> {
    match &outcome.left[..] {
        [(id, why), ..] if wish == Wish::Named => {
            Err(CommandError::user(format!("{id} of {container} cannot be exported: {why}")))
        }
        _ => Ok(()),
    }
}

/// Says what somebody would not expect of it.
fn tell(context: &Context, composed: &Composed) {
    if composed.is_hidden {
        context.printer.notice(&format!("{} is in no menu: its entry says so", composed.shown));
    }
    if let [first, ..] = &composed.left_to_host[..] {
        let shown = &composed.left_to_host[..composed.left_to_host.len().min(SHOWN)];
        let more = if shown.len() < composed.left_to_host.len() { ", …" } else { "" };
        context.printer.notice(&format!(
            "what the host opens it goes on opening: {}{more} (`xdg-mime default {}.desktop {first}` changes that)",
            shown.join(", "),
            composed.name.stem()
        ));
    }
}
