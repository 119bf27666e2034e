//! What the host has of an exported command besides its link: of which package it is, manual pages, and completions of shells.
//!
//! All of it is in `DATA/snug/documents/NAME`, which is Snug's alone. Where the host's programs look for such files, links lead there:
//! whatever else lies in such a place is the user's own and is never touched, and a link of Snug's is known by where it leads.
//!
//! | in `NAME/` | what | its link |
//! |---|---|---|
//! | `about.json` | [`About`] | |
//! | `man/[LANGUAGE/]manN/PAGE` | a manual page | `~/.local/share/man/…`: man-db finds it by the `~/.local/bin` of the PATH (manpath(5)) |
//! | `bash/NAME` | a completion | `DATA/bash-completion/completions/NAME` |
//! | `fish/NAME.fish` | a completion | `DATA/fish/vendor_completions.d/NAME.fish` |
//! | `zsh/_WORD` | a completion | none: `_snug_exports`, which Snug installs for zsh, looks here |
//! | `source/…` | what a script of `bash` or `fish` reads | none |
//!
//! Whoever changes any of it has the index in hand ([`crate::index::Exports::change`]).

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use snug_core::name::ContainerName;
use snug_wire::small_file;

use crate::command::CommandName;

/// The directory's name in Snug's.
pub const DIRECTORY: &str = "documents";
const ABOUT: &str = "about.json";
/// Bytes of [`About`]: names, a path and a version.
const LONGEST_ABOUT: u64 = 64 << 10;
/// How deep files are: `man/LANGUAGE/man1/PAGE`.
const DEPTH: usize = 4;
/// What is being written, or about to go.
const PREFIX: &str = ".snug-";

/// What is known of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Whose it is.
    pub container: ContainerName,
    /// Where it is in the container.
    pub path: String,
    /// The package that it is of; `None` where no package manager knows it.
    #[serde(default)]
    pub package: Option<String>,
    /// That package's version.
    #[serde(default)]
    pub version: Option<String>,
}

/// Where a file is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A manual page: its language's directory, the number of its section, the file's name.
    Page(Option<String>, char, String),
    /// What bash-completion reads for a command of that name.
    Bash(String),
    /// What fish reads for it.
    Fish(String),
    /// A function of zsh's, for a command of that name in the container.
    Zsh(String),
    /// What other scripts read: whose, and the file's name.
    Source(&'static str, String),
}

impl Place {
    /// The path in the command's directory; `None` for names that are none of a file.
    fn inside(&self) -> Option<PathBuf> {
        let (directory, name) = match self {
            Self::Page(None, section, name) => (PathBuf::from(format!("man/man{section}")), name.clone()),
            Self::Page(Some(language), section, name) => {
                (Path::new("man").join(one(language)?).join(format!("man{section}")), name.clone())
            }
            Self::Bash(name) => ("bash".into(), name.clone()),
            Self::Fish(name) => ("fish".into(), format!("{name}.fish")),
            Self::Zsh(name) => ("zsh".into(), format!("_{name}")),
            Self::Source(whose, name) => (Path::new("source").join(whose), name.clone()),
        };
        Some(directory.join(one(&name)?))
    }
}

/// One part of a path.
fn one(name: &str) -> Option<&str> {
    let mut parts = Path::new(name).components();
    let is_one =
        matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name);
    (is_one && name.len() <= 255 && !name.starts_with('.') && !name.contains(['\0', '\n'])).then_some(name)
}

/// A file that the host gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where.
    pub place: Place,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// What is in the place of a link.
#[derive(Debug, PartialEq, Eq)]
enum At {
    Nothing,
    /// A link of Snug's, for that command.
    Ours(String),
    /// Something of the user's own.
    Foreign,
}

/// The documents of one user.
#[derive(Debug, Clone)]
pub struct Documents {
    own: PathBuf,
    data: PathBuf,
    man: PathBuf,
}

impl Documents {
    /// Those in Snug's directory ([`crate::directory`]), for commands in `bin`.
    #[must_use]
    pub fn new(bin: &Path, directory: &Path) -> Self {
        let beside = bin.parent().unwrap_or(bin);
        let data = directory.parent().unwrap_or(directory).to_owned();
        Self { own: directory.join(DIRECTORY), data, man: beside.join("share/man") }
    }

    fn of(&self, name: &CommandName) -> PathBuf {
        self.own.join(name.as_str())
    }

    /// Where a file of a command's is, or would be.
    #[must_use]
    pub fn path(&self, name: &CommandName, place: &Place) -> Option<PathBuf> {
        Some(self.of(name).join(place.inside()?))
    }

