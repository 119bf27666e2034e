//! `host-spawn`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use snug_client::TerminalChoice;

use super::{directory, parse, variable};
use crate::host::{self, Command};

/// Its options, which it takes with one dash or two.
const LONG: [&str; 5] = ["-pty", "-no-pty", "-env", "-cwd", "-version"];

/// Run a command on the host, as host-spawn does; without one, your shell there
#[derive(Debug, Parser)]
#[command(name = "host-spawn", version)]
struct Options {
    /// With a terminal, even if yours is redirected
    #[arg(long, overrides_with = "no_pty")]
    pty: bool,
    /// Without a terminal
    #[arg(long, overrides_with = "pty")]
    no_pty: bool,
    /// Variables, with commas between them
    #[arg(long, value_delimiter = ',', value_name = "KEY[=VALUE]")]
    env: Vec<OsString>,
    /// Directory of the host
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// The command and its arguments
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    argv: Vec<OsString>,
}

/// `-env` as `--env`, up to the command.
fn with_two_dashes(arguments: &[OsString]) -> Vec<OsString> {
    let mut words = Vec::with_capacity(arguments.len());
    let mut rest = arguments.iter();
    words.extend(rest.next().cloned());
    while let Some(word) = rest.next() {
        let name = word.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
        if LONG.iter().any(|known| known.as_bytes() == name) {
            words.push([OsStr::new("-"), word].into_iter().collect());
            // Its value may look like anything.
            if matches!(name, b"-env" | b"-cwd") && name.len() == word.len() {
                words.extend(rest.next().cloned());
            }
            continue;
        }
        words.push(word.clone());
        if !word.as_bytes().starts_with(b"-") {
            break;
        }
    }
    words.extend(rest.cloned());
    words
}

/// What is asked for.
pub fn command(arguments: &[OsString]) -> Result<Command, ExitCode> {
    let options: Options = parse(&with_two_dashes(arguments))?;
    Ok(Command {
        directory: options.cwd.map(directory),
        overrides: options.env.iter().filter_map(|text| variable(text)).collect(),
        terminal: TerminalChoice::of(options.pty, options.no_pty),
        ..Command::new(options.argv)
    })
}

/// Runs it.
pub fn run(arguments: &[OsString]) -> ExitCode {
    command(arguments).map_or_else(|answered| answered, |command| host::run(&command))
}
