//! Contents of a file for a stream that has announced their length.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Gives exactly so many bytes, whatever happens to the file meanwhile: cut off, or filled up with zeros.
#[derive(Debug)]
pub struct Exactly<R> {
    inner: R,
    left: u64,
    failed: Option<io::Error>,
}

impl<R> Exactly<R> {
    /// `length` bytes of `inner`.
    pub fn new(inner: R, length: u64) -> Self {
        Self { inner, left: length, failed: None }
    }

    /// Why the rest was zeros, if it was.
    pub fn failed(self) -> Option<io::Error> {
        self.failed
    }
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let buffer = &mut buffer[..wanted];
        let mut count = 0;
        if self.failed.is_none() {
            match self.inner.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Err(error) => self.failed = Some(error),
                Ok(0) if wanted > 0 => {
                    self.failed = Some(io::Error::other("it became shorter while it was read"));
                }
                Ok(some) => count = some,
            }
        }
        if self.failed.is_some() {
            buffer.fill(0);
            count = wanted;
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Opens a file to be read, if it is a plain one still: between a look at it and this it may have become a link, which would
/// bring another file, or a fifo, which would wait.
///
/// # Errors
/// What the system says; `ELOOP` for a link.
pub fn open_plain(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("no plain file any more"));
    }
    Ok(file)
}

/// Files whose size says nothing say at most so much: 0 in `/proc`, a page in `/sys`.
const DOUBTFUL: u64 = 64 << 10;
/// As much of such a file is taken into memory, and no more.
const WHOLE: u64 = 16 << 20;

/// The whole content of a file whose size says nothing, as those that the kernel makes up when they are read: they are
/// short, and have no blocks (`blocks` is `st_blocks` of stat(2)). `None` for any other, of which nothing is read.
///
/// # Errors
/// What read says; a file that has no size and is longer than 16 MiB.
pub fn made_up(file: impl Read, length: u64, blocks: u64) -> io::Result<Option<Vec<u8>>> {
    if blocks > 0 || length > DOUBTFUL {
        return Ok(None);
    }
    let mut content = Vec::new();
    file.take(WHOLE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > WHOLE {
        return Err(io::Error::other("it does not tell its size and is longer than 16 MiB"));
    }
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_and_a_fifo_are_no_plain_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("file"), "x").unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("fifo"),
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(open_plain(&path("file")).is_ok());
        for name in ["link", "fifo", "none"] {
            assert!(open_plain(&path(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn the_content_of_a_file_that_does_not_tell_its_size_is_its_size() {
        for (content, length, blocks, taken) in [
            (&b"abc"[..], 0, 0, Some(&b"abc"[..])),
            (b"abc", 4096, 0, Some(b"abc")),
            (b"", 0, 0, Some(b"")),
            (b"abc", 3, 8, None),
            (b"abc", 1 << 20, 0, None),
        ] {
            assert_eq!(made_up(content, length, blocks).unwrap().as_deref(), taken, "{length} {blocks}");
        }
        assert!(made_up(io::repeat(0), 0, 0).is_err());
    }

    #[test]
    fn a_file_that_changes_keeps_its_announced_length() {
        for (content, sent, told) in [(&b"ab"[..], b"ab\0\0", true), (b"abcdef", b"abcd", false)] {
            let mut exact = Exactly::new(content, 4);
            let mut text = Vec::new();
            exact.read_to_end(&mut text).unwrap();
            assert_eq!((text.as_slice(), exact.failed().is_some()), (&sent[..], told));
        }
    }
}
