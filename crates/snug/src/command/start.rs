//! `snug start`.

use std::process::ExitCode;

use clap::Args;

use super::arguments::{DryRunArgs, TargetArgs};
use super::several::{self, Wording};
use crate::bus::change::Change;
use crate::context::Context;
use crate::error::CommandError;

/// Start containers
///
/// Rarely needed: `snug run` and `snug enter` start a container that they need.
#[derive(Debug, Args)]
pub struct StartArgs {
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Starts them, side by side.
pub fn execute(context: &Context, args: StartArgs) -> Result<ExitCode, CommandError> {
    args.targets.check()?;
    let bus = context.bus()?;
    let names = args.targets.resolve(&bus, |container| !container.is_running())?;
    let wording = Wording { done: "started", none: "no container is stopped" };
    several::execute(context, &bus, &names, |name| Change::start(name, args.dry_run.options()), &wording)
}
