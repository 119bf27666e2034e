//! `snug man`, for packaging: writes the manual pages.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::context::Context;
use crate::error::CommandError;

/// Write the manual pages into a directory
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The directory; made when it is missing
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Writes `snug.1`, `snug-run.1` and so on.
pub fn execute(_: &Context, args: ManArgs) -> Result<ExitCode, CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::failed(format!(
            "manual pages cannot be written to {}: {error}",
            args.directory.display()
        ))
    };
    std::fs::create_dir_all(&args.directory).map_err(failed)?;
    let command = super::markdown::shown(&crate::cli::command());
    clap_mangen::generate_to(command, &args.directory).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}
