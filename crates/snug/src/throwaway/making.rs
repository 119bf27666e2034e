//! A container of `snug x`, made with its package.

use std::time::{SystemTime, UNIX_EPOCH};

use snug_core::name::ContainerName;
use snug_packages::command::Action;
use snug_packages::name::PackageName;

use super::collecting;
use super::store::{Held, Program, Record, Store};
use crate::bus::Bus;
use crate::bus::change::Change;
use crate::bus::job::Ended;
use crate::bus::options::Options;
use crate::command::install;
use crate::context::Context;
use crate::creation;
use crate::error::{CommandError, Kind};
use crate::packages::guest::{Guest, unfit};
use crate::packages::log::Log;
use crate::packages::{self, commands};

/// Makes the container, installs the package in it, and notes what that brought. Where something fails there is none.
///
/// # Errors
/// The name is that of a container of the user's; there is no such package, or none with a command; whatever failed.
pub fn make(
    context: &Context,
    store: &Store,
    name: &ContainerName,
    (package, image): (&str, Option<&str>),
    held: &Held,
) -> Result<Record, CommandError> {
    let bus = context.bus()?;
    let unwritten = |error| CommandError::failed("what `snug x` keeps cannot be written").caused_by(error);
    let began = store.read(name).map_err(unwritten)?;
    let there = match bus.get(name.as_str(), &Options::new()) {
        Ok(container) => Some(container.created),
        Err(error) if error.kind == Kind::NotFound => None,
        Err(error) => return Err(error),
    };
    let is_own = |created: &String| began.as_ref().is_some_and(|began| began.is_of(created));
    if there.as_ref().is_some_and(|created| !is_own(created)) {
        return Err(CommandError::user(format!("there is a container {name} which `snug x` has not made"))
            .hint(format!("`snug rm {name}` removes it, if it is not needed any more")));
    }
    if there.is_some() {
        remove(&bus, name)?;
    }
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut record = Record { package: package.to_owned(), begun, ..Record::default() };
    // From here on the name is ours, whatever becomes of this process.
    store.write(name, &record, held).map_err(unwritten)?;
    collecting::begin_for(context, name);
    // What it has not finished the daemon takes back itself; what else is there is not ours.
    let created = create(context, &bus, name, image)?;
    let done = created.go_on().and_then(|()| {
        record.created = bus.get(name.as_str(), &Options::new())?.created;
        store.write(name, &record, held).map_err(unwritten)?;
        install_in(context, &bus, name, package)
    });
    match done {
        Ok(commands) => record.commands = commands,
        Err(error) => {
            return match remove(&bus, name) {
                Err(left) if left.kind != Kind::NotFound => {
                    Err(error.hint(format!("{name} is left: {left}; the next `snug x {package}` removes it")))
                }
                _ => Err(error),
            };
        }
    }
    record.ready = true;
    store.write(name, &record, held).map_err(unwritten)?;
    Ok(record)
}

/// Removes a container of `snug x`, whatever runs in it.
///
/// # Errors
/// What the daemon says; that there is none.
pub fn remove(bus: &Bus, name: &ContainerName) -> Result<(), CommandError> {
    let remove = Change::remove(name.as_str(), Options::new().switch("force", true));
    bus.change(&remove.uncancellable()).map(drop)
}

fn create(
    context: &Context,
    bus: &Bus,
    name: &ContainerName,
    image: Option<&str>,
) -> Result<Ended, CommandError> {
    let config = context.config()?;
    let image =
        crate::command::image::file::reference_of(context, bus, image.unwrap_or(&config.default_image))?;
    let preset = config.default_preset.as_str();
    let options = creation::options(context, preset, &[], Options::new())?.text("image", Some(&image));
    let privileged = crate::command::create::is_privileged(context, preset, &[]);
    bus.change(&Change::create(name.as_str(), options).with_administrator(privileged))
}

fn install_in(
    context: &Context,
    bus: &Bus,
    name: &ContainerName,
    package: &str,
) -> Result<Vec<Program>, CommandError> {
    let guest = Guest::reach(context, bus, name, false)?;
    let manager = guest.manager.manager;
    let requests = [manager.request(package).map_err(|error| unfit(&error))?];
    let mut log = Log::begin(context, name, &format!("x {package}"));
    {
        let progress = context.printer.progress();
        let mut line = progress.line(package);
        line.stage("looking at what there is");
        let mut carry_out = |action: &Action| guest.carry_out(action, &mut line, &mut log);
        let names = requests.each_ref().map(|request| request.name.clone());
        let fresh = install::prepare(&guest, &names, &mut carry_out)?;
        for action in manager.install(&requests, fresh) {
            carry_out(&action)?;
        }
    }
    // What the manager has taken the word for.
    let held = guest.held(&requests.map(|request| request.name))?;
    let packages: Vec<PackageName> = held.iter().flat_map(packages::held::Held::names).collect();
    let brought = commands::of_packages(&guest, &packages)?.commands;
    if brought.is_empty() {
        return Err(CommandError::user(format!("{package} brings no command that could be run")));
    }
    let program = |brought: commands::Brought| Program {
        names: brought.names.iter().map(ToString::to_string).collect(),
        path: brought.path,
    };
    Ok(brought.into_iter().map(program).collect())
}
