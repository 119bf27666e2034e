//! Which commands a package brings, and the host's links to them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use snug_core::name::ContainerName;
use snug_exports::command::{Taken, name_for};
use snug_exports::link::LinkError;
use snug_exports::{Command, CommandName, Wanted, search};
use snug_packages::executables::{self, Executable};
use snug_packages::name::PackageName;

use super::guest::Guest;
use crate::command::export::commands::{advice, forget, unlink, unlinked};
use crate::command::export::unwritten;
use crate::context::Context;
use crate::error::CommandError;
use crate::{env_vars, exports, guest_commands};

/// How far packages that are only names for others are followed: `default-jdk`, `default-jre`, `openjdk-21-jre`, `…-headless`.
const DEPTH: usize = 4;
/// What a package owns that only says what it is.
const DOCUMENTATION: [&str; 5] =
    ["/usr/share/doc", "/usr/share/lintian", "/usr/share/bug", "/usr/share/licenses", "/usr/lib/.build-id"];

/// A command of a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Brought {
    /// Where it is in the guest.
    pub path: String,
    /// The names that it may have on the host, the best first.
    pub names: Vec<CommandName>,
}

/// The commands of these packages, and where one has none, those of the packages that it needs. Each name once.
///
/// # Errors
/// The guest cannot be asked.
pub fn of_packages(guest: &Guest<'_>, packages: &[PackageName]) -> Result<Vec<Brought>, CommandError> {
    let alternatives = guest.ask(&executables::alternatives())?;
    let mut search = Search { guest, alternatives, seen: BTreeSet::new(), found: Vec::new() };
    for package in packages {
        if search.seen.insert(package.clone()) && !search.take(package)?.0 {
            search.follow(package, DEPTH)?;
        }
    }
    let mut names = BTreeSet::new();
    search.found.retain(|brought| brought.names.first().is_some_and(|name| names.insert(name.clone())));
    search.found.sort_by(|a, b| a.names.cmp(&b.names));
    Ok(search.found)
}

struct Search<'a> {
    guest: &'a Guest<'a>,
    alternatives: Vec<(PathBuf, PathBuf)>,
    seen: BTreeSet<PackageName>,
    found: Vec<Brought>,
}

