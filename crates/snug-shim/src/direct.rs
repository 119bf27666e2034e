//! The command, straight by the container's agent.

use std::ffi::OsString;
use std::process::ExitCode;

use snug_client::words::OTHER_DIRECTORY;
use snug_client::{Directory, Error, Outcome, Request, Target, TerminalChoice, User, finish};
use snug_core::name::{ContainerName, Uid};
use snug_core::paths::Paths;
use snug_exports::Command;
use snug_exports::lookup::Started;

use crate::{FAILURE, NOT_FOUND, detour, fail, shown};

/// Runs a command and ends as it ended.
pub fn run(paths: &Paths, command: &Command, arguments: Vec<OsString>) -> ExitCode {
    let argv = [OsString::from(command.path.as_str())].into_iter().chain(arguments).collect();
    let request = request(paths, &command.container, argv, Directory::Same { or_home: false });
    carry_out(request, |status, hints| advised(command, status, hints)).unwrap_or_else(|mut argv| {
        detour::run(paths, &command.container, detour::command(command, argv.split_off(1)))
    })
}

/// Runs an application's command line and ends as that ended. Launchers start it wherever they are themselves.
pub fn application(paths: &Paths, started: &Started, argv: Vec<OsString>) -> ExitCode {
    let container = &started.name.container;
    let directory = started.directory.as_ref();
    let directory = directory.map_or(Directory::Same { or_home: true }, |path| Directory::Guest(path.into()));
    let request = Request { quiet: true, ..request(paths, container, argv, directory) };
    carry_out(request, |_, hints| hints.to_vec())
        .unwrap_or_else(|argv| detour::run(paths, container, detour::application(started, argv)))
}

/// Has it done; gives the command line back where nobody answers, or the daemon is to be asked.
fn carry_out(
    request: Request,
    advised: impl Fn(u8, &[String]) -> Vec<String>,
) -> Result<ExitCode, Vec<OsString>> {
    match snug_client::run(&request) {
        Ok(outcome) => {
            if let Outcome::Failed { status, message, hints } = &outcome {
                fail(*status, message, &advised(*status, hints));
            }
            Ok(finish(&outcome))
        }
        // Nothing of it has begun.
        Err(Error::NotRunning { .. } | Error::ThroughDaemon { .. }) => Err(request.argv),
        Err(error) => Ok(fail(FAILURE, &error.to_string(), &error.hints())),
    }
}

/// What `snug run -c CONTAINER -- ARGV` asks for.
fn request(paths: &Paths, container: &ContainerName, argv: Vec<OsString>, directory: Directory) -> Request {
    let uid = Uid(rustix::process::getuid().as_raw());
    Request {
        target: Target::Container {
            directory: paths.container_dir(uid, container),
            name: container.to_string(),
            service: paths.command_line(),
        },
        argv,
        overrides: Vec::new(),
        clean: false,
        login: false,
        early: false,
        user: User::Owner,
        directory,
        terminal: TerminalChoice::Auto,
        detached: false,
        announced: false,
        quiet: false,
    }
}

/// What to do, for who has not typed `snug run`.
fn advised(command: &Command, status: u8, hints: &[String]) -> Vec<String> {
    let Command { name, container, .. } = command;
    let typed = shown(name.as_str().as_ref());
    let in_other = |hint: &String| {
        let run = format!(
            "`snug run -w DIR -c {container} -- {} …` runs it in a directory of {container}",
            command.path
        );
        if hint == OTHER_DIRECTORY { run } else { hint.clone() }
    };
    let mut hints: Vec<String> = hints.iter().map(in_other).collect();
    if status == NOT_FOUND {
        hints.push(format!("`snug unexport -c {container} --bin {typed}` takes the command back"));
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_typed_a_commands_name_is_advised_by_that() {
        let command =
            Command::new("rg".parse().unwrap(), "dev".parse().unwrap(), "/usr/bin/rg".into()).unwrap();
        let advised = |status, hint: &str| advised(&command, status, &[hint.to_owned()]);
        assert_eq!(advised(125, "other"), ["other"]);
        assert!(advised(125, OTHER_DIRECTORY)[0].starts_with("`snug run -w DIR -c dev -- /usr/bin/rg …`"));
        assert_eq!(advised(127, "x")[1], "`snug unexport -c dev --bin rg` takes the command back");
    }
}
