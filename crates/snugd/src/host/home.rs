//! A home directory: opened as its owner, mounted where Incus takes it from.
//!
//! What is checked is what is mounted: the descriptor that the owner could open is the one whose mounts are copied.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fstat};

use super::credentials::{Credentials, with};
use super::mount_table::{MOST_MOUNTS, Table};
use super::{directory, mounts};
use crate::error::{Error, ErrorKind, Result};

/// A home that its owner could open.
pub struct Home {
    directory: OwnedFd,
    /// Its path without links.
    pub real: PathBuf,
}

/// Opens the home at `path` with its owner's credentials.
///
/// # Errors
/// [`ErrorKind::NotEligible`] when there is no such directory, when it is not his, or when a link that is not root's
/// lies on the way.
pub fn open(credentials: Credentials, path: &Path) -> Result<Home> {
    let uid = credentials.uid;
    let wanted = path.to_owned();
    let (directory, real) = with(credentials, move || directory::open(&wanted))?
        .map_err(|unopened| refuse(path, &unopened.to_string()))?;
    if real == Path::new("/") {
        return Err(refuse(path, "it is the root directory"));
    }
    let status =
        fstat(&directory).map_err(|errno| Error::system(format!("look at {}", path.display()), errno))?;
    if status.st_uid != uid {
        return Err(refuse(path, &format!("it belongs to uid {}, not to {uid}", status.st_uid)));
    }
    Ok(Home { directory, real })
}

/// Another name of the home that lies at `real`: ostree systems have it below `/home` and `/var/home`, and accounts and
/// files spell it either way.
#[must_use]
pub fn other_spelling(credentials: Credentials, real: &Path) -> Option<PathBuf> {
    other_spelling_below(Path::new("/home"), credentials, real)
}

fn other_spelling_below(base: &Path, credentials: Credentials, real: &Path) -> Option<PathBuf> {
    let spelling = base.join(real.file_name()?);
    let leads_there = |home: Home| home.real == real;
    (spelling != real && open(credentials, &spelling).is_ok_and(leads_there)).then_some(spelling)
}

fn refuse(path: &Path, reason: &str) -> Error {
    Error::new(ErrorKind::NotEligible, format!("cannot use the home directory {}: {reason}", path.display()))
        .hint("a container with a home of its own needs none: create it with `home=private`")
}

impl Home {
    /// Mounts it at `target`, with everything below it, following what is mounted there later, unless that is more than
    /// [`MOST_MOUNTS`]: then alone. What was mounted at `target` before is taken away. Answers whether it is whole.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn mount(&self, target: &Path) -> Result<bool> {
        mounts::detach(target)?;
        let is_whole = Table::read()?.count_below(&self.real) <= MOST_MOUNTS;
        let copy = match is_whole {
            true => mounts::Detached::clone_of(self.directory.as_fd())?,
            false => mounts::Detached::clone_of_one(self.directory.as_fd())?,
        };
        copy.attach(target)?;
        Ok(is_whole)
    }

    /// Whether it is what is mounted at `target` already.
    #[must_use]
    pub fn is_at(&self, target: &Path) -> bool {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let same = || -> rustix::io::Result<bool> {
            let there = rustix::fs::open(target, flags, Mode::empty())?;
            let (a, b) = (fstat(&there)?, fstat(&self.directory)?);
            Ok(a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        };
        same().unwrap_or(false)
    }
}

#[cfg(all(test, feature = "root-tests"))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn me() -> Credentials {
        Credentials {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: vec![],
        }
    }

    #[test]
    fn a_link_of_roots_is_followed_and_the_real_path_known() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(base.path().join("var/home/anna")).unwrap();
        symlink("var/home", base.path().join("home")).unwrap();
        let home = open(me(), &base.path().join("home/anna")).unwrap();
        assert_eq!(home.real, base.path().join("var/home/anna"));
        assert!(home.is_at(&base.path().join("var/home/anna")));
        let other = |real: &Path| other_spelling_below(&base.path().join("home"), me(), real);
        assert_eq!(other(&home.real), Some(base.path().join("home/anna")));
        assert_eq!(other(&base.path().join("home/anna")), None);
        assert_eq!(other(Path::new("/srv/anna")), None);
    }

    #[test]
    fn a_link_of_the_owners_is_not_followed() {
        let base = tempfile::tempdir().unwrap();
        let link = base.path().join("home");
        symlink("/etc", &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(1234), None).unwrap();
        let error = open(me(), &link).err().unwrap();
        assert_eq!(error.kind, ErrorKind::NotEligible);
        assert!(error.message.contains("not root's"), "{error}");
    }

    #[test]
    fn the_root_directory_is_no_home() {
        let error = open(me(), Path::new("/usr/..")).err().unwrap();
        assert!(error.message.contains("root directory"), "{error}");
    }

    #[test]
    fn somebody_elses_directory_is_no_home() {
        let base = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(base.path(), Some(4321), None).unwrap();
        let error = open(me(), base.path()).err().unwrap();
        assert!(error.message.contains("belongs to uid 4321"), "{error}");
    }
}
