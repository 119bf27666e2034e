//! What the links of exported commands lead to (`snug_exports`): the hot path of `snug run`, without its command line.
//!
//! | module | what |
//! |---|---|
//! | [`called`] | by which name it was called, and where the index is |
//! | [`direct`] | the command, straight by the container's agent |
//! | [`detour`] | by `snug run`, which knows what to do where nobody answers |
//!
//! One link is read and one file; then it is as with `snug run`: same streams, terminal, signals, directory, environment and status.

mod called;
mod detour;
mod direct;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use called::Called;
use snug_client::startup;
use snug_client::words::harmless;
use snug_core::paths::Paths;
use snug_exports::lookup::{lookup, lookup_application};

/// Status of a failure that is not the command's own.
const FAILURE: u8 = 125;
/// Status of a command that is not there.
const NOT_FOUND: u8 = 127;
/// The program's own name.
const PROGRAM: &str = "snug-shim";
/// Tests only, and only in debug builds: all of the installation's paths are below this directory, as for `snug`.
const TEST_ROOT: &str = "SNUG_TEST_ROOT";

/// Runs the command whose name the program was called by, with the rest of `arguments`.
#[must_use]
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let executed = startup::executed();
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let first = arguments.first().map(OsString::as_os_str);
    let called = match called::called(executed, first, variable) {
        Ok(called) => called,
        Err(error) => {
            return fail(FAILURE, &format!("the index of what is exported is not found: {error}"), &[]);
        }
    };
    let Called { name, is_application, directory } = called;
    let shown = harmless(name.as_bytes());
    if is_application {
        return application(&name, &directory, arguments.into_iter().skip(1).collect());
    }
    match name.to_str().map_or(Ok(None), |name| lookup(&directory, name)) {
        Ok(Some(command)) => direct::run(&paths(), &command, arguments.into_iter().skip(1).collect()),
        Ok(None) if name == PROGRAM => {
            let hint = "`snug export --bin CMD` makes a link to it, for a command of a container".to_owned();
            fail(FAILURE, &format!("{PROGRAM} is called by another name, which says what to run"), &[hint])
        }
        Ok(None) => {
            let hints = [
                format!("`snug export -c NAME --bin {shown}` makes it a command of the container NAME"),
                format!("`snug unexport --bin {shown}` removes the link"),
            ];
            fail(NOT_FOUND, &format!("{shown} is a command of no container any more"), &hints)
        }
        Err(error) => fail(FAILURE, &format!("the index of what is exported cannot be read: {error}"), &[]),
    }
}

/// Runs what the entry of an application has as the arguments of its link.
fn application(link: &OsStr, directory: &Path, argv: Vec<OsString>) -> ExitCode {
    match link.to_str().map_or(Ok(None), |link| lookup_application(directory, link)) {
        Ok(Some(_)) if argv.is_empty() => fail(FAILURE, "the application's entry says nothing to run", &[]),
        Ok(Some(started)) => direct::application(&paths(), &started, argv),
        Ok(None) => {
            let hint = "`snug export --app ID` lets the host have an application".to_owned();
            fail(
                NOT_FOUND,
                &format!("{} is no application of a container any more", harmless(link.as_bytes())),
                &[hint],
            )
        }
        Err(error) => fail(FAILURE, &format!("the index of what is exported cannot be read: {error}"), &[]),
    }
}

fn paths() -> Paths {
    let root = if cfg!(debug_assertions) { std::env::var_os(TEST_ROOT) } else { None };
    root.map_or_else(Paths::default, |root| Paths::below(Path::new(&root)))
}

/// The one place that prints: what failed, and what to do.
fn fail(status: u8, what: &str, hints: &[String]) -> ExitCode {
    let hints: String = hints.iter().map(|hint| format!("hint: {hint}\n")).collect();
    // Who has closed the stream hears it by the status.
    let _ = write!(std::io::stderr(), "error: {what}\n{hints}");
    ExitCode::from(status)
}

/// What of a word of the caller's a message shows.
fn shown(word: &OsStr) -> String {
    harmless(word.as_bytes())
}
