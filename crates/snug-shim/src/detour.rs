//! By `snug run`, which knows what to do where nobody answers: the container is started, or entered through the daemon.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use snug_client::startup;
use snug_core::paths::Paths;
use snug_exports::Command;
use snug_exports::search::is_command;

use crate::{FAILURE, fail};

/// Becomes `snug run`; returns where that is not installed.
pub fn run(paths: &Paths, command: &Command, arguments: Vec<OsString>) -> ExitCode {
    let words = words(command, arguments);
    let why = match program(paths.command_line(), &std::env::var_os("PATH").unwrap_or_default()) {
        Some(program) => {
            let error = startup::become_program(&program, &words);
            format!("{} cannot be executed: {error}", program.display())
        }
        None => "snug, which starts it, is not installed".to_owned(),
    };
    fail(FAILURE, &format!("container {} is not running, and {why}", command.container), &[])
}

fn words(command: &Command, arguments: Vec<OsString>) -> Vec<OsString> {
    let first = ["snug", "run", "-c", command.container.as_str(), "--", &command.path];
    first.map(OsString::from).into_iter().chain(arguments).collect()
}

/// The installed one, else the first on the PATH.
fn program(installed: PathBuf, path: &OsStr) -> Option<PathBuf> {
    if is_command(&installed) {
        return Some(installed);
    }
    let directories = std::env::split_paths(path).filter(|directory| directory.is_absolute());
    directories.map(|directory| directory.join("snug")).find(|file| is_command(file))
}
