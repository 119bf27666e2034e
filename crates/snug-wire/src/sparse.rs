//! Files with holes in a tar stream, in GNU's old format: the map of what is no hole stands in the header, and in blocks
//! behind it, and the data follow without the holes (GNU tar manual, "Sparse Formats").

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use tar::{EntryType, GnuExtSparseHeader, Header};

/// Pieces begin and end at multiples of it, but at the file's end.
const BLOCK: u64 = 512;
/// More pieces than this are sent as one, holes and all: so many does a receiver remember.
const MOST: usize = 1 << 15;

/// What a file has between its holes.
#[derive(Debug, PartialEq, Eq)]
pub struct Map {
    /// Offset and length, in order.
    pieces: Vec<(u64, u64)>,
    length: u64,
}

impl Map {
    /// Of a file of `length` bytes; `None` for one without holes, for one that is shorter by now, on a file system that does
    /// not tell, and for one that has too many.
    pub fn of(file: &File, length: u64) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < length && pieces.len() < MOST {
            let data = match seek(file, SeekFrom::Data(at)) {
                Ok(data) => data,
                // Nothing but a hole is left.
                Err(Errno::NXIO) => break,
                Err(_) => return None,
            };
            let start = (data - data % BLOCK).max(at);
            let end = seek(file, SeekFrom::Hole(data)).ok()?.next_multiple_of(BLOCK).min(length);
            if end <= start {
                return None;
            }
            pieces.push((start, end - start));
            at = end;
        }
        // What was cut off meanwhile looks like a hole.
        let is_cut = file.metadata().ok()?.len() < length;
        if is_cut || pieces.len() == MOST || pieces == [(0, length)] {
            return None;
        }
        // The end of a file that ends in a hole.
        if pieces.last().is_none_or(|(start, count)| start + count < length) {
            pieces.push((length, 0));
        }
        Some(Self { pieces, length })
    }

    /// Bytes that are no hole.
    pub fn data(&self) -> u64 {
        self.pieces.iter().map(|(_, count)| count).sum()
    }

    /// Makes `header`, one of GNU's, that of a file with holes. The answer stands between it and the data.
    pub fn describe(&self, header: &mut Header) -> Cursor<Vec<u8>> {
        header.set_entry_type(EntryType::GNUSparse);
        header.set_size(self.data());
        let mut pieces = self.pieces.iter();
        if let Some(gnu) = header.as_gnu_mut() {
            gnu.set_real_size(self.length);
            for (slot, (offset, count)) in gnu.sparse.iter_mut().zip(&mut pieces) {
                slot.set_offset(*offset);
                slot.set_length(*count);
            }
            gnu.set_is_extended(pieces.len() > 0);
        }
        let mut blocks = Vec::new();
        while pieces.len() > 0 {
            let mut block = GnuExtSparseHeader::new();
            for (slot, (offset, count)) in block.sparse.iter_mut().zip(&mut pieces) {
                slot.set_offset(*offset);
                slot.set_length(*count);
            }
            block.set_is_extended(pieces.len() > 0);
            blocks.extend_from_slice(block.as_bytes());
        }
        Cursor::new(blocks)
    }

    /// The data of `file`, one piece after the other.
    pub fn reader(self, file: File) -> Pieces {
        Pieces { file, left: self.pieces.into_iter(), piece: (0, 0) }
    }
}

/// See [`Map::reader`].
#[derive(Debug)]
pub struct Pieces {
    file: File,
    left: std::vec::IntoIter<(u64, u64)>,
    piece: (u64, u64),
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.1 == 0 {
            match self.left.next() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let (offset, left) = &mut self.piece;
        let wanted = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.file.read_at(&mut buffer[..wanted], *offset)?;
        *offset += count as u64;
        *left -= count as u64;
        Ok(count)
    }
}
