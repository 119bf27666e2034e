//! Hears the end of processes in a guest without looking for them: a fifo in the shared home that they hold open.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid};

use crate::process::wait_readable;
use crate::session::bed::Bed;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A fifo in a user's home and its reading end. Who writes to it is heard; when all who had it open are gone, its end is
/// heard, also if they died of SIGKILL. The fifo is removed when this is dropped.
#[derive(Debug)]
pub struct Lifeline {
    path: PathBuf,
    reader: File,
    heard: Vec<u8>,
    patience: Duration,
}

impl Lifeline {
    /// Makes one in the user's home.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    #[must_use]
    pub fn new(bed: &Bed, user: &str) -> Lifeline {
        let account = bed.account(user);
        let name = format!(".lifeline-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = account.home.join(name);
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .expect("a fifo can be made in the home");
        let owner = (Some(Uid::from_raw(account.uid)), Some(Gid::from_raw(account.gid)));
        rustix::fs::chown(&path, owner.0, owner.1).expect("root may change the owner");
        // Without waiting for a writer; poll(2) reports no end before there was one.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let reader = rustix::fs::open(&path, flags, Mode::empty()).expect("the fifo can be opened");
        Lifeline { path, reader: reader.into(), heard: Vec::new(), patience: Duration::from_secs(60) }
    }

    /// The fifo, for `9>PATH`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until this text was written, and returns what came up to its end.
    ///
    /// # Panics
    /// At the deadline, and when all writers are gone before.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        let end = Instant::now() + self.patience;
        loop {
            let heard = String::from_utf8_lossy(&self.heard).into_owned();
            if let Some(at) = heard.find(text) {
                self.heard = heard.as_bytes()[at + text.len()..].to_vec();
                return heard[..at + text.len()].to_owned();
            }
            assert!(self.hear(end), "{text:?} was never written; heard: {heard:?}");
        }
    }

    /// Waits until all processes that had it open are gone, and returns what they wrote last.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn gone(&mut self) -> String {
        let end = Instant::now() + self.patience;
        while self.hear(end) {}
        assert!(Instant::now() < end, "still held open; heard: {:?}", String::from_utf8_lossy(&self.heard));
        String::from_utf8_lossy(&std::mem::take(&mut self.heard)).into_owned()
    }

    /// Whether a process has it open now: nothing is waited for.
    #[must_use]
    pub fn is_held(&mut self) -> bool {
        while wait_readable(&self.reader, Some(Instant::now() + Duration::from_millis(1))).is_ok() {
            if !self.hear(Instant::now() + self.patience) {
                return false;
            }
        }
        true
    }

    /// Reads what is there; false at the end or the deadline.
    fn hear(&mut self, end: Instant) -> bool {
        let mut buffer = [0; 4096];
        if wait_readable(&self.reader, Some(end)).is_err() {
            return false;
        }
        match self.reader.read(&mut buffer) {
            Ok(count) => {
                self.heard.extend(&buffer[..count]);
                count > 0
            }
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
