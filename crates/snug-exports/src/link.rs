//! The links by which the host finds commands: `~/.local/bin/NAME` to `DATA/snug/shim`, that to the installed `snug-shim`.
//!
//! Whatever else lies at such a place is the user's own and is never touched.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use snug_wire::host::{EXPORTED_COMMANDS, GUEST_PROGRAM_PATH};
use thiserror::Error;

use crate::command::CommandName;
use crate::search::is_command;
use crate::{APPLICATIONS, SHIM};

/// What is at the place of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Missing,
    /// A link of Snug's that leads to the program.
    Ours,
    /// A link of Snug's that leads nowhere: the program, or the link to it, is gone.
    Broken,
    /// Something of the user's own.
    Foreign(Kind),
}

impl State {
    /// Whether Snug has made what is there.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Ours | Self::Broken)
    }
}

/// What of the user's own it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A link to something else.
    Link,
    /// A directory.
    Directory,
    /// A pipe, a socket, a device.
    Other,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File => "a file",
            Self::Link => "a link",
            Self::Directory => "a directory",
            Self::Other => "something",
        })
    }
}

/// Why a link cannot be made.
#[derive(Debug, Error)]
pub enum LinkError {
    /// Something of the user's own is at its place.
    #[error("{} is {kind} of your own", place.display())]
    Foreign {
        /// The place.
        place: PathBuf,
        /// What it is.
        kind: Kind,
    },
    /// The program that links lead to is not installed.
    #[error("{} is missing: this Snug is not installed as a whole", .0.display())]
    NotInstalled(PathBuf),
    /// The system's refusal.
    #[error("{}: {source}", place.display())]
    System {
        /// What was to be made.
        place: PathBuf,
        /// The refusal.
        source: io::Error,
    },
}

impl LinkError {
    fn system(place: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let place = place.to_owned();
        move |source| Self::System { place: place.clone(), source }
    }
}

/// The links of one user.
#[derive(Debug, Clone)]
pub struct Links {
    bin: PathBuf,
    shim: PathBuf,
    for_guests: PathBuf,
    /// Whether guests have them, too.
    offers: bool,
}

impl Links {
    /// Those in `bin`, by way of the data directory ([`crate::directory`]).
    #[must_use]
    pub fn new(bin: PathBuf, directory: &Path) -> Self {
        let for_guests = directory.join(Path::new(EXPORTED_COMMANDS).file_name().unwrap_or_default());
        Self { bin, shim: directory.join(SHIM), for_guests, offers: true }
    }

    /// Those that entries of applications run. Guests have none of them: no PATH of the host leads there.
    #[must_use]
    pub fn of_applications(directory: &Path) -> Self {
        Self { offers: false, ..Self::new(directory.join(APPLICATIONS), directory) }
    }

    /// The directory that they are in.
    #[must_use]
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// Where a command is on the host.
    #[must_use]
    pub fn place(&self, name: &CommandName) -> PathBuf {
        self.bin.join(name.as_str())
    }

