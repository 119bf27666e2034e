//! Messages, with their descriptors, out of a stream.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use snug_wire::rights;

use super::message::{self, Header, Malformed};

/// The longest line (libdbus takes as many).
const LONGEST_LINE: usize = 16 << 10;
/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// Bytes, and the descriptors that came with them or go with the first of them.
#[derive(Default)]
pub struct Piece {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The descriptors.
    pub fds: Vec<OwnedFd>,
}

/// Takes what has come; an empty piece is the end.
pub fn receive(socket: BorrowedFd<'_>) -> Result<Piece, Errno> {
    let mut bytes = vec![0; CHUNK];
    let (count, fds) = rights::receive(socket, &mut bytes, RecvFlags::empty())?;
    bytes.truncate(count);
    Ok(Piece { bytes, fds })
}

/// Sends as much as can be sent without waiting; the descriptors go with the first byte. How much it was.
pub fn send_some(socket: BorrowedFd<'_>, bytes: &[u8], fds: &mut Vec<OwnedFd>) -> Result<usize, Errno> {
    let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    match rights::send(socket, bytes, &borrowed) {
        Ok(sent) => {
            fds.clear();
            Ok(sent)
        }
        Err(Errno::AGAIN) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Puts pieces together to messages. The kernel glues what was sent apart, and hands descriptors over with the last part of
/// it (unix(7)); their receivers count on their coming with the message that they belong to.
#[derive(Default)]
pub struct Framer {
    bytes: Vec<u8>,
    /// Those before it have been taken out.
    start: usize,
    fds: Vec<OwnedFd>,
}

impl Framer {
    /// Takes a piece.
    pub fn take(&mut self, piece: Piece) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend(piece.bytes);
        self.fds.extend(piece.fds);
    }

    fn waiting(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The next message, when it is whole, with its descriptors.
    pub fn next(&mut self) -> Result<Option<(Header, Piece)>, Malformed> {
        let Some(length) = message::length(self.waiting())? else { return Ok(None) };
        let Some(bytes) = self.waiting().get(..length) else { return Ok(None) };
        let (header, bytes) = (message::header(bytes)?, bytes.to_vec());
        self.start += length;
        let fds = self.fds.drain(..header.descriptors.min(self.fds.len())).collect();
        Ok(Some((header, Piece { bytes, fds })))
    }

    /// The line of the authentication that comes before all messages, when it is whole (D-Bus Specification, "Authentication
    /// Protocol").
    pub fn next_line(&mut self) -> Result<Option<Piece>, Malformed> {
        let Some(end) = self.waiting().windows(2).position(|pair| pair == b"\r\n") else {
            return if self.waiting().len() > LONGEST_LINE { Err(Malformed) } else { Ok(None) };
        };
        let bytes = self.waiting()[..end + 2].to_vec();
        self.start += end + 2;
        Ok(Some(Piece { bytes, fds: Vec::new() }))
    }

    /// Whether a message begins here, and not a line.
    pub fn is_at_message(&self) -> bool {
        matches!(self.waiting().first(), Some(b'l' | b'B'))
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::call;
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut() {
        let messages: Vec<Vec<u8>> = (1..4)
            .map(|serial| call(serial, "a.b", "C", (serial == 2).then_some("text"), serial == 3))
            .collect();
        let stream = messages.concat();
        for size in [1, 7, 64, stream.len()] {
            let mut framer = Framer::default();
            let mut out = Vec::new();
            for part in stream.chunks(size) {
                framer.take(Piece { bytes: part.to_vec(), fds: Vec::new() });
                while let Some((header, piece)) = framer.next().unwrap() {
                    assert_eq!(header.serial as usize, out.len() + 1);
                    out.push(piece.bytes);
                }
            }
            assert_eq!(out, messages, "in parts of {size}");
        }
    }

    #[test]
    fn lines_end_where_messages_begin() {
        let mut framer = Framer::default();
        let message = call(1, "a.b", "C", None, false);
        framer.take(Piece {
            bytes: [b"OK 1\r\nAGREE", &b"_UNIX_FD\r\n"[..], &message].concat(),
            fds: Vec::new(),
        });
        assert_eq!(framer.next_line().unwrap().unwrap().bytes, b"OK 1\r\n");
        assert!(!framer.is_at_message());
        assert_eq!(framer.next_line().unwrap().unwrap().bytes, b"AGREE_UNIX_FD\r\n");
        assert!(framer.is_at_message());
        assert_eq!(framer.next().unwrap().unwrap().1.bytes, message);
    }
}
