//! `snug cp`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, ValueHint};

use crate::context::Context;
use crate::error::CommandError;

/// Copy files into a container or out of it
///
/// One side is NAME:/PATH (or :/PATH for the default container). Directories are copied whole. Modes and times are kept;
/// in the container the files belong to you, or to root with --root.
#[derive(Debug, Args)]
pub struct CpArgs {
    /// What is copied
    #[arg(value_name = "SRC", value_hint = ValueHint::AnyPath)]
    source: OsString,
    /// Where to: a directory, or the copy's name
    #[arg(value_name = "DST", value_hint = ValueHint::AnyPath)]
    destination: OsString,
    /// In the container, read and write as root
    #[arg(long)]
    root: bool,
}

/// Copies.
pub fn execute(_context: &Context, args: CpArgs) -> Result<ExitCode, CommandError> {
    Err(CommandError::failed(format!(
        "copying is not there yet: {:?} {:?} {}",
        args.source, args.destination, args.root
    )))
}
