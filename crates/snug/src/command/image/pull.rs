//! `snug image pull`.

use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCompleter;

use crate::bus::change::Change;
use crate::command::arguments::{DryRunArgs, show_notices, show_plan};
use crate::completion;
use crate::context::Context;
use crate::error::CommandError;
use crate::image_server;

/// Fetch an image from its server, for use later and offline
#[derive(Debug, Args)]
pub struct ImagePullArgs {
    /// `debian`, `fedora:43`, `images:alpine/3.22`
    #[arg(value_name = "IMAGE", add = ArgValueCompleter::new(completion::images))]
    image: String,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Fetches it.
pub fn execute(context: &Context, args: ImagePullArgs) -> Result<ExitCode, CommandError> {
    let image = context.config()?.images.parse(&args.image)?;
    if !image.is_remote() {
        return Err(CommandError::user(format!(
            "{image} is on this machine already: there is nothing to fetch"
        ))
        .hint("an image of a server looks like `images:debian/13`"));
    }
    let ended = context
        .bus()?
        .change(&Change::pull_image(&image.to_string(), args.dry_run.options()))
        .map_err(|error| image_server::offer_names(context, &args.image, error))?;
    if args.dry_run.dry_run {
        show_plan(context.printer, &ended.plan)?;
    } else {
        show_notices(context, &ended.notices);
        context.printer.notice(&format!("{image} is here: `snug create -i {}`", args.image));
    }
    Ok(ExitCode::SUCCESS)
}