    /// What is known of a command; nothing where it cannot be read.
    #[must_use]
    pub fn about(&self, name: &CommandName) -> Option<About> {
        let text = small_file::read_own(&self.of(name).join(ABOUT), LONGEST_ABOUT).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Has the host know this of a command, and these files of it and no others. Places that it does not get, since something of the user's own
    /// is there.
    ///
    /// # Errors
    /// The system's refusal. What was there before is then there, or nothing is.
    pub fn put(&self, name: &CommandName, about: &About, files: &[File]) -> io::Result<Vec<PathBuf>> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.own)?;
        self.clean()?;
        let new = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&self.own)?;
        write(&new.path().join(ABOUT), &serde_json::to_vec_pretty(about)?, 0o600)?;
        let mut inside = BTreeSet::new();
        for file in files {
            let path = file.place.inside().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
            if inside.insert(path.clone()) {
                let file_path = new.path().join(path);
                file_path.parent().map_or(Ok(()), fs::create_dir_all)?;
                // Who opens it in an editor is told that it is not to be written.
                write(&file_path, &file.content, 0o444)?;
            }
        }
        for gone in self.inside(name)?.difference(&inside) {
            self.unlink(name, gone)?;
        }
        self.take_away(name)?;
        fs::rename(new.keep(), self.of(name))?;
        let mut foreign = Vec::new();
        for path in &inside {
            foreign.extend(self.link(name, path)?);
        }
        Ok(foreign)
    }

    /// Takes back all of a command's. Places in which something of the user's own is.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn remove(&self, name: &CommandName) -> io::Result<Vec<PathBuf>> {
        let mut foreign = Vec::new();
        for path in &self.inside(name)? {
            foreign.extend(self.unlink(name, path)?);
        }
        self.take_away(name)?;
        Ok(foreign)
    }

    /// Whether there are files of a command's.
    #[must_use]
    pub fn has_files(&self, name: &CommandName) -> bool {
        self.inside(name).is_ok_and(|files| !files.is_empty())
    }

    /// Commands that there is something of.
    #[must_use]
    pub fn names(&self) -> Vec<CommandName> {
        let entries = fs::read_dir(&self.own).into_iter().flatten().flatten();
        let mut names: Vec<CommandName> =
            entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        names.sort();
        names
    }

    /// Removes what somebody who was interrupted has left.
    fn clean(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.own)? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
                continue;
            }
            // Snug makes directories alone; of whatever else has such a name nothing is to fail.
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn take_away(&self, name: &CommandName) -> io::Result<()> {
        let directory = self.of(name);
        if fs::symlink_metadata(&directory).is_err() {
            return Ok(());
        }
        // In one step: nobody finds a half of it.
        let old = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&self.own)?;
        fs::rename(&directory, old.path().join("old"))
    }

    /// The files that are there, but for [`ABOUT`].
    fn inside(&self, name: &CommandName) -> io::Result<BTreeSet<PathBuf>> {
        let mut found = BTreeSet::new();
        let mut directories = vec![PathBuf::new()];
        while let Some(directory) = directories.pop() {
            let entries = match fs::read_dir(self.of(name).join(&directory)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let path = directory.join(entry.file_name());
                if !entry.file_type()?.is_dir() {
                    found.insert(path);
                } else if path.components().count() < DEPTH {
                    directories.push(path);
                }
            }
        }
        found.remove(Path::new(ABOUT));
        Ok(found)
    }

    /// Where the host looks for a file.
    fn place(&self, inside: &Path) -> Option<PathBuf> {
        if let Ok(page) = inside.strip_prefix("man") {
            return Some(self.man.join(page));
        }
        let in_data = |of: &str, directory: &str| {
            inside.strip_prefix(of).ok().map(|file| self.data.join(directory).join(file))
        };
        in_data("bash", "bash-completion/completions")
            .or_else(|| in_data("fish", "fish/vendor_completions.d"))
    }

    /// Makes a file's link; the place, if something of the user's own is there.
    fn link(&self, name: &CommandName, inside: &Path) -> io::Result<Option<PathBuf>> {
        let Some(place) = self.place(inside) else { return Ok(None) };
        let target = self.of(name).join(inside);
        match self.at(&place)? {
            At::Foreign => return Ok(Some(place)),
            // Another command's page of the same name stays that one's as long as it is there.
            At::Ours(other) if other != name.as_str() && place.exists() => return Ok(None),
            At::Ours(_) if fs::read_link(&place)? == target => return Ok(None),
            At::Ours(_) => fs::remove_file(&place)?,
            At::Nothing => {}
        }
        place.parent().map_or(Ok(()), fs::create_dir_all)?;
        match symlink(&target, &place) {
            // Somebody was quicker: it is his.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Some(place)),
            made => made.map(|()| None),
        }
    }

    /// Removes a file's link; the place, if something of the user's own is there.
    fn unlink(&self, name: &CommandName, inside: &Path) -> io::Result<Option<PathBuf>> {
        let Some(place) = self.place(inside) else { return Ok(None) };
        match self.at(&place)? {
            At::Ours(whose) if whose == name.as_str() => fs::remove_file(&place).map(|()| None),
            At::Foreign => Ok(Some(place)),
            _ => Ok(None),
        }
    }

    fn at(&self, place: &Path) -> io::Result<At> {
        let status = match fs::symlink_metadata(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(At::Nothing),
            // What is no directory is somebody's own.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(At::Foreign),
            status => status?,
        };
        if !status.is_symlink() {
            return Ok(At::Foreign);
        }
        let target = fs::read_link(place)?;
        Ok(self.whose(&target).map_or(At::Foreign, At::Ours))
    }

    /// Of which command the file is that a link leads to: the directory may have another spelling by now, as homes do.
    fn whose(&self, target: &Path) -> Option<String> {
        let id = |path: &Path| path.metadata().ok().map(|status| (status.dev(), status.ino()));
        let own = id(&self.own);
        let is_own = |path: &&Path| **path == self.own || own.is_some() && id(path) == own;
        let directory = target.ancestors().filter(|_| target.is_absolute()).find(is_own)?;
        let command = target.strip_prefix(directory).ok()?.components().next()?;
        Some(command.as_os_str().to_str()?.to_owned())
    }
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)
}

#[cfg(test)]
mod tests;
