//! Which commands a package brings, and the host's links to them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use snug_core::name::ContainerName;
use snug_exports::{ApplicationId, Command, CommandName, Wanted, search};
use snug_packages::executables::{self, Alternative, Executable};
use snug_packages::name::PackageName;

use super::guest::Guest;
use crate::bus::Bus;
use crate::command::export::commands::{advice, forget, unlink};
use crate::context::Context;
use crate::error::CommandError;
use crate::exports::placing::{self, Candidate, Policy, Refused, unwritten};
use crate::{env_vars, exports, guest_commands};

/// How far packages that are only names for others are followed: `default-jdk`, `default-jre`, `openjdk-21-jre`, `…-headless`.
const DEPTH: usize = 4;
/// Packages that are asked for their commands: a guest may name any number.
const MOST_PACKAGES: usize = 200;
/// Commands of one installation: those of whole distributions of TeX are some four hundred.
const MOST_COMMANDS: usize = 600;
/// Files of a package that only stands for others may have so many beside its documentation (`build-essential` has lists of them).
const FEW: usize = 20;
/// Where the host's commands are, whatever the caller's PATH says: cron's is short, and users of Debian have no `sbin` on theirs.
pub const HOSTS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Commands that are told secrets, or that others call by these names: a guest gets them only if somebody asks for it (`--bin`).
const TOLD_SECRETS: [&str; 16] = [
    "doas",
    "gpg",
    "gpg2",
    "login",
    "passwd",
    "pinentry",
    "pkexec",
    "run0",
    "scp",
    "sftp",
    "ssh",
    "su",
    "sudo",
    "sudoedit",
    "systemd-ask-password",
    "xdg-open",
];
/// What a package owns that only says what it is.
const DOCUMENTATION: [&str; 5] =
    ["/usr/share/doc", "/usr/share/lintian", "/usr/share/bug", "/usr/share/licenses", "/usr/lib/.build-id"];

/// A command of a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Brought {
    /// The package that brought it.
    pub package: PackageName,
    /// Where it is in the guest.
    pub path: String,
    /// The names that it may have on the host, the best first.
    pub names: Vec<CommandName>,
}

/// What packages bring.
#[derive(Debug, Default)]
pub struct Contents {
    /// Commands, each name once.
    pub commands: Vec<Brought>,
    /// Applications.
    pub applications: Vec<ApplicationId>,
}

/// The commands and applications of these packages, and where one has none and stands for others, those of the packages that it needs.
///
/// # Errors
/// The guest cannot be asked.
pub fn of_packages(guest: &Guest<'_>, packages: &[PackageName]) -> Result<Contents, CommandError> {
    let alternatives = guest.ask(&executables::alternatives())?;
    let mut search =
        Search { guest, alternatives, seen: BTreeSet::new(), found: Vec::new(), applications: Vec::new() };
    for package in packages {
        if search.seen.insert(package.clone()) {
            let (any, stands_for_others) = search.take(package)?;
            if !any && stands_for_others {
                search.follow(package, DEPTH)?;
            }
        }
    }
    let mut names = BTreeSet::new();
    search.found.retain(|brought| brought.names.first().is_some_and(|name| names.insert(name.clone())));
    search.found.sort_by(|a, b| a.names.cmp(&b.names));
    Ok(Contents { commands: search.found, applications: search.applications })
}

/// The id of the application that a file is the entry of (Desktop Entry Specification, "Desktop File ID").
fn application(file: &Path) -> Option<ApplicationId> {
    let places = ["/usr/share/applications", "/usr/local/share/applications"];
    let below = places.iter().find_map(|place| file.strip_prefix(place).ok())?.to_str()?;
    below.strip_suffix(".desktop")?.replace('/', "-").parse().ok()
}

struct Search<'a> {
    guest: &'a Guest<'a>,
    alternatives: Vec<(PathBuf, PathBuf)>,
    seen: BTreeSet<PackageName>,
    found: Vec<Brought>,
    applications: Vec<ApplicationId>,
}

