//! A directory of the host, or a file, opened with the rights of the thread that asks.
//!
//! Links on the way are followed only where root planted them (`/home` → `/var/home`), and resolved by hand, one component
//! after the other, so that none can be swapped in between.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2, readlinkat};
use rustix::io::Errno;

/// Links that are followed on the way; the kernel's own bound is 40 (path_resolution(7)).
const LINKS: usize = 40;

/// Why a directory was not opened.
#[derive(Debug, thiserror::Error)]
pub enum Unopened {
    /// What the kernel says about a path on the way.
    #[error("{}: {errno}", .path.display())]
    System {
        /// The path.
        path: PathBuf,
        /// What it says.
        errno: Errno,
    },
    /// A path on the way is nothing to walk through.
    #[error("{}{what}", .path.display())]
    Kind {
        /// The path.
        path: PathBuf,
        /// What is wrong with it, to be read after the path.
        what: &'static str,
    },
    /// Nothing that names a directory.
    #[error("{0}")]
    Path(&'static str),
}

impl Unopened {
    /// Whether there is nothing at that path.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::System { errno: Errno::NOENT, .. })
    }
}

/// Opens the directory at an absolute `path`, as a place only (`O_PATH`), and answers its path without links, too.
///
/// # Errors
/// When there is none, when the thread may not go there, or when a link that is not root's lies on the way.
///
/// # Panics
/// Never: what is walked begins with the root, which has no parent.
pub fn open(path: &Path) -> Result<(OwnedFd, PathBuf), Unopened> {
    walk(path, Last::Directory)
}

/// The same for what is there, of whatever kind: a place only, nothing of it is read and nobody waited for.
///
/// # Errors
/// As [`open`].
pub fn open_any(path: &Path) -> Result<OwnedFd, Unopened> {
    walk(path, Last::Any).map(|(opened, _)| opened)
}

/// What a path may lead to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Directory,
    Any,
}

fn walk(path: &Path, last: Last) -> Result<(OwnedFd, PathBuf), Unopened> {
    if !path.is_absolute() {
        return Err(Unopened::Path("it is no absolute path"));
    }
    let open_as = |at: &OwnedFd, name: &OsStr, more: OFlags| {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
        openat2(at, name, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)
    };
    let open = |at: &OwnedFd, name: &OsStr| open_as(at, name, OFlags::empty());
    let enter = |at: &OwnedFd, name: &OsStr| open_as(at, name, OFlags::DIRECTORY);
    let root = || {
        rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Unopened::System { path: "/".into(), errno })
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
        let (here, _) = trail.last().expect("the root is never popped");
        let here_named = || spelled(&trail).join(&part);
        let failed = |errno| Unopened::System { path: here_named(), errno };
        let next = open(here, &part).map_err(failed)?;
        let status = fstat(&next).map_err(failed)?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                // Again, as a directory: that has what is mounted on demand mounted, here where it is waited for.
                let entered = enter(here, &part).map_err(failed)?;
                trail.push((entered, part));
            }
            FileType::Symlink => {
                links += 1;
                if links > LINKS {
                    return Err(Unopened::Path("too many links"));
                }
                if status.st_uid != 0 {
                    return Err(Unopened::Kind { path: here_named(), what: " is a link that is not root's" });
                }
                let target = readlinkat(next.as_fd(), c"", Vec::new()).map_err(failed)?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    trail.truncate(1);
                }
                for part in parts(&target).into_iter().rev() {
                    rest.push_front(part);
                }
            }
            _ if last == Last::Any && rest.is_empty() => {
                let mut real = spelled(&trail);
                real.push(part);
                return Ok((next, real));
            }
            _ => return Err(Unopened::Kind { path: here_named(), what: " is no directory" }),
        }
    }
    let real = spelled(&trail);
    let (directory, _) = trail.pop().expect("the root is never popped");
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn refused(path: &Path) -> String {
        open(path).err().unwrap().to_string()
    }

    #[test]
    fn what_is_no_directory_says_why() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(refused(&file), format!("{} is no directory", file.display()));
        assert_eq!(refused(&file.join("below")), format!("{} is no directory", file.display()));
        assert_eq!(refused(Path::new("tmp")), "it is no absolute path");
        let missing = open(&base.path().join("none/below")).err().unwrap();
        assert!(missing.is_missing() && missing.to_string().contains("/none: "), "{missing}");
    }

    #[test]
    fn what_is_no_directory_can_be_a_place_at_the_end_of_a_path() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("file");
        std::fs::write(&file, "").unwrap();
        let kind = |path: &Path| FileType::from_raw_mode(fstat(open_any(path).unwrap()).unwrap().st_mode);
        assert_eq!(kind(&file), FileType::RegularFile);
        assert_eq!(kind(base.path()), FileType::Directory);
        let error = open_any(&file.join("below")).err().unwrap();
        assert_eq!(error.to_string(), format!("{} is no directory", file.display()));
    }

    #[test]
    fn nothing_lies_above_the_root() {
        let (_, real) = open(Path::new("/../../usr/../usr")).unwrap();
        assert_eq!(real, Path::new("/usr"));
    }

    #[test]
    fn a_link_to_what_is_not_there_is_missing_and_one_in_a_circle_an_error() {
        let base = tempfile::tempdir().unwrap();
        symlink("nowhere", base.path().join("dangling")).unwrap();
        symlink("round", base.path().join("round")).unwrap();
        let dangling = open(&base.path().join("dangling")).err().unwrap();
        let round = refused(&base.path().join("round"));
        if rustix::process::geteuid().is_root() {
            assert!(dangling.is_missing(), "{dangling}");
            assert_eq!(round, "too many links");
        } else {
            assert!(round.ends_with("is a link that is not root's"), "{round}");
        }
    }
}
