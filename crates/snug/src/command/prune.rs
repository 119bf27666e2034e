//! `snug prune`.

use std::io;
use std::process::ExitCode;

use clap::Args;

use snug_core::name::ContainerName;

use super::arguments::{DryRunArgs, show_notices, show_plan};
use crate::bus::Bus;
use crate::bus::change::Change;
use crate::context::Context;
use crate::error::CommandError;
use crate::throwaway::collecting;
use crate::throwaway::store::Store;

/// Remove what interrupted work left behind
///
/// That is: containers of `snug run --rm` whose client is gone, half-made ones, and those of `snug x` that have not been used for two
/// weeks. Nothing that you made and that is
/// whole is ever removed.
#[derive(Debug, Args)]
pub struct PruneArgs {
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Removes it.
pub fn execute(context: &Context, args: PruneArgs) -> Result<ExitCode, CommandError> {
    let bus = context.bus()?;
    let ended = bus.change(&Change::prune(args.dry_run.options()))?;
    if args.dry_run.dry_run {
        show_plan(context.printer, &ended.plan)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (unused, removed) = unused(&bus)?;
    show_notices(context, &ended.notices);
    for name in &ended.removed {
        context.printer.answer_line(&snug_core::text::escape(name))?;
    }
    for name in &unused {
        context.printer.answer_line(name.as_str())?;
    }
    removed?;
    if ended.removed.is_empty() && unused.is_empty() && ended.notices.is_empty() {
        context.printer.notice("nothing was left behind");
    }
    Ok(ExitCode::SUCCESS)
}

/// Removes containers of `snug x` that have not been used for long.
fn unused(bus: &Bus) -> Result<(Vec<ContainerName>, Result<(), CommandError>), CommandError> {
    match Store::open() {
        Ok(store) => collecting::remove_old(bus, &store),
        // Who has no home has no such containers.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((Vec::new(), Ok(()))),
        Err(error) => Err(CommandError::failed("what `snug x` keeps cannot be had").caused_by(error)),
    }
}
