//! `snug restart`.

use std::process::ExitCode;

use clap::Args;

use super::arguments::{DryRunArgs, TargetArgs};
use super::several::{self, Wording};
use crate::bus::change::Change;
use crate::context::Context;
use crate::error::CommandError;

/// Stop containers and start them again
#[derive(Debug, Args)]
pub struct RestartArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// Do not wait for anything: kill at once
    #[arg(short, long)]
    force: bool,
    /// Seconds until what is left is killed
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Restarts them, side by side.
pub fn execute(context: &Context, args: RestartArgs) -> Result<ExitCode, CommandError> {
    args.targets.check()?;
    let bus = context.bus()?;
    let names = args.targets.resolve(&bus, |container| container.is_running())?;
    let options = || args.dry_run.options().switch("force", args.force).number("timeout", args.timeout);
    let wording = Wording { done: "restarted", none: "no container is running" };
    several::execute(context, &bus, &names, |name| Change::restart(name, options()), &wording)
}
