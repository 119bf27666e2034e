//! Snug's agent: one static program that is bind-mounted into every guest and makes it its owner's.
//!
//! | module | what |
//! |---|---|
//! | [`init`] | process 1 of the guest: the steps from LXC to the guest's own init |
//! | [`provision`] | makes the guest its owner's |
//! | [`server`] | accepts clients, knows when the guest has booted and what its login environment is |
//! | [`session`] | one client's connection and its command |
//! | [`session_bus`] | the session bus of a command: the host's, but for the guest's own service manager |
//! | [`users`], [`files`], [`places`] | the guest as the agent sees it |
//! | [`archive`] | tar streams for `snug cp` |
//! | [`connect`] | a connection to a socket of the guest |
//! | [`find`] | where commands of the guest are |
//! | [`applications`] | desktop entries of the guest, and their icons |
//! | [`console`] | what the agent has to say to a person |
//! | [`interface`] | network interfaces |
//!
//! How a command is carried out is in the crate `snug-exec`.

mod applications;
mod archive;
mod connect;
mod console;
mod files;
mod find;
mod init;
mod interface;
mod memory;
mod places;
mod provision;
mod server;
mod session;
mod session_bus;
mod users;

use std::ffi::OsString;
use std::process::ExitCode;

use places::Places;
use server::{ServeError, Server};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let entry = arguments.next().unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    let result = match entry.to_str() {
        Some(verb @ ("pack" | "unpack")) => return archive::run(verb, &rest),
        Some("init") => {
            init::run();
            Ok(())
        }
        Some("serve") => serve(&rest),
        Some("connect") => connect::run(&rest),
        Some("find") => find::run(&rest),
        Some("applications") => applications::list(),
        Some("application") => applications::pack(&rest),
        Some("ready") => server::announce(&Places::default()).map_err(|error| error.to_string()),
        Some("print-env") => server::print_environment().map_err(|error| error.to_string()),
        _ => {
            let verbs = "init|serve|ready|print-env|connect PATH|find WORD…|applications|application ID…|pack PATH|unpack PATH NAME";
            Err(format!("usage: snug-agent {verbs}"))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            report(&format!("snug-agent: {text}"));
            ExitCode::FAILURE
        }
    }
}

/// The one place that writes to a caller's stderr.
#[expect(clippy::print_stderr, reason = "a program's own error message")]
fn report(text: &str) {
    eprintln!("{text}");
}

/// `serve [--foreground] [--run DIR] [--state DIR]`: the options are for tests.
fn serve(options: &[OsString]) -> Result<(), String> {
    let mut places = Places::default();
    let mut foreground = false;
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match (option.to_str(), option) {
            (Some("--foreground"), _) => foreground = true,
            (Some("--run"), _) => places.run = options.next().ok_or("--run needs a directory")?.into(),
            (Some("--state"), _) => places.state = options.next().ok_or("--state needs a directory")?.into(),
            (_, other) => return Err(format!("unknown option {}", other.display())),
        }
    }
    let served = if foreground {
        let tree = server::groups(&places);
        Server::open(places, tree).map(Server::run)
    } else {
        server::start_daemon(places)
    };
    match served {
        // As wanted: somebody serves.
        Ok(()) | Err(ServeError::AlreadyServed) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
