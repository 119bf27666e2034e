//! `snug rm`.

use std::process::ExitCode;

use clap::Args;
use snug_core::name::ContainerName;
use snug_core::plan::PlanError;

use super::arguments::{DryRunArgs, TargetArgs, YesArgs};
use super::export::{commands, unwritten};
use super::removal;
use super::several::{self, Wording};
use crate::bus::Bus;
use crate::bus::change::Change;
use crate::bus::options::Options;
use crate::bus::view::Container;
use crate::context::{Context, parse_name};
use crate::error::CommandError;
use crate::not_found::store::Store;
use crate::{applications, entry, exports};

/// Remove containers, with everything that was installed in them
///
/// Your home on the host is never touched. On a terminal you are asked first.
#[derive(Debug, Default, Args)]
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

impl RmArgs {
    /// For a container that a list does not name, and that whoever was asked gives up.
    pub fn of(container: &ContainerName) -> Self {
        Self {
            targets: TargetArgs { names: vec![container.to_string()], all: false },
            force: true,
            ..Self::default()
        }
    }
}

/// Removes them, side by side.
pub fn execute(context: &Context, args: RmArgs) -> Result<ExitCode, CommandError> {
    args.targets.check()?;
    let bus = context.bus()?;
    let mut chosen = chosen(&bus, &args)?;
    let asked = !args.force && !args.yes.yes && !args.dry_run.dry_run && context.printer.can_ask();
    if asked {
        let running = chosen.running;
        chosen = agreed(context, &bus, chosen.names)?;
        chosen.running.extend(running);
    }
    let Chosen { names, running, mut refused } = chosen;
    refused.extend(still_running(&running, args.targets.all)?);
    if names.is_empty() && refused.len() == 1 {
        return Err(refused.remove(0));
    }
    for error in &refused {
        context.printer.error(error);
    }
    if names.is_empty() && (asked || !refused.is_empty()) {
        context.printer.notice("nothing was removed");
        return Ok(ExitCode::from(1));
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

/// Takes back what the host had of those that are gone, and forgets what their packages had.
fn forget_exports(context: &Context, bus: &Bus, names: &[String]) -> Result<(), CommandError> {
    if let Ok(lists) = Store::of_user() {
        names.iter().filter_map(|name| name.parse().ok()).for_each(|name| lists.forget(&name));
    }
    let exports = exports::of_user().map_err(unwritten)?;
    let is_named = |container: &ContainerName| names.iter().any(|name| name == container.as_str());
    let index = exports.read().map_err(unwritten)?;
    let served = index.sockets.into_iter().map(|socket| socket.container).find(is_named);
    let is_any = index.commands.iter().any(|command| is_named(&command.container))
        || index.applications.iter().any(|application| is_named(&application.container));
    if served.is_none() && !is_any {
        return Ok(());
    }
    let left: Vec<String> = bus.list(&Options::new())?.into_iter().map(|container| container.name).collect();
    let is_gone = |container: &ContainerName| {
        is_named(container) && !left.iter().any(|name| name == container.as_str())
    };
    let links = exports::links(&exports).map_err(unwritten)?;
    let forgotten = exports.change(|index| {
        index.sockets.retain(|socket| !is_gone(&socket.container));
        commands::forget(index, |command| is_gone(&command.container))
    });
    commands::unlink(context, &exports, &links, &forgotten.map_err(unwritten)?);
    applications::take_back(context, |application| is_gone(&application.container))?;
    served.map_or(Ok(()), |container| context.serve_exports(&container))
}

/// What is to be removed, and what stays.
#[derive(Default)]
struct Chosen {
    names: Vec<String>,
    /// Those that may not be removed since they run.
    running: Vec<String>,
    /// Why others cannot be.
    refused: Vec<CommandError>,
}

/// Those that are meant. The list of all tells at once which of them run; of those that are named the daemon says so.
fn chosen(bus: &Bus, args: &RmArgs) -> Result<Chosen, CommandError> {
    if !args.targets.all || args.force {
        return Ok(Chosen { names: args.targets.resolve(bus, |_| true)?, ..Chosen::default() });
    }
    let (running, names): (Vec<_>, Vec<_>) =
        bus.list(&Options::new())?.into_iter().partition(Container::is_running);
    let names_of = |all: Vec<Container>| all.into_iter().map(|container| container.name).collect();
    Ok(Chosen { names: names_of(names), running: names_of(running), refused: Vec::new() })
}

/// Those that the user really wants removed.
fn agreed(context: &Context, bus: &Bus, names: Vec<String>) -> Result<Chosen, CommandError> {
    let mut chosen = Chosen::default();
    for name in names {
        let container = match bus.get(&name, &Options::new().switch("size", true)) {
            Ok(container) => container,
            Err(error) => {
                chosen.refused.push(entry::suggest(bus, &name, error));
                continue;
            }
        };
        if container.is_running() {
            chosen.running.push(name);
        } else if context.printer.confirm(&removal::question(&container), false)? {
            chosen.names.push(name);
        }
    }
    Ok(chosen)
}

/// One error for all that run; `all` when none was named.
fn still_running(names: &[String], all: bool) -> Result<Option<CommandError>, CommandError> {
    Ok(match names {
        [] => None,
        [name] => Some(PlanError::Running(parse_name(name)?).into()),
        names => {
            let which = if all { "--all".to_owned() } else { names.join(" ") };
            let error = CommandError::user(format!("{} are running", names.join(", ")));
            Some(error.hint(format!(
                "`snug stop {which}` stops them; `snug rm -f {which}` removes them as they are"
            )))
        }
    })
}
