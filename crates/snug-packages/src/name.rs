//! Checked words. What has one of these types cannot be taken for an option, a pattern, an address or a request for something else by the
//! program that gets it.
//!
//! `--` ends options for every program of the table, but not their own syntax: `apt-get install -- x-` *removes* x, and so does
//! `zypper install -- -x` (both measured); apt-get takes `x.y` for a regular expression, dnf `x*` for a pattern, pacman `a://b` for an
//! address, apk `!x` for a conflict. So what is no plain name is refused.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use crate::error::{Error, Result};
use crate::manager::Manager;
use crate::read::printable;

/// The longest name: Debian's longest has 84 characters, the managers know no limit.
const MAX_NAME: usize = 200;
/// `PATH_MAX` of Linux, less its NUL.
const MAX_PATH: usize = 4095;

/// The name of a package. Its characters are those of some manager's names; [`Manager::package`] holds it against one manager's rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName(String);

impl PackageName {
    /// A name that a guest's program wrote: `None` where it cannot be one.
    pub fn read(word: &[u8]) -> Option<Self> {
        let word = std::str::from_utf8(word).ok()?;
        let fits = (1..=MAX_NAME).contains(&word.len())
            && word.bytes().enumerate().all(|(at, byte)| {
                byte.is_ascii_alphanumeric() || b"@_".contains(&byte) || (at > 0 && b".+-:".contains(&byte))
            });
        (fits && !word.ends_with('-')).then(|| Self(word.to_owned()))
    }

    /// It.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<OsStr> for PackageName {
    fn as_ref(&self) -> &OsStr {
        self.0.as_ref()
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which names a manager can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameRule {
    /// Capital letters.
    pub capitals: bool,
    /// What it may begin with, besides letters and digits.
    pub first: &'static str,
    /// What it may have in it, besides letters and digits.
    pub more: &'static str,
}

impl NameRule {
    fn why_not(self, word: &str) -> Option<&'static str> {
        let within = |byte: u8, others: &str| {
            byte.is_ascii_digit()
                || byte.is_ascii_lowercase()
                || (byte.is_ascii_uppercase() && self.capitals)
                || others.as_bytes().contains(&byte)
        };
        match word.as_bytes() {
            [] => Some("it is empty"),
            bytes if bytes.len() > MAX_NAME => Some("it is too long"),
            [b'-', ..] => Some("it begins with '-', as an option does"),
            bytes if bytes.iter().any(u8::is_ascii_control) => Some("it has a control character"),
            bytes if !self.capitals && bytes.iter().any(u8::is_ascii_uppercase) => {
                Some("names of packages are in small letters here")
            }
            [first, ..] if !within(*first, self.first) => Some("no name begins like that"),
            [.., b'-'] => Some("it ends in '-', which would remove it"),
            bytes if !bytes.iter().all(|&byte| within(byte, self.more)) => {
                Some("no name has such a character")
            }
            _ => None,
        }
    }
}

/// A package that is asked for, perhaps in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which.
    pub name: PackageName,
    /// The version, as the manager writes it.
    pub version: Option<String>,
}

/// A file with a package, in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile(OsString);

impl AsRef<OsStr> for LocalFile {
    fn as_ref(&self) -> &OsStr {
        &self.0
    }
}

impl Manager {
    /// A package's name.
    ///
    /// # Errors
    /// [`Error::Name`], for what this manager could take for anything else.
    pub fn package(&self, word: &str) -> Result<PackageName> {
        match self.names.why_not(word) {
            None => Ok(PackageName(word.to_owned())),
            Some(why) => Err(Error::Name { manager: self.name, word: shown(word.as_bytes()), why }),
        }
    }

    /// `NAME` or `NAME=VERSION`.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Version`], [`Error::OneVersion`].
    pub fn request(&self, word: &str) -> Result<Request> {
        let Some((name, version)) = word.split_once('=') else {
            return Ok(Request { name: self.package(word)?, version: None });
        };
        let name = self.package(name)?;
        if self.version_after.is_none() {
            return Err(Error::OneVersion { manager: self.name, package: name.0 });
        }
        // The same characters in all of them: deb-version(7), rpm-version(7), Alpine's package specification.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".+~:^_-".contains(&byte);
        let why = match version.as_bytes() {
            [] => Some("it is empty"),
            bytes if bytes.len() > MAX_NAME => Some("it is too long"),
            [first, ..] if !first.is_ascii_alphanumeric() => Some("no version begins like that"),
            [.., b'-'] => Some("no version ends in '-'"),
            bytes if !bytes.iter().all(|&byte| plain(byte)) => Some("no version has such a character"),
            _ => None,
        };
        match why {
            None => Ok(Request { name, version: Some(version.to_owned()) }),
            Some(why) => Err(Error::Version { manager: self.name, word: shown(version.as_bytes()), why }),
        }
    }

    /// The path of a package file in the guest.
    ///
    /// # Errors
    /// [`Error::File`]. Spaces and signs of patterns are no reason: each manager has taken such a file (tests/real_managers).
    pub fn file(&self, path: &OsStr) -> Result<LocalFile> {
        let bytes = path.as_bytes();
        let ending = |ending: &&str| {
            // `.pkg.tar.*`: whatever pacman's packages are compressed with.
            let name = bytes.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            match ending.strip_suffix('*') {
                None => name.ends_with(ending.as_bytes()) && name.len() > ending.len(),
                Some(middle) => {
                    name.windows(middle.len()).position(|part| part == middle.as_bytes()).is_some_and(|at| {
                        let last = &name[at + middle.len()..];
                        at > 0 && !last.is_empty() && last.iter().all(u8::is_ascii_alphanumeric)
                    })
                }
            }
        };
        let why = if !bytes.starts_with(b"/") {
            Some("it is no full path")
        } else if bytes.len() > MAX_PATH {
            Some("it is too long")
        } else if bytes.iter().any(u8::is_ascii_control) {
            Some("it has a control character")
        } else if bytes.windows(3).any(|part| part == b"://") {
            Some("it would be taken for an address")
        } else if !self.file_endings.iter().any(ending) {
            Some("its name does not end like a package's")
        } else {
            None
        };
        match why {
            None => Ok(LocalFile(path.to_owned())),
            Some(why) => {
                Err(Error::File { manager: self.name, path: shown(bytes), why, endings: self.file_endings })
            }
        }
    }
}

