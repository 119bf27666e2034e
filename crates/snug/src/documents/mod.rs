//! What the host has of an exported command besides its link: its package's name and version, its manual pages, and completions for bash, zsh
//! and fish.
//!
//! | module | what |
//! |---|---|
//! | [`packages`] | of which package each command is |
//! | [`layout`] | which file of a guest becomes which one of the host |
//! | [`scripts`] | scripts for commands that have another name on the host |
//!
//! A completion is a program that the host's shells run. Files come from containers that share their owner's home, and from no others: who may
//! write `~/.bashrc` gains nothing by it.

mod layout;
mod packages;
mod scripts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use snug_core::name::ContainerName;
use snug_exports::documents::About;
use snug_exports::{Command, CommandName, Documents, Exports, Links};
use snug_packages::documents::{self, AT_ONCE, Document, Listed, PARTS, SHELLS, Subject};
use snug_packages::executables;
use snug_packages::name::PackageName;

use crate::bus::Bus;
use crate::bus::options::Options;
use crate::bus::view::Container;
use crate::command::export::unwritten;
use crate::context::Context;
use crate::error::CommandError;
use crate::exports;
use crate::packages::commands::Brought;
use crate::packages::guest::{Guest, ask};
use packages::Known;

/// Where they are on the host.
pub fn of_user(exports: &Exports, links: &Links) -> Documents {
    Documents::new(links.bin(), exports.directory())
}

/// Whether the host takes files of a container: it shares its owner's home.
fn brings_files(container: &Container) -> bool {
    container.trusted && container.grants.iter().any(|grant| grant == "home")
}

/// After packages have changed: has the host know the versions that there are now, and have the files of those. Where nothing has changed,
/// nothing is asked but that. `brought`: of which packages commands are that came with this change; `installed`: packages that were asked for, which
/// may have the pages of another one (`ripgrep-doc`). What fails is told, and is no reason to fail: commands work without it.
pub fn refresh(guest: &Guest<'_>, bus: &Bus, brought: &[Brought], installed: &[PackageName]) {
    let known = brought.iter().map(|brought| (brought.path.clone(), brought.package.clone())).collect();
    tell(guest.context, guest.container, || {
        let found = bus.get(guest.container.as_str(), &Options::new())?;
        let asked = Asked {
            guest: Some(guest),
            brings_files: brings_files(&found),
            known,
            meant: Meant::Changed(installed),
        };
        renew(guest.context, guest.container, &asked)
    });
}

/// The same for commands of a running container that have just been exported by their names.
pub fn refresh_exported(
    context: &Context,
    found: &Container,
    container: &ContainerName,
    names: &[CommandName],
) {
    tell(context, container, || {
        let guest = Guest::detect(context, container).unwrap_or_else(|error| {
            context
                .printer
                .detail(&format!("{container} does not say which package manager it has: {error}"));
            None
        });
        let brings_files = brings_files(found);
        let asked =
            Asked { guest: guest.as_ref(), brings_files, known: Known::new(), meant: Meant::These(names) };
        renew(context, container, &asked)
    });
}

fn tell(context: &Context, container: &ContainerName, renew: impl FnOnce() -> Result<(), CommandError>) {
    if let Err(error) = renew() {
        let text = format!("pages and completions of {container}'s commands may be missing or old");
        context.printer.warning(&format!("{text}: {error}"));
    }
}

/// Takes back what is there of commands that the index does not have; whoever calls has it in hand.
pub fn forget<'a>(
    context: &Context,
    documents: &Documents,
    names: impl IntoIterator<Item = &'a CommandName>,
) {
    for name in names {
        match documents.remove(name) {
            Ok(foreign) => tell_foreign(context, foreign),
            Err(error) => {
                let text = format!("something is left of what the host had for {name}: {error}");
                context.printer.warning(&text);
            }
        }
    }
}

fn tell_foreign(context: &Context, places: Vec<PathBuf>) {
    for place in places {
        context.printer.notice(&format!("{} is of your own: it stays", place.display()));
    }
}

/// What is to be renewed, and by what is known.
struct Asked<'a> {
    guest: Option<&'a Guest<'a>>,
    brings_files: bool,
    known: Known,
    meant: Meant<'a>,
}

