//! Where lists are: `snug/commands/CONTAINER.list` in the user's cache. Whoever writes one holds `CONTAINER.lock`, whose time is that of the
//! last attempt. That the directory is there means that somebody has asked for lists.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use snug_core::name::ContainerName;
use snug_wire::small_file;

use super::list::{LONGEST, List};
use crate::env_vars;
use crate::state;

/// Packages come and go slowly: a list so old is made again.
pub const OLD: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// After an attempt that failed (no network) the next one waits.
const AGAIN: Duration = Duration::from_secs(60 * 60);
/// A pipe in a file's place waits for nobody, and a link leads nowhere.
const FLAGS: i32 = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;

/// The lists of a user.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// The right to write a container's list, which one at a time has.
#[derive(Debug)]
pub struct Turn {
    _lock: File,
    file: PathBuf,
}

impl Store {
    /// This user's (XDG Base Directory Specification, `XDG_CACHE_HOME`).
    ///
    /// # Errors
    /// He has no home.
    pub fn of_user() -> io::Result<Self> {
        let cache = env_vars::non_empty(env_vars::XDG_CACHE_HOME);
        let cache = snug_exports::base_directory(cache, env::home_dir(), ".cache")?;
        Ok(Self { directory: cache.join("snug/commands") })
    }

    /// Whether somebody has asked for lists.
    pub fn is_wanted(&self) -> bool {
        self.directory.is_dir()
    }

    /// Notes that somebody asks for them.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn want(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)
    }

    fn file(&self, container: &ContainerName) -> PathBuf {
        self.directory.join(format!("{container}.list"))
    }

    fn lock(&self, container: &ContainerName) -> PathBuf {
        self.directory.join(format!("{container}.lock"))
    }

    /// The list of a container, if there is one that can be used.
    pub fn read(&self, container: &ContainerName) -> Option<List> {
        List::parse(small_file::read_own(&self.file(container), LONGEST as u64).ok()?)
    }

    /// Whether a list is to be made: there is none (`is_there`), or it is old; and nobody has tried just now.
    pub fn is_due(&self, container: &ContainerName, is_there: bool) -> bool {
        let is_older = |path: &Path, than: Duration| match fs::symlink_metadata(path) {
            // A time that is yet to come says nothing.
            Ok(status) => status
                .modified()
                .ok()
                .and_then(|then| SystemTime::now().duration_since(then).ok())
                .is_none_or(|age| age >= than),
            Err(_) => true,
        };
        (!is_there || is_older(&self.file(container), OLD)) && is_older(&self.lock(container), AGAIN)
    }

    /// Whether somebody makes the list of a container just now.
    pub fn is_being_made(&self, container: &ContainerName) -> bool {
        let lock = File::options().read(true).custom_flags(FLAGS).open(self.lock(container));
        lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK))
    }

    /// The right to write the list of a container. `None` where another one has it, unless it is to be waited for.
    ///
    /// # Errors
    /// The directory or the lock cannot be written.
    pub fn turn(&self, container: &ContainerName, waits: bool) -> io::Result<Option<Turn>> {
        self.want()?;
        let lock = state::lock_file(&self.lock(container))?;
        let how =
            if waits { FlockOperation::LockExclusive } else { FlockOperation::NonBlockingLockExclusive };
        match flock(&lock, how) {
            Err(Errno::WOULDBLOCK) => return Ok(None),
            locked => locked?,
        }
        lock.set_modified(SystemTime::now())?;
        Ok(Some(Turn { _lock: lock, file: self.file(container) }))
    }

    /// Removes the list of a container that is no more. One that comes under its name may be another distribution's.
    pub fn forget(&self, container: &ContainerName) {
        // It is a cache: what stays is old some day. The lock stays, since somebody may hold it; its attempt was another container's.
        let _ = fs::remove_file(self.file(container));
        let lock = File::options().write(true).custom_flags(FLAGS).open(self.lock(container));
        let _ = lock.and_then(|lock| lock.set_modified(SystemTime::UNIX_EPOCH));
    }
}

impl Turn {
    /// Writes the list, in one piece.
    ///
    /// # Errors
    /// It cannot be written: the one before stays.
    pub fn write(&self, text: &str) -> io::Result<()> {
        let new = self.file.with_extension("new");
        let mut open = OpenOptions::new();
        let mut file =
            open.write(true).create(true).truncate(true).mode(0o600).custom_flags(FLAGS).open(&new)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&new, &self.file));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store, ContainerName) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store { directory: directory.path().join("snug/commands") };
        (directory, store, "tools".parse().unwrap())
    }

    const TEXT: &str = "snug-commands 1\nmanager apt\nlength 11\n\nrg\tripgrep\n";

    fn age(path: &Path, age: Duration) {
        File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn a_list_is_due_where_there_is_none_or_an_old_one_and_not_right_after_an_attempt() {
        let (_directory, store, tools) = store();
        assert!(!store.is_wanted() && store.is_due(&tools, false));
        let turn = store.turn(&tools, false).unwrap().unwrap();
        assert!(store.is_wanted() && !store.is_due(&tools, false), "somebody is at it");
        assert!(store.is_being_made(&tools) && !store.is_being_made(&"other".parse().unwrap()));
        assert!(store.turn(&tools, false).unwrap().is_none(), "one at a time");
        turn.write(TEXT).unwrap();
        drop(turn);
        assert!(!store.is_being_made(&tools));
        assert!(store.read(&tools).is_some());
        let (list, lock) = (store.file(&tools), store.lock(&tools));
        age(&lock, 2 * AGAIN);
        assert!(!store.is_due(&tools, true));
        age(&list, OLD);
        assert!(store.is_due(&tools, true));
        age(&lock, AGAIN / 2);
        assert!(!store.is_due(&tools, true));
        // A clock that went back.
        File::options().write(true).open(&list).unwrap().set_modified(SystemTime::now() + OLD).unwrap();
        age(&lock, 2 * AGAIN);
        assert!(store.is_due(&tools, true));
        store.forget(&tools);
        assert!(store.read(&tools).is_none() && store.is_due(&tools, false));
    }

    #[test]
    fn the_list_before_stays_until_the_new_one_is_whole() {
        let (_directory, store, tools) = store();
        let turn = store.turn(&tools, true).unwrap().unwrap();
        turn.write("broken").unwrap();
        assert!(store.read(&tools).is_none());
        turn.write(TEXT).unwrap();
        assert!(store.read(&tools).is_some());
        // Of one that was killed.
        fs::write(store.file(&tools).with_extension("new"), "left").unwrap();
        turn.write(TEXT).unwrap();
        let mut left: Vec<_> = fs::read_dir(&store.directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["tools.list", "tools.lock"]);
        // A link is not followed.
        let elsewhere = store.directory.join("elsewhere");
        fs::write(&elsewhere, "mine").unwrap();
        std::os::unix::fs::symlink(&elsewhere, store.file(&tools).with_extension("new")).unwrap();
        assert!(turn.write(TEXT).is_err());
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine");
    }
}
