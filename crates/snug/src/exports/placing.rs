//! Giving the host commands of a container: names, links, the index. One way for all who do.

use snug_core::name::ContainerName;
use snug_exports::command::{Taken, name_for};
use snug_exports::index::is_within_share;
use snug_exports::link::{LinkError, State};
use snug_exports::{Command, CommandName, Exports, Index, Links, Wanted};

use super::{links, of_user};
use crate::bus::Bus;
use crate::bus::options::Options;
use crate::context::Context;
use crate::documents;
use crate::error::CommandError;

/// What becomes of the others where one command cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// They are not had either: somebody has named each of them.
    AllOrNone,
    /// They are had without it: they came by the way.
    WhatIsFree,
}

/// A command that the host is to have.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What was asked for, with the name that it is to have.
    pub wanted: Wanted,
    /// Where it is in the container.
    pub path: String,
}

/// What became of a candidate: the command, or why there is none.
pub type Placed = Result<Command, Refused>;

/// Why a command cannot have its name.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Another one has it.
    #[error(transparent)]
    Taken(#[from] Taken),
    /// A file of the user's own has its place.
    #[error(transparent)]
    Foreign(LinkError),
    /// The container has as many as it may.
    #[error("the commands of {0} have as much of the index as one container may")]
    Full(ContainerName),
    /// It is nothing that can be exported.
    #[error(transparent)]
    Unfit(#[from] snug_exports::command::Unfit),
}

/// Lets the host have these commands of a container, each under the name that it gets. What a container that is no more has left does not
/// stand in the way.
///
/// # Errors
/// The index or a link cannot be written; with [`Policy::AllOrNone`] the first refusal, as `explain` puts it. None of them is had then.
pub fn place(
    context: &Context,
    bus: &Bus,
    container: &ContainerName,
    candidates: &[Candidate],
    policy: Policy,
    explain: impl Fn(Refused, &Wanted) -> CommandError,
) -> Result<Vec<Placed>, CommandError> {
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let exports = of_user().map_err(unwritten)?;
    let links = links(&exports).map_err(unwritten)?;
    // Before others wait for the daemon's answer.
    let gone = gone_holders(bus, &exports.read().map_err(unwritten)?, container, candidates)?;
    let mut made = Vec::new();
    let changed = exports.change(|index| {
        let mut there = index.commands.clone();
        there.retain(|command| !gone.contains(command));
        links.repair(&context.paths.shim()).map_err(unlinked)?;
        let mut all = Vec::new();
        for candidate in candidates {
            let placed = one(&mut there, &links, container, candidate, &mut made)?;
            match placed {
                Err(refused) if policy == Policy::AllOrNone => {
                    return Err(explain(refused, &candidate.wanted));
                }
                placed => all.push(placed),
            }
        }
        index.commands = there;
        Ok(all)
    });
    changed.map_err(unwritten).and_then(|placed| placed).inspect_err(|_| {
        unlink(context, &exports, &links, &made);
    })
}

/// Adds one to those that are there, and makes its link.
fn one(
    there: &mut Vec<Command>,
    links: &Links,
    container: &ContainerName,
    Candidate { wanted, path }: &Candidate,
    made: &mut Vec<CommandName>,
) -> Result<Placed, CommandError> {
    let command = name_for(there, wanted, container, path)
        .map_err(Refused::from)
        .and_then(|name| Ok(Command::new(name, container.clone(), path.clone())?));
    let command = match command {
        Ok(command) => command,
        Err(refused) => return Ok(Err(refused)),
    };
    let own = there.iter().filter(|there| there.container == *container);
    if !there.contains(&command) && !is_within_share(own.chain([&command])) {
        return Ok(Err(Refused::Full(container.clone())));
    }
    match links.make(&command.name) {
        Ok(true) => made.push(command.name.clone()),
        Ok(false) => {}
        Err(error @ LinkError::Foreign { .. }) => return Ok(Err(Refused::Foreign(error))),
        Err(error) => {
            let text = format!("the link of {} cannot be made", command.name);
            return Err(CommandError::failed(text).caused_by(error));
        }
    }
    if !there.contains(&command) {
        there.push(command.clone());
    }
    Ok(Ok(command))
}

/// Commands that have a wanted name and are of a container that is no more: it was removed behind Snug's back.
fn gone_holders(
    bus: &Bus,
    index: &Index,
    container: &ContainerName,
    candidates: &[Candidate],
) -> Result<Vec<Command>, CommandError> {
    let mut gone = in_the_way(index, container, candidates);
    if !gone.is_empty() {
        let left = bus.list(&Options::new())?;
        gone.retain(|command| !left.iter().any(|left| left.name == command.container.as_str()));
    }
    Ok(gone)
}

/// Commands of other containers that have a name which one of these may get.
fn in_the_way(index: &Index, container: &ContainerName, candidates: &[Candidate]) -> Vec<Command> {
    let names = candidates.iter().flat_map(|Candidate { wanted, .. }| {
        [Some(wanted.name.clone()), wanted.name.of_second(container).ok()].into_iter().flatten()
    });
    let names: std::collections::BTreeSet<CommandName> = names.collect();
    let others = index.commands.iter().filter(|command| command.container != *container);
    others.filter(|command| names.contains(&command.name)).cloned().collect()
}

/// A failure of the index.
pub fn unwritten(error: std::io::Error) -> CommandError {
    CommandError::failed("the index of what is exported cannot be changed").caused_by(error)
}

fn unlinked(error: LinkError) -> CommandError {
    CommandError::failed("the link that exported commands lead to cannot be made").caused_by(error)
}

/// Removes links of commands that the index does not have, and what else the host had of them: with it in hand, since somebody may be
/// exporting one of them.
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
    fn whoever_has_a_name_that_one_may_get_stands_in_the_way() {
        let command = |name: &str, container: &str| {
            Command::new(name.parse().unwrap(), container.parse().unwrap(), "/x".to_owned()).unwrap()
        };
        let all =
            [command("rg", "old"), command("rg-web", "older"), command("fd", "old"), command("jq", "web")];
        let mut index = Index::default();
        index.commands = all.to_vec();
        let candidates = ["rg", "jq"]
            .map(|word| Candidate { wanted: Wanted::parse(word).unwrap(), path: "/y".to_owned() });
        assert_eq!(in_the_way(&index, &"web".parse().unwrap(), &candidates), all[..2]);
    }

    #[test]
    fn a_container_with_many_commands_leaves_room_for_others() {
        let home = tempfile::tempdir().unwrap();
        let links = Links::new(home.path().join("bin"), &home.path().join("share/snug"));
        let mut there = Vec::new();
        let mut made = Vec::new();
        let mut place = |container: &str, number: usize| {
            let name = format!("{number}{}", "x".repeat(200));
            let wanted = Wanted::parse(&name).unwrap();
            // As long as paths are that are typed.
            let candidate = Candidate { wanted, path: format!("/{}", "y".repeat(4000)) };
            one(&mut there, &links, &container.parse().unwrap(), &candidate, &mut made).unwrap()
        };
        let left = (0..100).filter(|number| matches!(place("play", *number), Err(Refused::Full(_)))).count();
        assert!((10..90).contains(&left), "{left}");
        assert!(place("play", 0).is_ok(), "it has that one already");
        assert!(place("tools", 200).is_ok());
        assert_eq!(made.len(), 101 - left);
    }
}
