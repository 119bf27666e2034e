//! What was typed: names of packages, and files of them.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};

use snug_packages::manager::Manager;
use snug_packages::name::{LocalFile, Request};

use super::guest::unfit;
use crate::error::CommandError;

/// Where files of packages are handed over, in the guest.
const PLACE: &str = "/var/cache/snug/files";
/// How names of package files end, for any manager.
const ENDINGS: [&str; 5] = [".deb", ".rpm", ".apk", ".pkg.tar.zst", ".pkg.tar.xz"];

/// Whether a word is called as a file of packages is.
pub fn is_called_as_file(word: &str) -> bool {
    ENDINGS.iter().any(|ending| word.ends_with(ending))
}

/// What was typed, before it is known which package manager it is for.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    /// Names, perhaps with a version.
    pub names: Vec<String>,
    /// Files of the host's.
    pub files: Vec<PathBuf>,
}

impl Typed {
    /// A word with a slash is a file's path, and so is one that is called as a file of packages is and lies in this directory: no package
    /// has such a name.
    ///
    /// # Errors
    /// A word that is no text.
    pub fn read(words: &[OsString]) -> Result<Self, CommandError> {
        let mut typed = Self { names: Vec::new(), files: Vec::new() };
        for word in words {
            let is_called_so =
                |word: &OsStr| is_called_as_file(&word.to_string_lossy()) && Path::new(word).exists();
            if word.as_encoded_bytes().contains(&b'/') || is_called_so(word) {
                typed.files.push(word.into());
            } else {
                let name = word.to_str().ok_or_else(|| {
                    CommandError::usage(format!(
                        "'{}' is no name of a package",
                        snug_core::text::escape(&word.to_string_lossy())
                    ))
                })?;
                typed.names.push(name.to_owned());
            }
        }
        Ok(typed)
    }

    /// The names as this manager may be told them.
    ///
    /// # Errors
    /// What it could take for anything else.
    pub fn requests(&self, manager: &Manager) -> Result<Vec<Request>, CommandError> {
        self.names
            .iter()
            .map(|name| manager.request(name))
            .collect::<Result<_, _>>()
            .map_err(|error| unfit(&error))
    }
}

/// A file of the host's that is handed over.
#[derive(Debug)]
pub struct Handed {
    /// It, opened: what is installed is what was looked at.
    pub file: File,
    /// Where it is in the guest.
    pub place: LocalFile,
    /// The same as text.
    pub path: String,
}

impl Handed {
    /// Opens a file for this manager; `number` tells it from others of one call.
    ///
    /// # Errors
    /// It cannot be read; it is not called as the manager's files are.
    pub fn open(path: &Path, number: usize, manager: &Manager) -> Result<Self, CommandError> {
        let shown = || snug_core::text::escape(&path.display().to_string()).into_owned();
        let unread = |error: std::io::Error| {
            CommandError::user(format!("{} cannot be read", shown())).caused_by(error)
        };
        let file = File::open(path).map_err(unread)?;
        if !file.metadata().map_err(unread)?.is_file() {
            return Err(CommandError::user(format!("{} is no file", shown())));
        }
        // Said of the path that was typed.
        let absolute = std::path::absolute(path).map_err(unread)?;
        manager.file(absolute.as_os_str()).map_err(|error| unfit(&error))?;
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        // One that no other call has.
        let place = format!("{PLACE}/{}-{number}/{name}", std::process::id());
        let local = manager.file(place.as_ref()).map_err(|error| unfit(&error))?;
        Ok(Self { file, place: local, path: place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_file_and_any_other_word_a_package() {
        let typed =
            |words: &[&str]| Typed::read(&words.iter().map(OsString::from).collect::<Vec<_>>()).unwrap();
        let all = typed(&["ripgrep", "./x.deb", "/tmp/y.rpm", "fd-find=1.0", "missing.deb"]);
        assert_eq!(all.names, ["ripgrep", "fd-find=1.0", "missing.deb"]);
        assert_eq!(all.files, [Path::new("./x.deb"), Path::new("/tmp/y.rpm")]);
    }

    #[test]
    fn a_file_is_called_as_the_managers_files_are() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tool_1.0_amd64.deb");
        let apt = Manager::by_name("apt").unwrap();
        assert!(Handed::open(&file, 0, apt).unwrap_err().to_string().contains("cannot be read"));
        std::fs::write(&file, "").unwrap();
        let handed = Handed::open(&file, 3, apt).unwrap();
        assert_eq!(handed.path, format!("/var/cache/snug/files/{}-3/tool_1.0_amd64.deb", std::process::id()));
        assert!(Handed::open(&file, 0, Manager::by_name("dnf").unwrap()).is_err());
        assert!(Handed::open(directory.path(), 0, apt).unwrap_err().to_string().ends_with("is no file"));
    }
}
