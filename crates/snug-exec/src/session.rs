//! One connection of a client, in a process of its own: what goes wrong here harms nobody else.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use snug_wire::message::{Exec, FailureKind, FromAgent, ToAgent};
use snug_wire::socket::{Connection, Descriptors, Filled};

use crate::control::{self, Order, Request, Token};
use crate::relay;
use crate::sys::{descriptor, signal, timespec};

/// A client that does not read its answers for so long is as good as gone. Answers are a few bytes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Descriptors that a client may hand over, `RLIMIT_NOFILE`'s usual soft limit.
pub const MAX_DESCRIPTORS: usize = 1024;

/// Something that a session waits for.
pub enum Event {
    /// From the client.
    Message(ToAgent),
    /// The client's connection has ended.
    ClientGone,
    /// From the server.
    Order(Order),
    /// A child has changed its state.
    Child,
    /// This process is told to end.
    Terminate,
    /// The time is over.
    Deadline,
}

/// What a client wants.
pub enum Wanted {
    /// A command, with the descriptors that were handed over for it, under their numbers.
    Command(Box<Exec>, Vec<(u32, OwnedFd)>),
    /// A stream of a command that another connection has asked for.
    Stream(Token, u8),
    /// Something that not every server knows.
    Other(ToAgent),
}

/// A client's connection and what else wakes a session.
pub struct Session {
    /// The client's.
    pub connection: Connection,
    /// The channel to the server.
    pub control: OwnedFd,
    signals: signal::Signals,
    /// The client's connection has ended.
    pub client_gone: bool,
    /// The server has ended.
    pub server_gone: bool,
    /// What came with the last order.
    pub ordered: Vec<OwnedFd>,
    /// Goes out with the next message, or before anything is waited for: the client then wakes up once.
    pub unsaid: Vec<FromAgent>,
    /// The server waits for word that this session is out of the way of the next spare one.
    in_the_way: bool,
    descriptors: Descriptors,
}

/// Makes the process, just forked from the server, one of a session: with no descriptors but these two, the leader of a
/// terminal session, and its signals in a descriptor.
///
/// # Errors
/// The system's refusal.
pub fn become_session(
    source: OwnedFd,
    control: OwnedFd,
) -> Result<(OwnedFd, OwnedFd, signal::Signals), Errno> {
    let kept = [source.as_raw_fd(), control.as_raw_fd()];
    std::mem::forget((source, control));
    let [source, control] = descriptor::keep_only(kept).map_err(|_| Errno::MFILE)?;
    let _ = rustix::thread::set_name(c"snug-session");
    signal::expect_children();
    rustix::process::setsid()?;
    let signals = signal::Signals::new(&[libc::SIGCHLD, libc::SIGTERM]).map_err(|_| Errno::MFILE)?;
    Ok((source, control, signals))
}

/// Becomes the relay of one stream, which the server is asked for.
///
/// # Errors
/// Of the channel and of the stream.
pub fn attach(mut session: Session, token: Token, stream: u8) -> Result<(), Errno> {
    session.say(&[]);
    control::send(session.control.as_fd(), &Request::Take(token, stream), &[])?;
    let end = loop {
        match control::receive(session.control.as_fd())? {
            Some((Order::Taken, fds)) => break fds.into_iter().next(),
            Some((Order::Unknown, _)) | None => break None,
            Some(_) => {}
        }
    };
    let Some(end) = end else { return Ok(()) };
    let (socket, early) = session.connection.into_raw();
    drop((session.control, session.signals));
    // From here on nothing is left to do but copying: a signal to end is obeyed at once.
    signal::reset_dispositions(1 << (libc::SIGPIPE - 1));
    signal::unblock_all();
    relay::run(stream, end, socket, &early)
}

impl Session {
    /// A session with a client that has yet to hear `unsaid`; its descriptors are taken if it is trusted.
    pub fn new(
        connection: OwnedFd,
        control: OwnedFd,
        signals: signal::Signals,
        trusted: bool,
        unsaid: Vec<FromAgent>,
    ) -> Self {
        let descriptors = if trusted { Descriptors::Accept } else { Descriptors::Refuse };
        let mut session = Self {
            connection: Connection::new(connection, descriptors),
            control,
            signals,
            client_gone: false,
            server_gone: false,
            ordered: Vec::new(),
            unsaid,
            in_the_way: true,
            descriptors,
        };
        // The request is usually there by now. An error is met again where it is waited for.
        let _ = session.connection.fill();
        session
    }

