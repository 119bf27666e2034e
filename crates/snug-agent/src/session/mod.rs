//! One connection of a client, in a process of its own: what goes wrong here harms nobody else.
//!
//! | module | what |
//! |---|---|
//! | [`command`] | the life of a command, from the request to its end |
//! | [`start`] | from the fork to the command's program |
//! | [`streams`] | where a command's streams and its terminal come from |
//! | [`environment`] | what its environment is made of |
//! | [`relay`] | streams of an untrusted guest's command |
//! | [`hangup`] | hanging up every command |
//! | [`greeting`] | the first words to a client, and who may go on |

mod command;
pub mod environment;
pub mod greeting;
mod hangup;
mod relay;
pub mod start;
mod streams;
mod terminfo;

pub use self::hangup::terminate_commands;

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use snug_wire::message::{FailureKind, FromAgent, ToAgent};
use snug_wire::provision::{Followed, Provision};
use snug_wire::socket::{Connection, Descriptors, Filled};

use crate::cgroup::{Group, Tree};
use crate::console;
use crate::control::{self, Order, Request};
use crate::places::{Guest, Places};
use crate::provision::{self, certificates, host_places};
use crate::server;
use crate::sys::door::Door;
use crate::sys::{descriptor, memory, process, signal, timespec};

/// A client that does not read its answers for so long is as good as gone. Answers are a few bytes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Who connects and asks for nothing would keep a process of the guest for nothing.
const REQUEST: Duration = Duration::from_secs(60);
/// Descriptors that a client may hand over, `RLIMIT_NOFILE`'s usual soft limit.
const MAX_DESCRIPTORS: usize = 1024;

/// What the server knows when it forks a session.
pub struct Context {
    /// The agent's directories.
    pub places: Places,
    /// The guest's files.
    pub guest: Guest,
    /// Whom the agent serves; without it only root is served.
    pub provision: Option<Provision>,
    /// Control groups, where the guest has them.
    pub tree: Option<Tree>,
    /// Early boot is done.
    pub settled: bool,
    /// The guest's login environment, when it is known.
    pub environment: Option<Vec<Vec<u8>>>,
    /// `RLIMIT_NOFILE` as the server found it.
    pub descriptor_limit: Option<(u64, u64)>,
    /// The number of everybody who has none in this user namespace.
    pub overflow_uid: u32,
    /// `container` as LXC gave it.
    pub container: Vec<u8>,
}

impl Context {
    fn trusted(&self) -> bool {
        self.provision.as_ref().is_some_and(|provision| provision.trusted)
    }

    /// Puts what had to wait for the guest's early boot, which is done, into the guest.
    pub fn finish_provisioning(&self) {
        let Some(provision) = &self.provision else { return };
        let is_late = fs::read_to_string(self.places.boot()).is_ok_and(|boot| boot == server::BY_OPENRC);
        if is_late && let Err(error) = host_places::make_late(&self.guest, provision) {
            console::say(format_args!("the host's places: {error}"));
        }
        if let Err(error) = provision::session::find_displays(&self.guest, provision) {
            console::say(format_args!("displays: {error}"));
        }
        if let Err(error) = certificates::update(&self.guest, &self.places) {
            console::say(format_args!("certificates: {error}"));
        }
    }

    /// How long a command that was hung up may go on.
    pub fn grace(&self) -> Duration {
        let grace = self.provision.as_ref().map_or(2000, |provision| provision.hangup_grace);
        Duration::from_millis(grace.into())
    }
}

/// Something that a session waits for.
enum Event {
    Message(ToAgent),
    ClientGone,
    Order(Order),
    Child,
    Terminate,
    Deadline,
}

/// A client's connection and what else wakes a session.
struct Session {
    connection: Connection,
    control: OwnedFd,
    signals: signal::Signals,
    client_gone: bool,
    server_gone: bool,
    /// Goes out with the next message, or before anything is waited for: the client then wakes up once.
    unsaid: Vec<FromAgent>,
    /// The server waits for word that this session is out of the way of the next spare one.
    in_the_way: bool,
}

/// Where a session's client comes from.
pub enum Origin {
    /// It is there.
    Client(OwnedFd),
    /// This is the spare session: it does all that needs no client, and then accepts the next one itself.
    Listener(OwnedFd),
}

/// Serves one connection, in a process just forked from the server.
pub fn run(context: &mut Context, origin: Origin, control: OwnedFd) -> ! {
    let _ = serve(context, origin, control);
    process::exit(0)
}

fn serve(context: &mut Context, origin: Origin, control: OwnedFd) -> Result<(), Errno> {
    let (waits, source) = match origin {
        Origin::Client(client) => (false, client),
        Origin::Listener(listener) => (true, listener),
    };
    let [source, control] = {
        let kept = [source.as_raw_fd(), control.as_raw_fd()];
        std::mem::forget((source, control));
        descriptor::keep_only(kept).map_err(|_| Errno::MFILE)?
    };
    let _ = rustix::thread::set_name(c"snug-session");
    signal::expect_children();
    rustix::process::setsid()?;
    let signals = signal::Signals::new(&[libc::SIGCHLD, libc::SIGTERM]).map_err(|_| Errno::MFILE)?;
    // A session has one command, so its number names the group.
    let number = rustix::process::getpid().as_raw_nonzero().get().cast_unsigned();
    let mut group = context.tree.as_ref().and_then(|tree| tree.command(number).ok());
    let client = if waits { await_client(context, &signals, control.as_fd(), source) } else { Some(source) };
    let unsaid = if waits { vec![greeting::hello(context)] } else { Vec::new() };
    let result = match client {
        Some(client) => converse(context, client, control, signals, unsaid, &mut group),
        None => Ok(()),
    };
    give_back(&mut group);
    result
}

