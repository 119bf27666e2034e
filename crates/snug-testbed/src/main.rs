//! `snug-testbed`: the real stack up and down, from a terminal. The work is in the library.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};
use snug_testbed::error::Doing;
use snug_testbed::stack::{incus, users};
use snug_testbed::state::Lock;
use snug_testbed::verbs::{down, status, up};
use snug_testbed::{Error, Result, bench, host, process};

/// Brings the real stack of Snug up and down: bus, polkit, Incus, images, users.
#[derive(Debug, Parser)]
#[command(name = "snug-testbed", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Bring everything up; harmless when it is, repairs when parts died
    Up {
        /// Make a btrfs pool and a bridge if Incus has no pool (else snugd makes its own on first use)
        #[arg(long)]
        pool: bool,
        /// No guest images
        #[arg(long)]
        no_images: bool,
        /// No users
        #[arg(long)]
        no_users: bool,
        /// Also the programs that tests alone need: a desktop without a screen, package managers
        #[arg(long)]
        for_tests: bool,
    },
    /// Bring everything down; no process, mount or interface of the bed stays
    Down {
        /// Remove the users that the bed made, with their homes
        #[arg(long)]
        users: bool,
        /// Remove the bed's images from Incus (built ones stay in the cache)
        #[arg(long)]
        images: bool,
        /// Remove users, images, the cache and all data of the Incus that the bed ran
        #[arg(long)]
        purge: bool,
    },
    /// Show what is there; fails unless everything is up
    Status,
    /// Run a command of root's while Incus runs: the bed's own, if it is down, is started for it and stopped again
    WithIncus {
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
    /// Make the users
    Users,
    /// Build and import the images
    Images,
    /// Restart the bed's incusd while guests go on
    RestartIncusd {
        /// Stop it with SIGKILL, as a crash would
        #[arg(long)]
        hard: bool,
    },
    /// Measure the budgets of Snug; the table on stderr, JSON on stdout. Fails where one is missed by more than 15 %
    Bench {
        /// Only rows whose name contains this
        #[arg(long, default_value = "")]
        only: String,
        /// Fewer repetitions, for a quick look
        #[arg(long)]
        quick: bool,
    },
    /// Run a command as a user of the bed, with a clean environment, in his home (no command: a login shell)
    Exec {
        /// The user
        user: String,
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(status) => status,
        Err(error) => {
            host::say(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<ExitCode> {
    if !matches!(verb, Verb::Exec { .. }) {
        process::keep_inherited_descriptors();
    }
    match verb {
        Verb::Up { pool, no_images, no_users, for_tests } => {
            up::up(up::Wanted { images: !no_images, users: !no_users, pool, for_tests })?;
        }
        Verb::Down { users, images, purge } => {
            down::down(down::Unwanted { users: users || purge, images: images || purge, data: purge })?;
        }
        Verb::Status => return Ok(show_status()),
        Verb::WithIncus { command } => return with_incus(&command),
        Verb::Users => {
            host::require_root("making users")?;
            let _lock = Lock::take()?;
            users::make()?;
        }
        Verb::Images => {
            up::up(up::Wanted { images: true, users: false, pool: false, for_tests: false })?;
        }
        Verb::RestartIncusd { hard } => {
            host::require_root("restarting incusd")?;
            let _lock = Lock::take()?;
            incus::stop_daemon(hard)?;
            incus::start_daemon()?;
        }
        Verb::Bench { only, quick } => return bench::run(&only, quick),
        Verb::Exec { user, command } => return Err(execute(&user, command)),
    }
    Ok(ExitCode::SUCCESS)
}

fn with_incus(command: &[OsString]) -> Result<ExitCode> {
    let started = up::incus_alone()?;
    let mut program = Command::new(&command[0]);
    let outcome = program.args(&command[1..]).status().doing(|| format!("running {}", command[0].display()));
    let ended = match started {
        true => down::down(down::Unwanted { users: false, images: false, data: false }),
        false => Ok(()),
    };
    let code = if outcome?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    ended.map(|()| code)
}

fn show_status() -> ExitCode {
    let parts = status::parts();
    for part in &parts {
        host::say(format_args!(
            "{} {:<22} {}",
            if part.up { "up  " } else { "down" },
            part.name,
            part.detail
        ));
    }
    if parts.iter().all(|part| part.up) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Becomes the command; returns only when that fails.
fn execute(user: &str, command: Vec<OsString>) -> Error {
    if let Err(error) = host::require_root("running as another user") {
        return error;
    }
    let Some(account) = users::account(user) else {
        return Error::Unfit(format!("no user {user}: make the users with `snug-testbed users`"));
    };
    let mut command = command;
    if command.is_empty() {
        command = [account.shell.as_str(), "-l"].map(OsString::from).to_vec();
    }
    let mut setpriv = snug_testbed::UserCommand::for_account(account, command).command();
    if let Some(term) = std::env::var_os("TERM") {
        setpriv.env("TERM", term);
    }
    Error::Io { doing: "executing setpriv".to_owned(), source: setpriv.exec() }
}
