//! `snug export --bin`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use snug_core::name::ContainerName;
use snug_core::text::escape;
use snug_exports::command::{Taken, name_for};
use snug_exports::link::{LinkError, State};
use snug_exports::{Command, CommandName, Exports, Index, Links, Wanted, search};

use super::unwritten;
use crate::bus::Bus;
use crate::bus::options::Options;
use crate::bus::view::Container;
use crate::context::Context;
use crate::error::CommandError;
use crate::{documents, entry, env_vars, exports, guest_commands};

/// What was typed.
pub fn parse(texts: &[String]) -> Result<Vec<Wanted>, CommandError> {
    texts.iter().map(|text| Wanted::parse(text)).collect::<Result<_, _>>().map_err(|error| {
        CommandError::usage(error.to_string())
            .hint("for example `snug export --bin rg`, `snug export --bin /opt/x/bin/tool=t`")
    })
}

/// Exports them, and says where they are.
pub fn execute(
    context: &Context,
    bus: &Bus,
    container: &ContainerName,
    found: &Container,
    wanted: &[Wanted],
) -> Result<(), CommandError> {
    let exports = exports::of_user().map_err(unwritten)?;
    let links = exports::links(&exports).map_err(unwritten)?;
    // Before a container is started for nothing, and before others wait for the daemon's answer.
    let gone = gone_holders(bus, &exports.read().map_err(unwritten)?, container, wanted)?;
    if !found.is_running() {
        entry::ensure(context, bus, container.as_str())?;
    }
    let paths = find(context, container, wanted)?;
    let mut made = Vec::new();
    let placed = exports.change(|index| {
        let mut there = index.commands.clone();
        there.retain(|command| !gone.contains(command));
        let placed = place(&mut there, container, wanted, &paths)?;
        links.repair(&context.paths.shim()).map_err(unlinked)?;
        for (wanted, command) in wanted.iter().zip(&placed) {
            if links.make(&command.name).map_err(|error| unmade(error, wanted))? {
                made.push(command.name.clone());
            }
        }
        index.commands = there;
        Ok(placed)
    });
    let placed: Vec<Command> = match placed.map_err(unwritten).and_then(|placed| placed) {
        Ok(placed) => placed,
        Err(error) => {
            unlink(context, &exports, &links, &made);
            return Err(error);
        }
    };
    for (wanted, command) in wanted.iter().zip(&placed) {
        tell(context, &links, wanted, command)?;
    }
    let names: Vec<CommandName> = placed.into_iter().map(|command| command.name).collect();
    documents::refresh_exported(context, found, container, &names);
    if let Some(advice) = advice(&links) {
        context.printer.notice(&advice);
    }
    Ok(())
}

/// Where they are in the container.
fn find(
    context: &Context,
    container: &ContainerName,
    wanted: &[Wanted],
) -> Result<Vec<String>, CommandError> {
    let words: Vec<&str> = wanted.iter().map(|wanted| wanted.word.as_str()).collect();
    let found = guest_commands::find(context, container, &words)?;
    wanted
        .iter()
        .zip(found)
        .map(|(wanted, found)| match found {
            Some(path) => Ok(path),
            None if wanted.word.contains('/') => Err(CommandError::user(format!(
                "{} in {container} is no file that you may execute",
                escape(&wanted.word)
            ))),
            None => Err(CommandError::user(format!("{container} has no command {}", escape(&wanted.word)))
                .hint(format!("`--bin PATH` names one that is not on the PATH of {container}"))),
        })
        .collect()
}

/// Commands that have a wanted name and are of a container that is no more: it was removed behind Snug's back.
fn gone_holders(
    bus: &Bus,
    index: &Index,
    container: &ContainerName,
    wanted: &[Wanted],
) -> Result<Vec<Command>, CommandError> {
    let is_in_the_way = |command: &&Command| {
        command.container != *container && wanted.iter().any(|wanted| wanted.name == command.name)
    };
    let mut gone: Vec<Command> = index.commands.iter().filter(is_in_the_way).cloned().collect();
    if !gone.is_empty() {
        let left = bus.list(&Options::new())?;
        gone.retain(|command| !left.iter().any(|left| left.name == command.container.as_str()));
    }
    Ok(gone)
}

/// Adds the commands with their names on the host.
fn place(
    there: &mut Vec<Command>,
    container: &ContainerName,
    wanted: &[Wanted],
    paths: &[String],
) -> Result<Vec<Command>, CommandError> {
    let mut placed = Vec::new();
    for (wanted, path) in wanted.iter().zip(paths) {
        let name = name_for(there, wanted, container, path).map_err(|error| taken(error, wanted))?;
        let command = Command::new(name, container.clone(), path.clone())
            .map_err(|error| CommandError::user(error.to_string()))?;
        if !there.contains(&command) {
            there.push(command.clone());
        }
        placed.push(command);
    }
    Ok(placed)
}

