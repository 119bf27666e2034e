//! Which containers of `snug x` there are: for each `NAME.json`, what is in it, and `NAME.lock`, which says who uses it now and when it
//! was used last, in `$XDG_STATE_HOME/snug/x`. What has no file here is somebody's own, whatever its name.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::SystemTime;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use snug_core::name::ContainerName;
use snug_wire::small_file;

use crate::state;

/// Bytes of a record: six hundred commands are some sixty thousand.
const LONGEST: u64 = 1 << 20;

/// What is in a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Record {
    /// As it was asked for.
    pub package: String,
    /// It is whole; before, it is being made, or was.
    #[serde(default)]
    pub ready: bool,
    /// When it was begun with, in seconds since 1970.
    #[serde(default)]
    pub begun: u64,
    /// When the container was made, as the daemon says it: which one of that name it is. Empty until that is known.
    #[serde(default)]
    pub created: String,
    /// What can be run.
    #[serde(default)]
    pub commands: Vec<Program>,
}

/// How long a creation may take, with an image that is fetched for it.
const CREATION: u64 = 60 * 60;

impl Record {
    /// Whether the container of that name which was `created` then is the one that this is about. One that was removed behind Snug's back
    /// may have been followed by another, which is somebody's own. Of one whose maker was killed it is only known when he had begun.
    pub fn is_of(&self, created: &str) -> bool {
        if !self.created.is_empty() {
            return self.created == created;
        }
        let then = created.parse::<Timestamp>().ok().and_then(|then| u64::try_from(then.as_second()).ok());
        then.is_some_and(|then| (self.begun..=self.begun + CREATION).contains(&then))
    }
}

/// A command of the package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The names that it is known by, the best first.
    pub names: Vec<String>,
    /// Where it is in the guest.
    pub path: String,
}

/// All of them.
pub struct Store {
    directory: PathBuf,
}

/// A container of them that is used: nobody else stops or removes it. Let go of when it is dropped, or its process ends.
pub struct Held {
    lock: File,
}

impl Store {
    /// The user's own.
    ///
    /// # Errors
    /// He has no home, or it cannot be made.
    pub fn open() -> io::Result<Self> {
        state::directory("x").map(|directory| Self { directory })
    }

    #[cfg(test)]
    fn below(directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        Ok(Self { directory })
    }

