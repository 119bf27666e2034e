//! `snug x`.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCompleter;
use snug_core::name::ContainerName;
use snug_core::text::{escape, nearest};

use super::run::HowArgs;
use crate::bus::Bus;
use crate::bus::change::Change;
use crate::bus::options::Options;
use crate::completion;
use crate::context::Context;
use crate::entry;
use crate::error::{CommandError, Kind};
use crate::throwaway::store::{Held, Record, Store};
use crate::throwaway::{collecting, container_of, making};

/// Commands that are named where one has to be chosen.
const NAMED: usize = 12;

/// Run a command of a package once, without installing anything
///
/// The package is installed in a container of its own, which is kept for the next time: that starts at once. It shares your home as the
/// default container does, and nothing else of it is seen on the host. It is stopped when it has not been used for a minute, and removed
/// after two weeks.
///
/// Exit status: the command's own, as of `snug run`.
#[derive(Debug, Args)]
pub struct XArgs {
    #[command(flatten)]
    how: HowArgs,
    /// The command to run, where the package has several
    #[arg(long, value_name = "CMD")]
    bin: Option<String>,
    /// Image that the container is made of; without it, the default image
    #[arg(long, value_name = "IMAGE", add = ArgValueCompleter::new(completion::images))]
    image: Option<String>,
    /// Stop and remove what is not used any more
    #[arg(long, hide = true, exclusive = true)]
    collect: bool,
    /// The package, perhaps with a version (NAME=VERSION), and the command's arguments
    #[arg(value_name = "PKG", required_unless_present = "collect", trailing_var_arg = true)]
    words: Vec<OsString>,
}

/// Runs it.
pub fn execute(context: &Context, args: XArgs) -> Result<ExitCode, CommandError> {
    let store = Store::open().map_err(unkept)?;
    let Some((package, arguments)) = args.words.split_first() else {
        collecting::collect(context, &store)?;
        return Ok(ExitCode::SUCCESS);
    };
    let package = package.to_str().ok_or_else(|| {
        CommandError::usage(format!("'{}' is no name of a package", escape(&package.to_string_lossy())))
    })?;
    let name = container_of(package, args.image.as_deref())?;
    let what = (package, args.image.as_deref());
    let (record, held) = ready(context, &store, &name, what)?;
    let program = choose(&record, args.bin.as_deref())?;
    let argv = std::iter::once(OsString::from(program)).chain(arguments.iter().cloned()).collect();
    let request = args.how.request(context, &name, argv, false, false)?;
    let mut held = Some(held);
    let ensure = |bus: &Bus| bus.change(&Change::ensure(name.as_str(), Options::new())).map(drop);
    let outcome = match entry::run(context, &request, &ensure) {
        // Somebody has removed it: it is made again.
        Err(error) if error.kind == Kind::NotFound => {
            drop(held.take());
            forget(context, &store, &name)?;
            held = Some(ready(context, &store, &name, what)?.1);
            entry::run(context, &request, &ensure)
        }
        outcome => outcome,
    };
    // The command has ended as it has: this is no reason for another status.
    if let Some(Err(error)) = held.map(|held| held.touch()) {
        context.printer.warning(&unkept(error).to_string());
    }
    Ok(entry::finish(context, &outcome?))
}

fn unkept(error: io::Error) -> CommandError {
    CommandError::failed("what `snug x` keeps cannot be had").caused_by(error)
}

/// The container with the package in it, which nobody stops while it is held.
fn ready(
    context: &Context,
    store: &Store,
    name: &ContainerName,
    what: (&str, Option<&str>),
) -> Result<(Record, Held), CommandError> {
    loop {
        let waiting = || {
            let (package, _) = what;
            context.printer.notice(&format!("waiting: another process is at work on {name}, for {package}"));
        };
        let held = store.hold(name, waiting).map_err(unkept)?;
        if let Some(record) = store.read(name).map_err(unkept)?.filter(|record| record.ready) {
            held.touch().map_err(unkept)?;
            collecting::begin_for(context, name);
            return Ok((record, held));
        }
        drop(held);
        let alone = store.take(name).map_err(unkept)?;
        // Another one may have been quicker.
        if store.read(name).map_err(unkept)?.is_some_and(|record| record.ready) {
            continue;
        }
        let made = making::make(context, store, name, what, &alone);
        if let Err(error) = made {
            // What is left of it is found by its record.
            if is_gone(&context.bus()?, name) {
                store.forget(name, alone).map_err(unkept)?;
            }
            return Err(error);
        }
    }
}

