//! Debian's `Contents` files: which package has which path, a line for each path, sorted. They are what command-not-found's index is made
//! of for apt; Debian 13's for one architecture has 30 million characters more than anybody reads at once, so it is read line by line.
//!
//! Source: the page "DebianRepository/Format" of Debian's wiki, "Contents indices".

use std::path::{Path, PathBuf};

use crate::executables;
use crate::name::PackageName;
use crate::read;

/// One line: a path, and the packages that have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    path: PathBuf,
    packages: Vec<PackageName>,
}

impl Entry {
    /// `usr/bin/rg    utils/ripgrep,universe/utils/other`: spaces may be in the path, so the last column begins at the last space. `None`
    /// for what is no such line; old files begin with a text for people.
    pub fn read(line: &[u8]) -> Option<Self> {
        if line.len() > read::MAX_LINE {
            return None;
        }
        let line = line.trim_ascii_end();
        let space = line.iter().rposition(|byte| b" \t".contains(byte))?;
        let path = line[..space].trim_ascii();
        let path = read::path(&[b"/", path.strip_prefix(b"./").unwrap_or(path)].concat())?;
        let name = |word: &[u8]| PackageName::read(word.rsplit(|&byte| byte == b'/').next()?);
        let packages: Vec<PackageName> =
            line[space + 1..].split(|&byte| byte == b',').filter_map(name).collect();
        // A section stands before the name: without one it is a text.
        (!packages.is_empty() && line[space..].contains(&b'/')).then_some(Self { path, packages })
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The command, if the path is that of one.
    pub fn command(&self) -> Option<&str> {
        executables::command_name(&self.path)
    }

    /// The packages that have it.
    pub fn into_packages(self) -> Vec<PackageName> {
        self.packages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_path_and_packages() {
        let entry = Entry::read(b"usr/bin/rg                                                 utils/ripgrep,universe/utils/other\n").unwrap();
        assert_eq!(entry.path(), Path::new("/usr/bin/rg"));
        assert_eq!(entry.command(), Some("rg"));
        assert_eq!(
            entry.into_packages().iter().map(PackageName::as_str).collect::<Vec<_>>(),
            ["ripgrep", "other"]
        );
        assert_eq!(Entry::read(b"usr/share/a b\tutils/x").unwrap().path(), Path::new("/usr/share/a b"));
        assert_eq!(Entry::read(b"usr/share/a b\tutils/x").unwrap().command(), None);
    }

    #[test]
    fn what_is_no_line_of_it_is_left_out() {
        for line in [
            &b""[..],
            b"FILE LOCATION",
            b"This file maps each file",
            b"usr/bin/rg",
            b"\0 a/b",
            b"\xff",
            b"a b/-x",
            b"a b/",
            b"usr/bin/x y",
        ] {
            assert!(Entry::read(line).is_none(), "{line:?}");
        }
        assert!(Entry::read(&[&vec![b'x'; 1 << 20][..], b" a/b"].concat()).is_none());
        for output in read::hostile() {
            for line in output.split(|&byte| byte == b'\n') {
                if let Some(entry) = Entry::read(line) {
                    entry.command();
                    assert!(!entry.into_packages().is_empty());
                }
            }
        }
    }
}