    /// Uses a container, beside others that do; waits while it is being made or removed, and calls `waiting` before.
    ///
    /// # Errors
    /// What the system says.
    pub fn hold(&self, name: &ContainerName, waiting: impl FnOnce()) -> io::Result<Held> {
        match self.lock(name, FlockOperation::NonBlockingLockShared) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::WOULDBLOCK) => {
                waiting();
                self.lock(name, FlockOperation::LockShared)
            }
            held => held,
        }
    }

    /// Has a container alone; waits until nobody else uses it.
    ///
    /// # Errors
    /// What the system says.
    pub fn take(&self, name: &ContainerName) -> io::Result<Held> {
        self.lock(name, FlockOperation::LockExclusive)
    }

    /// Has a container alone, or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn try_take(&self, name: &ContainerName) -> io::Result<Option<Held>> {
        match self.lock(name, FlockOperation::NonBlockingLockExclusive) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::WOULDBLOCK) => Ok(None),
            held => held.map(Some),
        }
    }

    fn lock(&self, name: &ContainerName, how: FlockOperation) -> io::Result<Held> {
        let path = self.directory.join(format!("{name}.lock"));
        loop {
            let lock = state::lock_file(&path)?;
            match flock(&lock, how) {
                Err(Errno::INTR) => continue,
                locked => locked?,
            }
            // Whoever had it before may have removed it; NFS gives it another name then, as long as it is open.
            let file = |status: fs::Metadata| (status.dev(), status.ino());
            let there = fs::symlink_metadata(&path).map(file).ok();
            if there == Some(file(lock.metadata()?)) {
                return Ok(Held { lock });
            }
        }
    }

    fn record(&self, name: &ContainerName) -> PathBuf {
        self.directory.join(format!("{name}.json"))
    }

    /// What is known of a container; nothing where there is none, or where it cannot be understood.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&self, name: &ContainerName) -> io::Result<Option<Record>> {
        match small_file::read_own(&self.record(name), LONGEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => Ok(serde_json::from_slice(&read?).ok()),
        }
    }

    /// Whether the container of that name which was `created` then is one of these, and nobody's own.
    ///
    /// # Errors
    /// What the system says.
    pub fn has(&self, name: &ContainerName, created: &str) -> io::Result<bool> {
        Ok(self.read(name)?.is_some_and(|record| record.is_of(created)))
    }

    /// Notes what is in a container.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, name: &ContainerName, record: &Record, _: &Held) -> io::Result<()> {
        // Nobody else writes it: who does has it alone.
        let new = self.directory.join(format!("{name}.new"));
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.sync_all()?;
        fs::rename(new, self.record(name))
    }

    /// Forgets a container that there is no more.
    ///
    /// # Errors
    /// What the system says.
    pub fn forget(&self, name: &ContainerName, held: Held) -> io::Result<()> {
        for path in [self.record(name), self.directory.join(format!("{name}.lock"))] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        drop(held);
        Ok(())
    }

    /// The names of all, in good order.
    ///
    /// # Errors
    /// What the system says.
    pub fn names(&self) -> io::Result<Vec<ContainerName>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".json"));
            names.extend(name.and_then(|name| name.parse::<ContainerName>().ok()));
        }
        names.sort();
        Ok(names)
    }

    /// Has the only collector; nothing where there is one, which is told that it is wanted.
    ///
    /// # Errors
    /// What the system says.
    pub fn collector(&self) -> io::Result<Option<Collector>> {
        let lock = state::lock_file(&self.directory.join("collector"))?;
        // Before: one that ends meanwhile sees it.
        lock.set_modified(SystemTime::now())?;
        Collector { lock }.alone()
    }
}

/// The only one that stops and removes containers.
pub struct Collector {
    lock: File,
}

impl Collector {
    fn alone(self) -> io::Result<Option<Self>> {
        match flock(&self.lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(None),
            locked => Ok(locked.map(|()| Some(self))?),
        }
    }

    /// When somebody wanted it last.
    ///
    /// # Errors
    /// What the system says.
    pub fn wanted(&self) -> io::Result<SystemTime> {
        self.lock.metadata()?.modified()
    }

    /// Ends, unless somebody has wanted it since he was `seen` and has gone, because there was one.
    ///
    /// # Errors
    /// What the system says.
    pub fn leave(self, seen: SystemTime) -> io::Result<Option<Self>> {
        flock(&self.lock, FlockOperation::Unlock)?;
        if self.wanted()? == seen { Ok(None) } else { self.alone() }
    }
}

impl Held {
    /// Notes that it is used now.
    ///
    /// # Errors
    /// What the system says.
    pub fn touch(&self) -> io::Result<()> {
        self.lock.set_modified(SystemTime::now())
    }

    /// When it was used last. A time to come, after a clock that went back, is now, from now on: else it would be new until then.
    ///
    /// # Errors
    /// What the system says.
    pub fn used(&self) -> io::Result<SystemTime> {
        let (used, now) = (self.lock.metadata()?.modified()?, SystemTime::now());
        if used > now {
            self.lock.set_modified(now)?;
        }
        Ok(used.min(now))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().unwrap();
        let store = Store::below(home.path().join("a/x")).unwrap();
        (home, store)
    }

    fn name() -> ContainerName {
        "x-ripgrep".parse().unwrap()
    }

