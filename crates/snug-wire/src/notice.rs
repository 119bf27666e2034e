//! What the owner of a container is to be told once: a file in its run directory.
//!
//! It is the owner's, in a directory of root's that no guest sees: whoever tells him empties it. Programs of root's write it and never read
//! it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

/// Its name in the container's run directory (`STATE/run/UID/NAME`).
pub const NOTICE: &str = "notice";

/// Bytes of it that are read: a few lines.
const LONGEST: u64 = 4 << 10;

/// The lines, for the first who asks; none most of the time. What cannot be read says nothing.
#[must_use]
pub fn take(directory: &Path) -> Vec<String> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = open(directory.join(NOTICE), flags, Mode::empty()) else { return Vec::new() };
    let file = File::from(file);
    // Another command tells it at this moment.
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Vec::new();
    }
    let mut text = String::new();
    let read = (&file).take(LONGEST).read_to_string(&mut text);
    // What cannot be emptied would be told each time.
    if read.is_err() || text.is_empty() || file.set_len(0).is_err() {
        return Vec::new();
    }
    text.lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let none: [&str; 0] = [];
        assert_eq!(take(directory.path()), none);
        let path = directory.path().join(NOTICE);
        std::fs::write(&path, "this\nthat\n").unwrap();
        assert_eq!(take(directory.path()), ["this", "that"]);
        assert_eq!(take(directory.path()), none);
        std::fs::remove_file(&path).unwrap();
        let elsewhere = directory.path().join("elsewhere");
        std::fs::write(&elsewhere, "that\n").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert_eq!(take(directory.path()), none, "no link is followed");
    }
}
