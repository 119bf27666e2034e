//! `host-exec`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::builder::{PathBufValueParser, TypedValueParser};
use snug_client::TerminalChoice;

use super::{parse, variable};
use crate::host::{self, Command};

/// Run a command on the host, in your session there
///
/// It runs in this directory, which the host must have, with this terminal and these streams. Its status is that of the command; 125
/// when the host cannot be reached, 126 and 127 when the command cannot be run.
#[derive(Debug, Parser)]
#[command(name = "host-exec", version)]
pub struct Options {
    /// Directory of the host
    #[arg(short = 'w', long, value_name = "DIR", value_parser = PathBufValueParser::new().try_map(absolute))]
    workdir: Option<PathBuf>,
    /// Set a variable, or pass yours on when there is no value; several times
    #[arg(short, long = "env", value_name = "KEY[=VALUE]")]
    env: Vec<OsString>,
    /// Start from the environment of your session on the host alone
    #[arg(long)]
    clean_env: bool,
    /// With a terminal, even if yours is redirected
    #[arg(short = 't', long = "tty", overrides_with = "no_tty")]
    tty: bool,
    /// Without a terminal
    #[arg(short = 'T', long = "no-tty", overrides_with = "tty")]
    no_tty: bool,
    /// The command and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
    argv: Vec<OsString>,
}

fn absolute(path: PathBuf) -> Result<PathBuf, String> {
    if path.is_absolute() { Ok(path) } else { Err("a directory of the host begins with `/`".to_owned()) }
}

impl Options {
    /// What is asked for.
    pub fn command(self) -> Command {
        Command {
            directory: self.workdir,
            overrides: self.env.iter().filter_map(|text| variable(text)).collect(),
            clean: self.clean_env,
            terminal: TerminalChoice::of(self.tty, self.no_tty),
            ..Command::new(self.argv)
        }
    }
}

/// Runs it.
pub fn run(arguments: &[OsString]) -> ExitCode {
    parse::<Options>(arguments).map_or_else(|answered| answered, |options| host::run(&options.command()))
}