impl Search<'_> {
    /// Takes the commands that a package has itself: whether there were any, and whether it stands for others.
    fn take(&mut self, package: &PackageName) -> Result<(bool, bool), CommandError> {
        let files = self.guest.ask(&self.guest.manager.manager.files(package))?;
        let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        let mut own = executables::of_files(files.iter().copied());
        if !own.is_empty() {
            let programs = self.guest.ask(&executables::programs(&own))?;
            own.retain(|executable| programs.contains(&executable.path));
        }
        for known in executables::by_alternatives(files.iter().copied(), &self.alternatives) {
            if let Some(path) = self.link(&known)? {
                own.retain(|executable| executable.path != known.program);
                own.push(Executable { name: known.name, path });
            }
        }
        let applications: Vec<ApplicationId> = files.iter().filter_map(|file| application(file)).collect();
        let any = !own.is_empty() || !applications.is_empty();
        self.applications.extend(applications);
        self.found.extend(own.iter().filter_map(|executable| brought(package, executable)));
        Ok((any, stands_for_others(&files)))
    }

    /// Where the guest has an alternative's link.
    fn link(&self, known: &Alternative) -> Result<Option<PathBuf>, CommandError> {
        let name = known.name.as_str();
        let places: Vec<String> =
            executables::DIRECTORIES.iter().map(|place| format!("{place}/{name}")).collect();
        let words: Vec<&str> = places.iter().map(String::as_str).collect();
        let found = guest_commands::find(self.guest.context, self.guest.container, &words)?;
        Ok(found.into_iter().flatten().next().map(PathBuf::from))
    }

    /// Takes the commands of what a package needs.
    fn follow(&mut self, package: &PackageName, depth: usize) -> Result<(), CommandError> {
        let manager = self.guest.manager.manager;
        let needs = self.guest.ask(&manager.dependencies(package))?;
        let Some(providers) = manager.providers(&needs) else { return Ok(()) };
        for provider in self.guest.ask(&providers)? {
            if self.seen.len() < MOST_PACKAGES
                && self.found.len() < MOST_COMMANDS
                && self.seen.insert(provider.clone())
            {
                let (any, stands_for_others) = self.take(&provider)?;
                if !any && stands_for_others && depth > 1 {
                    self.follow(&provider, depth - 1)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a package stands for others: it owns its documentation, and perhaps a few files of data and links. Lists of files have the directories
/// above, too.
fn stands_for_others(files: &[&Path]) -> bool {
    let says_what_it_is = |file: &Path| {
        let file = if *file == *"/." { Path::new("/") } else { file };
        DOCUMENTATION.iter().any(|place| file.starts_with(place) || Path::new(place).starts_with(file))
    };
    let others: Vec<_> = files.iter().filter(|file| !says_what_it_is(file)).collect();
    others.len() <= FEW && !others.iter().any(|file| is_for_programs(file))
}

/// Whether a file is one that programs are made of: libraries, headers, modules of Python.
fn is_for_programs(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let is_library =
        name.contains(".so") || [".a", ".h", ".hpp", ".py", ".pm"].iter().any(|end| name.ends_with(end));
    is_library || file.starts_with("/usr/include")
}

/// Whether a command is one of those that nobody may be given by the way.
pub fn is_told_secrets(name: &str) -> bool {
    TOLD_SECRETS.contains(&name)
        || ["ssh-", "gpg-", "git-remote-", "git-credential", "pinentry-"]
            .iter()
            .any(|begin| name.starts_with(begin))
        || name.contains("askpass")
}

fn brought(package: &PackageName, executable: &Executable) -> Option<Brought> {
    let own = executable.name.as_str();
    // Without the architecture that Debian's may have behind it.
    let plain = package.as_str().split(':').next().unwrap_or_default();
    let known = executables::known_as(plain, own);
    let names: Vec<CommandName> =
        known.into_iter().chain([own]).filter_map(|name| name.parse().ok()).collect();
    let path = executable.path.to_str()?.to_owned();
    (!names.is_empty()).then_some(Brought { package: package.clone(), path, names })
}

/// What the host has now, and what it has not.
#[derive(Debug, Default)]
pub struct Placed {
    /// Commands that can be typed.
    pub commands: Vec<Command>,
    /// Those that cannot.
    pub left: Vec<Left>,
    /// Those that have another name than the one they are known by, with that one.
    pub renamed: Vec<(CommandName, Command)>,
    /// What is to be typed in this shell before.
    pub advice: Option<String>,
}

/// A command that the host has not.
#[derive(Debug)]
pub struct Left {
    /// Its best name.
    pub name: CommandName,
    /// Where it is in the guest.
    pub path: String,
    /// Why.
    pub why: String,
    /// It is the host's own that has the name.
    pub is_hosts: bool,
}

/// Lets the host have commands. None that it has already: what a person types means the same as before.
///
/// # Errors
/// The daemon does not answer; the index or a link cannot be written: there are none of them then.
pub fn export(
    context: &Context,
    bus: &Bus,
    guest: &Guest<'_>,
    brought: &[Brought],
) -> Result<Placed, CommandError> {
    let exports = exports::of_user().map_err(unwritten)?;
    let links = exports::links(&exports).map_err(unwritten)?;
    let mut path = env_vars::non_empty(env_vars::PATH).unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push(HOSTS);
    let hosts =
        |name: &CommandName| search::find_elsewhere(&path, name.as_str(), links.bin()).map(|(file, _)| file);
    let mut placed = Placed::default();
    let mut candidates = Vec::new();
    for brought in brought.iter().take(MOST_COMMANDS) {
        let mut leave = |name: &CommandName, why: String, is_hosts: bool| {
            placed.left.push(Left { name: name.clone(), path: brought.path.clone(), why, is_hosts });
        };
        let best = &brought.names[0];
        match brought.names.iter().find(|name| hosts(name).is_none()) {
            None => {
                let other = hosts(best).unwrap_or_default();
                leave(best, format!("the host has {}", other.display()), true);
            }
            Some(name) if is_told_secrets(name.as_str()) => leave(
                name,
                "such a command is told secrets, or called by others, so it has to be asked for".into(),
                false,
            ),
            Some(name) => {
                let wanted = Wanted { word: brought.path.clone(), name: name.clone(), named: false };
                candidates.push(Candidate { wanted, path: brought.path.clone() });
            }
        }
    }
    let unexplained = |why: Refused, _: &Wanted| CommandError::user(why.to_string());
    let all = placing::place(context, bus, guest.container, &candidates, Policy::WhatIsFree, unexplained)?;
    for (Candidate { wanted, path }, result) in candidates.into_iter().zip(all) {
        match result {
            Ok(command) => {
                if command.name != wanted.name {
                    placed.renamed.push((wanted.name, command.clone()));
                }
                placed.commands.push(command);
            }
            Err(why) => {
                placed.left.push(Left { name: wanted.name, path, why: why.to_string(), is_hosts: false });
            }
        }
    }
    placed.advice = if placed.commands.is_empty() { None } else { advice(&links) };
    Ok(placed)
}

/// The exported commands of a container that are there now.
///
/// # Errors
/// The container cannot be asked; the index cannot be read.
pub fn present(context: &Context, container: &ContainerName) -> Result<Vec<Command>, CommandError> {
    let index = exports::of_user().and_then(|exports| exports.read()).map_err(unwritten)?;
    let own: Vec<Command> =
        index.commands.into_iter().filter(|command| command.container == *container).collect();
    if own.is_empty() {
        return Ok(own);
    }
    let paths: Vec<&str> = own.iter().map(|command| command.path.as_str()).collect();
    let found = guest_commands::find(context, container, &paths)?;
    Ok(own.into_iter().zip(found).filter_map(|(command, found)| found.map(|_| command)).collect())
}

/// Takes back the exported commands of a container that were there `before` a change and are not any more; their names. One that was not
/// there before either is on a disk that is unplugged, or about to be built again.
///
/// # Errors
/// The container cannot be asked; the index cannot be written.
pub fn forget_gone(
    context: &Context,
    container: &ContainerName,
    before: &[Command],
) -> Result<Vec<String>, CommandError> {
    let left = present(context, container)?;
    let gone: Vec<&Command> = before.iter().filter(|command| !left.contains(command)).collect();
    if gone.is_empty() {
        return Ok(Vec::new());
    }
    let exports = exports::of_user().map_err(unwritten)?;
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
    fn a_package_of_documentation_stands_for_others() {
        let all = ["/.", "/usr", "/usr/share", "/usr/share/doc", "/usr/share/doc/default-jdk"];
        assert!(stands_for_others(&all.map(Path::new)));
        assert!(stands_for_others(&[]));
        let few =
            ["/usr/share/build-essential/list", "/usr/bin", "/usr/lib/jvm", "/usr/lib/jvm/default-java"];
        assert!(stands_for_others(&few.map(Path::new)));
        assert!(!stands_for_others(&[Path::new("/usr/lib/x86_64-linux-gnu/libz.so.1")]));
        assert!(!stands_for_others(&["/usr", "/usr/include", "/usr/include/stdio.h"].map(Path::new)));
        let zones: Vec<String> = (0..50).map(|number| format!("/usr/share/zoneinfo/{number}")).collect();
        let zones: Vec<&Path> = zones.iter().map(Path::new).collect();
        assert!(!stands_for_others(&zones));
    }

    #[test]
    fn an_entry_of_a_package_is_an_application() {
        let id = |file: &str| application(Path::new(file)).map(String::from);
        assert_eq!(id("/usr/share/applications/org.x.Tool.desktop").as_deref(), Some("org.x.Tool"));
        assert_eq!(id("/usr/share/applications/kde4/kate.desktop").as_deref(), Some("kde4-kate"));
        for none in [
            "/usr/share/applications",
            "/usr/share/applications/mimeinfo.cache",
            "/etc/xdg/autostart/tool.desktop",
            "/usr/share/applications/a b.desktop",
        ] {
            assert_eq!(id(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_told_secrets_is_nothing_that_comes_by_the_way() {
        for (name, is_told) in [
            ("sudo", true),
            ("ssh-add", true),
            ("ksshaskpass", true),
            ("git-remote-https", true),
            ("rg", false),
            ("sshfs", false),
            ("git", false),
        ] {
            assert_eq!(is_told_secrets(name), is_told, "{name}");
        }
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
