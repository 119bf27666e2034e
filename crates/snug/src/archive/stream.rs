//! Reading a tar stream that may be hostile: GNU format as the guest's agent writes it (regular entries, long names,
//! sparse files), every length bounded before anything is read for it.
//!
//! The tar crate parses the headers; its own reader is not used, because it takes as much memory for a long name as the
//! stream announces, and in its raw mode loses its place at a sparse file.

use std::io::{self, Read};

use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use super::ArchiveError;

const BLOCK: usize = 512;
/// Longest path or link target: eight times what the kernel takes in one call.
const LONGEST_PATH: u64 = 32 << 10;
/// Most pieces of a sparse file; a mebibyte of memory.
const MOST_PIECES: usize = 1 << 16;

/// A piece of a file: where, and how long.
pub type Piece = (u64, u64);

/// What an entry is, with its name as the guest wrote it.
#[derive(Debug)]
pub struct Entry {
    /// Mode, time and kind.
    pub header: Header,
    /// Its path.
    pub path: Vec<u8>,
    /// What it links to, for links.
    pub link: Vec<u8>,
    /// The file's pieces: one for an ordinary file.
    pub pieces: Vec<Piece>,
    /// The file's length.
    pub length: u64,
}

/// The entries of a stream, one after the other.
pub struct Entries<R> {
    inner: R,
    /// Data of the current entry that was not read, and the filling after it.
    left: u64,
    filling: u64,
    begun: bool,
}

impl<R: Read> Entries<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, left: 0, filling: 0, begun: false }
    }

    /// The next entry. What was not read of the one before is passed over.
    pub fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let (mut long_path, mut long_link) = (None, None);
        loop {
            self.pass_over()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.entry_size().map_err(malformed)?;
            self.left = size;
            self.filling = size.next_multiple_of(BLOCK as u64).saturating_sub(size);
            match header.entry_type() {
                EntryType::GNULongName => long_path = Some(self.text()?),
                EntryType::GNULongLink => long_link = Some(self.text()?),
                kind => {
                    let path = long_path.unwrap_or_else(|| header.path_bytes().into_owned());
                    let own_link =
                        || header.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
                    let link = long_link.unwrap_or_else(own_link);
                    let (pieces, length) = if kind == EntryType::GNUSparse {
                        self.sparse(&header, &path)?
                    } else {
                        (vec![(0, size)], size)
                    };
                    return Ok(Some(Entry { header, path, link, pieces, length }));
                }
            }
        }
    }

    /// Reads data of the current entry. 0 at its end; a stream that ends before is an error.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.inner.read(&mut buffer[..wanted])?;
        if count == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }

    fn pass_over(&mut self) -> Result<(), ArchiveError> {
        let rest = self.left.saturating_add(self.filling);
        let passed =
            io::copy(&mut (&mut self.inner).take(rest), &mut io::sink()).map_err(ArchiveError::Stream)?;
        (self.left, self.filling) = (0, 0);
        if passed < rest { Err(ArchiveError::Stream(io::ErrorKind::UnexpectedEof.into())) } else { Ok(()) }
    }

    /// The next header; nothing at the stream's end, which is a block of zeros.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut block = [0; BLOCK];
        let count = self.inner.read(&mut block).map_err(ArchiveError::Stream)?;
        if count == 0 && !self.begun {
            return Ok(None);
        }
        self.begun = true;
        self.inner.read_exact(&mut block[count..]).map_err(ArchiveError::Stream)?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // The sum of all bytes, those of the sum itself taken as blanks (tar(5)).
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        let header = Header::from_byte_slice(&block).clone();
        if header.cksum().map_err(malformed)? != sum {
            return Err(ArchiveError::refused("a header with a wrong sum", b""));
        }
        Ok(Some(header))
    }

    fn text(&mut self) -> Result<Vec<u8>, ArchiveError> {
        if self.left > LONGEST_PATH {
            return Err(ArchiveError::refused("a name that is too long", b""));
        }
        let mut text = vec![0; usize::try_from(self.left).unwrap_or(0)];
        self.inner.read_exact(&mut text).map_err(ArchiveError::Stream)?;
        self.left = 0;
        while text.last() == Some(&0) {
            text.pop();
        }
        Ok(text)
    }

    /// The map of a sparse file: four pieces in the header, then 21 in each further block.
    fn sparse(&mut self, header: &Header, path: &[u8]) -> Result<(Vec<Piece>, u64), ArchiveError> {
        let refused = |problem| ArchiveError::refused(problem, path);
        let gnu = header.as_gnu().ok_or_else(|| refused("a sparse file of an unknown kind"))?;
        let length = gnu.real_size().map_err(malformed)?;
        let mut pieces = Vec::new();
        let mut end = 0;
        let mut data = 0_u64;
        let mut add = |given: &[GnuSparseHeader]| {
            for piece in given.iter().filter(|piece| !piece.is_empty()) {
                let (offset, count) =
                    (piece.offset().map_err(malformed)?, piece.length().map_err(malformed)?);
                let next = offset.checked_add(count).filter(|next| *next <= length && offset >= end);
                end = next.ok_or_else(|| refused("a sparse file whose pieces do not fit"))?;
                data = data.saturating_add(count);
                pieces.push((offset, count));
                if pieces.len() > MOST_PIECES {
                    return Err(refused("a sparse file of too many pieces"));
                }
            }
            Ok(data)
        };
        let mut announced = add(&gnu.sparse)?;
        let mut goes_on = gnu.is_extended();
        while goes_on {
            let mut more = GnuExtSparseHeader::new();
            self.inner.read_exact(more.as_mut_bytes()).map_err(ArchiveError::Stream)?;
            announced = add(&more.sparse)?;
            goes_on = more.is_extended();
        }
        if announced != self.left {
            return Err(refused("a sparse file whose pieces do not add up"));
        }
        Ok((pieces, length))
    }
}

/// The words of the tar crate say nothing to a user.
fn malformed(_: io::Error) -> ArchiveError {
    ArchiveError::refused("a header that is none", b"")
}