/// Forgets a container that is gone, unless another process has made it again by now.
fn forget(context: &Context, store: &Store, name: &ContainerName) -> Result<(), CommandError> {
    let alone = store.take(name).map_err(unkept)?;
    if is_gone(&context.bus()?, name) { store.forget(name, alone).map_err(unkept) } else { Ok(()) }
}

/// Whether there is no such container, for certain.
fn is_gone(bus: &Bus, name: &ContainerName) -> bool {
    bus.get(name.as_str(), &Options::new()).is_err_and(|error| error.kind == Kind::NotFound)
}

/// The command that is meant: the one that was named, the package's namesake, or its only one.
fn choose<'a>(record: &'a Record, named: Option<&str>) -> Result<&'a str, CommandError> {
    let of = |name: &str| record.commands.iter().find(|program| program.names.iter().any(|own| own == name));
    let package = record.package.split('=').next().unwrap_or_default();
    let names = || record.commands.iter().filter_map(|program| program.names.first()).map(String::as_str);
    match (named, &record.commands[..]) {
        (Some(name), _) => of(name).map(|program| program.path.as_str()).ok_or_else(|| {
            let error = CommandError::user(format!("{package} has no command '{}'", escape(name)));
            match nearest(name, names()) {
                Some(near) => error.hint(format!("did you mean '{near}'?")),
                None => error.hint(format!("it has {}", some(names()))),
            }
        }),
        (None, [only]) => Ok(&only.path),
        (None, _) => of(package).map(|program| program.path.as_str()).ok_or_else(|| {
            CommandError::usage(format!("{package} has several commands: {}", some(names())))
                .hint(format!("`snug x --bin CMD {package} …` says which is meant"))
        }),
    }
}

fn some<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let more = if names.len() > NAMED { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(NAMED)].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::throwaway::store::Program;

    fn record(package: &str, commands: &[&str]) -> Record {
        let program = |names: &&str| Program {
            names: names.split('|').map(str::to_owned).collect(),
            path: format!("/usr/bin/{}", names.split('|').next_back().unwrap()),
        };
        let commands = commands.iter().map(program).collect();
        Record { package: package.into(), ready: true, commands, ..Record::default() }
    }

    #[test]
    fn the_command_is_the_one_that_is_meant() {
        for (package, commands, named, wanted) in [
            ("ripgrep", &["rg"][..], None, "/usr/bin/rg"),
            ("htop", &["htop"], None, "/usr/bin/htop"),
            ("git", &["git", "git-shell"], None, "/usr/bin/git"),
            ("git=1:2.39", &["git", "git-shell"], None, "/usr/bin/git"),
            ("git", &["git", "git-shell"], Some("git-shell"), "/usr/bin/git-shell"),
            ("fd-find", &["fd|fdfind"], Some("fd"), "/usr/bin/fdfind"),
            ("fd-find", &["fd|fdfind"], Some("fdfind"), "/usr/bin/fdfind"),
        ] {
            assert_eq!(choose(&record(package, commands), named).unwrap(), wanted, "{package} {named:?}");
        }
        let error = choose(&record("coreutils", &["ls", "cat"]), None).unwrap_err();
        assert_eq!(error.to_string(), "coreutils has several commands: ls, cat");
        let error = choose(&record("coreutils", &["ls", "cat"]), Some("cta")).unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.hints[0].as_str()),
            ("coreutils has no command 'cta'", "did you mean 'cat'?")
        );
        let many: Vec<String> = (0..20).map(|number| format!("c{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(choose(&record("many", &many), None).unwrap_err().to_string().ends_with("c11, …"));
    }
}
