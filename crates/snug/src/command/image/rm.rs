//! `snug image rm`.

use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCompleter;

use crate::bus::change::Change;
use crate::command::arguments::{DryRunArgs, show_notices, show_plan};
use crate::completion;
use crate::context::Context;
use crate::error::CommandError;

/// Remove images from this machine
///
/// Containers that were made from them are not touched.
#[derive(Debug, Args)]
pub struct ImageRmArgs {
    /// The images
    #[arg(value_name = "IMAGE", required = true, add = ArgValueCompleter::new(completion::images))]
    images: Vec<String>,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Removes them, one after the other.
pub fn execute(context: &Context, args: ImageRmArgs) -> Result<ExitCode, CommandError> {
    let mut images = Vec::new();
    for image in &args.images {
        images.push(context.config()?.images.parse(image)?.to_string());
    }
    let bus = context.bus()?;
    let changes: Vec<Change> =
        images.iter().map(|image| Change::remove_image(image, args.dry_run.options())).collect();
    let mut failed = Vec::new();
    for (image, result) in images.iter().zip(bus.changes(&changes)) {
        match result {
            Ok(ended) => {
                if !ended.plan.is_empty() {
                    show_plan(context.printer, &ended.plan)?;
                }
                show_notices(context, &ended.notices);
            }
            Err(error) if images.len() == 1 => return Err(error),
            Err(error) => {
                context.printer.error(&error);
                failed.push(image.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let done = images.len() - failed.len();
    Err(CommandError::failed(format!("{done} of {} removed; failed: {}", images.len(), failed.join(", "))))
}
