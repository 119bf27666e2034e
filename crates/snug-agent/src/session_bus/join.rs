//! A client joined to its bus.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, connect, shutdown, socket_with,
};
use snug_wire::socket::wait;

use super::Buses;
use super::framing::{Framer, Piece, receive, send, send_some};
use super::message::{ERROR, Header, METHOD_RETURN};
use super::route::{self, Route};

/// How long a bus may take to answer what it was asked before a client is led to the other.
const ANSWER: Duration = Duration::from_secs(5);
/// A client that has said so much to the bus alone stays where it is.
const MOST_CALLS: usize = 256;
const MOST_BYTES: usize = 1 << 20;

/// Serves a client until it or its bus has gone.
pub fn run(client: OwnedFd, buses: &Buses) -> Result<(), Errno> {
    let Ok(host) = open(&buses.host) else {
        // Nobody is logged in: what the guest has itself has to do.
        let guest = open(&buses.guest)?;
        return copy(&mut Flow::of_client(&client, &guest), &mut Flow::of_bus(&guest, &client));
    };
    let mut joint = Joint {
        from_client: Flow::of_client(&client, &host),
        from_host: Flow::of_bus(&host, &client),
        said: Vec::new(),
        unanswered: 0,
    };
    match joint.decide()? {
        Route::Guest => joint.lead_to(&open(&buses.guest)?),
        Route::Host | Route::Open => copy(&mut joint.from_client, &mut joint.from_host),
    }
}

fn open(path: &Path) -> Result<OwnedFd, Errno> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// One direction: what comes from one side, and how far it is passed on to the other.
struct Flow<'a> {
    from: &'a OwnedFd,
    to: &'a OwnedFd,
    framer: Framer,
    /// Lines still come, and no messages yet.
    authenticates: bool,
    /// This side says when the first message comes.
    is_client: bool,
    leaving: VecDeque<Piece>,
    sent: usize,
    ended: bool,
}

impl<'a> Flow<'a> {
    fn of_client(client: &'a OwnedFd, bus: &'a OwnedFd) -> Self {
        Self {
            from: client,
            to: bus,
            framer: Framer::default(),
            authenticates: true,
            is_client: true,
            leaving: VecDeque::new(),
            sent: 0,
            ended: false,
        }
    }

    fn of_bus(bus: &'a OwnedFd, client: &'a OwnedFd) -> Self {
        Self { is_client: false, ..Self::of_client(bus, client) }
    }

    /// Takes what has come.
    fn fill(&mut self) -> Result<(), Errno> {
        let piece = receive(self.from.as_fd())?;
        self.ended = piece.bytes.is_empty();
        self.framer.take(piece);
        Ok(())
    }

    /// The next line of the authentication.
    fn next_line(&mut self) -> Option<Piece> {
        if !self.is_client && self.framer.is_at_message() {
            self.authenticates = false;
        }
        let line = if self.authenticates { self.framer.next_line()? } else { return None };
        if self.is_client && line.bytes.ends_with(b"BEGIN\r\n") {
            self.authenticates = false;
        }
        Some(line)
    }

    /// The next message; none before the lines are over.
    fn next_message(&mut self) -> Result<Option<(Header, Piece)>, Errno> {
        if self.authenticates { Ok(None) } else { self.framer.next().map_err(|_| Errno::BADMSG) }
    }

    fn is_done(&self) -> bool {
        self.ended && self.leaving.is_empty()
    }

    /// Reads, if there is something to read and nothing left to write, and writes what can be written.
    fn advance(&mut self, readable: bool) -> Result<(), Errno> {
        if readable && self.leaving.is_empty() && !self.ended {
            self.fill()?;
        }
        while let Some(line) = self.next_line() {
            self.leaving.push_back(line);
        }
        while let Some((_, message)) = self.next_message()? {
            self.leaving.push_back(message);
        }
        while let Some(piece) = self.leaving.front_mut() {
            let count = send_some(self.to.as_fd(), &piece.bytes[self.sent..], &mut piece.fds)?;
            self.sent += count;
            if self.sent < piece.bytes.len() {
                break;
            }
            self.sent = 0;
            self.leaving.pop_front();
        }
        if self.is_done() {
            // One that has gone altogether needs not be told.
            let _ = shutdown(self.to, Shutdown::Write);
        }
        Ok(())
    }
}

/// Copies both ways until either side has ended.
fn copy(from_client: &mut Flow<'_>, from_bus: &mut Flow<'_>) -> Result<(), Errno> {
    let (client, bus) = (from_client.from, from_bus.from);
    // What was read before goes first.
    let mut readable = [false; 2];
    loop {
        from_client.advance(readable[0])?;
        from_bus.advance(readable[1])?;
        if from_client.is_done() || from_bus.is_done() {
            return Ok(());
        }
        let wanted = |reading: &Flow<'_>, writing: &Flow<'_>| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, reading.leaving.is_empty());
            flags.set(PollFlags::OUT, !writing.leaving.is_empty());
            flags
        };
        let mut polled = [
            PollFd::new(client, wanted(from_client, from_bus)),
            PollFd::new(bus, wanted(from_bus, from_client)),
        ];
        match poll(&mut polled, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let over = PollFlags::HUP | PollFlags::ERR;
        readable = polled.map(|fd| fd.revents().intersects(PollFlags::IN | over));
        // A side that is gone is told again and again, also while nothing is to be read from it.
        if readable[0] && !from_client.leaving.is_empty() || readable[1] && !from_bus.leaving.is_empty() {
            return Ok(());
        }
    }
}

