//! `snug uninstall`.

use std::process::ExitCode;

use clap::Args;
use snug_packages::manager::going;
use snug_packages::name::PackageName;

use super::arguments::{ContainerArgs, DryRunArgs, YesArgs, show_plan};
use crate::context::Context;
use crate::error::CommandError;
use crate::packages::commands;
use crate::packages::guest::{Guest, unfit};
use crate::packages::log::Log;
use crate::words;

/// Uninstall packages of a container, and take back the commands that the host has of them
///
/// What only they needed goes with them; configuration that somebody changed stays. On a terminal you are asked first where more than the
/// named packages would go.
#[derive(Debug, Args)]
pub struct UninstallArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// Names of packages
    #[arg(value_name = "PKG", required = true)]
    packages: Vec<String>,
    #[command(flatten)]
    yes: YesArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Uninstalls them.
pub fn execute(context: &Context, args: &UninstallArgs) -> Result<ExitCode, CommandError> {
    let container = context.container(args.container.container.as_deref())?;
    let bus = context.bus()?;
    let guest = Guest::reach(context, &bus, &container, false)?;
    let manager = guest.manager.manager;
    let names: Vec<PackageName> = args
        .packages
        .iter()
        .map(|name| manager.package(name))
        .collect::<Result<_, _>>()
        .map_err(|error| unfit(&error))?;
    let installed = guest.installed(&names)?;
    let missing: Vec<&str> = names
        .iter()
        .filter(|name| !installed.iter().any(|package| package.name == **name))
        .map(PackageName::as_str)
        .collect();
    if !missing.is_empty() {
        return Err(CommandError::user(format!("{container} has no {}", missing.join(" and no ")))
            .hint(format!("`snug which CMD` says which package of {container} a command is of")));
    }
    let orphans = match manager.orphans() {
        Some(orphans) => guest.ask(&orphans)?,
        None => Vec::new(),
    };
    let preview = guest.ask(&manager.preview_removal(&names))?;
    let going = going(&names, &preview, &orphans);
    if args.dry_run.dry_run {
        let plan: Vec<String> =
            going.iter().map(|name| format!("remove {name} from '{container}'")).collect();
        show_plan(context.printer, &plan)?;
        return Ok(ExitCode::SUCCESS);
    }
    let others: Vec<&str> =
        going.iter().filter(|name| !names.contains(name)).map(PackageName::as_str).collect();
    if !others.is_empty() && !args.yes.yes && context.printer.can_ask() {
        const SHOWN: usize = 30;
        let more = if others.len() > SHOWN { " and more" } else { "" };
        let question = format!(
            "{} of {container} would go, too: {}{more}. Remove them?",
            words::count(others.len(), "other package"),
            others[..others.len().min(SHOWN)].join(", ")
        );
        if !context.printer.confirm(&question, true)? {
            context.printer.notice("nothing was removed");
            return Ok(ExitCode::from(1));
        }
    }
    let what = format!("uninstall {}", args.packages.join(" "));
    let mut log = Log::begin(context, &container, &what);
    let exported = commands::present(context, &container)?;
    let done = {
        let progress = context.printer.progress();
        let mut line = progress.line(container.as_str());
        line.stage("removing");
        guest.remember(&bus, &what)?;
        guest.carry_out(&manager.remove(&names, &preview, &orphans), &mut line, &mut log)
    };
    // Also where it has failed: what is gone is gone.
    let taken = commands::forget_gone(context, &container, &exported);
    done?;
    let taken = taken?;
    let left = guest.installed(&names)?;
    if !left.is_empty() {
        // apk keeps what another package needs, and says so.
        let left: Vec<&str> = left.iter().map(|package| package.name.as_str()).collect();
        return Err(log.explain(CommandError::failed(format!("{container} has kept {}", left.join(", ")))));
    }
    let gone: Vec<&str> = going.iter().map(PackageName::as_str).collect();
    context.printer.notice(&format!("removed from {container}: {}", gone.join(", ")));
    if !taken.is_empty() {
        context.printer.notice(&format!("the host has no more: {}", taken.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}
