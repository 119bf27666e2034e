//! A question to a container that runs, which a command there answers by its status.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use snug_client::{Directory, Outcome, Request, Target, TerminalChoice, User};

/// A guest may take as long as it likes; whoever asks has something else to say.
const PATIENCE: Duration = Duration::from_secs(5);

/// The status with which the command ends, as root there; `None` where it does not say. It has nothing of this process's: no stream, no
/// descriptor, no variable, and what it prints is lost.
pub fn status(target: Target, argv: &[&str]) -> Option<u8> {
    status_within(target, argv, PATIENCE)
}

/// The same for whoever waits no longer than that.
pub fn status_within(target: Target, argv: &[&str], patience: Duration) -> Option<u8> {
    let request = Request {
        target,
        argv: argv.iter().map(Into::into).collect(),
        overrides: Vec::new(),
        clean: true,
        login: false,
        early: true,
        user: User::Root,
        directory: Directory::Guest("/".into()),
        terminal: TerminalChoice::Never,
        detached: true,
        announced: false,
        quiet: true,
    };
    let (tell, told) = mpsc::channel();
    // One that does not end goes with this process, which hangs its command up.
    thread::spawn(move || tell.send(snug_client::run(&request)));
    match told.recv_timeout(patience) {
        Ok(Ok(Outcome::Exited(status))) => Some(status),
        _ => None,
    }
}
