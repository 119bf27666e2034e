//! A stream socket that carries messages and file descriptors, with deadlines.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, connect as socket_connect, recv,
    socket_with,
};
use thiserror::Error;

use crate::codec::DecodeError;
use crate::message::{MAX_FDS, Message};
use crate::rights;

/// Length of a frame's head: `u32` body length, `u8` type.
const HEAD: usize = 5;
/// How much is asked of the kernel at once; requests are usually a few kilobytes.
const CHUNK: usize = 16 << 10;

/// Why a message could not be sent or received.
#[derive(Debug, Error)]
pub enum WireError {
    /// The peer did not answer, or did not read, in time.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// The peer closed the connection in the middle of a message.
    #[error("the connection ended in the middle of a message")]
    Interrupted,
    /// The peer announced a longer message than is allowed.
    #[error("the peer announced a message of {0} bytes")]
    TooLong(usize),
    /// The message makes no sense.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The peer sent other descriptors than it announced, or some where none are allowed.
    #[error("the peer sent unexpected file descriptors")]
    Descriptors,
    /// The system refused.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl From<Errno> for WireError {
    fn from(errno: Errno) -> Self {
        Self::System(errno.into())
    }
}

/// What poll(2) says of a stream whose other end nobody has open any more.
pub const GONE: PollFlags = PollFlags::HUP.union(PollFlags::ERR);

/// Waits until `fd` is ready for `flags`. `None` waits for ever.
///
/// # Errors
/// [`WireError::TimedOut`] at the deadline, else what poll(2) says.
pub fn wait(fd: BorrowedFd<'_>, flags: PollFlags, deadline: Option<Instant>) -> Result<(), WireError> {
    loop {
        let timeout = match deadline {
            None => None,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(WireError::TimedOut);
                }
                Some(Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() })
            }
        };
        match poll(&mut [PollFd::from_borrowed_fd(fd, flags)], timeout.as_ref()) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Connects to the socket at `path` without following a link in its last component, within `patience`.
///
/// The last component lies in a directory that a guest may write: a link, a fifo or anything else that is no socket is
/// refused with `ENOTSOCK` before anything is connected.
///
/// # Errors
/// `ENOENT` and `ECONNREFUSED` mean that nobody serves there; [`WireError::TimedOut`] that nobody accepted in time.
pub fn connect(path: &Path, patience: Duration, descriptors: Descriptors) -> Result<Connection, WireError> {
    let place = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let status = rustix::fs::fstat(&place)?;
    if FileType::from_raw_mode(status.st_mode) != FileType::Socket {
        return Err(Errno::NOTSOCK.into());
    }
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}", place.as_raw_fd()))?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if descriptors == Descriptors::Refuse {
        refuse_rights(&socket);
    }
    // connect(2) on a full backlog waits as long as SO_SNDTIMEO says and then gives EAGAIN (net/unix/af_unix.c).
    rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Send, Some(patience))?;
    loop {
        match socket_connect(&socket, &address) {
            Ok(()) => return Ok(Connection::new(socket, descriptors)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(WireError::TimedOut),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Makes the kernel refuse descriptors to whoever sends some to `socket` (unix(7), since Linux 6.16).
///
/// To receive none is not enough: those that came with data are closed by the receiver, in its own system call, and the last
/// close of a socket that lingers or of a file of FUSE's takes as long as the sender likes (measured).
fn refuse_rights(socket: &OwnedFd) {
    /// `include/uapi/asm-generic/socket.h` of Linux 6.16.
    const SO_PASSRIGHTS: libc::c_int = 83;
    let no: libc::c_int = 0;
    let length = libc::socklen_t::try_from(size_of_val(&no)).unwrap_or_default();
    // SAFETY: the kernel reads one `int` of the given length. An earlier kernel does not know the option.
    unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_PASSRIGHTS, (&raw const no).cast(), length);
    }
}

/// What to do with descriptors that the peer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descriptors {
    /// Let the kernel refuse them to the sender where it can ([`connect`]), and give it no room for any: none is ever
    /// installed here.
    Refuse,
    /// Keep up to [`MAX_FDS`] for each message.
    Accept,
}