/// A client and the host's bus, as long as nobody knows what the client wants.
struct Joint<'a> {
    from_client: Flow<'a>,
    from_host: Flow<'a>,
    /// The client's messages to the bus itself.
    said: Vec<(Header, Vec<u8>)>,
    /// Those of them whose answer has not come yet.
    unanswered: usize,
}

impl Joint<'_> {
    /// Copies until the client has told. Then everything before the telling message has been passed on, and that one waits.
    fn decide(&mut self) -> Result<Route, Errno> {
        loop {
            let route = self.pass_to_host()?;
            if route != Route::Open {
                return Ok(route);
            }
            self.pass_to_client()?;
            let mut polled = [
                PollFd::new(self.from_client.from, PollFlags::IN),
                PollFd::new(self.from_host.from, PollFlags::IN),
            ];
            match poll(&mut polled, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
            let ready = polled.map(|fd| !fd.revents().is_empty());
            for (flow, ready) in [&mut self.from_client, &mut self.from_host].into_iter().zip(ready) {
                if ready {
                    flow.fill()?;
                }
                if flow.ended {
                    // What is left is copied, and ends.
                    return Ok(Route::Host);
                }
            }
        }
    }

    fn pass_to_host(&mut self) -> Result<Route, Errno> {
        while let Some(line) = self.from_client.next_line() {
            send(self.from_client.to.as_fd(), line)?;
        }
        while !self.from_client.authenticates {
            // What cannot be read is for the bus to refuse.
            let Ok(next) = self.from_client.framer.peek() else { return Ok(Route::Host) };
            let Some((header, bytes)) = next else { break };
            let route = route::of(&header, bytes);
            let said: usize = self.said.iter().map(|(_, bytes)| bytes.len()).sum();
            if route != Route::Open {
                return Ok(route);
            }
            if self.said.len() >= MOST_CALLS || said >= MOST_BYTES {
                return Ok(Route::Host);
            }
            let Some((header, piece)) = self.from_client.next_message()? else { break };
            self.unanswered += usize::from(header.expects_reply);
            self.said.push((header, piece.bytes.clone()));
            send(self.from_client.to.as_fd(), piece)?;
        }
        Ok(Route::Open)
    }

    fn pass_to_client(&mut self) -> Result<(), Errno> {
        while let Some(line) = self.from_host.next_line() {
            send(self.from_host.to.as_fd(), line)?;
        }
        while let Some((header, piece)) = self.from_host.next_message()? {
            if [METHOD_RETURN, ERROR].contains(&header.kind) {
                self.unanswered = self.unanswered.saturating_sub(1);
            }
            send(self.from_host.to.as_fd(), piece)?;
        }
        Ok(())
    }

    /// Goes on with the guest's bus: says there what the client has said to the host's, whose answers it has.
    fn lead_to(mut self, guest: &OwnedFd) -> Result<(), Errno> {
        let deadline = Some(Instant::now() + ANSWER);
        self.pass_to_client()?;
        while self.unanswered > 0 {
            wait(self.from_host.from.as_fd(), PollFlags::IN, deadline).map_err(|_| Errno::TIMEDOUT)?;
            self.from_host.fill()?;
            if self.from_host.ended {
                return Ok(());
            }
            self.pass_to_client()?;
        }
        // Its rules would go on collecting signals that nobody reads.
        let _ = shutdown(self.from_host.from, Shutdown::Both);
        let client = self.from_client.from;
        let uid = rustix::process::geteuid().as_raw().to_string();
        let hex: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
        let lines = format!("\0AUTH EXTERNAL {hex}\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n");
        let mut bytes = lines.into_bytes();
        bytes.extend(self.said.iter().flat_map(|(_, bytes)| bytes));
        send(guest.as_fd(), Piece { bytes, fds: Vec::new() })?;
        let asked = self.said.iter().filter(|(header, _)| header.expects_reply);
        let mut expected: Vec<u32> = asked.map(|(header, _)| header.serial).collect();
        let mut from_guest = Flow::of_bus(guest, client);
        while !expected.is_empty() {
            wait(guest.as_fd(), PollFlags::IN, deadline).map_err(|_| Errno::TIMEDOUT)?;
            from_guest.fill()?;
            if from_guest.ended {
                return Ok(());
            }
            // Its words of welcome are not the client's, who has been welcomed.
            while from_guest.next_line().is_some() {}
            while !expected.is_empty()
                && let Some((header, piece)) = from_guest.next_message()?
            {
                match header.reply_serial {
                    Some(serial) if expected.contains(&serial) => expected.retain(|other| *other != serial),
                    // A signal that its rules let by.
                    _ => send(client.as_fd(), piece)?,
                }
            }
        }
        let mut from_client = Flow { to: guest, ..self.from_client };
        copy(&mut from_client, &mut from_guest)
    }
}
