//! What the bed remembers. Processes it knows by their mark; here is what carries none.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Result};
use crate::host;

/// What lasts until `down`: logs, the client's configuration, the state file.
pub const RUN_DIR: &str = "/run/snug-testbed";
/// What lasts longer: built images, the list of users.
pub const LASTING_DIR: &str = "/var/lib/snug-testbed";

/// The state of this boot.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    boot_id: String,
    /// Mount points on the host that `down` undoes.
    pub mounts: BTreeSet<PathBuf>,
    /// systemd units that were not active before.
    pub units: BTreeSet<String>,
    /// Whether the bed started the system bus (what the bus activated is then the bed's, too).
    pub bus: bool,
    /// Whether the bed started incusd.
    pub incus: bool,
}

impl State {
    /// The state of this boot; that of an earlier one is void.
    pub fn load() -> State {
        let boot_id = host::boot_id();
        let text = fs::read(Path::new(RUN_DIR).join("state.json")).unwrap_or_default();
        let state: State = serde_json::from_slice(&text).unwrap_or_default();
        if state.boot_id == boot_id { state } else { State { boot_id, ..State::default() } }
    }

    /// Changes the state and writes it, before the step it tells of.
    pub fn remember(&mut self, change: impl FnOnce(&mut State)) -> Result<()> {
        change(self);
        write_json(&Path::new(RUN_DIR).join("state.json"), self)
    }

    /// Forgets everything.
    pub fn forget() -> Result<()> {
        match fs::remove_dir_all(RUN_DIR) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).doing(|| format!("removing {RUN_DIR}"))
            }
            _ => Ok(()),
        }
    }
}

/// Writes JSON so that a reader sees the old file or the new one, never half of one.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir).doing(|| format!("making {}", dir.display()))?;
    let writing = || format!("writing {}", path.display());
    let mut file = tempfile::NamedTempFile::new_in(dir).doing(writing)?;
    serde_json::to_writer_pretty(&mut file, value).map_err(std::io::Error::from).doing(writing)?;
    file.write_all(b"\n").doing(writing)?;
    file.persist(path).map_err(|error| error.error).doing(writing)?;
    Ok(())
}

/// One `up` or `down` at a time; released when dropped, also by a kill.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

impl Lock {
    /// Waits for the lock.
    pub fn take() -> Result<Lock> {
        fs::create_dir_all(LASTING_DIR).doing(|| format!("making {LASTING_DIR}"))?;
        let path = Path::new(LASTING_DIR).join("lock");
        let locking = || format!("locking {}", path.display());
        let file = File::options().create(true).append(true).open(&path).doing(locking)?;
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            host::say("another up or down is at work, waiting for it");
            rustix::fs::flock(&file, FlockOperation::LockExclusive).doing(locking)?;
        }
        Ok(Lock(file))
    }
}