    #[test]
    fn what_is_used_nobody_has_alone() {
        let (_home, store) = store();
        let nobody = || panic!("nobody has it alone");
        let one = store.hold(&name(), nobody).unwrap();
        let other = store.hold(&name(), nobody).unwrap();
        assert!(store.try_take(&name()).unwrap().is_none());
        drop((one, other));
        let alone = store.try_take(&name()).unwrap().unwrap();
        assert!(store.try_take(&name()).unwrap().is_none());
        // Who waits for one that is removed gets the next one of the name.
        std::thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            let waiting = scope.spawn(|| store.hold(&name(), move || tell.send(()).unwrap()).unwrap());
            told.recv().unwrap();
            store.forget(&name(), alone).unwrap();
            let held = waiting.join().unwrap();
            assert!(held.lock.metadata().unwrap().nlink() == 1);
            assert!(store.try_take(&name()).unwrap().is_none());
        });
    }

    #[test]
    fn a_lock_that_has_got_another_name_is_none() {
        let (_home, store) = store();
        let alone = store.take(&name()).unwrap();
        std::thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            let waiting = scope.spawn(|| store.hold(&name(), move || tell.send(()).unwrap()).unwrap());
            told.recv().unwrap();
            // As NFS does with what is removed while it is open.
            let place = |file: &str| store.directory.join(file);
            fs::rename(place("x-ripgrep.lock"), place(".nfs0001")).unwrap();
            drop(alone);
            let _held = waiting.join().unwrap();
            assert!(store.try_take(&name()).unwrap().is_none(), "two have it alone");
        });
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_spoiled_one_is_none() {
        let (_home, store) = store();
        assert_eq!((store.read(&name()).unwrap(), store.names().unwrap()), (None, vec![]));
        let held = store.take(&name()).unwrap();
        let program = Program { names: vec!["rg".into()], path: "/usr/bin/rg".into() };
        let record =
            Record { package: "ripgrep".into(), ready: true, commands: vec![program], ..Record::default() };
        store.write(&name(), &record, &held).unwrap();
        assert_eq!((store.read(&name()).unwrap(), store.names().unwrap()), (Some(record), vec![name()]));
        fs::write(store.record(&name()), "{").unwrap();
        assert_eq!(store.read(&name()).unwrap(), None);
        store.forget(&name(), held).unwrap();
        assert!(store.names().unwrap().is_empty());
    }

    #[test]
    fn a_record_is_of_the_container_that_was_made_for_it() {
        let made = Record { created: "2026-01-01T00:00:05Z".into(), ..Record::default() };
        assert!(made.is_of("2026-01-01T00:00:05Z"));
        assert!(!made.is_of("2026-01-01T00:00:06Z") && !made.is_of(""));
        // Whoever made it has died before he knew.
        let begun = Record { begun: 1_767_225_600, ..Record::default() };
        for (created, is_of) in [
            ("2026-01-01T00:00:00.5Z", true),
            ("2026-01-01T00:10:00Z", true),
            ("2025-12-31T23:59:59Z", false),
            ("2026-01-02T00:00:00Z", false),
            ("", false),
        ] {
            assert_eq!(begun.is_of(created), is_of, "{created}");
        }
    }

    #[test]
    fn when_it_was_used_is_never_in_the_future() {
        let (_home, store) = store();
        let held = store.take(&name()).unwrap();
        held.lock.set_modified(SystemTime::now() + Duration::from_secs(900)).unwrap();
        assert!(held.used().unwrap() <= SystemTime::now());
        assert!(held.lock.metadata().unwrap().modified().unwrap() <= SystemTime::now(), "it stays new");
        held.lock.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(held.used().unwrap(), SystemTime::UNIX_EPOCH);
        held.touch().unwrap();
        assert!(held.used().unwrap().elapsed().unwrap() < Duration::from_secs(60));
    }

    #[test]
    fn there_is_one_collector() {
        let (_home, store) = store();
        let one = store.collector().unwrap();
        assert!(one.is_some() && store.collector().unwrap().is_none());
        drop(one);
        // One that ends goes, unless somebody has come meanwhile and found one.
        let one = store.collector().unwrap().unwrap();
        let seen = one.wanted().unwrap();
        assert!(store.collector().unwrap().is_none());
        let one = one.leave(seen).unwrap().expect("whoever came goes without");
        let seen = one.wanted().unwrap();
        assert!(one.leave(seen).unwrap().is_none());
        assert!(store.collector().unwrap().is_some());
    }
}
