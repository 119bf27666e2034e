//! `snug rm`.

use std::process::ExitCode;

use clap::Args;
use snug_core::plan::PlanError;

use super::arguments::{DryRunArgs, TargetArgs, YesArgs};
use super::several::{self, Wording};
use super::{export, removal};
use crate::bus::Bus;
use crate::bus::change::Change;
use crate::bus::options::Options;
use crate::context::{Context, parse_name};
use crate::entry;
use crate::error::CommandError;
use crate::exports::{Exports, Socket};

/// Remove containers, with everything that was installed in them
///
/// Your home on the host is never touched. On a terminal you are asked first.
#[derive(Debug, Args)]
pub struct RmArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// Also when it is running, and without asking
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    yes: YesArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Removes them, side by side.
pub fn execute(context: &Context, args: RmArgs) -> Result<ExitCode, CommandError> {
    args.targets.check()?;
    let bus = context.bus()?;
    let mut names = args.targets.resolve(&bus, |_| true)?;
    let mut refused = Vec::new();
    if !args.force && !args.yes.yes && !args.dry_run.dry_run && context.printer.can_ask() {
        (names, refused) = agreed(context, &bus, names)?;
        if names.is_empty() && refused.len() == 1 {
            return Err(refused.remove(0));
        }
        for error in &refused {
            context.printer.error(error);
        }
        if names.is_empty() {
            context.printer.notice("nothing was removed");
            return Ok(ExitCode::from(1));
        }
    }
    let options = || args.dry_run.options().switch("force", args.force);
    let wording =
        Wording { done: "removed", none: "there is no container", warns: true, suggest: entry::suggest };
    let change = |name: &str| Change::remove(name, options()).uncancellable();
    let removed = several::execute(context, &bus, &names, change, &wording);
    // What was removed is gone, whatever the index says of it.
    if !args.dry_run.dry_run
        && let Err(error) = forget_exports(context, &bus, &names)
    {
        context.printer.warning(&error.to_string());
    }
    let removed = removed?;
    Ok(if refused.is_empty() { removed } else { ExitCode::from(1) })
}

/// Takes back what the host had of those that are gone.
fn forget_exports(context: &Context, bus: &Bus, names: &[String]) -> Result<(), CommandError> {
    let exports = Exports::of_user().map_err(export::unwritten)?;
    let is_of = |socket: &Socket| names.iter().any(|name| name == socket.container.as_str());
    let Some(first) = exports.sockets().map_err(export::unwritten)?.into_iter().find(is_of) else {
        return Ok(());
    };
    let left: Vec<String> = bus.list(&Options::new())?.into_iter().map(|container| container.name).collect();
    let stays = |socket: &Socket| !is_of(socket) || left.iter().any(|name| name == socket.container.as_str());
    exports.change(|sockets| sockets.retain(stays)).map_err(export::unwritten)?;
    context.serve_exports(&first.container)
}

/// Those that the user really wants removed, and why others cannot be.
type Agreed = (Vec<String>, Vec<CommandError>);

fn agreed(context: &Context, bus: &Bus, names: Vec<String>) -> Result<Agreed, CommandError> {
    let (mut agreed, mut refused) = (Vec::new(), Vec::new());
    for name in names {
        let container = match bus.get(&name, &Options::new().switch("size", true)) {
            Ok(container) => container,
            Err(error) => {
                refused.push(entry::suggest(bus, &name, error));
                continue;
            }
        };
        if container.is_running() {
            refused.push(PlanError::Running(parse_name(&name)?).into());
            continue;
        }
        if context.printer.confirm(&removal::question(&container), false)? {
            agreed.push(name);
        }
    }
    Ok((agreed, refused))
}
