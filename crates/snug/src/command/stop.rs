//! `snug stop`.

use std::process::ExitCode;

use clap::Args;

use super::arguments::{DryRunArgs, StoppingArgs, TargetArgs};
use super::several::{self, Wording};
use crate::bus::change::Change;
use crate::context::Context;
use crate::entry;
use crate::error::CommandError;

/// Stop containers
///
/// Commands in them are hung up first; what does not end is killed.
#[derive(Debug, Args)]
pub struct StopArgs {
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    stopping: StoppingArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Stops them, side by side.
pub fn execute(context: &Context, args: StopArgs) -> Result<ExitCode, CommandError> {
    args.targets.check()?;
    let bus = context.bus()?;
    let names = args.targets.resolve(&bus, |container| container.state != "stopped")?;
    let options = || args.stopping.add_to(args.dry_run.options());
    let wording =
        Wording { done: "stopped", none: "no container is running", warns: false, suggest: entry::suggest };
    several::execute(context, &bus, &names, |name| Change::stop(name, options()), &wording)
}