/// Removes the control group of a session that starts no command.
fn give_back(group: &mut Option<Group>) {
    if let Some(group) = group.take() {
        group.remove();
    }
}

/// The spare session's wait; `None` when the server ends, or the guest.
fn await_client(
    context: &mut Context,
    signals: &signal::Signals,
    control: BorrowedFd<'_>,
    listener: OwnedFd,
) -> Option<OwnedFd> {
    memory::warm();
    let mut door = Door::new(listener);
    loop {
        let mut polled = [
            PollFd::new(signals, PollFlags::IN),
            PollFd::from_borrowed_fd(control, PollFlags::IN),
            PollFd::new(&door, PollFlags::IN),
        ];
        match poll(&mut polled, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return None,
        }
        let ready = polled.map(|fd| !fd.revents().is_empty());
        if ready[0] && signals.next() == Some(libc::SIGTERM) {
            return None;
        }
        if ready[1] {
            match control::receive(control).ok()?? {
                (Order::Settled, _) => context.settled = true,
                (Order::Environment, _) => command::read_environment(context),
                (Order::HangUp { .. } | Order::Taken | Order::Unknown | Order::AllGone, _) => {}
            }
        }
        if ready[2] {
            let Some(client) = door.accept() else { continue };
            if let Some(client) = greeting::admit(context, client) {
                // A server that has just died is none of the client's business.
                let _ = control::send(control, &Request::Accepted, &[]);
                return Some(client);
            }
        }
    }
}

fn converse(
    context: &mut Context,
    connection: OwnedFd,
    control: OwnedFd,
    signals: signal::Signals,
    unsaid: Vec<FromAgent>,
    group: &mut Option<Group>,
) -> Result<(), Errno> {
    let descriptors = if context.trusted() { Descriptors::Accept } else { Descriptors::Refuse };
    let mut session = Session {
        connection: Connection::new(connection, descriptors),
        control,
        signals,
        client_gone: false,
        server_gone: false,
        unsaid,
        in_the_way: true,
    };
    // The request is usually there by now. An error is met again where it is waited for.
    let _ = session.connection.fill();
    let mut handed = Vec::new();
    let end = Instant::now() + REQUEST;
    loop {
        match session.wait(Some(end)) {
            // Not received at all; a command that needs one of them is refused with a reason.
            Event::Message(ToAgent::Fds(_)) if descriptors == Descriptors::Refuse => {}
            Event::Message(ToAgent::Fds(numbers)) => {
                let Ok(fds) = session.connection.take_fds(numbers.len()) else { return Ok(()) };
                // The answer waits for the request: a client that still sends would not hear it.
                if handed.len() <= MAX_DESCRIPTORS {
                    handed.extend(numbers.into_iter().zip(fds));
                }
            }
            Event::Message(ToAgent::Exec(_)) if handed.len() > MAX_DESCRIPTORS => {
                let text = format!("more than {MAX_DESCRIPTORS} descriptors cannot be handed over");
                session.tell(&FromAgent::Failed { kind: FailureKind::Other, text: text.into() }, &[]);
                return Ok(());
            }
            Event::Message(ToAgent::Exec(exec)) => {
                command::run(context, &mut session, *exec, handed, group.take());
                return Ok(());
            }
            Event::Message(ToAgent::Attach { token, stream }) => {
                give_back(group);
                return attach(session, token, stream);
            }
            Event::Message(ToAgent::HangUpAll { grace }) => {
                give_back(group);
                hangup::all(context, &mut session, grace);
                return Ok(());
            }
            Event::Message(ToAgent::Follow(followed)) => {
                give_back(group);
                follow(context, &mut session, &followed);
                return Ok(());
            }
            Event::Order(Order::Settled) => context.settled = true,
            Event::Order(Order::Environment) => command::read_environment(context),
            Event::ClientGone | Event::Terminate | Event::Deadline | Event::Order(Order::HangUp { .. }) => {
                return Ok(());
            }
            Event::Message(_) | Event::Order(_) | Event::Child => {}
        }
    }
}

/// Takes over what has changed on the host; answers what of it failed.
fn follow(context: &Context, session: &mut Session, followed: &Followed) {
    let mut steps = provision::follow(&context.guest, &context.places, followed);
    if context.settled {
        steps.push(("certificates", certificates::update(&context.guest, &context.places)));
    }
    let failed: Vec<String> = steps
        .into_iter()
        .filter_map(|(step, result)| result.err().map(|error| format!("{step}: {error}")))
        .collect();
    let answer = match failed[..] {
        [] => FromAgent::Done,
        _ => FromAgent::Failed { kind: FailureKind::Other, text: failed.join("; ").into() },
    };
    session.tell(&answer, &[]);
}

/// Becomes the relay of one stream.
fn attach(mut session: Session, token: control::Token, stream: u8) -> Result<(), Errno> {
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
    /// Waits for whatever comes first. After the client is gone, its end is not reported again.
    fn wait(&mut self, deadline: Option<Instant>) -> Event {
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
                    Ok(Some((order, _))) => return Event::Order(order),
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
    fn tell(&mut self, message: &FromAgent, fds: &[BorrowedFd<'_>]) -> bool {
        self.unsaid.push(message.clone());
        !self.client_gone && self.say(fds)
    }

    /// Tells what is unsaid.
    fn say(&mut self, fds: &[BorrowedFd<'_>]) -> bool {
        let unsaid = std::mem::take(&mut self.unsaid);
        let deadline = Some(Instant::now() + PATIENCE);
        unsaid.is_empty() || self.connection.send_all(&unsaid, fds, deadline).is_ok()
    }

    /// Lets the server make the next spare session.
    fn step_aside(&mut self) {
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
