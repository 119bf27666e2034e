//! The server: accepts clients, forks a session for each, and knows the little that they share.
//!
//! It waits for descriptors alone: no timer runs while the guest is idle.
//!
//! | module | what |
//! |---|---|
//! | [`socket`] | its lock, and where clients find it |
//! | [`daemon`] | how it comes to belong to nobody |
//! | [`settle`] | when the guest's early boot is done |
//! | [`probe`] | what the guest's login environment is |

mod daemon;
mod probe;
mod settle;
mod socket;

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use snug_wire::provision::Provision;

pub use self::daemon::start_daemon;
pub use self::probe::print_environment;
pub use self::settle::{BY_OPENRC, BY_UNIT, announce};

use self::probe::Probe;
use self::settle::Settle;
use self::socket::{LISTEN_AGAIN, listen_at, reach_again, take_lock};
use crate::console;
use crate::memory;
use crate::places::{Guest, Places};
use crate::session::{self, Context, Origin, greeting};
use crate::session_bus;
use snug_exec::cgroup::Tree;
use snug_exec::control::{self, Order, Request};
use snug_exec::environment;
use snug_exec::sessions::Sessions;
use snug_exec::sys::door::Door;
use snug_exec::sys::process::{Fork, Shared, fork};
use snug_exec::sys::{process, signal, timespec};
use snug_exec::system::System;

/// Why no server runs.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another one does.
    #[error("the agent already serves this guest")]
    AlreadyServed,
    /// The system refused.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Its answer.
        error: io::Error,
    },
}

fn failed<E: Into<io::Error>>(what: &'static str) -> impl Fn(E) -> ServeError {
    move |error| ServeError::System { what, error: error.into() }
}

/// A session without a client.
struct Spare {
    channel: OwnedFd,
    pid: u32,
}

/// The server of a guest.
pub struct Server {
    context: Context,
    door: Door,
    /// Where the owner's programs look for their session bus.
    bus: Option<Door>,
    signals: signal::Signals,
    settle: Settle,
    probe: Probe,
    sessions: Sessions,
    /// A session without a client, made in advance: forking it is then not on the way of a command.
    spare: Option<Spare>,
    leaving: Option<Instant>,
    _lock: OwnedFd,
}

impl Server {
    /// Takes the guest's socket.
    pub fn open(places: Places, tree: Option<Tree>) -> Result<Self, ServeError> {
        fs::create_dir_all(&places.state).map_err(failed("cannot make the agent's directory"))?;
        // From here on a signal is something to read; whoever finds the lock taken may send one at once.
        signal::block_all();
        let signals = signal::Signals::new(&[libc::SIGTERM, LISTEN_AGAIN]).map_err(failed("signals"))?;
        let lock = match take_lock(&places) {
            Err(ServeError::AlreadyServed) => {
                reach_again(&places)?;
                return Err(ServeError::AlreadyServed);
            }
            other => other?,
        };
        signal::ignore_children();
        let descriptor_limit = process::limit(process::OPEN_FILES);
        if let Some((_, hard)) = descriptor_limit {
            let _ = process::set_limit(process::OPEN_FILES, hard, hard);
        }
        let listener = listen_at(&places)?;
        let settle = Settle::observe(&places);
        let known = fs::read(places.environment()).ok().map(|text| environment::split(&text));
        let mut provision = read_provision(&places);
        if let Some(provision) = &mut provision {
            // In place by now, and too long to be kept by something that always runs.
            provision.followed.certificates = Vec::new();
        }
        let context = Context {
            provision,
            settled: settle.is_settled(),
            environment: known,
            guest: Guest::default(),
            tree,
            descriptor_limit,
            overflow_uid: overflow_uid(),
            container: container_variable(),
            offered: Shared::new(false).map_err(failed("shared memory"))?,
            places,
        };
        let bus = session_bus::listen_for_owner(&context.places, context.provision.as_ref());
        let bus = bus.unwrap_or_else(|error| {
            console::say(format_args!("the session bus: {error}"));
            None
        });
        let bus = bus.map(Door::new);
        // What `ps` and `top` show: the arguments are still those of process 1.
        let _ = rustix::thread::set_name(c"snug-server");
        let mut server = Self {
            context,
            door: Door::new(listener),
            bus,
            signals,
            settle,
            probe: Probe::Idle,
            sessions: Sessions::default(),
            spare: None,
            leaving: None,
            _lock: lock,
        };
        if server.context.settled {
            server.context.finish_provisioning();
        }
        if server.context.settled && server.context.environment.is_none() {
            server.start_probe();
        }
        Ok(server)
    }

