//! A client joined to two buses: each of its messages goes to one of them, and what comes from both goes to it.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use snug_wire::socket::GONE;

use super::Buses;
use super::framing::{Framer, Piece, receive, send_some};
use super::host::{self, HostBus};
use super::message::{
    ERROR, Header, METHOD_CALL, METHOD_RETURN, first_string, hello, readdressed, service_unknown,
};
use super::route::{self, Route};

/// So much may wait to be written to one side, in bytes, before nothing more is read for it.
const MOST_WAITING: usize = 1 << 20;
/// Messages that wait for a bus to authenticate.
const MOST_HELD: usize = 256;
/// Of the call by which this process makes itself known to the guest's bus; no client comes so far.
const OUR_SERIAL: u32 = u32::MAX - 1;

/// Serves a client until it or its bus has gone.
pub fn run(client: OwnedFd, buses: &Buses) -> Result<(), Errno> {
    let (bus, guest, _maker) = match host::open(buses) {
        Ok(HostBus { bus, maker }) => (bus, Some(buses.guest.clone()), maker),
        // Nobody is logged in: what the guest has itself has to do, for everything.
        Err(_) => (open(&buses.guest)?, None, None),
    };
    let mut joint = Joint::new(client, bus, guest);
    while !joint.is_over() {
        joint.wait()?;
        joint.pass_on()?;
    }
    Ok(())
}

/// A connection to the bus that listens there.
pub fn open(path: &Path) -> Result<OwnedFd, Errno> {
    let connected = UnixStream::connect(path).map(OwnedFd::from);
    connected.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
}

/// One connection.
struct Side {
    socket: OwnedFd,
    framer: Framer,
    /// It says when the first message comes; a bus only answers.
    is_client: bool,
    /// Lines still come from it, and no messages yet.
    authenticates: bool,
    leaving: VecDeque<Piece>,
    /// Of the first of these.
    sent: usize,
    waiting: usize,
    /// It says nothing more.
    ended: bool,
    /// It hears nothing more.
    deaf: bool,
}

impl Side {
    fn new(socket: OwnedFd, is_client: bool) -> Self {
        Self {
            socket,
            framer: Framer::default(),
            is_client,
            authenticates: true,
            leaving: VecDeque::new(),
            sent: 0,
            waiting: 0,
            ended: false,
            deaf: false,
        }
    }

    fn is_full(&self) -> bool {
        self.waiting >= MOST_WAITING
    }

    fn fill(&mut self) -> Result<(), Errno> {
        let piece = receive(self.socket.as_fd())?;
        self.ended = piece.bytes.is_empty();
        self.framer.take(piece);
        Ok(())
    }

    /// The next line of the authentication.
    fn next_line(&mut self) -> Result<Option<Piece>, Errno> {
        if !self.is_client && self.framer.is_at_message() {
            self.authenticates = false;
        }
        if !self.authenticates {
            return Ok(None);
        }
        let line = self.framer.next_line().map_err(|_| Errno::BADMSG)?;
        if self.is_client && line.as_ref().is_some_and(|line| line.bytes == b"BEGIN\r\n") {
            self.authenticates = false;
        }
        Ok(line)
    }

    /// The next message; none before the lines are over.
    fn next_message(&mut self) -> Result<Option<(Header, Piece)>, Errno> {
        if self.authenticates { Ok(None) } else { self.framer.next().map_err(|_| Errno::BADMSG) }
    }

    fn tell(&mut self, piece: Piece) {
        if !self.deaf {
            self.waiting += piece.bytes.len();
            self.leaving.push_back(piece);
        }
    }

    /// Writes what can be written. Whoever hears nothing more may still have something to say.
    fn flush(&mut self) {
        while let Some(piece) = self.leaving.front_mut() {
            match send_some(self.socket.as_fd(), &piece.bytes[self.sent..], &mut piece.fds) {
                Ok(count) => {
                    self.sent += count;
                    self.waiting -= count;
                }
                Err(_) => {
                    self.deaf = true;
                    self.leaving.clear();
                    (self.sent, self.waiting) = (0, 0);
                    return;
                }
            }
            if self.sent < piece.bytes.len() {
                return;
            }
            self.sent = 0;
            self.leaving.pop_front();
        }
    }
}

/// A call that waits for its answer, by its serial.
#[derive(Clone, Copy)]
struct Call(u32);

impl Call {
    fn of(header: &Header) -> Option<Self> {
        (header.kind == METHOD_CALL && header.expects_reply).then_some(Self(header.serial))
    }
}