fn another_name(wanted: &Wanted) -> String {
    format!("`--bin {}=NAME` gives it another name", wanted.word)
}

fn taken(error: Taken, wanted: &Wanted) -> CommandError {
    CommandError::user(error.to_string()).hint(another_name(wanted))
}

pub fn unlinked(error: LinkError) -> CommandError {
    CommandError::failed("the link that exported commands lead to cannot be made").caused_by(error)
}

fn unmade(error: LinkError, wanted: &Wanted) -> CommandError {
    match error {
        LinkError::Foreign { .. } => CommandError::user(error.to_string()).hint(another_name(wanted)),
        error => CommandError::failed(format!("the link of {} cannot be made", wanted.name)).caused_by(error),
    }
}

/// Says where a command is, and what somebody would not expect of it.
fn tell(context: &Context, links: &Links, wanted: &Wanted, command: &Command) -> Result<(), CommandError> {
    let Command { name, container, .. } = command;
    context.printer.answer_line(&links.place(name).display().to_string())?;
    if *name != wanted.name {
        let text = format!("{} is another container's: that of {container} is {name}", wanted.name);
        context.printer.notice(&text);
    }
    let path = env_vars::non_empty(env_vars::PATH).unwrap_or_default();
    if let Some((other, before)) = search::find_elsewhere(&path, name.as_str(), links.bin()) {
        let other = other.display();
        context.printer.notice(&if before && search::has(&path, links.bin()) {
            format!("the host has {other}, too, and comes first on your PATH")
        } else {
            format!("the host has {other}, too: what {container} has now comes first")
        });
    }
    Ok(())
}

/// What to type where the directory of commands is not on the PATH. In a container nobody knows the PATH of the host's shells.
pub fn advice(links: &Links) -> Option<String> {
    let path = env_vars::non_empty(env_vars::PATH).unwrap_or_default();
    if env_vars::non_empty(env_vars::SNUG_GUEST_DIRECTORY).is_some() || search::has(&path, links.bin()) {
        return None;
    }
    let typed = to_type(env_vars::non_empty(env_vars::SHELL).as_deref());
    Some(format!(
        "{} is not on your PATH: `{typed}` puts it there now, your next login does",
        links.bin().display()
    ))
}

/// How this shell is told.
fn to_type(shell: Option<&OsStr>) -> &'static str {
    let name = shell.and_then(|shell| Path::new(shell).file_name()).map(OsString::from).unwrap_or_default();
    match name.to_str() {
        Some("fish") => "fish_add_path -gP ~/.local/bin",
        Some("csh" | "tcsh") => "set path = (~/.local/bin $path)",
        _ => "export PATH=\"$HOME/.local/bin:$PATH\"",
    }
}

/// Takes commands out of the index; their names.
pub fn forget(index: &mut Index, is_meant: impl Fn(&Command) -> bool) -> Vec<CommandName> {
    let (meant, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut index.commands).into_iter().partition(is_meant);
    index.commands = kept;
    meant.into_iter().map(|command| command.name).collect()
}

/// Removes links of commands that the index does not have, and what else the host had of them: with it in hand, since somebody may be exporting one of them.
pub fn unlink(context: &Context, exports: &Exports, links: &Links, names: &[CommandName]) {
    if names.is_empty() {
        return;
    }
    let is_left = |error: &dyn std::fmt::Display| {
        context.printer.warning(&format!("a link is left that leads to no container: {error}"));
    };
    let removed = exports.change(|index| {
        let is_there = |name: &CommandName| index.commands.iter().any(|command| command.name == *name);
        let gone = || names.iter().filter(|name| !is_there(name));
        documents::forget(context, &documents::of_user(exports, links), gone());
        for name in gone() {
            match links.remove(name) {
                Ok(State::Foreign(kind)) => {
                    let place = links.place(name);
                    context.printer.notice(&format!("{} is {kind} of your own: it stays", place.display()));
                }
                Ok(_) => {}
                Err(error) => is_left(&error),
            }
        }
    });
    if let Err(error) = removed {
        is_left(&error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_is_told_in_its_own_words() {
        for (shell, word) in [
            (Some("/usr/bin/fish"), "fish_add_path"),
            (Some("/bin/tcsh"), "set path"),
            (Some("/bin/bash"), "export PATH="),
            (None, "export PATH="),
        ] {
            assert!(to_type(shell.map(OsStr::new)).starts_with(word), "{shell:?}");
        }
    }
}