    /// What is there now.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn state(&self, name: &CommandName) -> io::Result<State> {
        self.state_of(&self.place(name))
    }

    fn state_of(&self, place: &Path) -> io::Result<State> {
        let status = match fs::symlink_metadata(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Missing),
            status => status?,
        };
        let kind = status.file_type();
        Ok(if kind.is_symlink() {
            match fs::read_link(place)? {
                target if !self.is_shim(&target) => State::Foreign(Kind::Link),
                _ if is_command(place) => State::Ours,
                _ => State::Broken,
            }
        } else if kind.is_file() {
            State::Foreign(Kind::File)
        } else if kind.is_dir() {
            State::Foreign(Kind::Directory)
        } else {
            State::Foreign(Kind::Other)
        })
    }

    /// Whether a link with this target is one of Snug's: the directory may have another spelling by now, as homes do.
    fn is_shim(&self, target: &Path) -> bool {
        if target == self.shim {
            return true;
        }
        let id = |path: Option<&Path>| {
            path.and_then(|path| path.metadata().ok()).map(|status| (status.dev(), status.ino()))
        };
        target.is_absolute()
            && target.file_name() == self.shim.file_name()
            && id(target.parent()).is_some_and(|found| id(self.shim.parent()) == Some(found))
    }

    /// Whether the link which all commands lead to leads to the `installed` program.
    ///
    /// # Errors
    /// That is not installed; something else is at the link's place.
    pub fn leads_to(&self, installed: &Path) -> Result<bool, LinkError> {
        if !is_command(installed) {
            return Err(LinkError::NotInstalled(installed.to_owned()));
        }
        match fs::read_link(&self.shim) {
            Ok(target) => Ok(target == installed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            // No link: EINVAL (readlink(2)).
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                let kind = if self.shim.is_dir() { Kind::Directory } else { Kind::File };
                Err(LinkError::Foreign { place: self.shim.clone(), kind })
            }
            Err(error) => Err(LinkError::system(&self.shim)(error)),
        }
    }

    /// Sees to it that it does.
    ///
    /// # Errors
    /// As of [`Self::leads_to`].
    pub fn repair(&self, installed: &Path) -> Result<(), LinkError> {
        if self.leads_to(installed)? {
            return Ok(());
        }
        let failed = LinkError::system(&self.shim);
        let directory = self.shim.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(&failed)?;
        // Commands that are called meanwhile find the old one or the new one.
        let made = tempfile::Builder::new()
            .prefix(".shim")
            .make_in(directory, |place| symlink(installed, place))
            .map_err(&failed)?;
        made.into_temp_path().persist(&self.shim).map_err(|error| failed(error.error))
    }

    /// Makes a command's link, and the directory if need be; false if it is there already. Guests get theirs, too.
    ///
    /// # Errors
    /// Something of the user's own is there; the system's refusal.
    pub fn make(&self, name: &CommandName) -> Result<bool, LinkError> {
        let place = self.place(name);
        let failed = LinkError::system(&place);
        fs::create_dir_all(&self.bin).map_err(LinkError::system(&self.bin))?;
        match self.state_of(&place).map_err(&failed)? {
            State::Ours | State::Broken => return self.offer(name).map(|()| false),
            State::Foreign(kind) => return Err(LinkError::Foreign { place, kind }),
            State::Missing => {}
        }
        self.offer(name)?;
        match symlink(&self.shim, &place) {
            Ok(()) => Ok(true),
            // Somebody was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match self.state_of(&place).map_err(&failed)? {
                    State::Foreign(kind) => Err(LinkError::Foreign { place, kind }),
                    _ => Ok(false),
                }
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The link that guests have a command by. What is there already is that, or the user's own doing.
    fn offer(&self, name: &CommandName) -> Result<(), LinkError> {
        if !self.offers {
            return Ok(());
        }
        fs::create_dir_all(&self.for_guests).map_err(LinkError::system(&self.for_guests))?;
        let place = self.for_guests.join(name.as_str());
        match symlink(GUEST_PROGRAM_PATH, &place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(LinkError::system(&place)(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes a command's link; what else is there stays. What was there.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn remove(&self, name: &CommandName) -> Result<State, LinkError> {
        let place = self.place(name);
        let state = self.state_of(&place).map_err(LinkError::system(&place))?;
        if state.is_ours() {
            remove_if_there(&place)?;
        }
        let guests = self.for_guests.join(name.as_str());
        if fs::read_link(&guests).is_ok_and(|target| target == Path::new(GUEST_PROGRAM_PATH)) {
            remove_if_there(&guests)?;
        }
        Ok(state)
    }

    /// Links of Snug's that are none of the commands which are `known`.
    #[must_use]
    pub fn stray(&self, known: impl Fn(&str) -> bool) -> Vec<CommandName> {
        let mut names: Vec<CommandName> = fs::read_dir(&self.bin)
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let is_ours = fs::read_link(entry.path()).is_ok_and(|target| self.is_shim(&target));
                if is_ours { entry.file_name().to_str()?.parse().ok() } else { None }
            })
            .filter(|name: &CommandName| !known(name.as_str()))
            .collect();
        names.sort();
        names
    }
}

fn remove_if_there(place: &Path) -> Result<(), LinkError> {
    match fs::remove_file(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LinkError::system(place)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A home with an installed program.
    struct Home {
        root: tempfile::TempDir,
        links: Links,
    }

    impl Home {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let installed = root.path().join("snug-shim");
            fs::write(&installed, "").unwrap();
            fs::set_permissions(&installed, fs::Permissions::from_mode(0o755)).unwrap();
            let links = Links::new(root.path().join(".local/bin"), &root.path().join(".local/share/snug"));
            Self { root, links }
        }

        fn installed(&self) -> PathBuf {
            self.root.path().join("snug-shim")
        }
    }

    fn name(text: &str) -> CommandName {
        text.parse().unwrap()
    }

    #[test]
    fn a_command_is_a_link_to_the_one_that_leads_to_the_program() {
        let home = Home::new();
        let (links, rg) = (&home.links, name("rg"));
        assert_eq!(links.state(&rg).unwrap(), State::Missing);
        links.repair(&home.installed()).unwrap();
        assert!(links.make(&rg).unwrap() && !links.make(&rg).unwrap());
        assert_eq!(links.state(&rg).unwrap(), State::Ours);
        let guests = home.root.path().join(".local/share").join(EXPORTED_COMMANDS).join("rg");
        assert_eq!(fs::read_link(&guests).unwrap(), Path::new(GUEST_PROGRAM_PATH));
        assert_eq!(fs::canonicalize(links.place(&rg)).unwrap(), home.installed().canonicalize().unwrap());
        assert_eq!(fs::read_link(links.place(&rg)).unwrap(), links.shim);
        assert_eq!(links.remove(&rg).unwrap(), State::Ours);
        assert_eq!(links.remove(&rg).unwrap(), State::Missing);
        assert_eq!(links.state(&rg).unwrap(), State::Missing);
        assert!(!guests.is_symlink());
        // What is there of the user's own stays, and keeps no command from the host.
        fs::write(&guests, "mine").unwrap();
        assert!(links.make(&rg).unwrap());
        links.remove(&rg).unwrap();
        assert_eq!(fs::read_to_string(&guests).unwrap(), "mine");
    }

    #[test]
    fn an_applications_link_is_no_command_of_guests() {
        let home = Home::new();
        let directory = home.root.path().join(".local/share/snug");
        let (links, tool) = (Links::of_applications(&directory), name("snug.dev.tool"));
        links.repair(&home.installed()).unwrap();
        assert!(links.make(&tool).unwrap() && !links.make(&tool).unwrap());
        assert_eq!(links.place(&tool), directory.join(APPLICATIONS).join("snug.dev.tool"));
        assert_eq!(links.state(&tool).unwrap(), State::Ours);
        assert!(!directory.join("for-guests").exists());
        assert_eq!(links.remove(&tool).unwrap(), State::Ours);
    }

    #[test]
    fn one_link_is_repaired_when_the_program_has_moved() {
        let home = Home::new();
        let (links, rg) = (&home.links, name("rg"));
        links.repair(&home.installed()).unwrap();
        links.make(&rg).unwrap();
        let moved = home.root.path().join("moved");
        fs::rename(home.installed(), &moved).unwrap();
        assert_eq!(links.state(&rg).unwrap(), State::Broken);
        assert!(matches!(links.repair(&home.installed()), Err(LinkError::NotInstalled(_))));
        links.repair(&moved).unwrap();
        assert_eq!(links.state(&rg).unwrap(), State::Ours);
        fs::remove_file(&links.shim).unwrap();
        assert_eq!(links.state(&rg).unwrap(), State::Broken);
        links.repair(&moved).unwrap();
        assert_eq!(links.state(&rg).unwrap(), State::Ours);
        let left: Vec<_> = fs::read_dir(links.shim.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 2, "more than the link and the guests': {left:?}");
        // Not a program that nobody may start.
        fs::set_permissions(&moved, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(links.repair(&moved), Err(LinkError::NotInstalled(_))));
    }

    #[test]
    fn what_is_the_users_own_stays() {
        let home = Home::new();
        let links = &home.links;
        links.repair(&home.installed()).unwrap();
        fs::create_dir_all(links.bin()).unwrap();
        fs::write(links.bin().join("file"), "mine").unwrap();
        symlink("/usr/bin/env", links.bin().join("link")).unwrap();
        symlink("/nowhere/at/all", links.bin().join("dangling")).unwrap();
        symlink("/elsewhere/snug/shim", links.bin().join("of-another")).unwrap();
        fs::create_dir(links.bin().join("directory")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(links.bin().join("socket")).unwrap();
        for (own, kind) in [
            ("file", Kind::File),
            ("link", Kind::Link),
            ("dangling", Kind::Link),
            ("of-another", Kind::Link),
            ("directory", Kind::Directory),
            ("socket", Kind::Other),
        ] {
            let own = name(own);
            let before = fs::symlink_metadata(links.place(&own)).unwrap().ino();
            assert_eq!(links.state(&own).unwrap(), State::Foreign(kind), "{own}");
            assert!(matches!(links.make(&own), Err(LinkError::Foreign { kind: found, .. }) if found == kind));
            assert_eq!(links.remove(&own).unwrap(), State::Foreign(kind));
            assert_eq!(fs::symlink_metadata(links.place(&own)).unwrap().ino(), before, "{own}");
        }
        assert_eq!(links.stray(|_| false), []);
    }

    #[test]
    fn something_else_in_the_place_of_the_one_link_stays_too() {
        let home = Home::new();
        let shim = &home.links.shim;
        fs::create_dir_all(shim.parent().unwrap()).unwrap();
        fs::write(shim, "mine").unwrap();
        let kind_of = || match home.links.repair(&home.installed()) {
            Err(LinkError::Foreign { kind, .. }) => kind,
            other => panic!("{other:?}"),
        };
        assert_eq!(kind_of(), Kind::File);
        assert_eq!(fs::read_to_string(shim).unwrap(), "mine");
        fs::remove_file(shim).unwrap();
        fs::create_dir(shim).unwrap();
        assert_eq!(kind_of(), Kind::Directory);
    }

    #[test]
    fn a_directory_of_commands_may_be_a_link_and_a_home_may_have_another_spelling() {
        let home = Home::new();
        let root = home.root.path();
        fs::create_dir_all(root.join(".local")).unwrap();
        fs::create_dir(root.join("dotfiles")).unwrap();
        symlink("../dotfiles", root.join(".local/bin")).unwrap();
        home.links.repair(&home.installed()).unwrap();
        home.links.make(&name("rg")).unwrap();
        assert_eq!(home.links.state(&name("rg")).unwrap(), State::Ours);
        let other = tempfile::tempdir().unwrap();
        symlink(root, other.path().join("home")).unwrap();
        let spelt = other.path().join("home/.local");
        let links = Links::new(spelt.join("bin"), &spelt.join("share/snug"));
        assert_eq!(links.state(&name("rg")).unwrap(), State::Ours);
        // One that leads nowhere is the user's own affair.
        fs::remove_file(root.join(".local/bin")).unwrap();
        symlink("nowhere", root.join(".local/bin")).unwrap();
        assert!(matches!(home.links.make(&name("rg")), Err(LinkError::System { .. })));
    }

    #[test]
    fn a_refusal_of_the_system_names_the_place() {
        let home = Home::new();
        fs::create_dir_all(home.root.path().join(".local")).unwrap();
        fs::write(home.links.bin(), "a file").unwrap();
        let refused = home.links.make(&name("rg")).unwrap_err().to_string();
        assert!(refused.starts_with(&home.links.bin().display().to_string()), "{refused}");
        assert!(home.links.remove(&name("rg")).is_err() || home.links.state(&name("rg")).is_err());
    }

    #[test]
    fn links_that_the_index_does_not_know_are_found() {
        let home = Home::new();
        home.links.repair(&home.installed()).unwrap();
        for command in ["rg", "fd", "jq"] {
            home.links.make(&name(command)).unwrap();
        }
        fs::write(home.links.bin().join("own"), "").unwrap();
        assert_eq!(home.links.stray(|name| name == "fd"), [name("jq"), name("rg")]);
        fs::remove_file(home.installed()).unwrap();
        assert_eq!(home.links.stray(|_| false).len(), 3);
    }
}