/// A client and its buses.
struct Joint {
    client: Side,
    /// The host's, or, where nobody is logged in there, the guest's.
    bus: Side,
    /// The guest's beside it, as soon as something is to be said there.
    guest: Option<Side>,
    /// What it is told when it has answered our first call: descriptors that reach a bus while it authenticates are lost (libdbus
    /// reads without any room for them until then).
    held: Vec<(Option<Call>, Piece)>,
    /// It has answered.
    welcomed: bool,
    /// Where that is; none if it is the only one.
    path: Option<PathBuf>,
    /// The call by which the client has asked for the unique name of the guest's service manager.
    asked_for_manager: Option<u32>,
    /// That name, as far as the client knows it.
    manager: Option<Vec<u8>>,
    /// Of our own answers.
    serial: u32,
    names: Names,
}

/// What the buses call the client. It knows its name on its own alone, and takes no answer that is for another (sd-bus).
#[derive(Default)]
struct Names {
    /// Its first call.
    hello: Option<u32>,
    /// What that was answered with.
    own: Option<Vec<u8>>,
    /// At the guest's bus.
    guest: Option<Vec<u8>>,
}

impl Names {
    /// Hears what the client says.
    fn asked(&mut self, header: &Header) {
        if self.hello.is_none() && header.destination == route::BUS && header.member == b"Hello" {
            self.hello = Some(header.serial);
        }
    }

    /// Hears what its bus answers.
    fn answered(&mut self, header: &Header, bytes: &[u8]) {
        if self.own.is_none() && header.kind == METHOD_RETURN && header.reply_serial == self.hello {
            self.own = Some(first_string(bytes));
        }
    }

    /// A message of the guest's bus as the client expects it.
    fn translated(&self, header: &Header, piece: Piece) -> Piece {
        match (&self.own, &self.guest) {
            (Some(own), Some(guest)) if header.destination == *guest && own != guest => {
                let bytes = readdressed(header, &piece.bytes, own).unwrap_or(piece.bytes);
                Piece { bytes, fds: piece.fds }
            }
            _ => piece,
        }
    }
}

impl Joint {
    fn new(client: OwnedFd, bus: OwnedFd, path: Option<PathBuf>) -> Self {
        Self {
            client: Side::new(client, true),
            bus: Side::new(bus, false),
            guest: None,
            held: Vec::new(),
            welcomed: false,
            path,
            asked_for_manager: None,
            manager: None,
            serial: 0,
            names: Names::default(),
        }
    }

    /// A client that has said its last word is served until the buses have it; one whose bus has gone until it has heard all.
    fn is_over(&self) -> bool {
        let guest_waits = self.guest.as_ref().is_some_and(|guest| !guest.leaving.is_empty());
        self.client.ended && self.bus.leaving.is_empty() && self.held.is_empty() && !guest_waits
            || (self.bus.ended || self.bus.deaf) && self.client.leaving.is_empty()
    }

