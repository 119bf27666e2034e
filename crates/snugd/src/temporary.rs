//! Containers of `run --rm`: each goes when its client ends, whatever ends it. The client is known by process id and
//! start time, stored in Incus, so that a new daemon goes on watching.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use snug_core::name::{ContainerName, Uid};
use snug_core::spec::TemporaryTag;

use crate::daemon::Daemon;
use crate::host::process::Process;
use crate::host::readiness;
use crate::work::cleanup;

/// One mark of one container: another container of the name has another.
type Key = (Uid, ContainerName, TemporaryTag);

/// Until a process is looked for again that could not be watched.
const AGAIN: Duration = Duration::from_secs(1);

/// Which are being watched.
#[derive(Debug, Default)]
pub struct Temporaries(Mutex<HashSet<Key>>);

impl Temporaries {
    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn begin(&self, key: &Key) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone())
    }

    fn end(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// The client of a mark, if it lives.
#[must_use]
pub fn process(tag: TemporaryTag) -> Process {
    Process { pid: tag.pid, start: tag.start_time }
}

/// Resolves when the client of the mark has ended.
pub async fn ended(tag: TemporaryTag) {
    loop {
        // A pidfd is readable when its process has ended (pidfd_open(2)).
        match process(tag).open().map(|descriptor| descriptor.map(readiness::register)) {
            Ok(None) => return,
            Ok(Some(Ok(descriptor))) if descriptor.readable().await.is_ok() => return,
            // That no descriptor is left is no end: his container would go under his hands.
            Ok(Some(_)) | Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// Watches the client of a temporary container and removes the container after it.
pub fn watch(daemon: &Arc<Daemon>, uid: Uid, name: ContainerName, tag: TemporaryTag) {
    let key = (uid, name, tag);
    if !daemon.temporaries().begin(&key) {
        return;
    }
    let daemon = daemon.clone();
    tokio::spawn(async move {
        ended(key.2).await;
        tracing::info!(uid = key.0.0, container = %key.1, "the client of a temporary container is gone");
        if let Err(error) = cleanup::remove_orphan(&daemon, key.0, &key.1, key.2).await {
            tracing::warn!(container = %key.1, "a temporary container stays for now: {error}");
        }
        daemon.temporaries().end(&key);
    });
}
