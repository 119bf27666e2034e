//! One change at a time: whoever changes the packages of a container has its turn, and others wait for it.
//!
//! The turn is a lock of a file, which goes with the process that has it, however that ends. The file says whose it is.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use snug_core::name::ContainerName;
use snug_core::text;

use super::state_file;
use crate::context::Context;
use crate::state;

/// Bytes of the words that are read again: who has the turn.
const LONGEST: u64 = 300;

/// A turn. Over when it is dropped.
pub struct Turn {
    _file: Option<File>,
}

impl Turn {
    /// Waits for one, and says for whom. Ctrl-C ends the wait, and the process with it: nothing has been begun then.
    ///
    /// Where the file cannot be had nobody is kept waiting: package managers have locks of their own, which are less patient.
    pub fn wait(context: &Context, container: &ContainerName, what: &str) -> Self {
        let waits = |holder: &str| {
            let holder = if holder.is_empty() {
                "another change".to_owned()
            } else {
                text::escape(holder).into_owned()
            };
            context
                .printer
                .warning(&format!("packages of {container} are being changed: waiting for {holder} to end"));
        };
        let taken = state_file(container, "lock").and_then(|path| take(&path, what, waits));
        if let Err(error) = &taken {
            context.printer.detail(&format!("changes at the same time are not waited for: {error}"));
        }
        Self { _file: taken.ok() }
    }
}

/// The file, locked. `waits` is told whose it is, if it is somebody's.
fn take(path: &Path, what: &str, waits: impl FnOnce(&str)) -> io::Result<File> {
    let mut file = state::lock_file(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // Words that cannot be read name nobody.
            let _ = (&file).take(LONGEST).read_to_string(&mut holder);
            waits(holder.trim());
            while let Err(error) = flock(&file, FlockOperation::LockExclusive) {
                if error != Errno::INTR {
                    return Err(error.into());
                }
            }
        }
        Err(error) => return Err(error.into()),
    }
    let words = format!("`snug {}` (process {})", text::shorten(what, 200), std::process::id());
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(words.as_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn the_second_waits_for_the_first_and_is_told_whose_turn_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tools.lock");
        let nobody = |holder: &str| panic!("{holder}");
        let first = take(&path, "install a-package-with-a-long-name", nobody).unwrap();
        let (tell, told) = mpsc::channel();
        let second = {
            let path = path.clone();
            thread::spawn(move || {
                let waits = |holder: &str| tell.send(holder.to_owned()).unwrap();
                drop(take(&path, "upgrade", waits).unwrap());
            })
        };
        let holder = told.recv().unwrap();
        let process = format!("(process {})", std::process::id());
        assert!(holder.starts_with("`snug install a-package") && holder.ends_with(&process), "{holder}");
        assert!(!second.is_finished());
        drop(first);
        second.join().unwrap();
        // The shorter words are the whole of it.
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("`snug upgrade` {process}"));
        drop(take(&path, "upgrade", nobody).unwrap());
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tools.lock");
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(take(&path, "upgrade", |_| {}).is_err());
    }
}
