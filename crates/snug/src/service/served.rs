//! A container that is served, and the connection that it is offered.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use rustix::net::{RecvFlags, recv};
use snug_core::name::ContainerName;
use snug_wire::message::{FromAgent, ToAgent};
use snug_wire::policy::{Entry, Policy};
use snug_wire::socket::{Connection, Descriptors, Filled, connect};

use super::pace::{PAUSE, Pace};

/// How long a full queue of an agent is waited for; the other containers wait meanwhile.
const ACCEPT: Duration = Duration::from_millis(20);
/// How long an agent may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// How long an agent that has ended may take to be there again, with its guest or without: whoever starts a container asks anew.
const AGAIN: Duration = Duration::from_secs(60);
/// More than a hello, in bytes.
const HELLO_LENGTH: usize = 1024;
/// A connection that ends sooner was not kept by anybody.
const KEPT: Duration = Duration::from_secs(1);
/// Commands at a time, of a container that is its owner and of one that is not.
const MOST_SESSIONS: [usize; 2] = [512, 8];

/// How things stand with a container.
enum State {
    /// Nobody there can be offered anything.
    Over,
    /// There is no agent, but the place where one would be is watched.
    Awaited {
        /// Of inotify(7).
        watch: i32,
        /// When to try again, if something has happened there.
        due: Option<Instant>,
    },
    /// It has asked too often, or in vain: nothing is offered before that time.
    Paused(Instant),
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
    /// What its sessions are known by.
    pub group: u32,
    state: State,
    since: Instant,
    pace: Pace,
    trusted: bool,
}

/// What has been heard from a container.
pub enum Heard {
    /// Nothing for others.
    Nothing,
    /// Somebody has dialled, and is at the other end.
    Caller(OwnedFd),
}

impl Served {
    /// One that is not offered anything yet.
    pub fn new(name: ContainerName, directory: PathBuf, group: u32) -> Self {
        let now = Instant::now();
        Self { name, directory, group, state: State::Over, since: now, pace: Pace::new(now), trusted: false }
    }

