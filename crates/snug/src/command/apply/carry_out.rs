//! Carrying out a plan, step by step. Between two steps whoever gives up leaves what a plan can be made of again.

use std::collections::BTreeSet;
use std::process::ExitCode;

use snug_core::name::ContainerName;
use snug_packages::name::PackageName;

use crate::bus::Bus;
use crate::bus::change::Change;
use crate::bus::options::Options;
use crate::command::arguments::show_warnings;
use crate::command::create::{self, CreateArgs};
use crate::command::export::{applications, commands, sockets};
use crate::command::install::{self, InstallArgs};
use crate::command::rm::{self, RmArgs};
use crate::command::unexport::{self, UnexportArgs};
use crate::command::uninstall::{self, UninstallArgs};
use crate::context::Context;
use crate::error::{CommandError, Kind};
use crate::list::name_of;
use crate::list::step::{Exported, Step};
use crate::packages::guest::Guest;

/// Does all steps that can be done; what is left, each in words. Errors of single steps are told on the way.
///
/// # Errors
/// The user has given up.
pub fn carry_out(
    context: &Context,
    bus: &Bus,
    steps: Vec<Step>,
    yes: bool,
    list: &str,
) -> Result<Vec<String>, CommandError> {
    let count = steps.len();
    let (mut left, mut missing) = (Vec::new(), BTreeSet::new());
    for (done, step) in steps.into_iter().enumerate() {
        if missing.contains(step.container()) {
            left.push(step.to_string());
            continue;
        }
        context.printer.detail(&step.to_string());
        match one(context, bus, &step, yes) {
            Ok(not_done) => left.extend(not_done),
            Err(error) if matches!(error.kind, Kind::Cancelled(_)) => {
                let text = format!("given up after {done} of {count} steps: {error}");
                return Err(CommandError::new(error.kind, text)
                    .hint(format!("`snug apply` with {list} goes on from here")));
            }
            Err(error) => {
                context.printer.error(&error);
                if matches!(step, Step::Create { .. }) {
                    missing.insert(step.container().clone());
                }
                left.push(step.to_string());
            }
        }
    }
    Ok(left)
}

/// Does one; what of it is left.
fn one(context: &Context, bus: &Bus, step: &Step, yes: bool) -> Result<Vec<String>, CommandError> {
    let status = match step {
        Step::Create { container, image, preset, grants, settings } => {
            let sign =
                |sign: char| grants.iter().filter_map(move |word| word.strip_prefix(sign)).map(str::to_owned);
            let settings = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let args =
                CreateArgs::of(container, image, preset, sign('+').collect(), sign('-').collect(), settings);
            create::execute(context, args)?
        }
        Step::Set { container, settings } => {
            let set = settings.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            configure(context, bus, container, set, Vec::new())?
        }
        Step::Unset { container, settings } => {
            configure(context, bus, container, Vec::new(), settings.clone())?
        }
        Step::Unexport { container, what } => unexport::execute(context, &UnexportArgs::of(container, what))?,
        Step::Uninstall { container, packages } => {
            uninstall::execute(context, &UninstallArgs::of(container, packages, yes))?
        }
        Step::Install { container, packages, export } => {
            return install(context, bus, container, packages, *export);
        }
        Step::Export { container, what } => return export(context, bus, container, what),
        Step::Remove { container } => rm::execute(context, RmArgs::of(container))?,
    };
    // Who was asked by the command and said no.
    Ok(if status == ExitCode::SUCCESS { Vec::new() } else { vec![step.to_string()] })
}

fn configure(
    context: &Context,
    bus: &Bus,
    container: &ContainerName,
    set: Vec<(String, String)>,
    unset: Vec<String>,
) -> Result<ExitCode, CommandError> {
    let ended = bus.change(&Change::configure(container.as_str(), set, unset, Options::new()))?;
    show_warnings(context, &ended.notices);
    ended.go_on().map(|()| ExitCode::SUCCESS)
}

/// All at once, which is one snapshot and one transaction. Where that fails, those that repositories have by themselves; where that fails, one
/// by one.
fn install(
    context: &Context,
    bus: &Bus,
    container: &ContainerName,
    packages: &[String],
    export: bool,
) -> Result<Vec<String>, CommandError> {
    let some = |packages: &[String]| {
        install::execute(context, &InstallArgs::of(container, packages, !export)).map(drop)
    };
    // Whether it was done; what was not is told.
    let done = |packages: &[String]| match some(packages) {
        Err(error) if matches!(error.kind, Kind::Cancelled(_)) => Err(error),
        Err(error) => {
            context.printer.error(&error);
            Ok(false)
        }
        Ok(()) => Ok(true),
    };
    let error = match some(packages) {
        Ok(()) => return Ok(Vec::new()),
        Err(error) if packages.len() == 1 || matches!(error.kind, Kind::Cancelled(_)) => return Err(error),
        Err(error) => error,
    };
    let guest = Guest::reach(context, bus, container, false)?;
    let manager = guest.manager.manager;
    let request = |word: &String| manager.request(word).ok();
    let names: Vec<PackageName> = packages.iter().filter_map(request).map(|request| request.name).collect();
    let known = if names.is_empty() { Vec::new() } else { guest.ask(&manager.available(&names))? };
    let is_known = |word: &String| known.iter().any(|found| found.name.as_str() == name_of(word));
    let (there, missing): (Vec<String>, Vec<String>) = packages.iter().cloned().partition(is_known);
    if there.is_empty() {
        return Err(error);
    }
    let mut left = Vec::new();
    // With nothing missing that was tried already, and which of them it is nobody knows.
    if missing.is_empty() || !done(&there)? {
        for package in there {
            if !done(std::slice::from_ref(&package))? {
                left.push(package);
            }
        }
    }
    if !missing.is_empty() && !done(&missing)? {
        left.extend(missing);
    }
    Ok(not_installed(container, &left))
}

fn not_installed(container: &ContainerName, packages: &[String]) -> Vec<String> {
    let step = Step::Install { container: container.clone(), packages: packages.to_vec(), export: false };
    if packages.is_empty() { Vec::new() } else { vec![step.to_string()] }
}

/// All commands at once, and all applications; where that fails, one by one.
fn export(
    context: &Context,
    bus: &Bus,
    container: &ContainerName,
    what: &Exported,
) -> Result<Vec<String>, CommandError> {
    let found = bus.get(container.as_str(), &Options::new())?;
    let left = Exported {
        commands: each(context, &what.commands, |words| {
            commands::execute(context, bus, container, &found, &commands::parse(words)?)
        }),
        applications: each(context, &what.applications, |ids| {
            applications::execute(context, container, &applications::parse(ids)?)
        }),
        sockets: each(context, &what.sockets, |paths| {
            sockets::execute(context, container, &found, &sockets::parse(container, paths)?)
        }),
    };
    let is_done = left.is_empty();
    let step = Step::Export { container: container.clone(), what: left };
    Ok(if is_done { Vec::new() } else { vec![step.to_string()] })
}

/// Those that cannot be done, neither with the others nor alone. Why is told.
fn each(
    context: &Context,
    words: &[String],
    some: impl Fn(&[String]) -> Result<(), CommandError>,
) -> Vec<String> {
    if words.is_empty() {
        return Vec::new();
    }
    let Err(error) = some(words) else { return Vec::new() };
    if let [word] = words {
        context.printer.error(&error);
        return vec![word.clone()];
    }
    let fails = |word: &&String| {
        some(std::slice::from_ref(word)).inspect_err(|error| context.printer.error(error)).is_err()
    };
    words.iter().filter(fails).cloned().collect()
}
