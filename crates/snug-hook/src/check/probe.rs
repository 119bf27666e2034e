//! Whether somebody can be reached from a network namespace: by a TCP connection, by a question for a name.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// How far one gets, the worse the smaller. A rule that rejects looks like a machine on which nobody listens: so what was refused says
/// something beside what another network namespace gets from there alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// No answer, or none from there: no route, a router that says that it may not.
    Silent,
    /// Refused, in the other's name.
    Refused,
    /// An answer.
    Answered,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// A TCP connection, which is closed at once.
    Connection(SocketAddrV4),
    /// A question for a name, whatever the answer is.
    Name(SocketAddrV4),
}

/// Where name servers listen. Of a machine that is none it is refused, which is an answer, too.
pub const DOMAIN: u16 = 53;

impl Question {
    /// A connection to a name server, or to what might be one.
    #[must_use]
    pub fn connection(to: Ipv4Addr) -> Self {
        Self::Connection(SocketAddrV4::new(to, DOMAIN))
    }

    /// A question to a name server.
    #[must_use]
    pub fn name(to: Ipv4Addr) -> Self {
        Self::Name(SocketAddrV4::new(to, DOMAIN))
    }

    /// Who is asked.
    #[must_use]
    pub fn to(self) -> SocketAddrV4 {
        match self {
            Self::Connection(to) | Self::Name(to) => to,
        }
    }
}

/// How long an answer from somewhere may take.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// After this long a question for a name is repeated: datagrams get lost. TCP does so by itself.
const AGAIN: Duration = Duration::from_secs(1);

/// Who the name servers of the root are (RFC 1035): the one question that every resolver can answer, and that says nothing about the one
/// who asks.
pub const QUERY: [u8; 17] = [0x53, 0x6e, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];

/// A question and where it was asked from, as packets have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// The question.
    pub question: Question,
    /// The address and port of who asks; `None` where there is no way to the other.
    pub from: Option<SocketAddrV4>,
}

/// A question that is under way.
#[derive(Debug)]
pub struct Asked {
    question: Question,
    from: Option<SocketAddrV4>,
    socket: Option<Socket>,
    reach: Reach,
}

impl Asked {
    /// Asks, from the calling thread's network namespace.
    ///
    /// # Errors
    /// No descriptor is left. That nobody can be asked is an answer.
    pub fn new(question: Question) -> io::Result<Self> {
        let (kind, protocol) = match question {
            Question::Connection(_) => (Type::STREAM, Protocol::TCP),
            Question::Name(_) => (Type::DGRAM, Protocol::UDP),
        };
        let socket = Socket::new(Domain::IPV4, kind, Some(protocol))?;
        socket.set_nonblocking(true)?;
        let begun = socket.connect(&SocketAddr::V4(question.to()).into());
        let from = socket.local_addr()?.as_socket_ipv4().filter(|from| !from.ip().is_unspecified());
        let mut asked = Self { question, from, socket: Some(socket), reach: Reach::Silent };
        match begun {
            Ok(()) => asked.say(),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => {}
            Err(error) => asked.end(of_error(&error)),
        }
        Ok(asked)
    }

    /// As packets have it.
    #[must_use]
    pub fn flow(&self) -> Flow {
        Flow { question: self.question, from: self.from }
    }

    fn end(&mut self, reach: Reach) {
        self.socket = None;
        self.reach = reach;
    }

    /// Sends the question, where there is one to be sent.
    fn say(&mut self) {
        if let (Question::Name(_), Some(socket)) = (self.question, &self.socket)
            && let Err(error) = socket.send(&QUERY)
        {
            self.end(of_error(&error));
        }
    }

    fn events(&self) -> PollFlags {
        match self.question {
            Question::Connection(_) => PollFlags::OUT,
            Question::Name(_) => PollFlags::IN,
        }
    }

    /// Looks at the answer, which is there.
    fn hear(&mut self) {
        let Some(socket) = &self.socket else { return };
        let heard = match self.question {
            Question::Connection(_) => socket.take_error().and_then(|error| error.map_or(Ok(()), Err)),
            Question::Name(_) => rustix::io::read(socket, &mut [0; 16]).map(drop).map_err(io::Error::from),
        };
        let reach = heard.map_or_else(|error| of_error(&error), |()| Reach::Answered);
        self.end(reach);
    }
}