    /// Whether there is a connection, or one is being made.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Greeting(_) | State::Offered(_))
    }

    /// What to wait for, when so many of its sessions are under way. Who dials while there are too many waits for one to end.
    pub fn connection(&self, sessions: usize) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Greeting(connection) => Some(connection.as_fd()),
            State::Offered(connection) => {
                let most = MOST_SESSIONS[usize::from(!self.trusted)];
                (sessions < most).then(|| connection.as_fd())
            }
            State::Over | State::Paused(_) | State::Awaited { .. } => None,
        }
    }

    /// When something is to be done if nothing happens until then.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Greeting(_) => Some(self.since + HELLO),
            State::Awaited { due, .. } => Some(due.unwrap_or(self.since + AGAIN)),
            State::Paused(until) => Some(*until),
            State::Over | State::Offered(_) => None,
        }
    }

    /// Does what is due.
    pub fn advance(&mut self, now: Instant, watches: &OwnedFd) {
        match &self.state {
            State::Greeting(_) if self.since + HELLO <= now => self.state = State::Over,
            State::Paused(until) if *until <= now => self.connect(watches),
            State::Awaited { .. } if self.since + AGAIN <= now => self.forget_watch(watches),
            State::Awaited { due: Some(due), .. } if *due <= now => self.try_again(watches),
            _ => {}
        }
    }

    /// Whether nothing more is to be expected of it.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Somebody asks that it be served, who may have mended what was amiss.
    pub fn wake(&mut self, watches: &OwnedFd) {
        if !self.is_connected() {
            self.pace.recover();
            self.connect(watches);
        }
    }

    /// One of its sessions has been asked for something.
    pub fn was_asked(&mut self) {
        self.pace.recover();
    }

    /// One of its sessions has ended without, or could not begin.
    pub fn was_in_vain(&mut self) {
        self.pace.fail(Instant::now());
    }

    /// Connects to the agent when it is time, if the container is to be offered anything; where there is none, waits for one.
    pub fn connect(&mut self, watches: &OwnedFd) {
        self.forget_watch(watches);
        let policy = Policy::of(&self.directory);
        if !policy.offers_host() || policy.entry == Entry::Daemon || self.pace.is_hopeless() {
            return;
        }
        self.trusted = policy.trusted;
        self.since = Instant::now();
        if self.pace.next() > self.since {
            self.state = State::Paused(self.pace.next());
            return;
        }
        if !self.reach() {
            self.await_agent(watches);
        }
    }

    /// Watches the place where an agent would be, and looks there once more: it may have come before the watch.
    fn await_agent(&mut self, watches: &OwnedFd) {
        self.since = Instant::now();
        let guest = self.directory.join("guest");
        // What is mounted there belongs to this run of the guest; below it nothing will ever happen.
        let device = |path: &PathBuf| fs::symlink_metadata(path).map(|status| status.dev()).ok();
        if device(&guest) == device(&self.directory) {
            return;
        }
        let flags = WatchFlags::CREATE | WatchFlags::ATTRIB | WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW;
        if let Ok(watch) = inotify::add_watch(watches, &guest, flags) {
            self.state = State::Awaited { watch, due: Some(self.pace.next().max(self.since + PAUSE)) };
        }
    }

    /// Whether the agent accepts a connection.
    fn reach(&mut self) -> bool {
        // Whoever dials may hand descriptors over, or the kernel refuses them to him.
        let descriptors = if self.trusted { Descriptors::Accept } else { Descriptors::Refuse };
        match connect(&self.directory.join("guest/agent.sock"), ACCEPT, descriptors) {
            Ok(mut connection) => {
                connection.bound(HELLO_LENGTH);
                self.state = State::Greeting(connection);
                true
            }
            Err(_) => false,
        }
    }

    fn try_again(&mut self, watches: &OwnedFd) {
        let State::Awaited { watch, .. } = self.state else { return };
        if self.reach() {
            self.since = Instant::now();
            let _ = inotify::remove_watch(watches, watch);
        } else {
            self.state = State::Awaited { watch, due: None };
        }
    }

    fn forget_watch(&mut self, watches: &OwnedFd) {
        if let State::Awaited { watch, .. } = std::mem::replace(&mut self.state, State::Over) {
            // One that the kernel has removed with its directory is gone already.
            let _ = inotify::remove_watch(watches, watch);
        }
    }

    /// Something has happened at a watch, or (`None`) so much that it was not told where.
    pub fn seen(&mut self, at: Option<(i32, ReadFlags)>) {
        let State::Awaited { watch, due } = &mut self.state else { return };
        match at {
            Some((other, _)) if other != *watch => {}
            Some((_, events)) if events.intersects(ReadFlags::IGNORED | ReadFlags::UNMOUNT) => {
                self.state = State::Over;
            }
            // Not at once: a guest can make as many events as it likes.
            _ => _ = due.get_or_insert(self.pace.next().max(Instant::now() + PAUSE)),
        }
    }

    /// Takes what there is to read from its connection.
    pub fn hear(&mut self, watches: &OwnedFd) -> Heard {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Greeting(connection) => {
                // One that ends can still accept: its socket outlives it for a moment.
                if !self.greeted(connection) && !self.pace.is_hopeless() {
                    self.pace.fail(Instant::now());
                    self.await_agent(watches);
                }
            }
            State::Offered(connection) => {
                let mut byte = [0];
                match recv(&connection, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
                    Ok((1.., _)) => {
                        if !self.trusted {
                            self.pace.spend(Instant::now());
                        }
                        return Heard::Caller(connection);
                    }
                    // The agent has ended, or who dialled has gone.
                    _ => {
                        if self.since.elapsed() < KEPT {
                            self.pace.fail(Instant::now());
                        } else {
                            self.pace.recover();
                        }
                        drop(connection);
                        self.connect(watches);
                    }
                }
            }
            other => self.state = other,
        }
        Heard::Nothing
    }

    /// Offers the connection to an agent that has said hello; whether it is still of use. One that says anything else is left
    /// alone.
    fn greeted(&mut self, mut connection: Connection) -> bool {
        if !matches!(connection.fill(), Ok(Filled::Some | Filled::Nothing)) {
            return false;
        }
        match connection.next_buffered::<FromAgent>() {
            Ok(None) => {
                self.state = State::Greeting(connection);
                true
            }
            Ok(Some(FromAgent::Hello { .. })) => {
                // An empty socket takes it at once.
                let offered = connection.send(&ToAgent::Offer, &[], Some(Instant::now())).is_ok();
                let (socket, early) = connection.into_raw();
                if offered && early.is_empty() {
                    self.since = Instant::now();
                    self.state = State::Offered(socket);
                }
                offered
            }
            _ => true,
        }
    }
}
