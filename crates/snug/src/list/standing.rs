//! What stands, asked of the daemon, the guests and the index of exports. A container that does not run is started for it, and stopped again.

use std::collections::BTreeMap;
use std::io;

use snug_core::config::Config;
use snug_core::grant::{Grant, GrantSet};
use snug_core::image::ImageRef;
use snug_core::name::ContainerName;
use snug_exports::{ApplicationId, Index, Wanted};
use snug_packages::name::{PackageName, Request};

use super::plan::{Standing, words_of};
use super::step::Obstacle;
use super::write::Text;
use super::{Entry, List, grants, is_it, word_of};
use crate::bus::Bus;
use crate::bus::change::Change;
use crate::bus::options::Options;
use crate::bus::view::Container;
use crate::command::export::unwritten;
use crate::context::{Context, parse_name};
use crate::error::{CommandError, Kind};
use crate::packages::guest::Guest;
use crate::packages::held::Held;
use crate::packages::{check, record};
use crate::throwaway::store::Store;
use crate::{entry, exports};

/// Containers that were started to be looked at.
pub struct Started<'a> {
    context: &'a Context,
    bus: &'a Bus,
    names: Vec<ContainerName>,
}

impl<'a> Started<'a> {
    /// None yet.
    pub fn new(context: &'a Context, bus: &'a Bus) -> Self {
        Self { context, bus, names: Vec::new() }
    }

    /// A container whose packages can be asked for; `None` where no package manager is known.
    ///
    /// # Errors
    /// It does not start, or cannot be asked.
    pub fn guest<'b>(
        &mut self,
        container: &'b ContainerName,
        view: &Container,
    ) -> Result<Option<Guest<'b>>, CommandError>
    where
        'a: 'b,
    {
        // One that somebody else is starting is his.
        if view.state == "stopped" {
            self.names.push(container.clone());
        }
        entry::ensure(self.context, self.bus, container.as_str())?;
        Guest::detect(self.context, container)
    }

    /// Stops those that are not in use: what follows needs them not, and nobody has begun something in them meanwhile. That one cannot be
    /// stopped is told.
    pub fn stop(self, is_used: impl Fn(&ContainerName) -> bool) {
        for name in self.names.iter().filter(|name| !is_used(name)) {
            // Asking would start one that somebody has stopped.
            let runs = || self.bus.get(name.as_str(), &Options::new()).is_ok_and(|view| view.is_running());
            if runs() && check::programs_in(self.context, name).is_ok_and(|programs| !programs.is_empty()) {
                continue;
            }
            let ended = self.bus.change(&Change::stop(name.as_str(), Options::new()).uncancellable());
            match ended {
                // It did not start.
                Err(error) if error.kind == Kind::NotFound => {}
                Err(error) => {
                    self.context.printer.warning(&format!("{name} was started, and still runs: {error}"))
                }
                Ok(_) => {}
            }
        }
    }
}

/// All that a container has of the host.
fn grants_of(view: &Container) -> GrantSet {
    let mut set = GrantSet::new();
    set.extend(view.grants.iter().map(|word| Grant::stored(word)));
    set
}

/// What the host has of all containers.
///
/// # Errors
/// The index cannot be read.
pub fn index() -> Result<Index, CommandError> {
    exports::of_user().and_then(|exports| exports.read()).map_err(unwritten)
}

/// The applications that the host has of a container, in the order of their ids.
pub fn applications_of(index: &Index, container: &ContainerName) -> Vec<ApplicationId> {
    let own = index.applications.iter().filter(|application| application.container == *container);
    let mut ids: Vec<ApplicationId> = own.map(|application| application.id.clone()).collect();
    ids.sort();
    ids
}

/// What the daemon knows of a container, as it is written.
pub fn text_of(config: &Config, view: &Container) -> Text {
    let mut remarks = Vec::new();
    if matches!(view.image.parse(), Ok(ImageRef::Local(_) | ImageRef::Fingerprint(_))) {
        remarks.push("this host's own image: `snug image import` takes it to another one".to_owned());
    }
    if config.presets.get(&view.preset).is_err() {
        remarks.push(
            "a preset that the configuration has no more: a new container needs another one".to_owned(),
        );
    }
    Text {
        container: view.name.clone(),
        remarks,
        image: view.image.clone(),
        preset: view.preset.clone(),
        grants: grants::differences(config, &view.preset, &grants_of(view)).words(),
        settings: view.settings.clone(),
        ..Text::default()
    }
}

/// All that is written of a container.
///
/// # Errors
/// It does not start, or cannot be asked.
pub fn describe(
    context: &Context,
    started: &mut Started<'_>,
    view: &Container,
    index: &Index,
) -> Result<Text, CommandError> {
    let container = parse_name(&view.name)?;
    let mut text = text_of(context.config()?, view);
    let (commands, odd) = index
        .commands
        .iter()
        .filter(|command| command.container == container)
        .cloned()
        .partition::<Vec<_>, _>(|command| {
            Wanted::parse(&word_of(command)).is_ok_and(|wanted| is_it(command, &wanted))
        });
    let sockets: Vec<_> =
        index.sockets.iter().filter(|socket| socket.container == container).cloned().collect();
    let (exports, sockets) = words_of(&commands, &sockets);
    (text.exports, text.sockets) = (Some(exports), sockets);
    text.apps = applications_of(index, &container).iter().map(ToString::to_string).collect();
    for command in odd {
        text.remarks
            .push(format!("exported, and in no list since its name has a sign in it: {}", command.name));
    }
    match started.guest(&container, view)? {
        None => text
            .remarks
            .push("no package manager that Snug knows: what is installed is in no list".to_owned()),
        Some(guest) => {
            let (record, asked) = record::look(&guest, &view.created)?;
            let (packages, files) = record.asked_for(asked);
            text.packages = Some(strings(&packages));
            if !files.is_empty() {
                let files = strings(&files).join(", ");
                text.remarks.push(format!("installed from files, so in no list: {files}"));
            }
        }
    }
    Ok(text)
}

