//! `/etc/subuid` and `/etc/subgid` on disk: both are changed together, under the lock that shadow's tools take.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use snug_core::name::{Gid, Uid};
use snug_core::subid::wanted;

use super::file;
use crate::error::{Error, ErrorKind, Result};

/// The two files and the lock of the account database.
#[derive(Debug, Clone)]
pub struct Files {
    /// `/etc/subuid`.
    pub subuid: PathBuf,
    /// `/etc/subgid`.
    pub subgid: PathBuf,
    /// `/etc/.pwd.lock` (lckpwdf(3)), which shadow's tools take before each file's own lock.
    pub password_lock: PathBuf,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            subuid: "/etc/subuid".into(),
            subgid: "/etc/subgid".into(),
            password_lock: "/etc/.pwd.lock".into(),
        }
    }
}

/// What [`ensure`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was there.
    Unchanged,
    /// Lines for the owner were added.
    Owner,
    /// Root's base range is new: incusd reads it at its own start.
    Base,
}

/// Makes sure that root has a base range and may map `uid` and `gid` one to one.
///
/// # Errors
/// The ids lie in root's range, there is no room, or the files cannot be written.
pub fn ensure(files: &Files, uid: Uid, gid: Gid) -> Result<Outcome> {
    // Without a lock first: nearly always there is nothing to do.
    if plan(files, uid, gid)?.is_none() {
        return Ok(Outcome::Unchanged);
    }
    let _database = lock_database(&files.password_lock)?;
    let _uids = FileLock::take(&files.subuid)?;
    let _gids = FileLock::take(&files.subgid)?;
    let Some(change) = plan(files, uid, gid)? else { return Ok(Outcome::Unchanged) };
    // Both are on the disk before either takes effect; what is left between the two renames is no work at all.
    let staged = [(&files.subuid, &change.subuid), (&files.subgid, &change.subgid)]
        .into_iter()
        .filter_map(|(path, text)| text.as_ref().map(|text| (path, text)))
        .map(|(path, text)| Ok((path, file::stage(path, text.as_bytes(), 0o644)?)))
        .collect::<Result<Vec<_>>>()
        .map_err(|error| {
            error.hint("an administrator can add the lines by hand: root:1000000:1000000000 and root:UID:1")
        })?;
    for (path, temporary) in &staged {
        fs::rename(temporary, path)
            .map_err(|error| Error::system(format!("replace {}", path.display()), error))?;
    }
    file::sync_parent(&files.subuid);
    Ok(if change.base { Outcome::Base } else { Outcome::Owner })
}

/// Whether [`ensure`] would change something, without changing it.
///
/// # Errors
/// As [`ensure`].
pub fn missing(files: &Files, uid: Uid, gid: Gid) -> Result<bool> {
    Ok(plan(files, uid, gid)?.is_some())
}

struct Change {
    subuid: Option<String>,
    subgid: Option<String>,
    base: bool,
}

fn plan(files: &Files, uid: Uid, gid: Gid) -> Result<Option<Change>> {
    let (uids, gids) = (file::read_or_empty(&files.subuid)?, file::read_or_empty(&files.subgid)?);
    let subuid = wanted(&uids, uid.0, highest("/proc/self/uid_map"))?;
    let subgid = wanted(&gids, gid.0, highest("/proc/self/gid_map"))?;
    if subuid.is_none() && subgid.is_none() {
        return Ok(None);
    }
    // A new line that is not the owner's single id is a base range.
    let base = [(&uids, &subuid, uid.0), (&gids, &subgid, gid.0)].into_iter().any(|(before, after, id)| {
        let own = format!("root:{id}:1");
        after.as_ref().is_some_and(|after| {
            after
                .lines()
                .any(|line| line != own && !line.is_empty() && !before.lines().any(|old| old == line))
        })
    });
    Ok(Some(Change { subuid, subgid, base }))
}

/// The greatest id that exists in this user namespace (user_namespaces(7)).
fn highest(map: &str) -> u32 {
    let text = fs::read_to_string(map).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (first, _, count) = (words.next()?, words.next()?, words.next()?);
            let (first, count): (u64, u64) = (first.parse().ok()?, count.parse().ok()?);
            u32::try_from((first + count).checked_sub(1)?.min(u64::from(u32::MAX) - 1)).ok()
        })
        .max()
        .unwrap_or(u32::MAX - 1)
}