/// What is searched for: a part of a name or of a summary, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term(String);

impl Term {
    /// Checks it.
    ///
    /// # Errors
    /// [`Error::Term`], for what a program could take for an option or a pattern.
    pub fn new(word: &str) -> Result<Self> {
        let why = if word.trim().is_empty() {
            Some("it is empty")
        } else if word.len() > MAX_NAME {
            Some("it is too long")
        } else if word.starts_with('-') {
            Some("it begins with '-', as an option does")
        } else if word.chars().any(char::is_control) {
            Some("it has a control character")
        } else if word.contains(['*', '?', '[', ']', '\\', '/']) {
            Some("patterns are not searched for")
        } else {
            None
        };
        match why {
            None => Ok(Self(word.to_owned())),
            Some(why) => Err(Error::Term { word: shown(word.as_bytes()), why }),
        }
    }

    /// It.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A regular expression (POSIX extended) that matches this alone. Brackets and backslashes are in no word that comes here.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if ".^$+(){}|".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// The name of a command: what is typed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommandName(String);

impl CommandName {
    /// Checks it.
    ///
    /// # Errors
    /// [`Error::Command`], for what is no name of a file, or could be taken for a pattern.
    pub fn new(word: &str) -> Result<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-@:%=,~".contains(&byte);
        let why = match word.as_bytes() {
            [] => Some("it is empty"),
            bytes if bytes.len() > 255 => Some("it is too long"),
            [b'-', ..] => Some("it begins with '-', as an option does"),
            b"." | b".." => Some("it is a directory"),
            // `test` is also called `[`; whatever else a program could take for a pattern has no package.
            b"[" => Some("it is a pattern for most package managers"),
            bytes if bytes.contains(&b'/') => Some("it is a path"),
            bytes if !bytes.iter().all(|&byte| plain(byte)) => {
                Some("commands of packages have no such character")
            }
            _ => None,
        };
        match why {
            None => Ok(Self(word.to_owned())),
            Some(why) => Err(Error::Command { word: shown(word.as_bytes()), why }),
        }
    }

    /// It.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<OsStr> for CommandName {
    fn as_ref(&self) -> &OsStr {
        self.0.as_ref()
    }
}

/// A path of which the owner is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestPath(OsString);

impl GuestPath {
    /// Checks it.
    ///
    /// # Errors
    /// [`Error::Path`].
    pub fn new(path: &OsStr) -> Result<Self> {
        let bytes = path.as_bytes();
        let why = if !bytes.starts_with(b"/") {
            Some("it is no full path")
        } else if bytes.len() > MAX_PATH {
            Some("it is too long")
        } else if bytes.iter().any(u8::is_ascii_control) {
            Some("it has a control character")
        } else {
            None
        };
        match why {
            None => Ok(Self(path.to_owned())),
            Some(why) => Err(Error::Path { path: shown(bytes), why }),
        }
    }

    /// As it is.
    pub(crate) fn plain(&self) -> Vec<OsString> {
        vec![self.0.clone()]
    }

    /// As patterns for `dpkg-query --search`: it and, where the guest may have merged `/bin` into `/usr/bin`, its other spelling.
    /// dpkg knows a file by the path in its package alone (dpkg-query(1); measured: Debian 12 owns `/bin/ls`, not `/usr/bin/ls`).
    pub(crate) fn patterns(&self) -> Vec<OsString> {
        const MERGED: [&[u8]; 3] = [b"/bin/", b"/sbin/", b"/lib"];
        let bytes = self.0.as_bytes();
        let mut spellings = vec![bytes.to_vec()];
        let is_merged = |path: &[u8]| MERGED.iter().any(|start| path.starts_with(start));
        match bytes.strip_prefix(b"/usr") {
            Some(short) if is_merged(short) => spellings.push(short.to_vec()),
            None if is_merged(bytes) => spellings.push([b"/usr", bytes].concat()),
            _ => {}
        }
        let pattern = |bytes: Vec<u8>| {
            let mut escaped = Vec::new();
            for byte in bytes {
                if b"*?[]\\".contains(&byte) {
                    escaped.push(b'\\');
                }
                escaped.push(byte);
            }
            OsStr::from_bytes(&escaped).to_owned()
        };
        spellings.into_iter().map(pattern).collect()
    }
}

/// Something that a package needs: a package's name, or what packages provide.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(String);

impl Capability {
    /// One that a guest's program wrote: `None` where it could be taken for an option or a pattern.
    pub fn read(word: &[u8]) -> Option<Self> {
        let word = std::str::from_utf8(word).ok()?;
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"*?[]\\!".contains(&byte);
        let fits = (1..=MAX_NAME).contains(&word.len()) && word.bytes().all(plain) && !word.starts_with('-');
        fits.then(|| Self(word.to_owned()))
    }

    /// It.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<OsStr> for Capability {
    fn as_ref(&self) -> &OsStr {
        self.0.as_ref()
    }
}

fn shown(bytes: &[u8]) -> String {
    printable(bytes, MAX_NAME)
}

#[cfg(test)]
mod tests;