/// One end of a connection.
pub struct Connection {
    socket: OwnedFd,
    descriptors: Descriptors,
    inbox: Vec<u8>,
    fds: VecDeque<OwnedFd>,
    longest: usize,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Connection {
    /// Takes over a connected stream socket.
    #[must_use]
    pub fn new(socket: OwnedFd, descriptors: Descriptors) -> Self {
        Self { socket, descriptors, inbox: Vec::new(), fds: VecDeque::new(), longest: usize::MAX }
    }

    /// Takes no longer message than this, in bytes, whatever its kind may have.
    pub fn bound(&mut self, longest: usize) {
        self.longest = longest;
    }

    /// The socket, for relaying raw bytes after an `Attach`, and what of those bytes was already read.
    #[must_use]
    pub fn into_raw(self) -> (OwnedFd, Vec<u8>) {
        (self.socket, self.inbox)
    }

    /// Sends one message; `fds` ride on its first byte.
    ///
    /// # Errors
    /// [`WireError::TimedOut`] when the peer does not read until the deadline, else the system's refusal
    /// (`EPIPE`, `ECONNRESET`: the peer is gone).
    pub fn send<M: Message>(
        &mut self,
        message: &M,
        fds: &[BorrowedFd<'_>],
        deadline: Option<Instant>,
    ) -> Result<(), WireError> {
        self.send_all(std::slice::from_ref(message), fds, deadline)
    }

    /// Sends several messages at once, so that the peer wakes up once for all of them; `fds` ride on the first byte.
    ///
    /// # Errors
    /// As of [`Connection::send`].
    pub fn send_all<M: Message>(
        &mut self,
        messages: &[M],
        fds: &[BorrowedFd<'_>],
        deadline: Option<Instant>,
    ) -> Result<(), WireError> {
        self.send_waiting(messages, fds, |socket| wait(socket, PollFlags::OUT, deadline))
    }

    /// [`Connection::send_all`] for one who has to do something about the wait: `until_taken` returns when the socket takes
    /// more, or with the error that ends the attempt.
    ///
    /// # Errors
    /// As of [`Connection::send`], and those of `until_taken`.
    pub fn send_waiting<M: Message>(
        &mut self,
        messages: &[M],
        fds: &[BorrowedFd<'_>],
        mut until_taken: impl FnMut(BorrowedFd<'_>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let mut bytes = Vec::new();
        for message in messages {
            let (kind, body) = message.encode();
            let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= M::MAX_BODY);
            bytes.extend_from_slice(&length.ok_or(WireError::TooLong(body.len()))?.to_le_bytes());
            bytes.push(kind);
            bytes.extend_from_slice(&body);
        }
        let mut sent = 0;
        while sent < bytes.len() {
            let fds = if sent == 0 { fds } else { &[] };
            match rights::send(self.socket.as_fd(), &bytes[sent..], fds) {
                Ok(count) => sent += count,
                Err(Errno::AGAIN) => until_taken(self.socket.as_fd())?,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Waits for the next message; `None` at an orderly end of the connection.
    ///
    /// # Errors
    /// All of [`WireError`]; after an error the connection is of no more use.
    pub fn receive<M: Message>(&mut self, deadline: Option<Instant>) -> Result<Option<M>, WireError> {
        loop {
            if let Some(message) = self.next_buffered()? {
                return Ok(Some(message));
            }
            wait(self.socket.as_fd(), PollFlags::IN, deadline)?;
            if self.fill()? == Filled::End {
                return if self.inbox.is_empty() { Ok(None) } else { Err(WireError::Interrupted) };
            }
        }
    }

    /// Takes what the kernel has for us now, without waiting. Call [`Connection::next_buffered`] until it is `None`
    /// afterwards.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn fill(&mut self) -> Result<Filled, WireError> {
        let length = self.inbox.len();
        self.inbox.resize(length + CHUNK, 0);
        let (socket, free) = (self.socket.as_fd(), &mut self.inbox[length..]);
        let result = match self.descriptors {
            Descriptors::Accept => rights::receive(socket, free, RecvFlags::DONTWAIT),
            // The kernel closes what there is no room for.
            Descriptors::Refuse => match retry_on_intr(|| recv(socket, &mut *free, RecvFlags::DONTWAIT)) {
                Err(Errno::CONNRESET) => Ok((0, Vec::new())),
                received => received.map(|(_, count)| (count, Vec::new())),
            },
        };
        let count = result.as_ref().map_or(0, |(count, _)| *count);
        self.inbox.truncate(length + count);
        match result {
            Ok((_, fds)) => {
                self.fds.extend(fds);
                if self.fds.len() > 2 * MAX_FDS {
                    return Err(WireError::Descriptors);
                }
                Ok(if count == 0 { Filled::End } else { Filled::Some })
            }
            Err(Errno::AGAIN) => Ok(Filled::Nothing),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The next message that has arrived whole.
    ///
    /// # Errors
    /// [`WireError::TooLong`], [`WireError::Decode`].
    pub fn next_buffered<M: Message>(&mut self) -> Result<Option<M>, WireError> {
        let Some(head) = self.inbox.first_chunk::<HEAD>() else { return Ok(None) };
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let kind = head[4];
        if length > M::MAX_BODY.min(self.longest) {
            return Err(WireError::TooLong(length));
        }
        let Some(body) = self.inbox.get(HEAD..HEAD + length) else { return Ok(None) };
        let message = M::decode(kind, body)?;
        self.inbox.drain(..HEAD + length);
        Ok(Some(message))
    }

    /// Takes exactly `count` descriptors, in the order in which they were sent.
    ///
    /// # Errors
    /// [`WireError::Descriptors`] when fewer have come.
    pub fn take_fds(&mut self, count: usize) -> Result<Vec<OwnedFd>, WireError> {
        if count > self.fds.len() {
            return Err(WireError::Descriptors);
        }
        Ok(self.fds.drain(..count).collect())
    }
}

/// What [`Connection::fill`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// Bytes.
    Some,
    /// Nothing yet.
    Nothing,
    /// The end of the connection.
    End,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{FromAgent, ToAgent};
    use rustix::net::socketpair;

    fn pair(descriptors: Descriptors) -> (Connection, Connection) {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        (Connection::new(a, Descriptors::Accept), Connection::new(b, descriptors))
    }

    fn soon() -> Option<Instant> {
        Some(Instant::now() + Duration::from_secs(10))
    }

    #[test]
    fn a_message_and_its_descriptors_arrive_together() {
        let (mut client, mut agent) = pair(Descriptors::Accept);
        let file = tempfile_like();
        client.send(&ToAgent::Fds(vec![7]), &[file.as_fd()], soon()).unwrap();
        client.send(&ToAgent::Resume, &[], soon()).unwrap();
        assert_eq!(agent.receive::<ToAgent>(soon()).unwrap(), Some(ToAgent::Fds(vec![7])));
        assert_eq!(agent.take_fds(1).unwrap().len(), 1);
        assert_eq!(agent.receive::<ToAgent>(soon()).unwrap(), Some(ToAgent::Resume));
        assert!(agent.take_fds(1).is_err());
    }

    #[test]
    fn messages_that_are_sent_at_once_arrive_one_after_the_other() {
        let (mut client, mut agent) = pair(Descriptors::Accept);
        let file = tempfile_like();
        client.send_all(&[ToAgent::Fds(vec![7]), ToAgent::Resume], &[file.as_fd()], soon()).unwrap();
        assert_eq!(agent.fill().unwrap(), Filled::Some);
        assert_eq!(agent.next_buffered::<ToAgent>().unwrap(), Some(ToAgent::Fds(vec![7])));
        assert_eq!(agent.take_fds(1).unwrap().len(), 1);
        assert_eq!(agent.next_buffered::<ToAgent>().unwrap(), Some(ToAgent::Resume));
    }

    #[test]
    fn descriptors_that_are_refused_never_arrive() {
        let (mut guest, mut client) = pair(Descriptors::Refuse);
        let file = tempfile_like();
        guest.send(&FromAgent::Pty, &[file.as_fd()], soon()).unwrap();
        assert_eq!(client.receive::<FromAgent>(soon()).unwrap(), Some(FromAgent::Pty));
        assert!(matches!(client.take_fds(1), Err(WireError::Descriptors)));
    }

    #[test]
    fn an_announced_length_over_the_bound_is_an_error_before_it_is_read() {
        let (guest, mut client) = pair(Descriptors::Refuse);
        rustix::io::write(guest.as_fd(), &[255, 255, 255, 127, 128]).unwrap();
        assert!(matches!(client.receive::<FromAgent>(soon()), Err(WireError::TooLong(_))));
    }

    #[test]
    fn a_peer_that_never_answers_is_left_at_the_deadline() {
        let (_guest, mut client) = pair(Descriptors::Refuse);
        let deadline = Some(Instant::now() + Duration::from_millis(20));
        assert!(matches!(client.receive::<FromAgent>(deadline), Err(WireError::TimedOut)));
    }

    #[test]
    fn a_peer_that_never_reads_is_left_at_the_deadline() {
        let (_guest, mut client) = pair(Descriptors::Refuse);
        let big = ToAgent::Attach { token: [0; 16], stream: 0 };
        let deadline = Some(Instant::now() + Duration::from_millis(50));
        let error = loop {
            if let Err(error) = client.send(&big, &[], deadline) {
                break error;
            }
        };
        assert!(matches!(error, WireError::TimedOut));
    }

    #[test]
    fn half_a_message_and_then_the_end_is_told_from_an_orderly_end() {
        let (guest, mut client) = pair(Descriptors::Refuse);
        rustix::io::write(guest.as_fd(), &[9, 0]).unwrap();
        drop(guest);
        assert!(matches!(client.receive::<FromAgent>(soon()), Err(WireError::Interrupted)));
        let (guest, mut client) = pair(Descriptors::Refuse);
        drop(guest);
        assert!(client.receive::<FromAgent>(soon()).unwrap().is_none());
    }

    #[test]
    fn who_refuses_descriptors_gets_none_and_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut client = connect(&path, Duration::from_secs(10), Descriptors::Refuse).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let mut guest = Connection::new(accepted.into(), Descriptors::Accept);
        let file = tempfile_like();
        match guest.send(&FromAgent::Pty, &[file.as_fd()], soon()) {
            // Linux 6.16 and later: nothing of it is on its way.
            Err(WireError::System(error)) => assert_eq!(error.raw_os_error(), Some(libc::EPERM)),
            Ok(()) => {
                assert_eq!(client.receive::<FromAgent>(soon()).unwrap(), Some(FromAgent::Pty));
                assert!(matches!(client.take_fds(1), Err(WireError::Descriptors)));
            }
            Err(other) => panic!("{other}"),
        }
        guest.send(&FromAgent::Done, &[], soon()).unwrap();
        assert_eq!(client.receive::<FromAgent>(soon()).unwrap(), Some(FromAgent::Done));
    }

    fn tempfile_like() -> OwnedFd {
        rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap()
    }
}
