//! What the server and its sessions say to each other, over a pair of sequenced-packet sockets.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};
use snug_wire::rights;

/// Names the relayed streams of one command.
pub type Token = [u8; 16];
/// Streams that one command may have relayed: its three, and those that its arguments name (`diff <(a) <(b)`).
pub const MAX_FDS: usize = 128;
/// Bytes of the largest packet: a kind, a token, the numbers of so many streams.
const LARGEST: usize = 1 + size_of::<Token>() + MAX_FDS;

/// From a session to the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Keep the ends of these streams until somebody takes them; the descriptors come along.
    Keep(Token, Vec<u8>),
    /// Give me the end of that stream.
    Take(Token, u8),
    /// Hang up every command.
    HangUpAll {
        /// Milliseconds.
        grace: u32,
    },
    /// From the spare session: it has a client now, and is none any more. From one of a server without spare ones: its client has
    /// asked for something.
    Accepted,
    /// Keep the client's connection, which comes along, until somebody dials.
    Offer,
    /// Give me such a connection, when there is one.
    Dial,
    /// From the spare session: it has done what the next spare session would have been in the way of.
    Begun,
}

/// From the server to a session.
#[derive(Debug, PartialEq, Eq)]
pub enum Order {
    /// The guest's early boot is done.
    Settled,
    /// The guest's login environment is known.
    Environment,
    /// Hang up the command, kill it after so many milliseconds.
    HangUp {
        /// Milliseconds.
        grace: u32,
    },
    /// Answer to [`Request::Take`] and to [`Request::Dial`]: here it is.
    Taken,
    /// Answer to [`Request::Take`]: no such stream.
    Unknown,
    /// After [`Request::HangUpAll`]: no session is left but yours.
    AllGone,
}

/// A message of this channel.
pub trait Packet: Sized {
    /// Its bytes.
    fn encode(&self) -> Vec<u8>;
    /// Its meaning.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

impl Packet for Request {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Keep(token, streams) => [b"K", &token[..], streams].concat(),
            Self::Take(token, stream) => [b"T", &token[..], &[*stream]].concat(),
            Self::HangUpAll { grace } => [b"H", &grace.to_le_bytes()[..]].concat(),
            Self::Offer => b"O".to_vec(),
            Self::Dial => b"D".to_vec(),
            Self::Accepted => b"A".to_vec(),
            Self::Begun => b"B".to_vec(),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match kind {
            b'K' => rest.split_first_chunk().map(|(token, streams)| Self::Keep(*token, streams.to_vec())),
            b'T' => {
                rest.split_first_chunk().and_then(|(token, rest)| Some(Self::Take(*token, *rest.first()?)))
            }
            b'H' => Some(Self::HangUpAll { grace: u32::from_le_bytes(*rest.first_chunk()?) }),
            b'O' => Some(Self::Offer),
            b'D' => Some(Self::Dial),
            b'A' => Some(Self::Accepted),
            b'B' => Some(Self::Begun),
            _ => None,
        }
    }
}

impl Packet for Order {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Settled => b"S".to_vec(),
            Self::Environment => b"E".to_vec(),
            Self::HangUp { grace } => [b"U", &grace.to_le_bytes()[..]].concat(),
            Self::Taken => b"F".to_vec(),
            Self::Unknown => b"N".to_vec(),
            Self::AllGone => b"G".to_vec(),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        Some(match kind {
            b'S' => Self::Settled,
            b'E' => Self::Environment,
            b'U' => Self::HangUp { grace: u32::from_le_bytes(*rest.first_chunk()?) },
            b'F' => Self::Taken,
            b'N' => Self::Unknown,
            b'G' => Self::AllGone,
            _ => return None,
        })
    }
}

/// A new pair: the server's end and the session's.
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Sends without waiting: the other side reads at once or is gone.
pub fn send(channel: BorrowedFd<'_>, packet: &impl Packet, fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    rights::send(channel, &packet.encode(), fds).map(drop)
}

/// Receives one packet and its descriptors, waiting for it; `None` at the end of the channel.
pub fn receive<P: Packet>(channel: BorrowedFd<'_>) -> Result<Option<(P, Vec<OwnedFd>)>, Errno> {
    let mut bytes = [0; LARGEST];
    let (count, fds) = rights::receive(channel, &mut bytes, RecvFlags::empty())?;
    if count == 0 {
        return Ok(None);
    }
    P::decode(&bytes[..count]).map(|packet| Some((packet, fds))).ok_or(Errno::BADMSG)
}

/// Takes the descriptors' borrowed forms, for [`send`].
pub fn borrowed(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_received_with_its_descriptors() {
        let (server, session) = pair().unwrap();
        let request = Request::Keep([7; 16], vec![0, 1, 2, 3]);
        let pipe = rustix::pipe::pipe().unwrap();
        send(session.as_fd(), &request, &[pipe.0.as_fd(), pipe.1.as_fd()]).unwrap();
        send(session.as_fd(), &Request::Take([1; 16], 3), &[]).unwrap();
        drop(session);
        let (received, fds) = receive::<Request>(server.as_fd()).unwrap().unwrap();
        assert_eq!((received, fds.len()), (request, 2));
        assert_eq!(receive::<Request>(server.as_fd()).unwrap().unwrap().0, Request::Take([1; 16], 3));
        assert!(receive::<Request>(server.as_fd()).unwrap().is_none());
        for order in [Order::Settled, Order::HangUp { grace: 2000 }, Order::Taken, Order::AllGone] {
            assert_eq!(Order::decode(&order.encode()), Some(order));
        }
    }
}
