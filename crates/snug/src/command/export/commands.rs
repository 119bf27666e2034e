//! `snug export --bin`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use snug_core::name::ContainerName;
use snug_core::text::escape;
use snug_exports::{Command, CommandName, Index, Links, Wanted, search};

use super::unwritten;
use crate::bus::Bus;
use crate::bus::view::Container;
use crate::context::Context;
use crate::error::CommandError;
pub use crate::exports::placing::unlink;
use crate::exports::placing::{self, Candidate, Policy, Refused};
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
    if !found.is_running() {
        entry::ensure(context, bus, container.as_str())?;
    }
    let paths = find(context, container, wanted)?;
    let candidates: Vec<Candidate> =
        wanted.iter().cloned().zip(paths).map(|(wanted, path)| Candidate { wanted, path }).collect();
    let placed = placing::place(context, bus, container, &candidates, Policy::AllOrNone, refused)?;
    let links = exports::links(&exports::of_user().map_err(unwritten)?).map_err(unwritten)?;
    // Of what was refused there is nothing: all or none.
    for (wanted, command) in wanted.iter().zip(placed.iter().flatten()) {
        tell(context, &links, wanted, command)?;
    }
    let names: Vec<CommandName> = placed.into_iter().flatten().map(|command| command.name).collect();
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

fn refused(why: Refused, wanted: &Wanted) -> CommandError {
    let error = CommandError::user(why.to_string());
    match why {
        Refused::Unfit(_) => error,
        Refused::Full(container) => {
            error.hint(format!("`snug unexport -c {container} --bin NAME` makes room"))
        }
        _ => error.hint(format!("`--bin {}=NAME` gives it another name", wanted.word)),
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
