//! `snug image`: one file a command, and [`mod@file`] for the files that images are made from.

pub mod file;
mod import;
mod list;
mod pull;
mod rm;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::CommandError;

/// List, fetch, import and remove images
#[derive(Debug, Args)]
pub struct ImageArgs {
    #[command(subcommand)]
    command: ImageCommand,
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    #[command(visible_alias = "ls")]
    List(list::ImageListArgs),
    Pull(pull::ImagePullArgs),
    Import(import::ImageImportArgs),
    #[command(alias = "remove")]
    Rm(rm::ImageRmArgs),
}

/// Does it.
pub fn execute(context: &Context, args: ImageArgs) -> Result<ExitCode, CommandError> {
    match args.command {
        ImageCommand::List(args) => list::execute(context, args),
        ImageCommand::Pull(args) => pull::execute(context, args),
        ImageCommand::Import(args) => import::execute(context, args),
        ImageCommand::Rm(args) => rm::execute(context, args),
    }
}
