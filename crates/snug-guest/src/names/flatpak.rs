//! `flatpak-spawn --host`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::{directory, parse, variable};
use crate::fail;
use crate::host::{self, Command};

/// Run a command on the host, as `flatpak-spawn --host` does
#[derive(Debug, Parser)]
#[command(name = "flatpak-spawn", version)]
struct Options {
    /// On the host: the one place that there is here
    #[arg(long)]
    host: bool,
    /// Start from the environment of your session on the host alone
    #[arg(long)]
    clear_env: bool,
    /// Set a variable
    #[arg(long, value_name = "KEY=VALUE")]
    env: Vec<OsString>,
    /// Leave a variable out
    #[arg(long, value_name = "KEY")]
    unset_env: Vec<OsString>,
    /// Directory of the host
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Accepted: open descriptors are passed on anyway
    #[arg(long, value_name = "FD")]
    forward_fd: Vec<u32>,
    /// Accepted: the command is hung up with its caller anyway
    #[arg(long)]
    watch_bus: bool,
    /// Accepted
    #[arg(short, long)]
    verbose: bool,
    /// The command and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
    argv: Vec<OsString>,
}

/// What is asked for.
pub fn command(arguments: &[OsString]) -> Result<Command, ExitCode> {
    let options: Options = parse(arguments)?;
    if !options.host {
        let hints = ["`flatpak-spawn --host CMD` runs a command on the host".to_owned()];
        return Err(fail("this is no Flatpak: flatpak-spawn works with --host alone", &hints));
    }
    let mut argv = options.argv;
    if !options.unset_env.is_empty() {
        let unset = options.unset_env.into_iter().flat_map(|name| [OsString::from("-u"), name]);
        argv = ["env".into()].into_iter().chain(unset).chain(["--".into()]).chain(argv).collect();
    }
    Ok(Command {
        directory: options.directory.map(directory),
        overrides: options.env.iter().filter_map(|text| variable(text)).collect(),
        clean: options.clear_env,
        ..Command::new(argv)
    })
}

/// Runs it.
pub fn run(arguments: &[OsString]) -> ExitCode {
    command(arguments).map_or_else(|answered| answered, |command| host::run(&command))
}