    /// Waits until something can be read or written, and reads.
    fn wait(&mut self) -> Result<(), Errno> {
        let buses_full = self.held.len() >= MOST_HELD
            || self.bus.is_full()
            || self.guest.as_ref().is_some_and(Side::is_full);
        let client_full = self.client.is_full();
        let wanted = |side: &Side, full: bool| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, !side.ended && !full);
            flags.set(PollFlags::OUT, !side.leaving.is_empty());
            flags
        };
        let mut sides: Vec<(&mut Side, PollFlags)> = Vec::with_capacity(3);
        let flags = wanted(&self.client, buses_full);
        sides.push((&mut self.client, flags));
        for side in [&mut self.bus].into_iter().chain(&mut self.guest) {
            let flags = wanted(side, client_full);
            sides.push((side, flags));
        }
        // One that nothing is wanted of is left out: it would tell again and again that it has been hung up.
        sides.retain(|(_, flags)| !flags.is_empty());
        let mut polled: Vec<PollFd<'_>> =
            sides.iter().map(|(side, flags)| PollFd::new(&side.socket, *flags)).collect();
        match poll(&mut polled, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let ready: Vec<PollFlags> = polled.iter().map(PollFd::revents).collect();
        drop(polled);
        for ((side, wanted), ready) in sides.into_iter().zip(ready) {
            if wanted.contains(PollFlags::IN) && ready.intersects(PollFlags::IN | GONE) {
                side.fill()?;
            }
        }
        Ok(())
    }

    /// Gives what has come to whom it is for, and writes what can be written.
    fn pass_on(&mut self) -> Result<(), Errno> {
        while let Some(line) = self.client.next_line()? {
            self.bus.tell(line);
        }
        while let Some((header, piece)) = self.client.next_message()? {
            self.names.asked(&header);
            self.send(&header, piece);
        }
        while let Some(line) = self.bus.next_line()? {
            self.client.tell(line);
        }
        while let Some((header, piece)) = self.bus.next_message()? {
            self.names.answered(&header, &piece.bytes);
            self.client.tell(piece);
        }
        self.hear_guest()?;
        self.client.flush();
        self.bus.flush();
        if let Some(guest) = &mut self.guest {
            guest.flush();
        }
        Ok(())
    }

    fn send(&mut self, header: &Header, piece: Piece) {
        let Some(path) = &self.path else { return self.bus.tell(piece) };
        if route::of(header, &piece.bytes, self.manager.as_deref()) == Route::Host {
            return self.bus.tell(piece);
        }
        if self.guest.is_none()
            && let Ok(socket) = open(path)
        {
            let uid = rustix::process::geteuid().as_raw().to_string();
            let hex: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
            let lines = format!("\0AUTH EXTERNAL {hex}\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n");
            let mut guest = Side::new(socket, false);
            guest.tell(Piece { bytes: [lines.as_bytes(), &hello(OUR_SERIAL)].concat(), fds: Vec::new() });
            self.guest = Some(guest);
            self.welcomed = false;
        }
        match &mut self.guest {
            Some(guest) => {
                if route::asks_for_manager(header, &piece.bytes) {
                    self.asked_for_manager = Some(header.serial);
                }
                if self.welcomed {
                    guest.tell(piece);
                } else {
                    self.held.push((Call::of(header), piece));
                }
            }
            None => self.refuse(Call::of(header)),
        }
    }

    /// Nobody is there who could answer.
    fn refuse(&mut self, call: Option<Call>) {
        if let Some(Call(serial)) = call {
            self.serial += 1;
            let bytes = service_unknown(self.serial, serial);
            self.client.tell(Piece { bytes, fds: Vec::new() });
        }
    }

    /// What the guest's bus says, but for its words of welcome: the client has been welcomed by the other.
    fn hear_guest(&mut self) -> Result<(), Errno> {
        let Some(guest) = &mut self.guest else { return Ok(()) };
        while guest.next_line()?.is_some() {}
        while let Some((header, piece)) = guest.next_message()? {
            let answers = [METHOD_RETURN, ERROR].contains(&header.kind);
            if answers && header.reply_serial == Some(OUR_SERIAL) {
                self.welcomed = true;
                self.names.guest = Some(first_string(&piece.bytes));
                self.held.drain(..).for_each(|(_, piece)| guest.tell(piece));
                continue;
            }
            if header.member == b"NameAcquired" {
                continue;
            }
            if answers && header.reply_serial.is_some() && header.reply_serial == self.asked_for_manager {
                self.asked_for_manager = None;
                self.manager = (header.kind == METHOD_RETURN).then(|| first_string(&piece.bytes));
            } else if header.sender.starts_with(b":") {
                // Nobody else there is spoken with.
                self.manager = Some(header.sender.clone());
            }
            self.client.tell(self.names.translated(&header, piece));
        }
        if guest.ended || guest.deaf {
            // The next message opens another one.
            self.guest = None;
            let unheard = std::mem::take(&mut self.held);
            unheard.into_iter().for_each(|(call, _)| self.refuse(call));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::super::message::{header, length, tests::call};
    use super::*;

    #[test]
    fn a_call_that_a_bus_took_with_it_when_it_died_is_answered() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bus");
        let listener = UnixListener::bind(&path).unwrap();
        let (mut client, ours) = UnixStream::pair().unwrap();
        let (_bus, to_bus) = UnixStream::pair().unwrap();
        let mut joint = Joint::new(ours.into(), to_bus.into(), Some(path));
        let asked = call(7, "org.freedesktop.systemd1", "Get", None, false);
        client.write_all(&[b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n", &asked[..]].concat()).unwrap();
        while joint.guest.is_none() {
            joint.wait().unwrap();
            joint.pass_on().unwrap();
        }
        // It takes the call to it in, and goes before it says anything.
        drop(listener.accept().unwrap());
        drop(listener);
        while joint.guest.is_some() {
            joint.wait().unwrap();
            joint.pass_on().unwrap();
        }
        drop(joint);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).unwrap();
        assert_eq!(length(&heard), Ok(Some(heard.len())));
        let answer = header(&heard).unwrap();
        assert_eq!((answer.kind, answer.reply_serial), (ERROR, Some(7)));
    }
}
