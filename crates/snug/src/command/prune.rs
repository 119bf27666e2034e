//! `snug prune`.

use std::process::ExitCode;

use clap::Args;

use super::arguments::{DryRunArgs, show_notices, show_plan};
use crate::bus::change::Change;
use crate::context::Context;
use crate::error::CommandError;

/// Remove what interrupted work left behind
///
/// That is: containers of `snug run --rm` whose client is gone, and half-made ones. Nothing that you made and that is
/// whole is ever removed.
#[derive(Debug, Args)]
pub struct PruneArgs {
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Removes it.
pub fn execute(context: &Context, args: PruneArgs) -> Result<ExitCode, CommandError> {
    let ended = context.bus()?.change(&Change::prune(args.dry_run.options()))?;
    if args.dry_run.dry_run {
        show_plan(context.printer, &ended.plan)?;
        return Ok(ExitCode::SUCCESS);
    }
    show_notices(context, &ended.notices);
    for name in &ended.removed {
        context.printer.answer_line(&snug_core::text::escape(name))?;
    }
    if ended.removed.is_empty() && ended.notices.is_empty() {
        context.printer.notice("nothing was left behind");
    }
    Ok(ExitCode::SUCCESS)
}
