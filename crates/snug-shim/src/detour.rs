//! By `snug run`, which knows what to do where nobody answers: the container is started, or entered through the daemon.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use snug_client::startup;
use snug_core::name::ContainerName;
use snug_core::paths::Paths;
use snug_exports::Command;
use snug_exports::lookup::Started;
use snug_exports::search::is_command;

use crate::{FAILURE, fail};

/// Becomes `snug` with these words; returns where that is not installed.
pub fn run(paths: &Paths, container: &ContainerName, words: Vec<OsString>) -> ExitCode {
    let why = match program(paths.command_line(), &std::env::var_os("PATH").unwrap_or_default()) {
        Some(program) => {
            let error = startup::become_program(&program, &words);
            format!("{} cannot be executed: {error}", program.display())
        }
        None => "snug, which starts it, is not installed".to_owned(),
    };
    fail(FAILURE, &format!("container {container} is not running, and {why}"), &[])
}

/// The words for a command.
pub fn command(command: &Command, arguments: Vec<OsString>) -> Vec<OsString> {
    words(&["run", "-c", command.container.as_str(), "--", &command.path], arguments)
}

/// The words for an application: where the container has not the directory that it is called in, it is at home. `snug enter` knows that.
pub fn application(started: &Started, argv: Vec<OsString>) -> Vec<OsString> {
    let container = started.name.container.as_str();
    match &started.directory {
        Some(directory) => words(&["run", "-w", directory, "-c", container, "--"], argv),
        None => words(&["enter", container, "--"], argv),
    }
}

fn words(first: &[&str], arguments: Vec<OsString>) -> Vec<OsString> {
    ["snug"].iter().chain(first).map(OsString::from).chain(arguments).collect()
}

/// The installed one, else the first on the PATH.
fn program(installed: PathBuf, path: &OsStr) -> Option<PathBuf> {
    if is_command(&installed) {
        return Some(installed);
    }
    let directories = std::env::split_paths(path).filter(|directory| directory.is_absolute());
    directories.map(|directory| directory.join("snug")).find(|file| is_command(file))
}
