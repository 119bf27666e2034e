//! Files that are replaced whole: a reader sees the old text or the new one, never half of it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use snug_wire::small_file;

/// A name beside `path` for what will become it.
fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".snug");
    path.with_file_name(name)
}

/// Writes `text` as the file `path`, which keeps its mode and owner if it is a regular file; a link is replaced, not
/// followed. A new file has `mode`. Nothing is written when it has that text already.
pub fn replace(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let old = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
    if old.is_some() && read(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    let temporary = beside(path);
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(text).and_then(|()| {
        if let Some(old) = &old {
            chown(&temporary, Some(old.uid()), Some(old.gid()))?;
        }
        let mode = old.as_ref().map_or(mode, |old| old.mode() & 0o7777);
        file.set_permissions(fs::Permissions::from_mode(mode))
    });
    match written.and_then(|()| fs::rename(&temporary, path)) {
        Err(error) => {
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
        done => done,
    }
}

/// Removes a file; whether there was one.
pub fn remove_if_there(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Longest file of the guest that is read as a whole: a `passwd` of a hundred thousand users.
const LONGEST: u64 = 16 << 20;

/// A file of the guest, which may hold anything in its place.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    small_file::read(path, LONGEST)
}

/// The same as text.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The paths in a directory; none in one that is not there.
pub fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Makes `path` a link to `target`, whatever it was before, unless it was a directory.
pub fn replace_link(path: &Path, target: &Path) -> io::Result<()> {
    if fs::read_link(path).is_ok_and(|present| present == target) {
        return Ok(());
    }
    let temporary = beside(path);
    let _ = fs::remove_file(&temporary);
    std::os::unix::fs::symlink(target, &temporary)?;
    fs::rename(&temporary, path).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_of_a_sensible_size_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "text").unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        assert_eq!(read_text(&path("link")).unwrap(), "text");
        std::os::unix::fs::symlink("/dev/zero", path("device")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RUSR).unwrap();
        fs::File::create(path("large")).unwrap().set_len(LONGEST + 1).unwrap();
        for name in ["device", "pipe", "large", "."] {
            assert!(read(&path(name)).is_err(), "{name}");
        }
        assert_eq!(read(&path("missing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_a_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, b"new", 0o644).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"old");
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
        replace(&file, b"newer", 0o600).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing temporary is left");
    }

    #[test]
    fn a_link_is_made_over_a_file_or_another_link() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("localtime");
        fs::write(&path, "file").unwrap();
        for target in ["/one", "/two", "/two"] {
            replace_link(&path, Path::new(target)).unwrap();
            assert_eq!(fs::read_link(&path).unwrap(), Path::new(target));
        }
    }
}