/// The address that the calling thread's network namespace has for another one; `None` where there is no way there. Nothing is sent.
#[must_use]
pub fn own_address(to: Ipv4Addr) -> Option<Ipv4Addr> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).ok()?;
    socket.connect(&SocketAddr::from((to, DOMAIN)).into()).ok()?;
    let own = *socket.local_addr().ok()?.as_socket_ipv4()?.ip();
    Some(own).filter(|own| !own.is_unspecified())
}

fn of_error(error: &io::Error) -> Reach {
    match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED | Errno::CONNRESET) => Reach::Refused,
        _ => Reach::Silent,
    }
}

/// Waits for all answers, at most so long. `None` when `end` became readable before.
///
/// # Errors
/// What the kernel says.
pub fn answers(
    mut asked: Vec<Asked>,
    patience: Duration,
    end: BorrowedFd<'_>,
) -> io::Result<Option<Vec<Reach>>> {
    let until = Instant::now() + patience;
    let mut again = Some(Instant::now() + AGAIN);
    while asked.iter().any(|one| one.socket.is_some()) {
        let now = Instant::now();
        if now >= until {
            break;
        }
        if again.is_some_and(|again| now >= again) {
            again = None;
            asked.iter_mut().for_each(Asked::say);
        }
        let next = again.unwrap_or(until).min(until).saturating_duration_since(Instant::now());
        let mut wait = vec![PollFd::from_borrowed_fd(end, PollFlags::IN)];
        let open: Vec<usize> = (0..asked.len()).filter(|at| asked[*at].socket.is_some()).collect();
        for at in &open {
            if let Some(socket) = &asked[*at].socket {
                wait.push(PollFd::from_borrowed_fd(socket.as_fd(), asked[*at].events()));
            }
        }
        match poll(&mut wait, Timespec::try_from(next).ok().as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if !wait[0].revents().is_empty() {
            return Ok(None);
        }
        let heard: Vec<bool> = wait[1..].iter().map(|one| !one.revents().is_empty()).collect();
        drop(wait);
        for (at, heard) in open.into_iter().zip(heard) {
            if heard {
                asked[at].hear();
            }
        }
    }
    Ok(Some(asked.into_iter().map(|one| one.reach).collect()))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    fn v4(address: SocketAddr) -> SocketAddrV4 {
        match address {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(address) => panic!("{address}"),
        }
    }

    #[test]
    fn who_answers_and_who_is_not_there_are_told_apart() {
        let (never, _kept) = rustix::pipe::pipe().unwrap();
        let listens = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = v4(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
        let questions = [
            Question::Connection(v4(listens.local_addr().unwrap())),
            Question::Connection(closed),
            Question::Name(v4(server.local_addr().unwrap())),
            Question::Name(closed),
            Question::Name(v4(mute.local_addr().unwrap())),
        ];
        let answering = std::thread::spawn(move || {
            // The first one is lost.
            server.recv_from(&mut [0; 64]).unwrap();
            let (_, from) = server.recv_from(&mut [0; 64]).unwrap();
            server.send_to(b"no", from).unwrap();
        });
        let asked = questions.map(|question| Asked::new(question).unwrap());
        let reached = answers(asked.into(), PATIENCE, never.as_fd()).unwrap().unwrap();
        answering.join().unwrap();
        let wanted = [Reach::Answered, Reach::Refused, Reach::Answered, Reach::Refused, Reach::Silent];
        assert_eq!(reached, wanted);
    }

    #[test]
    fn the_end_of_the_guest_ends_the_wait() {
        let (ended, closed) = rustix::pipe::pipe().unwrap();
        drop(closed);
        let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
        let asked = Asked::new(Question::Name(v4(mute.local_addr().unwrap()))).unwrap();
        assert_eq!(answers(vec![asked], PATIENCE, ended.as_fd()).unwrap(), None);
    }
}
