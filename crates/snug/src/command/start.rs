//! `snug start`.

use std::process::ExitCode;

use clap::Args;
use snug_core::setting::Autostart;

use super::arguments::{DryRunArgs, TargetArgs};
use super::several::{self, Wording};
use crate::bus::change::Change;
use crate::bus::options::Options;
use crate::bus::view::Container;
use crate::context::Context;
use crate::entry;
use crate::error::CommandError;
use crate::exports;

/// Start containers
///
/// Rarely needed: `snug run` and `snug enter` start a container that they need.
#[derive(Debug, Args)]
pub struct StartArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// Those of yours that are set to start with your login (`snug set autostart=login`)
    #[arg(long, group = "targets", conflicts_with_all = ["names", "all"])]
    autostart_login: bool,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Starts them, side by side.
pub fn execute(context: &Context, args: StartArgs) -> Result<ExitCode, CommandError> {
    args.targets.check()?;
    let bus = context.bus()?;
    let names = if args.autostart_login {
        let with_login = Autostart::Login.to_string();
        let (running, stopped): (Vec<_>, Vec<_>) =
            bus.list(&Options::new())?.into_iter().partition(Container::is_running);
        if !args.dry_run.dry_run {
            // Started at boot, or left running by an earlier session.
            several::offer_host(context, running.iter().map(|container| &container.name));
            // What is exported is there from the login on, whether its container runs or not.
            if let Err(error) = serve_exports(context) {
                context.printer.warning(&error.to_string());
            }
        }
        let wanted = |container: &Container| container.settings.get("autostart") == Some(&with_login);
        stopped.into_iter().filter(wanted).map(|container| container.name).collect()
    } else {
        args.targets.resolve(&bus, |container| !container.is_running())?
    };
    let wording = Wording {
        done: "started",
        none: "no container is to be started",
        warns: false,
        suggest: entry::suggest_or_create,
    };
    let change = |name: &str| Change::start(name, args.dry_run.options());
    let result = several::execute(context, &bus, &names, change, &wording);
    if !args.dry_run.dry_run {
        several::offer_host(context, &names);
    }
    result
}

fn serve_exports(context: &Context) -> Result<(), CommandError> {
    let index = exports::of_user().and_then(|exports| exports.read()).map_err(super::export::unwritten)?;
    index.sockets.first().map_or(Ok(()), |socket| context.serve_exports(&socket.container))
}
