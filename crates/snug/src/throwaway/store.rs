//! Which containers of `snug x` there are: for each `NAME.json`, what is in it, and `NAME.lock`, which says who uses it now and when it
//! was used last, in `$XDG_STATE_HOME/snug/x`. What has no file here is somebody's own, whatever its name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::SystemTime;

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
    /// What can be run.
    #[serde(default)]
    pub commands: Vec<Program>,
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

    /// Uses a container, beside others that do; waits while it is being made or removed.
    ///
    /// # Errors
    /// What the system says.
    pub fn hold(&self, name: &ContainerName) -> io::Result<Held> {
        self.lock(name, FlockOperation::LockShared)
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
        let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;
        loop {
            let lock = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(flags)
                .open(&path)?;
            match flock(&lock, how) {
                Err(Errno::INTR) => continue,
                locked => locked?,
            }
            // Whoever had it before may have removed it.
            if lock.metadata()?.nlink() > 0 {
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

    /// Has the only collector; nothing where there is one.
    ///
    /// # Errors
    /// What the system says.
    pub fn collector(&self) -> io::Result<Option<File>> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(self.directory.join("collector"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(None),
            locked => Ok(locked.map(|()| Some(lock))?),
        }
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

    /// When it was used last. A time to come, after a clock that went back, is now.
    ///
    /// # Errors
    /// What the system says.
    pub fn used(&self) -> io::Result<SystemTime> {
        Ok(self.lock.metadata()?.modified()?.min(SystemTime::now()))
    }
}

#[cfg(test)]
mod tests {
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
        let one = store.hold(&name()).unwrap();
        let other = store.hold(&name()).unwrap();
        assert!(store.try_take(&name()).unwrap().is_none());
        drop((one, other));
        let alone = store.try_take(&name()).unwrap().unwrap();
        assert!(store.try_take(&name()).unwrap().is_none());
        // Who waits for one that is removed gets the next one of the name.
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| store.hold(&name()).unwrap());
            std::thread::sleep(Duration::from_millis(50));
            store.forget(&name(), alone).unwrap();
            let held = waiting.join().unwrap();
            assert!(held.lock.metadata().unwrap().nlink() == 1);
            assert!(store.try_take(&name()).unwrap().is_none());
        });
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_spoiled_one_is_none() {
        let (_home, store) = store();
        assert_eq!((store.read(&name()).unwrap(), store.names().unwrap()), (None, vec![]));
        let held = store.take(&name()).unwrap();
        let program = Program { names: vec!["rg".into()], path: "/usr/bin/rg".into() };
        let record = Record { package: "ripgrep".into(), ready: true, commands: vec![program] };
        store.write(&name(), &record, &held).unwrap();
        assert_eq!((store.read(&name()).unwrap(), store.names().unwrap()), (Some(record), vec![name()]));
        fs::write(store.record(&name()), "{").unwrap();
        assert_eq!(store.read(&name()).unwrap(), None);
        store.forget(&name(), held).unwrap();
        assert!(store.names().unwrap().is_empty());
    }

    #[test]
    fn when_it_was_used_is_never_in_the_future() {
        let (_home, store) = store();
        let held = store.take(&name()).unwrap();
        held.lock.set_modified(SystemTime::now() + Duration::from_secs(900)).unwrap();
        assert!(held.used().unwrap() <= SystemTime::now());
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
        assert!(store.collector().unwrap().is_some());
    }
}
