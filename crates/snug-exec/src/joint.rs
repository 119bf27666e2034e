//! Two streams and a socket, joined: what comes from one goes to the other, and so does its end.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use snug_wire::socket::GONE;

use crate::relay::Flow;

/// One way, with what is on it.
struct Way<'a> {
    from: &'a OwnedFd,
    to: &'a OwnedFd,
    flow: Flow,
    /// Its end has been told.
    told: bool,
}

impl<'a> Way<'a> {
    fn new(from: &'a OwnedFd, to: &'a OwnedFd) -> Self {
        Self { from, to, flow: Flow::new(b""), told: false }
    }

    /// Takes what is there and gives what can be given, without waiting.
    fn advance(&mut self) -> Result<(), Errno> {
        if self.flow.is_empty() && !self.flow.ended {
            self.flow.take_from(self.from);
        }
        if !self.flow.is_empty() {
            self.flow.give_to(self.to)?;
        }
        if self.flow.ended && self.flow.is_empty() && !self.told {
            self.told = true;
            // A pipe, or a peer that has gone, cannot be told; it sees its end when this process ends.
            let _ = shutdown(self.to, Shutdown::Write);
        }
        Ok(())
    }

    /// What it waits for where it reads, and where it writes.
    fn wants(&self) -> (bool, bool) {
        (self.flow.is_empty() && !self.flow.ended, !self.flow.is_empty())
    }
}

/// Copies `input` to the socket and the socket to `output` until the socket has said all, or nobody hears it any more, and
/// what was to be said to it has been. `input` and `output` may be one socket.
///
/// # Errors
/// poll(2) or fcntl(2) fails.
pub fn join(input: &OwnedFd, output: &OwnedFd, socket: &OwnedFd) -> Result<(), Errno> {
    // Neither way may wait for the other.
    for fd in [input, output, socket] {
        fcntl_setfl(fd, fcntl_getfl(fd.as_fd())? | OFlags::NONBLOCK)?;
    }
    let (mut there, mut back) = (Way::new(input, socket), Way::new(socket, output));
    // Nobody reads the output any more. What its reader said before he went may still be on its way to the socket.
    let mut deaf = false;
    loop {
        // The socket's owner may have gone while its last words are still here.
        let gone = there.advance().is_err();
        deaf |= back.advance().is_err();
        if (back.told || deaf) && (there.told || gone) {
            return Ok(());
        }
        let flags = |wanted, flag| if wanted { flag } else { PollFlags::empty() };
        let ((reads, writes_there), (reads_back, writes)) = (there.wants(), back.wants());
        let reads = reads && !gone;
        let (reads_back, writes) = (reads_back && !deaf, writes && !deaf);
        // The socket first; only while something is wanted of it, or it would tell again and again that it has ended.
        let on_socket = flags(reads_back, PollFlags::IN) | flags(writes_there && !gone, PollFlags::OUT);
        let mut polled = Vec::with_capacity(3);
        let watches_socket = !on_socket.is_empty() || back.told || deaf;
        if watches_socket {
            polled.push(PollFd::new(socket, on_socket));
        }
        if !deaf {
            // Also for its end alone.
            polled.push(PollFd::new(output, flags(writes, PollFlags::OUT)));
        }
        if reads {
            polled.push(PollFd::new(input, PollFlags::IN));
        }
        match poll(&mut polled, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let is_gone = |at: usize| polled.get(at).is_some_and(|fd| fd.revents().intersects(GONE));
        // Both halves are closed: nobody hears what the input still says.
        if watches_socket && (back.told || deaf) && is_gone(0) {
            return Ok(());
        }
        deaf = deaf || is_gone(usize::from(watches_socket));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    /// A client and a server with a joint between them, which has ended when `run` returns.
    fn run(
        client: impl FnOnce(UnixStream) + Send + 'static,
        server: impl FnOnce(UnixStream) + Send + 'static,
    ) {
        let (near, ours) = UnixStream::pair().unwrap();
        let (socket, far) = UnixStream::pair().unwrap();
        let sides = [thread::spawn(move || client(near)), thread::spawn(move || server(far))];
        let output: OwnedFd = ours.try_clone().unwrap().into();
        let (input, socket) = (ours.into(), socket.into());
        // A side that has gone is an ordinary end here.
        let _ = join(&input, &output, &socket);
        drop((input, output, socket));
        sides.into_iter().for_each(|side| side.join().unwrap());
    }

    #[test]
    fn each_half_ends_by_itself_and_all_bytes_arrive() {
        let much: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
        let (sent, expected) = (much.clone(), much);
        run(
            move |mut client| {
                client.write_all(&sent).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).unwrap();
                assert!(answer == sent);
            },
            move |mut server| {
                let mut heard = Vec::new();
                server.read_to_end(&mut heard).unwrap();
                assert!(heard == expected);
                server.write_all(&heard).unwrap();
            },
        );
    }

    #[test]
    fn a_server_that_ends_first_has_its_last_words_heard() {
        run(
            |mut client| {
                client.write_all(b"question").unwrap();
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).unwrap();
                assert_eq!(answer, b"answer");
            },
            |mut server| {
                let mut heard = [0; 8];
                server.read_exact(&mut heard).unwrap();
                server.write_all(b"answer").unwrap();
            },
        );
    }

    #[test]
    fn what_a_client_says_before_it_goes_arrives() {
        for length in [0, 10, 500_000] {
            run(
                move |mut client| client.write_all(&vec![b'x'; length]).unwrap(),
                move |mut server| {
                    // Nobody reads it.
                    let _ = server.write_all(b"greeting");
                    let mut heard = Vec::new();
                    server.read_to_end(&mut heard).unwrap();
                    assert_eq!(heard.len(), length);
                },
            );
        }
    }

    #[test]
    fn a_server_that_waits_for_ever_is_left_when_its_client_goes() {
        run(drop, |mut server| {
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).unwrap();
            // Only its own end is over: it says nothing, and still sees everybody go.
            assert_eq!(server.read(&mut [0]).unwrap(), 0);
        });
    }
}