    /// What the client wants; `None` when it has gone, asked for nothing within `patience` (it would keep a process for nothing), or
    /// asked for too much, which it was told. Orders of the server meanwhile are `heard`.
    pub fn wanted(&mut self, patience: Duration, heard: &mut dyn FnMut(&Order)) -> Option<Wanted> {
        let mut handed = Vec::new();
        let end = Instant::now() + patience;
        loop {
            match self.wait(Some(end)) {
                // Not received at all; a command that needs one of them is refused with a reason.
                Event::Message(ToAgent::Fds(_)) if self.descriptors == Descriptors::Refuse => {}
                Event::Message(ToAgent::Fds(numbers)) => {
                    let fds = self.connection.take_fds(numbers.len()).ok()?;
                    // The answer waits for the request: a client that still sends would not hear it.
                    if handed.len() <= MAX_DESCRIPTORS {
                        handed.extend(numbers.into_iter().zip(fds));
                    }
                }
                Event::Message(ToAgent::Exec(_)) if handed.len() > MAX_DESCRIPTORS => {
                    let text = format!("more than {MAX_DESCRIPTORS} descriptors cannot be handed over");
                    self.tell(&FromAgent::Failed { kind: FailureKind::Other, text: text.into() }, &[]);
                    return None;
                }
                Event::Message(ToAgent::Exec(exec)) => return Some(Wanted::Command(exec, handed)),
                Event::Message(ToAgent::Attach { token, stream }) => {
                    return Some(Wanted::Stream(token, stream));
                }
                Event::Message(ToAgent::Signal(_) | ToAgent::Resize(_) | ToAgent::Resume) | Event::Child => {}
                Event::Message(other) => return Some(Wanted::Other(other)),
                Event::ClientGone
                | Event::Terminate
                | Event::Deadline
                | Event::Order(Order::HangUp { .. }) => {
                    return None;
                }
                Event::Order(order) => heard(&order),
            }
        }
    }

    /// Waits for whatever comes first. After the client is gone, its end is not reported again.
    pub fn wait(&mut self, deadline: Option<Instant>) -> Event {
        loop {
            if !self.client_gone {
                match self.connection.next_buffered() {
                    Ok(Some(message)) => return Event::Message(message),
                    Ok(None) => {}
                    Err(_) => return self.lose_client(),
                }
                if !self.say(&[]) {
                    return self.lose_client();
                }
            }
            let timeout = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => return Event::Deadline,
                left => left.map(timespec),
            };
            let (mut client, mut server) = (PollFlags::IN, PollFlags::IN);
            let borrowed = (self.connection.as_fd(), self.control.as_fd());
            let mut polled = vec![PollFd::new(&self.signals, PollFlags::IN)];
            if !self.client_gone {
                polled.push(PollFd::from_borrowed_fd(borrowed.0, PollFlags::IN));
            }
            if !self.server_gone {
                polled.push(PollFd::from_borrowed_fd(borrowed.1, PollFlags::IN));
            }
            match poll(&mut polled, timeout.as_ref()) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(_) => return self.lose_client(),
            }
            let mut results = polled.iter().map(PollFd::revents);
            let signals = results.next().unwrap_or(PollFlags::empty());
            client &= if self.client_gone { PollFlags::empty() } else { readable(results.next()) };
            server &= if self.server_gone { PollFlags::empty() } else { readable(results.next()) };
            drop(polled);
            if !signals.is_empty() {
                match self.signals.next() {
                    Some(libc::SIGCHLD) => return Event::Child,
                    Some(_) => return Event::Terminate,
                    None => {}
                }
            }
            if !server.is_empty() {
                match control::receive(self.control.as_fd()) {
                    Ok(Some((order, fds))) => {
                        self.ordered = fds;
                        return Event::Order(order);
                    }
                    // Whoever killed the server did not mean the commands.
                    Ok(None) | Err(_) => self.server_gone = true,
                }
            }
            if !client.is_empty() && !matches!(self.connection.fill(), Ok(Filled::Some | Filled::Nothing)) {
                return self.lose_client();
            }
        }
    }

    fn lose_client(&mut self) -> Event {
        self.client_gone = true;
        Event::ClientGone
    }

    /// Tells the client something; whether it could be told.
    pub fn tell(&mut self, message: &FromAgent, fds: &[BorrowedFd<'_>]) -> bool {
        self.unsaid.push(message.clone());
        !self.client_gone && self.say(fds)
    }

    /// Tells what is unsaid.
    pub fn say(&mut self, fds: &[BorrowedFd<'_>]) -> bool {
        let unsaid = std::mem::take(&mut self.unsaid);
        let deadline = Some(Instant::now() + PATIENCE);
        unsaid.is_empty() || self.connection.send_all(&unsaid, fds, deadline).is_ok()
    }

    /// Lets the server make the next spare session.
    pub fn step_aside(&mut self) {
        if std::mem::take(&mut self.in_the_way) {
            // A server that is gone makes none.
            let _ = control::send(self.control.as_fd(), &Request::Begun, &[]);
        }
    }
}

/// Any event counts as something to read: an error or a hang-up is found by reading.
fn readable(events: Option<PollFlags>) -> PollFlags {
    if events.unwrap_or(PollFlags::empty()).is_empty() { PollFlags::empty() } else { PollFlags::IN }
}
