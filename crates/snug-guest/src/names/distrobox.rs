//! `distrobox-host-exec`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use super::parse;
use crate::host::{self, Command};

/// Run a command on the host, as distrobox-host-exec does; without one, your shell there
#[derive(Debug, Parser)]
#[command(name = "distrobox-host-exec", version, disable_version_flag = true)]
struct Options {
    /// Accepted; nothing is asked
    #[arg(short = 'Y', long)]
    yes: bool,
    /// Accepted
    #[arg(short, long)]
    verbose: bool,
    /// Print the version
    #[arg(short = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    /// The command and its arguments
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    argv: Vec<OsString>,
}

/// What is asked for.
pub fn command(arguments: &[OsString]) -> Result<Command, ExitCode> {
    Ok(Command::new(parse::<Options>(arguments)?.argv))
}

/// Runs it.
pub fn run(arguments: &[OsString]) -> ExitCode {
    command(arguments).map_or_else(|answered| answered, |command| host::run(&command))
}
