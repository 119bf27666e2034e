//! `snug export`: what of a container it may be has a module each.

pub mod applications;
pub mod commands;
pub mod sockets;

use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCompleter;

use super::arguments::ContainerArgs;
use crate::bus::options::Options;
use crate::context::Context;
use crate::error::CommandError;
pub use crate::exports::placing::unwritten;
use crate::{completion, entry};

/// Let the host have something of a container
///
/// A command of the container is then one of the host, too: a link in `~/.local/bin`, which runs it as `snug run` would. A name that another
/// container's command has already gets the container's name after it (`CMD-NAME`); files of your own are never touched. Of a container that
/// shares your home its manual pages and completions come along.
///
/// An application of the container is then in the host's menus, with its icon, and runs in the container; what the host opens by its own
/// applications it goes on opening by those.
///
/// A Unix socket of the container is then one of the host, too: whoever connects to it is joined to the container's, as root there.
///
/// The container is started when it does not run. All stays so until `snug unexport`, also after a new login.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct ExportArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// A command of the container, by its name or its path there; on the host it has that name, or NAME
    #[arg(long, value_name = "CMD|PATH[=NAME]", num_args = 1.., group = "what", add = ArgValueCompleter::new(completion::commands_of_container))]
    bin: Vec<String>,
    /// An application of the container, by its id: the name of its desktop entry without .desktop
    #[arg(long, value_name = "ID", num_args = 1.., group = "what", add = ArgValueCompleter::new(completion::applications))]
    app: Vec<String>,
    /// A Unix socket of the container, by its path there; on the host it has the name of its file, or NAME
    #[arg(long, value_name = "PATH[=NAME]", group = "what", value_hint = clap::ValueHint::Other)]
    socket: Vec<String>,
}

/// Exports them, and says where they are.
pub fn execute(context: &Context, args: &ExportArgs) -> Result<ExitCode, CommandError> {
    let container = context.container(args.container.container.as_deref())?;
    let sockets = sockets::parse(&container, &args.socket)?;
    let commands = commands::parse(&args.bin)?;
    let applications = applications::parse(&args.app)?;
    let bus = context.bus()?;
    let found = bus
        .get(container.as_str(), &Options::new())
        .map_err(|error| entry::suggest(&bus, container.as_str(), error))?;
    if !commands.is_empty() {
        commands::execute(context, &bus, &container, &found, &commands)?;
    }
    if !applications.is_empty() {
        if !found.is_running() {
            entry::ensure(context, &bus, container.as_str())?;
        }
        applications::execute(context, &container, &applications)?;
    }
    if !sockets.is_empty() {
        sockets::execute(context, &container, &found, &sockets)?;
    }
    Ok(ExitCode::SUCCESS)
}
