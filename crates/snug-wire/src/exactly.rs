//! Contents of a file for a stream that has announced their length: `snug cp` sends tar streams both ways.

use std::io::{self, Read};

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

#[cfg(test)]
mod tests {
    use super::*;

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
