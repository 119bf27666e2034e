//! `snug unset`.

use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCompleter;
use snug_core::setting::SettingKey;

use super::arguments::{ContainerArgs, DryRunArgs};
use super::set::configure;
use crate::completion;
use crate::context::Context;
use crate::error::CommandError;

/// Take settings of a container back
#[derive(Debug, Args)]
pub struct UnsetArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// The settings: cpu, memory, disk, processes, autostart
    #[arg(value_name = "KEY", required = true, add = ArgValueCompleter::new(completion::setting_keys))]
    keys: Vec<String>,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Takes them back.
pub fn execute(context: &Context, args: UnsetArgs) -> Result<ExitCode, CommandError> {
    let mut keys = Vec::new();
    for key in &args.keys {
        let known = key.parse::<SettingKey>().map_err(|error| {
            let error = CommandError::from(error);
            match key.split_once('=') {
                Some((key, _)) => error.hint(format!("a setting is taken back by its key alone: `{key}`")),
                None => error.hint(format!("a container is named by `-c {key}`")),
            }
        })?;
        keys.push(known.to_string());
    }
    configure(context, &args.container, Vec::new(), keys, args.dry_run)
}
