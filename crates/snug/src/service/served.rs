//! A container that is served, and the connection that it is offered.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use rustix::net::{RecvFlags, recv};
use snug_core::name::ContainerName;
use snug_wire::message::{FromAgent, ToAgent};
use snug_wire::policy::{Entry, Policy};
use snug_wire::socket::{Connection, Descriptors, Filled, connect};

/// How long a full queue of an agent is waited for; the other containers wait meanwhile.
const ACCEPT: Duration = Duration::from_millis(20);
/// How long an agent may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// A connection that ends sooner was not kept by anybody.
const KEPT: Duration = Duration::from_secs(1);
/// So many such ones in a row, and the container is left alone until somebody asks again.
const MOST_FAILURES: u32 = 8;

/// How things stand with a container.
enum State {
    /// Nobody there can be offered anything.
    Over,
    /// There is no agent, but the place where one would be is watched.
    Awaited(i32),
    /// The agent has yet to say hello.
    Greeting(Connection),
    /// The agent has the offer.
    Offered(OwnedFd),
}

/// A container that is served.
pub struct Served {
    /// Its name.
    pub name: ContainerName,
    /// `STATE/run/UID/NAME`.
    pub directory: PathBuf,
    state: State,
    since: Instant,
    failures: u32,
    descriptors: Descriptors,
}

/// What has been heard from a container.
pub enum Heard {
    /// Nothing for others.
    Nothing,
    /// Somebody has dialled, and is at the other end.
    Caller(OwnedFd),
}

/// What a container's owner and the daemon have agreed on.
pub fn policy(directory: &std::path::Path) -> Policy {
    fs::read_to_string(directory.join("policy"))
        .map_or_else(|_| Policy::default(), |text| Policy::parse(&text))
}

impl Served {
    /// One that is not offered anything yet.
    pub fn new(name: ContainerName, directory: PathBuf) -> Self {
        Self {
            name,
            directory,
            state: State::Over,
            since: Instant::now(),
            failures: 0,
            descriptors: Descriptors::Refuse,
        }
    }

    /// What to wait for.
    pub fn connection(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Greeting(connection) => Some(connection.as_fd()),
            State::Offered(connection) => Some(connection.as_fd()),
            State::Over | State::Awaited(_) => None,
        }
    }

    /// Until when.
    pub fn deadline(&self) -> Option<Instant> {
        matches!(self.state, State::Greeting(_)).then(|| self.since + HELLO)
    }

    /// Whether nothing more is to be expected of it.
    pub fn is_over(&self, now: Instant) -> bool {
        matches!(self.state, State::Over) || self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Whether this watch is for it.
    pub fn waits_for(&self, watch: i32) -> bool {
        matches!(self.state, State::Awaited(awaited) if awaited == watch)
    }

    /// Connects to the agent, if the container is to be offered anything; where there is none, waits for one.
    pub fn connect(&mut self, watches: &OwnedFd) {
        self.forget_watch(watches);
        let policy = policy(&self.directory);
        if !policy.offers_host() || policy.entry == Entry::Daemon || self.failures >= MOST_FAILURES {
            return;
        }
        let guest = self.directory.join("guest");
        let socket = guest.join("agent.sock");
        // Whoever dials may hand descriptors over, or the kernel refuses them to him.
        self.descriptors = if policy.trusted { Descriptors::Accept } else { Descriptors::Refuse };
        self.since = Instant::now();
        if let Ok(connection) = connect(&socket, ACCEPT, self.descriptors) {
            self.state = State::Greeting(connection);
            return;
        }
        let flags = WatchFlags::CREATE | WatchFlags::ATTRIB | WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW;
        let Ok(watch) = inotify::add_watch(watches, &guest, flags) else { return };
        self.state = State::Awaited(watch);
        // It may have come before the watch.
        if let Ok(connection) = connect(&socket, ACCEPT, self.descriptors) {
            self.forget_watch(watches);
            self.state = State::Greeting(connection);
        }
    }

    fn forget_watch(&mut self, watches: &OwnedFd) {
        if let State::Awaited(watch) = std::mem::replace(&mut self.state, State::Over) {
            // One that the kernel has removed with its directory is gone already.
            let _ = inotify::remove_watch(watches, watch);
        }
    }

    /// Something has happened where its agent would be.
    pub fn seen(&mut self, events: ReadFlags, watches: &OwnedFd) {
        if events.intersects(ReadFlags::IGNORED | ReadFlags::UNMOUNT) {
            self.state = State::Over;
            return;
        }
        let socket = self.directory.join("guest/agent.sock");
        if let Ok(connection) = connect(&socket, ACCEPT, self.descriptors) {
            self.forget_watch(watches);
            self.since = Instant::now();
            self.state = State::Greeting(connection);
        }
    }

    /// Takes what there is to read from its connection.
    pub fn hear(&mut self, watches: &OwnedFd) -> Heard {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Greeting(connection) => self.greeted(connection),
            State::Offered(connection) => {
                let mut byte = [0];
                match recv(&connection, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
                    Ok((1.., _)) => {
                        self.failures = 0;
                        return Heard::Caller(connection);
                    }
                    // The agent has ended, or who dialled has gone.
                    _ => {
                        self.failures = if self.since.elapsed() < KEPT { self.failures + 1 } else { 0 };
                        drop(connection);
                        self.connect(watches);
                    }
                }
            }
            other => self.state = other,
        }
        Heard::Nothing
    }

    /// Offers the connection to an agent that has said hello. One that says anything else is left alone.
    fn greeted(&mut self, mut connection: Connection) {
        if !matches!(connection.fill(), Ok(Filled::Some | Filled::Nothing)) {
            return;
        }
        match connection.next_buffered::<FromAgent>() {
            Ok(None) => self.state = State::Greeting(connection),
            Ok(Some(FromAgent::Hello { .. })) => {
                // An empty socket takes it at once.
                if connection.send(&ToAgent::Offer, &[], Some(Instant::now())).is_ok()
                    && let (socket, early) = connection.into_raw()
                    && early.is_empty()
                {
                    self.since = Instant::now();
                    self.state = State::Offered(socket);
                }
            }
            _ => {}
        }
    }
}
