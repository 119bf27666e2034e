//! `snug restart`.

use std::process::ExitCode;

use clap::Args;

use super::arguments::{DryRunArgs, StoppingArgs, TargetArgs};
use super::several::{self, Wording};
use crate::bus::change::Change;
use crate::context::Context;
use crate::entry;
use crate::error::CommandError;

/// Stop containers and start them again
#[derive(Debug, Args)]
pub struct RestartArgs {
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    stopping: StoppingArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Restarts them, side by side.
pub fn execute(context: &Context, args: RestartArgs) -> Result<ExitCode, CommandError> {
    args.targets.check()?;
    let bus = context.bus()?;
    let names = args.targets.resolve(&bus, |container| container.is_running())?;
    let options = || args.stopping.add_to(args.dry_run.options());
    let wording =
        Wording { done: "restarted", none: "no container is running", warns: false, suggest: entry::suggest };
    // Half a restart is no state to leave it in; and whoever types this in the container goes with its commands.
    let change = |name: &str| Change::restart(name, options()).uncancellable();
    let result = several::execute(context, &bus, &names, change, &wording);
    if !args.dry_run.dry_run {
        several::offer_host(context, &names);
    }
    result
}