    /// Serves until it is told to end.
    pub fn run(mut self) {
        self.make_spare();
        loop {
            let woken = match self.wait() {
                Ok(woken) => woken,
                Err(error) => {
                    console::say(format_args!("poll: {error}"));
                    return;
                }
            };
            if woken.settle && self.settle.look(&self.context.places) {
                self.settled();
            }
            if (woken.probe || self.probe.is_late())
                && let Some(found) = self.probe.read()
            {
                self.know_environment(found);
            }
            // From the last on: one that is withdrawn does not change the places of those before it.
            for index in woken.offers.into_iter().rev() {
                self.sessions.withdraw(index);
                self.tell_offers();
            }
            for index in woken.sessions {
                self.hear(index);
            }
            let spare = self.spare.as_ref().map(|spare| spare.pid);
            if self.sessions.forget_ended(self.context.tree.as_ref(), spare) {
                self.make_spare();
                // What is likely to come next is a long wait.
                memory::forget_used_code();
            }
            if woken.spare {
                self.hear_spare();
            }
            if woken.client {
                self.accept();
            }
            if woken.bus {
                self.join_bus();
            }
            // Last: what was ready above is heard before it is given up.
            if woken.signal {
                match self.signals.next() {
                    Some(LISTEN_AGAIN) => self.listen_again(),
                    Some(_) => self.leave(),
                    None => {}
                }
            }
            if self.may_go() {
                return;
            }
        }
    }

