//! The command line of Snug. Everything here belongs to the binary `snug`; nothing is meant for other programs.
//!
//! | module | what |
//! |---|---|
//! | **the edge** | |
//! | [`cli`] | the commands and their options, as clap parses them |
//! | [`command`] | one file a command |
//! | [`completion`] | what a shell can be offered for a half-typed word |
//! | **what commands use** | |
//! | [`context`] | the process: its printer, configuration, user and paths |
//! | [`configuration`] | reading the configuration's files |
//! | [`entry`] | getting into a container, starting or making it on the way |
//! | [`bus`] | `snugd` over the system bus |
//! | [`exports`] | where the index of what the host has of containers is, and the links |
//! | [`documents`] | packages, manual pages and completions of exported commands |
//! | [`guest_commands`] | where commands of a container are |
//! | [`not_found`] | commands that are not there |
//! | [`applications`] | applications of containers among the host's |
//! | [`packages`] | package managers of containers |
//! | [`list`] | what containers are to be, as a file |
//! | [`probe`] | a question that a command of a running container answers |
//! | [`service`] | `snug session`: what containers ask of the host |
//! | [`state`] | directories of what is kept from one call to the next |
//! | [`archive`] | tar streams to and from a guest |
//! | **output** | |
//! | [`printer`] | the one place that prints |
//! | [`progress`] | progress of jobs |
//! | [`table`] | columns |
//! | [`words`] | sizes and ages in words |
//! | [`error`] | errors with kinds and hints |
//! | [`env_vars`] | every environment variable that is read |

mod applications;
mod archive;
mod bus;
mod cli;
mod command;
mod completion;
mod configuration;
mod context;
mod creation;
mod documents;
mod entry;
mod env_vars;
mod error;
mod exports;
mod guest_commands;
mod image_server;
mod list;
mod not_found;
mod packages;
mod printer;
mod probe;
mod progress;
mod service;
mod state;
mod table;
mod throwaway;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use error::{CommandError, Kind};

/// Runs the command line `arguments` (the program's name first) and gives the status to end with.
#[must_use]
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    if completion::is_asked_for() {
        return completion::answer();
    }
    let (context, command) = match cli::parse(&arguments) {
        Ok(parsed) => parsed,
        Err(status) => return status,
    };
    let failure = command.failure_status();
    match command.execute(&context) {
        Ok(status) => status,
        Err(error) => end(&context, &in_vendors_words(&context, error), failure),
    }
}

/// The vendor of this system knows best how to get what is missing on it.
fn in_vendors_words(context: &context::Context, error: CommandError) -> CommandError {
    let Some(situation) = error.situation else { return error };
    // A configuration that cannot be read has told so by itself, or is not the matter.
    match context.config().ok().and_then(|config| config.hints.get(situation)) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn end(context: &context::Context, error: &CommandError, failure: Option<u8>) -> ExitCode {
    let died = |signal| snug_client::finish(&snug_client::Outcome::Killed(signal));
    match error.kind {
        Kind::BrokenPipe => died(rustix::process::Signal::PIPE.as_raw()),
        Kind::Cancelled(signal) => {
            context.printer.error(error);
            died(signal)
        }
        _ => {
            context.printer.error(error);
            ExitCode::from(failure.unwrap_or_else(|| error.status()))
        }
    }
}
