//! `snug image import`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueHint};

use crate::bus::change::Change;
use crate::command::arguments::{DryRunArgs, show_notices, show_plan};
use crate::command::create::open;
use crate::context::Context;
use crate::error::CommandError;

/// Take in an image from files
///
/// Either Incus' two parts (--metadata and the root file system), or the archive of a root file system alone.
#[derive(Debug, Args)]
pub struct ImageImportArgs {
    /// What it is to be called: `local:ALIAS`
    #[arg(value_name = "ALIAS")]
    alias: String,
    /// The root file system: a tar archive or a squashfs image
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    rootfs: PathBuf,
    /// Incus' metadata archive, when there is one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    metadata: Option<PathBuf>,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Opens the files with the user's own rights and hands them over.
pub fn execute(context: &Context, args: ImageImportArgs) -> Result<ExitCode, CommandError> {
    let alias = args.alias.strip_prefix("local:").unwrap_or(&args.alias);
    let image: snug_core::image::ImageRef = format!("local:{alias}").parse()?;
    let rootfs = open(&args.rootfs)?;
    let metadata = args.metadata.as_deref().map(open).transpose()?;
    let options = args
        .dry_run
        .options()
        .descriptor("rootfs", Some(rootfs.into()))
        .descriptor("metadata", metadata.map(Into::into));
    let ended = context.bus()?.change(&Change::import_image(alias, options))?;
    if args.dry_run.dry_run {
        show_plan(context.printer, &ended.plan)?;
    } else {
        show_notices(context, &ended.notices);
        context.printer.notice(&format!("{image} is here: `snug create -i {image}`"));
    }
    Ok(ExitCode::SUCCESS)
}
