//! The files of applications in the user's data directory: what is there, written, removed.
//!
//! A file is Snug's as long as it is what Snug has written; one that somebody changed is his.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use snug_wire::small_file;
use thiserror::Error;

use crate::application::{ENTRIES, THEME};

/// Bytes of a file that is looked at: more than any that is written.
const LONGEST: u64 = 4 << 20;
/// Bytes of a digest that are kept: it tells files apart, and proves nothing.
const KEPT: usize = 16;

/// What is at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Missing,
    /// A file with this digest.
    File(String),
    /// A directory, a link, a pipe, a file of another user.
    Other,
}

impl State {
    /// Whether it is a file with one of these digests.
    #[must_use]
    pub fn is_one_of<'a>(&self, mut digests: impl Iterator<Item = &'a String>) -> bool {
        match self {
            Self::File(digest) => digests.any(|known| known == digest),
            _ => false,
        }
    }
}

/// A refusal of the system.
#[derive(Debug, Error)]
#[error("{}: {source}", place.display())]
pub struct FileError {
    /// The file.
    pub place: PathBuf,
    /// The refusal.
    pub source: io::Error,
}

/// The files of one user.
#[derive(Debug, Clone)]
pub struct Files {
    data: PathBuf,
}

/// What a file is known by.
#[must_use]
pub fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().take(KEPT).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Files {
    /// Those in the data directory that Snug's ([`crate::directory`]) is in.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { data: directory.parent().unwrap_or(directory).to_owned() }
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where a file is.
    #[must_use]
    pub fn place(&self, place: &str) -> PathBuf {
        self.data.join(place)
    }

    /// The directory of entries.
    #[must_use]
    pub fn entries(&self) -> PathBuf {
        self.data.join(ENTRIES)
    }

    /// The theme.
    #[must_use]
    pub fn theme(&self) -> PathBuf {
        self.data.join(THEME)
    }

    /// What is at a place.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn state(&self, place: &str) -> Result<State, FileError> {
        let path = self.place(place);
        let failed = |source| FileError { place: path.clone(), source };
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Missing),
            status => {
                if !status.map_err(failed)?.is_file() {
                    return Ok(State::Other);
                }
            }
        }
        match small_file::read_own(&path, LONGEST) {
            Ok(content) => Ok(State::File(digest(&content))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::Missing),
            // Too long for one of Snug's, or another user's.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(State::Other),
            Err(error) => Err(failed(error)),
        }
    }

    /// Writes a file in one piece, in the place of what was seen there (`state`) and of nothing else.
    ///
    /// # Errors
    /// The system's refusal; something else is there by now.
    pub fn write(&self, place: &str, content: &[u8], state: &State) -> Result<(), FileError> {
        let path = self.place(place);
        let failed = |source| FileError { place: path.clone(), source };
        let directory = path.parent().unwrap_or(&self.data);
        fs::create_dir_all(directory).map_err(failed)?;
        let write = || -> io::Result<tempfile::NamedTempFile> {
            let mut file = tempfile::Builder::new().prefix(".snug-").tempfile_in(directory)?;
            file.write_all(content)?;
            // The desktop may run as somebody else than who reads only his own files: a sandboxed viewer.
            file.as_file().set_permissions(Permissions::from_mode(0o644))?;
            Ok(file)
        };
        let file = write().map_err(failed)?;
        if *state == State::Missing {
            file.persist_noclobber(&path).map_err(|error| failed(error.error))?;
        } else {
            if self.state(place)? != *state {
                return Err(failed(io::Error::other("it was changed just now")));
            }
            file.persist(&path).map_err(|error| failed(error.error))?;
        }
        Ok(())
    }

    /// Removes a file that has one of these digests; whether it is gone, or never was there.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn remove<'a>(
        &self,
        place: &str,
        digests: impl Iterator<Item = &'a String>,
    ) -> Result<bool, FileError> {
        let path = self.place(place);
        match self.state(place)? {
            State::Missing => return Ok(true),
            state if !state.is_one_of(digests) => return Ok(false),
            _ => {}
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FileError { place: path, source: error });
            }
            _ => {}
        }
        // The theme's directories of one size are Snug's as much as anybody's: empty ones help nobody.
        let mut directory = path.parent();
        while let Some(empty) =
            directory.filter(|directory| directory.starts_with(self.theme()) && *directory != self.theme())
        {
            if fs::remove_dir(empty).is_err() {
                break;
            }
            directory = empty.parent();
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn files() -> (tempfile::TempDir, Files) {
        let root = tempfile::tempdir().unwrap();
        let files = Files::new(&root.path().join("share/snug"));
        (root, files)
    }

    const ICON: &str = "icons/hicolor/48x48/apps/snug.dev.tool.png";

    #[test]
    fn what_is_written_is_known_again_and_removed() {
        let (root, files) = files();
        assert_eq!(files.state(ICON).unwrap(), State::Missing);
        files.write(ICON, b"one", &State::Missing).unwrap();
        let one = digest(b"one");
        assert_eq!((files.state(ICON).unwrap(), one.len()), (State::File(one.clone()), 32));
        files.write(ICON, b"two", &State::File(one.clone())).unwrap();
        assert_eq!(fs::read(files.place(ICON)).unwrap(), b"two");
        assert_eq!(files.place(ICON).metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert!(!files.remove(ICON, [&one].into_iter()).unwrap(), "somebody changed it");
        assert!(files.remove(ICON, [&one, &digest(b"two")].into_iter()).unwrap());
        assert!(files.remove(ICON, [&one].into_iter()).unwrap());
        assert_eq!(fs::read_dir(root.path().join("share/icons/hicolor")).unwrap().count(), 0);
    }

    #[test]
    fn what_is_the_users_own_is_neither_written_over_nor_removed() {
        let (_root, files) = files();
        let path = files.place(ICON);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(files.write(ICON, b"new", &State::Missing).is_err());
        assert!(files.write(ICON, b"new", &State::File(digest(b"other"))).is_err());
        assert!(!files.remove(ICON, [&digest(b"new")].into_iter()).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        fs::remove_file(&path).unwrap();
        // A link is not followed, wherever it leads.
        let aside = files.place("aside");
        symlink(&aside, &path).unwrap();
        assert_eq!(files.state(ICON).unwrap(), State::Other);
        assert!(files.write(ICON, b"new", &State::Missing).is_err());
        assert!(!aside.exists() && !files.remove(ICON, std::iter::empty()).unwrap());
        fs::remove_file(&path).unwrap();
        fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(files.state(ICON).unwrap(), State::Other);
        // Nothing is left beside them.
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_refusal_names_the_file() {
        let (_root, files) = files();
        fs::create_dir_all(files.data()).unwrap();
        fs::write(files.place("icons"), "a file").unwrap();
        let refused = files.write(ICON, b"x", &State::Missing).unwrap_err().to_string();
        assert!(refused.starts_with(files.place(ICON).to_str().unwrap()), "{refused}");
    }
}
