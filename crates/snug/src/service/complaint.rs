//! What a program of the host complains about, kept for whoever asked for it.

use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use snug_core::text::{escape_bytes, shorten};

/// How much is kept, in bytes, of which there is in memory what was written. Beyond it writing fails: a browser that has warned for
/// weeks has yet to get there.
const SPACE: u64 = 64 << 20;
/// Where the last words are looked for, in bytes before its end.
const TAIL: u64 = 4 << 10;
/// How much of it is told: the last lines, and of each so many characters.
const LINES: usize = 3;
const CHARACTERS: usize = 200;

/// A standard error for a program that may outlive whoever started it: a file in memory that cannot grow. A pipe without a reader
/// would end a browser with its next warning.
pub struct Complaint {
    file: File,
}

impl Complaint {
    /// An empty one.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn new() -> io::Result<Self> {
        let file = memfd_create("complaint", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, SPACE)?;
        fcntl_add_seals(&file, SealFlags::GROW)?;
        Ok(Self { file: file.into() })
    }

    /// What the program writes to.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn stream(&self) -> io::Result<OwnedFd> {
        self.file.try_clone().map(OwnedFd::from)
    }

    /// The last lines, on one line and harmless for a terminal; empty when nothing was written.
    pub fn last_words(&self) -> String {
        // The place where the next word would come: all copies of the descriptor share it.
        let end = (&self.file).stream_position().unwrap_or(0);
        let begin = end.saturating_sub(TAIL);
        let mut text = vec![0; usize::try_from(end - begin).unwrap_or(0)];
        let length = self.file.read_at(&mut text, begin).unwrap_or(0);
        text.truncate(length);
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
        let told = &lines[lines.len().saturating_sub(LINES)..];
        let told = told.iter().map(|line| shorten(&escape_bytes(line), CHARACTERS).into_owned());
        told.collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_lines_are_told_and_cannot_harm() {
        let complaint = Complaint::new().unwrap();
        assert_eq!(complaint.last_words(), "");
        let mut stream = File::from(complaint.stream().unwrap());
        stream.write_all(b"one\ntwo\n\n  three \x1b[2J\nfour\xff").unwrap();
        assert_eq!(complaint.last_words(), "two; three \\e[2J; four\\xff");
        stream.write_all(&[b'x'; 1000]).unwrap();
        assert!(complaint.last_words().chars().count() < 3 * CHARACTERS);
    }

    #[test]
    fn who_says_more_than_is_kept_is_not_stopped_by_it() {
        let complaint = Complaint::new().unwrap();
        let mut stream = File::from(complaint.stream().unwrap());
        stream.seek(io::SeekFrom::Start(SPACE - 5)).unwrap();
        stream.write_all(b"\nlast").unwrap();
        assert!(stream.write_all(b"more").is_err());
        assert!(complaint.last_words().ends_with("; last"));
        drop(complaint);
        assert!(stream.write_all(b"more").is_err());
    }
}
