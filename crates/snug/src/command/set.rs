//! `snug set`.

use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCompleter;
use snug_core::setting::Setting;

use super::arguments::{ContainerArgs, DryRunArgs, show_plan, show_warnings};
use crate::bus::change::Change;
use crate::context::Context;
use crate::error::CommandError;
use crate::{completion, entry};

/// Change settings of a container
///
/// cpu (2, or 0-3,5), memory (4GiB, 50%), disk (20GiB), processes (1000), autostart (no, login, boot). What can change
/// while it runs does.
#[derive(Debug, Args)]
pub struct SetArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// The settings
    #[arg(value_name = "KEY=VALUE", required = true, add = ArgValueCompleter::new(completion::settings))]
    settings: Vec<String>,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Changes them.
pub fn execute(context: &Context, args: SetArgs) -> Result<ExitCode, CommandError> {
    let settings = parse_settings(&args.settings)?;
    configure(context, &args.container, settings, Vec::new(), args.dry_run)
}

/// Sets and unsets.
pub fn configure(
    context: &Context,
    container: &ContainerArgs,
    set: Vec<(String, String)>,
    unset: Vec<String>,
    dry_run: DryRunArgs,
) -> Result<ExitCode, CommandError> {
    let name = context.container(container.container.as_deref())?;
    let bus = context.bus()?;
    let change = Change::configure(name.as_str(), set, unset, dry_run.options());
    let ended = bus.change(&change).map_err(|error| entry::suggest(&bus, name.as_str(), error))?;
    if dry_run.dry_run {
        show_plan(context.printer, &ended.plan)?;
    }
    show_warnings(context, &ended.notices);
    Ok(ExitCode::SUCCESS)
}

/// Checks `KEY=VALUE` words.
pub fn parse_settings(words: &[String]) -> Result<Vec<(String, String)>, CommandError> {
    let mut settings = Vec::new();
    for word in words {
        let setting: Setting = word.parse().map_err(|error| {
            let error = CommandError::from(error);
            if word.contains('=') {
                error
            } else {
                error.hint(format!("a container is named by `-c {word}`"))
            }
        })?;
        settings.push((setting.key().to_string(), setting.value()));
    }
    Ok(settings)
}
