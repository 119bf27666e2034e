//! `snug image import`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueHint};
use snug_core::image::ImageRef;

use super::file::{ImageFile, default_alias};
use crate::bus::change::Change;
use crate::command::arguments::{DryRunArgs, show_notices, show_plan};
use crate::context::Context;
use crate::error::CommandError;

/// Take in an image from files
///
/// Either Incus' two parts (--metadata and the root file system), or the archive of a root file system alone.
#[derive(Debug, Args)]
pub struct ImageImportArgs {
    /// The root file system: a tar archive or a squashfs image
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    rootfs: PathBuf,
    /// What it is to be called: `local:ALIAS`; without it, the file's name
    #[arg(value_name = "ALIAS")]
    alias: Option<String>,
    /// Incus' metadata archive, when there is one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    metadata: Option<PathBuf>,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// The daemon opens the files again, with the user's own rights.
pub fn execute(context: &Context, args: ImageImportArgs) -> Result<ExitCode, CommandError> {
    // `file:PATH` is how a file is written where an image is meant.
    let path = args
        .rootfs
        .to_str()
        .and_then(|path| path.strip_prefix("file:"))
        .map_or(args.rootfs.clone(), PathBuf::from);
    let alias = match &args.alias {
        Some(alias) => alias.strip_prefix("local:").unwrap_or(alias).to_owned(),
        None => default_alias(&path)?,
    };
    let image: ImageRef = format!("local:{alias}").parse()?;
    context.require_host_paths()?;
    let rootfs = ImageFile::open(&path)?;
    let metadata = args.metadata.as_deref().map(ImageFile::open).transpose()?;
    let metadata = metadata.as_ref().map(|file| file.path.as_str());
    let options = args.dry_run.options().text("rootfs", Some(&rootfs.path)).text("metadata", metadata);
    let ended = context.bus()?.change(&Change::import_image(&alias, options))?;
    if args.dry_run.dry_run {
        show_plan(context.printer, &ended.plan)?;
    } else {
        show_notices(context, &ended.notices);
        context.printer.notice(&format!("{image} is here: `snug create -i {image}`"));
    }
    Ok(ExitCode::SUCCESS)
}
