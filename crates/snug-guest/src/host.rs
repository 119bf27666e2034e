//! A command on the host.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use snug_client::{Directory, Error, Outcome, Request, Target, TerminalChoice, User};
use snug_wire::message::Wish;

use crate::fail;

/// Where a guest has its agent's socket.
const AGENT: &str = "/.snug/run/agent.sock";

/// The host, from this container.
pub fn target(wish: Wish) -> Target {
    Target::Host { agent: AGENT.into(), wish }
}

/// What is to be run there.
pub struct Command {
    /// Program and arguments; none: the owner's shell, as at a login.
    pub argv: Vec<OsString>,
    /// A directory of the host; else the one that this process is in.
    pub directory: Option<PathBuf>,
    /// Where the host does not have that one, in the home.
    pub or_home: bool,
    /// Variables that win over all others.
    pub overrides: Vec<(OsString, OsString)>,
    /// Nothing of this process's environment.
    pub clean: bool,
    /// Terminal or not.
    pub terminal: TerminalChoice,
}

impl Command {
    /// These words, as they would run here.
    pub fn new(argv: Vec<OsString>) -> Self {
        Self {
            argv,
            directory: None,
            or_home: false,
            overrides: Vec::new(),
            clean: false,
            terminal: TerminalChoice::Auto,
        }
    }
}

/// Runs it and ends as it ended.
pub fn run(command: &Command) -> ExitCode {
    let or_home = command.or_home;
    let request = Request {
        target: target(Wish::Command),
        argv: command.argv.clone(),
        overrides: command.overrides.clone(),
        clean: command.clean,
        login: command.argv.is_empty(),
        early: true,
        user: User::Owner,
        directory: command.directory.clone().map_or(Directory::Same { or_home }, Directory::Guest),
        terminal: command.terminal,
        detached: false,
        announced: false,
        quiet: or_home,
    };
    match snug_client::run(&request) {
        Ok(outcome) => {
            if let Outcome::Failed { message, hints, .. } = &outcome {
                let _ = fail(message, hints);
            }
            snug_client::finish(&outcome)
        }
        Err(error) => failed(&error),
    }
}

/// Says why nothing of the host was reached.
pub fn failed(error: &Error) -> ExitCode {
    match error {
        Error::NotRunning { .. } => fail("the host cannot be reached: no agent of Snug's answers here", &[]),
        Error::Lost { .. } => fail("the host's session went away while the command ran", &[]),
        Error::Agent { source, .. } => fail(&format!("the host cannot be reached: {source}"), &[]),
        other => fail(&other.to_string(), &other.hints()),
    }
}
