//! Files written as a whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

static REPLACING: Mutex<()> = Mutex::new(());

/// Writes `content` to `path`: a file beside it is filled, synced and renamed over it.
///
/// # Errors
/// What the system says, with the path.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    // Two that replace the same file have the same file beside it.
    let _one = REPLACING.lock().unwrap_or_else(PoisonError::into_inner);
    let temporary = stage(path, content, mode)?;
    fs::rename(&temporary, path).map_err(|error| {
        let _ = fs::remove_file(&temporary);
        Error::system(format!("replace {}", path.display()), error)
    })?;
    sync_parent(path);
    Ok(())
}

/// Writes `content` to a synced file beside `path` and gives its name.
///
/// # Errors
/// What the system says, with the path.
pub fn stage(path: &Path, content: &[u8], mode: u32) -> Result<std::path::PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".snug-new");
    let temporary = path.with_file_name(name);
    let write = || -> io::Result<()> {
        remove_if_there(&temporary)?;
        let mut file = File::options().write(true).create_new(true).mode(mode).open(&temporary)?;
        // The umask must not decide.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|error| {
        // Half a file helps nobody, least of all on a full disk.
        let _ = fs::remove_file(&temporary);
        Error::system(format!("write {}", temporary.display()), error)
    })?;
    Ok(temporary)
}

/// Makes a rename in `path`'s directory last over a crash.
pub fn sync_parent(path: &Path) {
    if let Some(parent) = path.parent()
        && let Ok(directory) = File::open(parent)
    {
        // A file system that cannot sync a directory has nothing better to offer.
        let _ = directory.sync_all();
    }
}

/// Removes a file; that it is not there is what was wanted.
///
/// # Errors
/// What the system says.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The names in a directory that are UTF-8; none where it does not exist.
///
/// # Errors
/// What the system says, with the path.
pub fn names_in(directory: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        other => other.map_err(|error| Error::system(format!("read {}", directory.display()), error))?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
    names
        .filter_map(io::Result::transpose)
        .collect::<io::Result<_>>()
        .map_err(|error| Error::system(format!("read {}", directory.display()), error))
}

/// Reads a text file; one that is not there is empty.
///
/// # Errors
/// What the system says, with the path.
pub fn read_or_empty(path: &Path) -> Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Error::system(format!("read {}", path.display()), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_with_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy");
        replace(&path, b"one", 0o644).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn many_at_once_each_replace_it_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent");
        std::thread::scope(|scope| {
            for byte in 0..16 {
                let path = &path;
                scope.spawn(move || replace(path, &vec![byte; 200_000], 0o755).unwrap());
            }
        });
        let content = fs::read(&path).unwrap();
        assert!(content.len() == 200_000 && content.iter().all(|byte| *byte == content[0]));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_replaced_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("taken/by")).unwrap();
        assert!(replace(&directory.path().join("taken"), b"x", 0o644).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