fn strings(names: &[PackageName]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(PackageName::to_string).collect();
    names.sort();
    names
}

/// The user's containers, in the order of their names: those that somebody wants to keep, and those that are `is_meant`. Of `snug run --rm`
/// and `snug x` none is kept.
///
/// # Errors
/// The daemon cannot be asked.
pub fn kept(
    bus: &Bus,
    is_meant: impl Fn(&ContainerName) -> bool,
) -> Result<BTreeMap<ContainerName, Container>, CommandError> {
    let unreadable =
        |error: io::Error| CommandError::failed("what `snug x` keeps cannot be had").caused_by(error);
    let throwaway = match Store::open() {
        // Who has no home has none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        store => Some(store.map_err(unreadable)?),
    };
    let is_throwaway = |container: &ContainerName, view: &Container| match &throwaway {
        Some(store) => store.has(container, &view.created).map_err(unreadable),
        None => Ok(false),
    };
    let mut kept = BTreeMap::new();
    for view in bus.list(&Options::new())? {
        let container = parse_name(&view.name)?;
        if is_meant(&container) || !(view.temporary || is_throwaway(&container, &view)?) {
            kept.insert(container, view);
        }
    }
    Ok(kept)
}

/// What there is of the containers of a list, and of all others their names.
pub struct Look {
    /// By name.
    pub standing: BTreeMap<ContainerName, Standing>,
    /// As the daemon describes them.
    pub views: BTreeMap<ContainerName, Container>,
    /// What could not be found out.
    pub obstacles: Vec<Obstacle>,
}

/// Looks.
///
/// # Errors
/// The daemon or the index cannot be asked; the user has given up.
pub fn look(bus: &Bus, started: &mut Started<'_>, list: &List, prune: bool) -> Result<Look, CommandError> {
    let index = index()?;
    let mut look = Look { standing: BTreeMap::new(), views: BTreeMap::new(), obstacles: Vec::new() };
    for (container, view) in kept(bus, |container| list.containers.contains_key(container))? {
        let mut standing = Standing {
            image: view.image.clone(),
            preset: view.preset.clone(),
            temporary: view.temporary,
            grants: grants_of(&view),
            settings: view.settings.clone(),
            commands: index
                .commands
                .iter()
                .filter(|command| command.container == container)
                .cloned()
                .collect(),
            apps: applications_of(&index, &container),
            sockets: index.sockets.iter().filter(|socket| socket.container == container).cloned().collect(),
            ..Standing::default()
        };
        if let Some(entry) = list.containers.get(&container).filter(|_| !view.temporary) {
            match packages(started, &container, &view, entry, prune, &mut standing) {
                Err(error) if matches!(error.kind, Kind::Cancelled(_)) => return Err(error),
                Err(error) => look.obstacles.push(Obstacle {
                    container: container.clone(),
                    text: error.to_string(),
                    hints: error.hints,
                }),
                Ok(()) => {}
            }
        }
        look.standing.insert(container.clone(), standing);
        look.views.insert(container, view);
    }
    Ok(look)
}

/// Which of the packages of a list are there; nobody is asked where it says nothing of them.
fn packages(
    started: &mut Started<'_>,
    container: &ContainerName,
    view: &Container,
    entry: &Entry,
    prune: bool,
    standing: &mut Standing,
) -> Result<(), CommandError> {
    let Some(wanted) = entry.packages.as_ref().filter(|wanted| prune || !wanted.is_empty()) else {
        standing.installed = Some(BTreeMap::new());
        return Ok(());
    };
    let guest = started.guest(container, view)?.ok_or_else(|| {
        CommandError::user(format!(
            "{container} has no package manager that Snug knows: its packages stay as they are"
        ))
    })?;
    // What this manager cannot be told is told by the installation.
    let names: Vec<PackageName> = wanted
        .iter()
        .filter_map(|word| guest.manager.manager.request(word).ok())
        .map(|Request { name, .. }| name)
        .collect();
    // A word may be what a package only provides, or have an architecture behind it.
    let held = guest.held(&names)?;
    let version = |held: &Held| held.packages.first().map(|package| package.version.clone());
    standing.installed =
        Some(held.iter().filter_map(|held| Some((held.word.to_string(), version(held)?))).collect());
    if prune {
        let (record, asked) = record::look(&guest, &view.created)?;
        // What came from a file is in no list, and stays.
        let mut asked = record.asked_for(asked).0;
        let is_meant = |name: &PackageName| {
            held.iter().flat_map(|held| &held.packages).any(|package| package.name == *name)
        };
        asked.retain(|name| !is_meant(name));
        standing.asked_for = strings(&asked);
    }
    Ok(())
}