/// Which commands of a container are meant.
enum Meant<'a> {
    /// Those whose package has another version now, or is one that these belong to.
    Changed(&'a [PackageName]),
    /// These.
    These(&'a [CommandName]),
}

/// What is asked about a command, and what is known of it by then.
struct Work {
    command: Command,
    own: String,
    package: Option<PackageName>,
    version: Option<String>,
    is_new: bool,
}

fn renew(context: &Context, container: &ContainerName, asked: &Asked<'_>) -> Result<(), CommandError> {
    let exports = exports::of_user().map_err(unwritten)?;
    let store = of_user(&exports, &exports::links(&exports).map_err(unwritten)?);
    let index = exports.read().map_err(unwritten)?;
    let is_meant = |command: &Command| {
        command.container == *container
            && match asked.meant {
                Meant::Changed(_) => true,
                Meant::These(names) => names.contains(&command.name),
            }
    };
    let commands: Vec<Command> = index.commands.into_iter().filter(is_meant).collect();
    if commands.is_empty() {
        return Ok(());
    }
    let work = to_do(context, &store, commands, asked)?;
    let documents = if asked.brings_files {
        ask_for(context, container, asked.guest, &work)
    } else {
        work.iter().map(|_| Some(Vec::new())).collect()
    };
    let written = exports.change(|index| {
        // What somebody who was interrupted has left.
        let strays = store.names();
        let is_there = |name: &CommandName| index.commands.iter().any(|command| command.name == *name);
        forget(context, &store, strays.iter().filter(|name| !is_there(name)));
        for (work, brought) in work.into_iter().zip(documents) {
            // Somebody has taken it back meanwhile.
            if index.commands.contains(&work.command) {
                put(context, &store, work, brought)?;
            }
        }
        Ok(())
    });
    written.map_err(unwritten)?
}

/// What has to be asked again: of commands that were looked at before only where something is another one by now.
fn to_do(
    context: &Context,
    store: &Documents,
    commands: Vec<Command>,
    asked: &Asked<'_>,
) -> Result<Vec<Work>, CommandError> {
    let of_record = |command: &Command| {
        store
            .about(&command.name)
            .filter(|about| about.container == command.container && about.path == command.path)
    };
    let recorded: Vec<Option<About>> = commands.iter().map(of_record).collect();
    let owners = packages::of_commands(context, asked.guest, &commands, &recorded, &asked.known)?;
    let mut work = Vec::new();
    for ((command, recorded), owner) in commands.into_iter().zip(recorded).zip(owners) {
        let (package, version) = owner.map_or((None, None), |owner| (Some(owner.name), Some(owner.version)));
        let is_new = recorded.is_none();
        let is_as_before = package.is_some()
            && recorded.is_some_and(|about| {
                about.package.as_deref() == package.as_ref().map(PackageName::as_str)
                    && about.version == version
            });
        let is_to_be_emptied = !asked.brings_files && store.has_files(&command.name);
        let is_touched = match asked.meant {
            Meant::These(_) => true,
            Meant::Changed(installed) => installed.iter().any(|name| belongs_to(name, package.as_ref())),
        };
        if !is_as_before || is_to_be_emptied || is_touched {
            let own = command.path.rsplit('/').next().unwrap_or_default().to_owned();
            work.push(Work { command, own, package, version, is_new });
        }
    }
    Ok(work)
}

/// Writes what a command has brought. Where the guest did not answer, what is there of another time stays.
fn put(
    context: &Context,
    store: &Documents,
    work: Work,
    brought: Option<Vec<Document>>,
) -> Result<(), CommandError> {
    let Work { command: Command { name, container, path }, own, package, version, is_new } = work;
    if brought.is_none() && !is_new {
        return Ok(());
    }
    let files = layout::files(brought.unwrap_or_default(), &own, &name, &container, store);
    let package = package.map(|package| package.to_string());
    let foreign =
        store.put(&name, &About { container, path, package, version }, &files).map_err(|error| {
            CommandError::failed(format!("what belongs to {name} cannot be written")).caused_by(error)
        })?;
    tell_foreign(context, foreign);
    Ok(())
}

/// Whether a package is a part of another one by its name: `ripgrep-doc`, `ripgrep-bash-completion` (Alpine), `git-man` (Debian).
fn belongs_to(name: &PackageName, package: Option<&PackageName>) -> bool {
    let rest = package.and_then(|package| name.as_str().strip_prefix(package.as_str()));
    rest.is_some_and(|rest| rest.starts_with('-'))
}

/// The documents of each; `None` where the guest does not answer (an image without a shell).
fn ask_for(
    context: &Context,
    container: &ContainerName,
    guest: Option<&Guest<'_>>,
    work: &[Work],
) -> Vec<Option<Vec<Document>>> {
    let listed = guest.map(|guest| of_packages(guest, work)).unwrap_or_default();
    let subject = |Work { command, own, package, .. }: &Work| {
        let mut names = vec![command.name.as_str().to_owned()];
        let better = package.as_ref().and_then(|package| executables::known_as(package.as_str(), own));
        names.extend(better.map(str::to_owned));
        let of_package = package.as_ref().and_then(|package| listed.get(package));
        Subject::new((&command.path).into(), &names, of_package.into_iter().flatten())
    };
    let subjects: Vec<Subject> = work.iter().map(subject).collect();
    let shells_own = guest.filter(|_| !subjects.is_empty()).map(shells_own).unwrap_or_default();
    let mut all = Vec::new();
    for subjects in subjects.chunks(AT_ONCE) {
        let query = documents::query(subjects);
        let answer = ask(context, container, &query.command)
            .and_then(|output| query.read(&output).map_err(|error| crate::packages::guest::failed(&error)));
        match answer {
            Ok(answer) => all.extend(
                subjects.iter().map(|subject| Some(documents::of_subject(&answer, subject, &shells_own))),
            ),
            Err(error) => {
                context.printer.detail(&format!("{container} does not give pages and completions: {error}"));
                all.extend(subjects.iter().map(|_| None));
            }
        }
    }
    all
}

/// The documents of each package, with those that are in packages of their own.
fn of_packages(guest: &Guest<'_>, work: &[Work]) -> BTreeMap<PackageName, Vec<Listed>> {
    let packages: BTreeSet<&PackageName> = work.iter().filter_map(|work| work.package.as_ref()).collect();
    let parts = |package: &PackageName| {
        let names = PARTS.map(|part| guest.manager.manager.package(&format!("{package}{part}")).ok());
        names.into_iter().flatten().collect::<Vec<_>>()
    };
    let all_parts: Vec<PackageName> = packages.iter().flat_map(|package| parts(package)).collect();
    // rpm says by its status how many there are not, which is a number up to 125.
    let there: Vec<_> =
        all_parts.chunks(100).flat_map(|names| guest.installed(names).unwrap_or_default()).collect();
    let is_there = |name: &PackageName| there.iter().any(|package| package.name == *name);
    let documents = |package: &PackageName| {
        let of_parts = parts(package).into_iter().filter(is_there).flat_map(|part| guest.files(&part));
        documents::among(guest.files(package).into_iter().chain(of_parts).collect())
    };
    packages.into_iter().map(|package| (package.clone(), documents(package))).collect()
}

/// What the guest's shells have for everybody's commands.
fn shells_own(guest: &Guest<'_>) -> BTreeSet<PathBuf> {
    let names: Vec<PackageName> =
        SHELLS.iter().filter_map(|name| guest.manager.manager.package(name).ok()).collect();
    let there = guest.installed(&names).unwrap_or_default();
    there.iter().flat_map(|package| guest.files(&package.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_package_are_known_by_its_name() {
        let name = |text: &str| PackageName::read(text.as_bytes()).unwrap();
        for (part, package, belongs) in [
            ("ripgrep-doc", "ripgrep", true),
            ("git-man", "git", true),
            ("ripgrep", "ripgrep", false),
            ("gitk", "git", false),
        ] {
            assert_eq!(belongs_to(&name(part), Some(&name(package))), belongs, "{part}");
        }
        assert!(!belongs_to(&name("x-doc"), None));
    }
}