impl Search<'_> {
    /// Takes the commands that a package has itself: whether there were any, and whether it is only a name for others.
    fn take(&mut self, package: &PackageName) -> Result<(bool, bool), CommandError> {
        let files = self.guest.ask(&self.guest.manager.manager.files(package))?;
        let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        let mut own = executables::of_files(files.iter().copied());
        if !own.is_empty() {
            let programs = self.guest.ask(&executables::programs(&own))?;
            own.retain(|executable| programs.contains(&executable.path));
        }
        let known = executables::by_alternatives(files.iter().copied(), &self.alternatives);
        own.retain(|executable| !known.iter().any(|known| is_variant(executable, known)));
        own.extend(known);
        let any = !own.is_empty();
        self.found.extend(own.iter().filter_map(|executable| brought(package, executable)));
        Ok((any, is_only_a_name(&files)))
    }

    /// Takes the commands of what a package needs.
    fn follow(&mut self, package: &PackageName, depth: usize) -> Result<(), CommandError> {
        let manager = self.guest.manager.manager;
        let needs = self.guest.ask(&manager.dependencies(package))?;
        let Some(providers) = manager.providers(&needs) else { return Ok(()) };
        for provider in self.guest.ask(&providers)? {
            if self.seen.insert(provider.clone()) {
                let (any, only_a_name) = self.take(&provider)?;
                if !any && only_a_name && depth > 1 {
                    self.follow(&provider, depth - 1)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a command is the one that another name stands for: `vim.basic` for `vim`.
fn is_variant(executable: &Executable, known: &Executable) -> bool {
    let rest = executable.name.as_str().strip_prefix(known.name.as_str());
    rest.is_some_and(|rest| rest.starts_with(['.', '-']))
}

/// Whether a package owns nothing but its documentation: lists of files have the directories above, too.
fn is_only_a_name(files: &[&Path]) -> bool {
    let says_what_it_is = |file: &&Path| {
        let file = if **file == *"/." { Path::new("/") } else { file };
        DOCUMENTATION.iter().any(|place| file.starts_with(place) || Path::new(place).starts_with(file))
    };
    files.iter().all(says_what_it_is)
}

fn brought(package: &PackageName, executable: &Executable) -> Option<Brought> {
    let own = executable.name.as_str();
    let known = executables::known_as(package.as_str(), own);
    let names: Vec<CommandName> =
        known.into_iter().chain([own]).filter_map(|name| name.parse().ok()).collect();
    let path = executable.path.to_str()?.to_owned();
    (!names.is_empty()).then_some(Brought { path, names })
}

/// What the host has now, and what it has not.
#[derive(Debug, Default)]
pub struct Placed {
    /// Commands that can be typed.
    pub commands: Vec<Command>,
    /// Those that cannot, and why.
    pub left: Vec<(CommandName, String)>,
    /// What is to be typed in this shell before.
    pub advice: Option<String>,
}

/// Lets the host have commands. None that it has already: what a person types means the same as before.
///
/// # Errors
/// The index or a link cannot be written.
pub fn export(context: &Context, guest: &Guest<'_>, brought: &[Brought]) -> Result<Placed, CommandError> {
    let exports = exports::of_user().map_err(unwritten)?;
    let links = exports::links(&exports).map_err(unwritten)?;
    let path = env_vars::non_empty(env_vars::PATH).unwrap_or_default();
    let hosts = |name: &CommandName| search::find_elsewhere(&path, name.as_str(), links.bin());
    let mut placed = Placed::default();
    let changed = exports.change(|index| {
        links.repair(&context.paths.shim()).map_err(unlinked)?;
        for brought in brought {
            let best = &brought.names[0];
            let Some(name) = brought.names.iter().find(|name| hosts(name).is_none()) else {
                let (other, _) = hosts(best).unwrap_or_default();
                placed.left.push((best.clone(), format!("the host has {}", other.display())));
                continue;
            };
            let wanted = Wanted { word: brought.path.clone(), name: name.clone(), named: false };
            let taken = |error: Taken| (name.clone(), error.to_string());
            let name = match name_for(&index.commands, &wanted, guest.container, &brought.path) {
                Ok(name) => name,
                Err(error) => {
                    placed.left.push(taken(error));
                    continue;
                }
            };
            match links.make(&name) {
                Ok(_) => {}
                Err(error @ LinkError::Foreign { .. }) => {
                    placed.left.push((name, error.to_string()));
                    continue;
                }
                Err(error) => {
                    return Err(
                        CommandError::failed(format!("the link of {name} cannot be made")).caused_by(error)
                    );
                }
            }
            let command = Command::new(name, guest.container.clone(), brought.path.clone())
                .map_err(|error| CommandError::user(error.to_string()))?;
            if !index.commands.contains(&command) {
                index.commands.push(command.clone());
            }
            placed.commands.push(command);
        }
        Ok(())
    });
    changed.map_err(unwritten)??;
    placed.advice = if placed.commands.is_empty() { None } else { advice(&links) };
    Ok(placed)
}

/// Takes back the exported commands that the container has no more; their names.
///
/// # Errors
/// The container cannot be asked; the index cannot be written.
pub fn forget_missing(context: &Context, container: &ContainerName) -> Result<Vec<String>, CommandError> {
    let exports = exports::of_user().map_err(unwritten)?;
    let index = exports.read().map_err(unwritten)?;
    let own: Vec<Command> =
        index.commands.into_iter().filter(|command| command.container == *container).collect();
    if own.is_empty() {
        return Ok(Vec::new());
    }
    let paths: Vec<&str> = own.iter().map(|command| command.path.as_str()).collect();
    let found = guest_commands::find(context, container, &paths)?;
    let gone: Vec<&Command> =
        own.iter().zip(found).filter(|(_, found)| found.is_none()).map(|(command, _)| command).collect();
    let links = exports::links(&exports).map_err(unwritten)?;
    let names =
        exports.change(|index| forget(index, |command| gone.contains(&command))).map_err(unwritten)?;
    unlink(context, &exports, &links, &names);
    Ok(names.into_iter().map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_of_documentation_is_only_a_name() {
        let all = ["/.", "/usr", "/usr/share", "/usr/share/doc", "/usr/share/doc/default-jdk"];
        assert!(is_only_a_name(&all.map(Path::new)));
        assert!(is_only_a_name(&[]));
        assert!(!is_only_a_name(&["/usr", "/usr/include", "/usr/include/stdio.h"].map(Path::new)));
        assert!(!is_only_a_name(&[Path::new("/usr/share/docs/x")]));
    }

    #[test]
    fn a_command_is_called_as_people_know_it_if_that_is_free() {
        let package = PackageName::read(b"fd-find").unwrap();
        let executable = Executable {
            name: snug_packages::name::CommandName::new("fdfind").unwrap(),
            path: "/usr/bin/fdfind".into(),
        };
        let names: Vec<String> =
            brought(&package, &executable).unwrap().names.into_iter().map(String::from).collect();
        assert_eq!(names, ["fd", "fdfind"]);
    }
}