    fn wait(&self) -> Result<Woken, Errno> {
        let deadline = [self.probe.deadline(), self.leaving].into_iter().flatten().min();
        let timeout = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        // While there is a spare session, it is the one that accepts.
        let accepting = match &self.spare {
            Some(spare) => PollFd::new(&spare.channel, PollFlags::IN),
            None => PollFd::new(&self.door, PollFlags::IN),
        };
        let mut polled = vec![PollFd::new(&self.signals, PollFlags::IN), accepting];
        let (settle, probe) = (self.settle.descriptor(), self.probe.descriptor());
        for fd in [settle, probe].into_iter().flatten() {
            polled.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        }
        let first = polled.len();
        polled.extend(self.sessions.channels().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let bus = polled.len();
        polled.extend(self.bus.iter().map(|door| PollFd::new(door, PollFlags::IN)));
        let offers = polled.len();
        polled.extend(self.sessions.offers().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let is_ready = |index: usize| polled.get(index).is_some_and(|fd| !fd.revents().is_empty());
        Ok(Woken {
            signal: is_ready(0),
            client: self.spare.is_none() && is_ready(1),
            spare: self.spare.is_some() && is_ready(1),
            settle: settle.is_some() && is_ready(2),
            probe: probe.is_some() && is_ready(2 + usize::from(settle.is_some())),
            bus: self.bus.is_some() && is_ready(bus),
            sessions: (first..bus).filter(|index| is_ready(*index)).map(|index| index - first).collect(),
            offers: (offers..polled.len())
                .filter(|index| is_ready(*index))
                .map(|index| index - offers)
                .collect(),
        })
    }

    fn settled(&mut self) {
        self.context.settled = true;
        self.context.finish_provisioning();
        self.tell_all(&Order::Settled);
        self.start_probe();
    }

    fn start_probe(&mut self) {
        self.probe = Probe::start(&self.context);
        if matches!(self.probe, Probe::Idle) {
            self.know_environment(Vec::new());
        }
    }

    fn know_environment(&mut self, found: Vec<Vec<u8>>) {
        let text: Vec<u8> = found.iter().flat_map(|variable| [variable, &b"\0"[..]].concat()).collect();
        if let Err(error) = crate::files::replace(&self.context.places.environment(), &text, 0o600) {
            console::say(format_args!("{}: {error}", self.context.places.environment().display()));
        }
        self.context.environment = Some(found);
        self.tell_all(&Order::Environment);
        // The guest has started: what is needed for that alone is not needed again.
        memory::forget_used_code();
    }

    fn tell_all(&self, order: &Order) {
        self.sessions.tell_all(order);
        if let Some(spare) = &self.spare {
            // One that has ended is noticed when it is needed.
            let _ = control::send(spare.channel.as_fd(), order, &[]);
        }
    }

    fn hear(&mut self, index: usize) {
        match self.sessions.hear(index) {
            Some(Request::HangUpAll { grace }) => self.sessions.hang_up_all(index, grace),
            Some(Request::Take(token, stream)) => self.sessions.give(index, token, stream),
            Some(Request::Begun) => self.make_spare(),
            Some(Request::Keep(..) | Request::Offer | Request::Dial | Request::Accepted) | None => {}
        }
        self.tell_offers();
    }

    /// Sessions greet their clients with it.
    fn tell_offers(&self) {
        let offered = self.sessions.has_offer();
        if self.context.offered.get() != offered {
            self.context.offered.set(offered);
        }
    }

    /// The spare session has a client: the next one is made when that client's command has begun, for both need the lock
    /// of the control groups (measured: 0.3 ms longer for the command). Or it has ended; then the next client's session
    /// is forked when that client comes (not at once: what ended it may end the next one too).
    fn hear_spare(&mut self) {
        let Some(Spare { channel, .. }) = self.spare.take() else { return };
        if matches!(control::receive(channel.as_fd()), Ok(Some((Request::Accepted, _)))) {
            self.sessions.add(channel, 0);
        }
    }

    /// The socket that is there no more, again. Clients that wait at the old one are turned away.
    fn listen_again(&mut self) {
        match listen_at(&self.context.places) {
            Ok(listener) => {
                self.door = Door::new(listener);
                // It waits at the old one.
                self.spare = None;
                self.make_spare();
            }
            Err(error) => console::say(format_args!("{error}")),
        }
    }

    fn accept(&mut self) {
        if let Some(client) = self.door.accept() {
            self.welcome(client);
        }
    }

    /// A program of the owner's wants its session bus: it gets a process that joins it to one.
    fn join_bus(&mut self) {
        let Some(client) = self.bus.as_mut().and_then(Door::accept) else { return };
        let Some(provision) = &self.context.provision else { return };
        match fork() {
            Ok(Fork::Child) => session_bus::serve(&provision.owner, &self.context.places, client),
            Ok(Fork::Parent(_)) => {}
            Err(error) => console::say(format_args!("the session bus: {error}")),
        }
    }

    fn welcome(&mut self, client: OwnedFd) {
        let Some(client) = greeting::greet(&self.context, client) else { return };
        match self.fork_session(Some(client)) {
            Ok(session) => self.sessions.add(session.channel, 0),
            Err(error) => console::say(format_args!("cannot start a session: {error}")),
        }
        self.make_spare();
    }

    /// Makes the next session in advance; without one, the next client's session is forked when it comes.
    fn make_spare(&mut self) {
        if self.spare.is_none() && self.leaving.is_none() {
            self.spare = self.fork_session(None).ok();
        }
    }

    fn fork_session(&mut self, client: Option<OwnedFd>) -> io::Result<Spare> {
        let (ours, theirs) = control::pair()?;
        let origin = match client {
            Some(client) => Origin::Client(client),
            None => Origin::Listener(self.door.listener()?),
        };
        match fork()? {
            Fork::Child => session::run(&mut self.context, origin, theirs),
            Fork::Parent(pid) => Ok(Spare { channel: ours, pid: pid.as_raw_nonzero().get().cast_unsigned() }),
        }
    }

    /// The guest stops, and with it the commands: whoever sent the signal waits for all processes to end.
    fn leave(&mut self) {
        let grace = self.context.grace();
        self.leaving = Some(Instant::now() + grace);
        // With the end of its channel the spare session ends.
        self.spare = None;
        let grace = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
        self.sessions.tell_all(&Order::HangUp { grace });
        if let Some(tree) = &self.context.tree {
            session::terminate_commands(tree);
        }
    }

    fn may_go(&self) -> bool {
        let Some(deadline) = self.leaving else { return false };
        let late = deadline <= Instant::now();
        if (late || self.sessions.is_empty())
            && let Some(tree) = &self.context.tree
        {
            let _ = tree.kill_commands();
        }
        late || self.sessions.is_empty()
    }
}

struct Woken {
    signal: bool,
    client: bool,
    spare: bool,
    settle: bool,
    probe: bool,
    bus: bool,
    sessions: Vec<usize>,
    offers: Vec<usize>,
}

/// The number of everybody who has none in this user namespace.
fn overflow_uid() -> u32 {
    let text = fs::read_to_string("/proc/sys/kernel/overflowuid");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(65534)
}

/// What snugd wrote; without it the guest serves its root alone.
pub fn read_provision(places: &Places) -> Option<Provision> {
    let path = places.provision();
    let read = fs::read(&path).and_then(|text| Ok(serde_json::from_slice(&text)?));
    read.inspect_err(|error| console::say(format_args!("{}: {error}", path.display()))).ok()
}

/// The control groups of a server that process 1 has not made them for.
pub fn groups(places: &Places) -> Option<Tree> {
    Tree::prepare(read_provision(places).map(|provision| provision.owner.uid))
}

/// As LXC gave it to process 1, whose environment the server has when it was forked from it.
fn container_variable() -> Vec<u8> {
    use std::os::unix::ffi::OsStringExt;
    std::env::var_os("container").map_or_else(|| b"lxc".to_vec(), OsStringExt::into_vec)
}
