//! What the services of a guest that was killed have left in the host's `/tmp` and `/var/tmp`, which were the guest's.
//!
//! They are the guest's own files, made by whoever is root there, and looked at with root's rights of the host: so only what
//! belongs to an id of the guest goes, by descriptors, through no link and no mount, and so deep only.

use std::ffi::{CStr, OsStr};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, fstat, openat2, statat, unlinkat};
use rustix::io::Errno;
use snug_core::text;
use snug_wire::provision::{SERVICE_DIRECTORY, TEMPORARY};

use super::directory;
use crate::error::{Error, Result, failed};

/// Directories in each other that are gone into.
const DEEPEST: usize = 64;
/// How long looking for them may take.
const SEARCH: Duration = Duration::from_secs(3);
/// How long removing may take.
const LONGEST: Duration = Duration::from_secs(20);

/// The host's ids of a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    /// What its root has been or will be.
    pub roots: Vec<u32>,
    /// All of them, its owner's own among them.
    pub all: Vec<Range<u32>>,
}

impl Ids {
    fn has(&self, uid: u32) -> bool {
        self.all.iter().any(|range| range.contains(&uid))
    }
}

/// The directories of a guest there. Blocks, for [`SEARCH`] at most.
///
/// # Errors
/// When a directory cannot be read, or holds too many of such names.
pub fn of(ids: &Ids) -> Result<Vec<PathBuf>> {
    let deadline = Instant::now() + SEARCH;
    let mut found = Vec::new();
    for directory in TEMPORARY.map(Path::new) {
        of_one(directory, ids, deadline, &mut found)?;
    }
    Ok(found)
}

fn of_one(directory: &Path, ids: &Ids, deadline: Instant, found: &mut Vec<PathBuf>) -> Result<()> {
    let system = |errno: Errno| Error::system(format!("read {}", directory.display()), errno);
    let (opened, real) = match directory::open(directory) {
        Ok(opened) => opened,
        Err(error) if error.is_missing() => return Ok(()),
        Err(error) => return Err(failed(error.to_string())),
    };
    let opened = open_below(opened.as_fd(), c".", OFlags::RDONLY).map_err(system)?;
    for entry in Dir::read_from(&opened).map_err(system)? {
        if Instant::now() > deadline {
            return Err(failed(format!("there is too much in {}", directory.display())));
        }
        let name = entry.map_err(system)?.file_name().to_owned();
        // What is mounted under such a name is not asked, and one that is gone is nobody's.
        let is_theirs = |child: OwnedFd| fstat(child).is_ok_and(|status| ids.roots.contains(&status.st_uid));
        if name.to_bytes().starts_with(SERVICE_DIRECTORY.as_bytes())
            && open_below(opened.as_fd(), &name, OFlags::PATH).is_ok_and(is_theirs)
        {
            found.push(real.join(OsStr::from_bytes(name.to_bytes())));
        }
    }
    Ok(())
}

/// A directory in another one, of the same mount.
fn open_below(directory: BorrowedFd<'_>, name: &CStr, access: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    openat2(directory, name, flags, Mode::empty(), resolve)
}

/// Removes what [`of`] has found. Blocks, for [`LONGEST`] at most.
///
/// # Errors
/// When something stays, with the first reason.
pub fn remove(paths: &[PathBuf], ids: &Ids) -> Result<()> {
    let deadline = Instant::now() + LONGEST;
    let mut all = Ok(());
    for path in paths {
        let removed = remove_one(path, ids, deadline);
        let shown = text::escape_bytes(path.as_os_str().as_bytes());
        all = all.and(removed.map_err(|reason| failed(format!("{shown} stays: {reason}"))));
    }
    all
}

fn remove_one(path: &Path, ids: &Ids, deadline: Instant) -> std::result::Result<(), String> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err("it is no path of a directory".to_owned());
    };
    let name = std::ffi::CString::new(name.as_encoded_bytes()).map_err(|error| error.to_string())?;
    let (parent, _) = directory::open(parent).map_err(|error| error.to_string())?;
    Removal { ids, deadline }.entry(parent.as_fd(), &name, DEEPEST)
}

struct Removal<'a> {
    ids: &'a Ids,
    deadline: Instant,
}

