//! A home directory: opened as its owner, mounted where Incus takes it from.
//!
//! What is checked is what is mounted: the descriptor that the owner could open is the one whose mounts are copied.
//! Links on the way are followed only where root planted them (`/home` → `/var/home`), and resolved by hand, one
//! component after the other, so that none can be swapped in between.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2, readlinkat};

use super::credentials::{Credentials, with};
use super::mounts;
use crate::error::{Error, ErrorKind, Result};

/// Links that are followed on the way to a home; the kernel's own bound is 40 (path_resolution(7)).
const LINKS: usize = 40;

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
    let (directory, real) =
        with(credentials, move || walk(&wanted))?.map_err(|reason| refuse(path, &reason))?;
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

fn walk(path: &Path) -> Result<(OwnedFd, PathBuf), String> {
    if !path.is_absolute() {
        return Err("it is no absolute path".into());
    }
    let open = |at: &OwnedFd, name: &OsStr| {
        openat2(
            at,
            name,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::NO_MAGICLINKS,
        )
    };
    let root = || {
        rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| format!("/: {errno}"))
    };
    let mut trail = vec![(root()?, OsString::new())];
    let mut rest = parts(path);
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            if trail.len() > 1 {
                trail.pop();
            }
            continue;
        }
        let Some((here, _)) = trail.last() else { return Err("no root directory".into()) };
        let shown = || format!("{}/{}", spelled(&trail).display(), part.display());
        let next = open(here, &part).map_err(|errno| format!("{}: {errno}", shown()))?;
        let status = fstat(&next).map_err(|errno| format!("{}: {errno}", shown()))?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => trail.push((next, part)),
            FileType::Symlink => {
                links += 1;
                if links > LINKS {
                    return Err("too many links".into());
                }
                if status.st_uid != 0 {
                    return Err(format!("{} is a link that is not root's", shown()));
                }
                let target = readlinkat(next.as_fd(), c"", Vec::new())
                    .map_err(|errno| format!("{}: {errno}", shown()))?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    trail.truncate(1);
                }
                for part in parts(&target).into_iter().rev() {
                    rest.push_front(part);
                }
            }
            _ => return Err(format!("{} is no directory", shown())),
        }
    }
    let real = spelled(&trail);
    let (directory, _) = trail.pop().ok_or("no root directory")?;
    Ok((directory, real))
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

fn spelled(trail: &[(OwnedFd, OsString)]) -> PathBuf {
    let mut bytes = Vec::new();
    for (_, name) in trail.iter().skip(1) {
        bytes.push(b'/');
        bytes.extend_from_slice(name.as_bytes());
    }
    if bytes.is_empty() {
        bytes.push(b'/');
    }
    OsString::from_vec(bytes).into()
}

impl Home {
    /// Mounts it at `target`, with everything below it, following what is mounted there later. What was mounted at
    /// `target` before is taken away.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn mount(&self, target: &Path) -> Result<()> {
        mounts::detach(target)?;
        mounts::Detached::clone_of(self.directory.as_fd())?.attach(target)
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
