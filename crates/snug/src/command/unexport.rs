//! `snug unexport`.

use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCompleter;
use snug_core::name::ContainerName;
use snug_core::text::escape;
use snug_exports::{ApplicationId, Command, CommandName, Exports, Index, Links, Socket};

use super::arguments::ContainerArgs;
use super::export::{commands, unwritten};
use crate::context::Context;
use crate::error::CommandError;
use crate::list::step::Exported;
use crate::{applications, completion, exports};

/// Take back what the host has of a container
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct UnexportArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// A command that was exported, by its name on the host
    #[arg(long, value_name = "NAME", num_args = 1.., group = "what", add = ArgValueCompleter::new(completion::exported_commands))]
    bin: Vec<String>,
    /// An application that was exported, by its id
    #[arg(long, value_name = "ID", num_args = 1.., group = "what", add = ArgValueCompleter::new(completion::exported_applications))]
    app: Vec<String>,
    /// A socket that was exported, by its path in the container
    #[arg(long, value_name = "PATH", group = "what", add = ArgValueCompleter::new(completion::exported_sockets))]
    socket: Vec<String>,
}

impl UnexportArgs {
    /// For what a list does not name.
    pub fn of(container: &ContainerName, what: &Exported) -> Self {
        Self {
            container: ContainerArgs { container: Some(container.to_string()) },
            bin: what.commands.clone(),
            app: what.applications.clone(),
            socket: what.sockets.clone(),
        }
    }
}

/// Takes them back: all of them, or none.
pub fn execute(context: &Context, args: &UnexportArgs) -> Result<ExitCode, CommandError> {
    let container = context.container(args.container.container.as_deref())?;
    let exports = exports::of_user().map_err(unwritten)?;
    let links = exports::links(&exports).map_err(unwritten)?;
    let (commands, strays) = meant(&exports, &links, &container, &args.bin)?;
    let ids = meant_applications(&exports, &container, &args.app)?;
    let taken = exports.change(|index| {
        if let Some(missing) = missing(index, &container, &args.socket) {
            return Err(missing);
        }
        index.sockets.retain(|socket| !args.socket.iter().any(|path| is_of(socket, &container, path)));
        Ok(commands::forget(index, |command| commands.contains(command)))
    });
    let names = taken.map_err(unwritten)??;
    commands::unlink(context, &exports, &links, &[names, strays].concat());
    if !ids.is_empty() {
        applications::take_back(context, |one| one.container == container && ids.contains(&one.id))?;
    }
    if !args.socket.is_empty() {
        context.serve_exports(&container)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The commands that are meant, and links that are Snug's although the index knows nothing of them.
fn meant(
    exports: &Exports,
    links: &Links,
    container: &ContainerName,
    names: &[String],
) -> Result<(Vec<Command>, Vec<CommandName>), CommandError> {
    let there = if names.is_empty() { Index::default() } else { exports.read().map_err(unwritten)? };
    let (mut commands, mut strays) = (Vec::new(), Vec::new());
    for text in names {
        let name: CommandName = text.parse().map_err(|_| not_exported(text, container))?;
        // What a second container has of that name is called so.
        let second = name.of_second(container).ok();
        let own = |name: &CommandName| {
            there.commands.iter().find(|command| command.name == *name && command.container == *container)
        };
        if let Some(command) = own(&name).or_else(|| second.as_ref().and_then(own)) {
            commands.push(command.clone());
            continue;
        }
        if let Some(other) = there.commands.iter().find(|command| command.name == name) {
            return Err(CommandError::user(format!("{name} is a command of {}", other.container))
                .hint(format!("`snug unexport -c {} --bin {name}` takes it back", other.container)));
        }
        if !links.state(&name).is_ok_and(|state| state.is_ours()) {
            return Err(not_exported(text, container));
        }
        strays.push(name);
    }
    Ok((commands, strays))
}

/// The applications that are meant.
fn meant_applications(
    exports: &Exports,
    container: &ContainerName,
    ids: &[String],
) -> Result<Vec<ApplicationId>, CommandError> {
    let there = if ids.is_empty() { Index::default() } else { exports.read().map_err(unwritten)? };
    let one = |text: &String| {
        let id: ApplicationId = text.parse().map_err(|_| not_exported(text, container))?;
        let mut same = there.applications.iter().filter(|one| one.id == id);
        if there.applications.iter().any(|one| one.id == id && one.container == *container) {
            return Ok(id);
        }
        Err(match same.next() {
            Some(other) => CommandError::user(format!("{id} is an application of {}", other.container))
                .hint(format!("`snug unexport -c {} --app {id}` takes it back", other.container)),
            None => not_exported(text, container),
        })
    };
    ids.iter().map(one).collect()
}

/// A socket that is not exported.
fn missing(index: &Index, container: &ContainerName, paths: &[String]) -> Option<CommandError> {
    let is_there = |path: &&String| index.sockets.iter().any(|socket| is_of(socket, container, path));
    paths.iter().find(|path| !is_there(path)).map(|path| not_exported(path, container))
}

fn is_of(socket: &Socket, container: &ContainerName, path: &str) -> bool {
    socket.container == *container && socket.path == path
}

fn not_exported(what: &str, container: &ContainerName) -> CommandError {
    CommandError::failed(format!("{} of {container} is not exported", escape(what)))
        .hint("`snug exports` shows what is")
}