impl Removal<'_> {
    /// Removes one entry of a directory; that it is gone is what was wanted.
    fn entry(&self, directory: BorrowedFd<'_>, name: &CStr, depth: usize) -> std::result::Result<(), String> {
        let shown = |errno: Errno| format!("{}: {errno}", text::escape_bytes(name.to_bytes()));
        let foreign = |uid: u32| format!("{} belongs to uid {uid}", text::escape_bytes(name.to_bytes()));
        let how = match open_below(directory, name, OFlags::RDONLY) {
            Ok(opened) => {
                let status = fstat(&opened).map_err(shown)?;
                if !self.ids.has(status.st_uid) {
                    return Err(foreign(status.st_uid));
                }
                self.entries(&opened, depth)?;
                AtFlags::REMOVEDIR
            }
            Err(Errno::NOENT) => return Ok(()),
            // No directory, and nothing is mounted on it.
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let status = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => return Ok(()),
                    status => status.map_err(shown)?,
                };
                if !self.ids.has(status.st_uid) {
                    return Err(foreign(status.st_uid));
                }
                AtFlags::empty()
            }
            Err(errno) => return Err(shown(errno)),
        };
        match unlinkat(directory, name, how) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(shown(errno)),
        }
    }

    /// All that can be removed; the first reason why something cannot.
    fn entries(&self, directory: &OwnedFd, depth: usize) -> std::result::Result<(), String> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(format!("it goes down more than {DEEPEST} directories"));
        };
        let mut all = Ok(());
        for entry in Dir::read_from(directory).map_err(|errno| errno.to_string())? {
            if Instant::now() > self.deadline {
                return Err("it takes too long".to_owned());
            }
            let name = entry.map_err(|errno| errno.to_string())?.file_name().to_owned();
            if [&b"."[..], b".."].contains(&name.to_bytes()) {
                continue;
            }
            all = all.and(self.entry(directory.as_fd(), &name, depth));
        }
        all
    }
}

#[cfg(all(test, feature = "root-tests"))]
#[allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]
mod tests {
    use std::fs;
    use std::os::unix::fs::{lchown, symlink};

    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

    use super::*;

    const ROOT: u32 = 3_765_536;

    fn ids() -> Ids {
        Ids { roots: vec![ROOT], all: vec![ROOT..ROOT + 1000, 4321..4322] }
    }

    fn directory(path: &Path, uid: u32) -> PathBuf {
        fs::create_dir(path).unwrap();
        lchown(path, Some(uid), Some(uid)).unwrap();
        path.to_owned()
    }

    fn file(path: &Path, uid: u32) -> PathBuf {
        fs::write(path, "").unwrap();
        lchown(path, Some(uid), Some(uid)).unwrap();
        path.to_owned()
    }

    fn found(base: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        of_one(base, &ids(), Instant::now() + SEARCH, &mut found).unwrap();
        found
    }

    #[test]
    fn a_guests_are_found_and_removed_with_what_its_other_users_have_in_them() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path();
        let kept = [
            directory(&base.join("systemd-private-other"), 3_000_000),
            directory(&base.join("systemd-private-of-its-owner"), 4321),
            directory(&base.join("something-else"), ROOT),
        ];
        let link = base.join("systemd-private-link");
        symlink(&kept[2], &link).unwrap();
        lchown(&link, Some(ROOT), Some(ROOT)).unwrap();
        let gone = directory(&base.join("systemd-private-ours"), ROOT);
        let inner = directory(&gone.join("tmp"), ROOT);
        file(&directory(&inner.join("of-a-service"), ROOT + 33).join("file"), ROOT + 33);
        file(&inner.join("of-the-owner"), 4321);
        symlink(&kept[0], inner.join("link")).unwrap();
        lchown(inner.join("link"), Some(ROOT), Some(ROOT)).unwrap();
        let found = found(base);
        assert_eq!(found, [gone.as_path()]);
        for _ in 0..2 {
            remove(&found, &ids()).unwrap();
        }
        assert!(!gone.exists() && kept.iter().all(|path| path.exists()) && link.is_symlink());
    }

    #[test]
    fn what_somebody_else_has_stays_though_a_guest_moved_it_there() {
        let base = tempfile::tempdir().unwrap();
        let ours = directory(&base.path().join("systemd-private-ours"), ROOT);
        let moved = directory(&ours.join("moved"), 4321);
        let theirs = file(&directory(&moved.join("of-another"), 5000).join("file"), 5000);
        let own = file(&moved.join("own"), 4321);
        let error = remove(&found(base.path()), &ids()).unwrap_err();
        assert!(error.message.contains("belongs to uid 5000"), "{error}");
        assert!(theirs.exists() && !own.exists());
    }

    #[test]
    fn nothing_is_gone_into_that_is_too_deep_or_mounted() {
        let base = tempfile::tempdir().unwrap();
        let ours = directory(&base.path().join("systemd-private-ours"), ROOT);
        let mut deep = ours.clone();
        for _ in 0..DEEPEST {
            deep = directory(&deep.join("d"), ROOT);
        }
        let error = remove(&found(base.path()), &ids()).unwrap_err();
        assert!(error.message.contains("goes down more than"), "{error}");
        fs::remove_dir_all(ours.join("d")).unwrap();
        for path in [ours.join("mounted"), base.path().join("systemd-private-mounted")] {
            directory(&path, ROOT);
            let options = Some(c"size=64k,mode=777,uid=3765536");
            mount("snug-test", &path, "tmpfs", MountFlags::empty(), options).unwrap();
            let inside = file(&path.join("file"), ROOT);
            let (seen, removed) = (found(base.path()), remove(std::slice::from_ref(&path), &ids()));
            let all = remove(&seen, &ids());
            let kept = inside.exists();
            unmount(&path, UnmountFlags::DETACH).unwrap();
            assert!(!seen.contains(&path) && removed.is_err() && kept);
            assert_eq!(all.is_err(), path.starts_with(&ours));
        }
        remove(&found(base.path()), &ids()).unwrap();
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }
}