fn lock_database(path: &Path) -> Result<File> {
    let system = |error| Error::system(format!("lock {}", path.display()), error);
    let file =
        File::options().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(system)?;
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    let end = Instant::now() + DATABASE;
    loop {
        // SAFETY: the descriptor and the structure are live; the kernel only reads the latter. A lock of the open file,
        // not of the process: two threads of ours exclude each other.
        let status = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
        if status == 0 {
            return Ok(file);
        }
        match io::Error::last_os_error() {
            error if !matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
                return Err(system(error));
            }
            _ if Instant::now() >= end => {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!("the user database is being changed by another program ({})", path.display()),
                )
                .hint("is an editor open on it (vipw)? close it and try again"));
            }
            // No event tells that a lock is free, other than waiting for it without an end.
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// As long as lckpwdf(3) waits. Most who hold the lock do so for milliseconds, `vipw` as long as its editor is open.
const DATABASE: Duration = Duration::from_secs(15);

/// shadow's lock of one file: `FILE.lock`, a hard link to a file that holds our process id (`commonio.c`).
struct FileLock(PathBuf);

impl FileLock {
    fn take(path: &Path) -> Result<Self> {
        let lock = suffixed(path, ".lock");
        let own = suffixed(path, &format!(".{}", std::process::id()));
        let attempt = || -> io::Result<bool> {
            file::remove_if_there(&own)?;
            let mut content = File::options().write(true).create_new(true).mode(0o600).open(&own)?;
            // With the terminating zero, as shadow writes and reads it.
            content.write_all(format!("{}\0", std::process::id()).as_bytes())?;
            let linked = match fs::hard_link(&own, &lock) {
                Ok(()) => true,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if holder_lives(&lock) {
                        false
                    } else {
                        file::remove_if_there(&lock)?;
                        fs::hard_link(&own, &lock)?;
                        true
                    }
                }
                Err(error) => return Err(error),
            };
            fs::remove_file(&own)?;
            Ok(linked)
        };
        match attempt() {
            Ok(true) => Ok(Self(lock)),
            Ok(false) => Err(Error::new(
                ErrorKind::Busy,
                format!("{} is being changed by another program", path.display()),
            )
            .hint("try again")),
            Err(error) => Err(Error::system(format!("lock {}", path.display()), error)),
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        if let Err(error) = file::remove_if_there(&self.0) {
            tracing::warn!("{} stays: {error}", self.0.display());
        }
    }
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

fn holder_lives(lock: &Path) -> bool {
    let text = fs::read_to_string(lock).unwrap_or_default();
    let pid = text.trim_end_matches(['\0', '\n']).parse::<i32>().ok();
    match pid.and_then(rustix::process::Pid::from_raw) {
        Some(pid) => rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH),
        // Not understood: leave it alone.
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &Path) -> Files {
        Files {
            subuid: directory.join("subuid"),
            subgid: directory.join("subgid"),
            password_lock: directory.join(".pwd.lock"),
        }
    }

    #[test]
    fn both_files_get_their_lines_together_and_only_once() {
        let base = tempfile::tempdir().unwrap();
        let files = files(base.path());
        fs::write(&files.subuid, "anna:100000:65536\n").unwrap();
        assert_eq!(ensure(&files, Uid(1000), Gid(1001)).unwrap(), Outcome::Base);
        let (uids, gids) =
            (fs::read_to_string(&files.subuid).unwrap(), fs::read_to_string(&files.subgid).unwrap());
        assert!(uids.contains("anna:100000:65536\n") && uids.contains("root:1000:1\n"), "{uids}");
        assert!(gids.contains("root:1001:1\n"), "{gids}");
        assert_eq!(ensure(&files, Uid(1000), Gid(1001)).unwrap(), Outcome::Unchanged);
        assert_eq!(ensure(&files, Uid(1002), Gid(1002)).unwrap(), Outcome::Owner);
        let left: Vec<_> = fs::read_dir(base.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 3, "{left:?}");
    }

    #[test]
    fn a_lock_of_a_live_process_is_respected_and_a_stale_one_is_not() {
        let base = tempfile::tempdir().unwrap();
        let files = files(base.path());
        let lock = base.path().join("subuid.lock");
        fs::write(&lock, format!("{}\0", std::process::id())).unwrap();
        assert_eq!(ensure(&files, Uid(1000), Gid(1000)).unwrap_err().kind, ErrorKind::Busy);
        // The kernel's bound for process ids is 2^22 (proc(5)).
        fs::write(&lock, "4194303\0").unwrap();
        assert_eq!(ensure(&files, Uid(1000), Gid(1000)).unwrap(), Outcome::Base);
        assert!(!lock.exists());
    }

    #[test]
    fn an_owner_inside_roots_range_is_refused_and_nothing_changes() {
        let base = tempfile::tempdir().unwrap();
        let files = files(base.path());
        fs::write(&files.subuid, "root:1000000:1000000000\n").unwrap();
        assert!(ensure(&files, Uid(1_000_005), Gid(1000)).is_err());
        assert!(!files.subgid.exists());
    }
}
