//! `snug unexport`.

use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCompleter;
use snug_core::text::escape;

use super::arguments::ContainerArgs;
use super::export;
use crate::completion;
use crate::context::Context;
use crate::error::CommandError;
use crate::exports::{Exports, Socket};

/// Take back what the host has of a container
#[derive(Debug, Args)]
pub struct UnexportArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// A socket that was exported, by its path in the container
    #[arg(long, value_name = "PATH", required = true, add = ArgValueCompleter::new(completion::exported_sockets))]
    socket: Vec<String>,
}

/// Takes them back.
pub fn execute(context: &Context, args: &UnexportArgs) -> Result<ExitCode, CommandError> {
    let container = context.container(args.container.container.as_deref())?;
    let exports = Exports::of_user().map_err(export::unwritten)?;
    let missing = exports.change(|there| {
        let is_of = |socket: &Socket, path: &String| socket.container == container && socket.path == *path;
        let missing = args.socket.iter().find(|path| !there.iter().any(|socket| is_of(socket, path)));
        if missing.is_none() {
            there.retain(|socket| !args.socket.iter().any(|path| is_of(socket, path)));
        }
        missing.map(|path| escape(path).into_owned())
    });
    if let Some(path) = missing.map_err(export::unwritten)? {
        return Err(CommandError::failed(format!("{path} of {container} is not exported"))
            .hint("`snug exports` shows what is"));
    }
    context.serve_exports(&container)?;
    Ok(ExitCode::SUCCESS)
}
