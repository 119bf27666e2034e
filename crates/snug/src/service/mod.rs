//! `snug session`: carries out on the host, as the owner, what his containers ask for (`snug_wire::host`).
//!
//! One process with one thread, which waits for descriptors alone, and one more for each command, as in an agent. It leaves
//! when no container is served.
//!
//! | module | what |
//! |---|---|
//! | [`listener`] | where the owner's programs tell which containers to serve |
//! | [`served`] | a container, and the connection that it is offered |
//! | [`pace`] | how often it may be offered one |
//! | [`system`] | the host as a system that commands run on |
//! | [`environment`] | what a command's environment is made of |
//! | [`open`] | links and files |
//! | [`complaint`] | what a program that opens them complains about |
//! | [`bus`] | connections to the session bus |
//! | [`exported`] | sockets of containers that the host has |
//! | [`joints`] | the processes that join connections to them |

mod bus;
mod complaint;
mod environment;
mod exported;
mod joints;
pub mod listener;
mod open;
mod pace;
mod served;
mod system;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use snug_core::name::Uid;
use snug_core::paths::Paths;
use snug_exec::command;
use snug_exec::control::{self, Request};
use snug_exec::session::{Session, Wanted, attach, become_session};
use snug_exec::sessions::Sessions;
use snug_exec::sys::process::{Fork, fork};
use snug_exec::sys::{process, signal, timespec};
use snug_wire::message::{FromAgent, OLDEST_PROTOCOL, PROTOCOL, ToAgent};
use snug_wire::policy::Policy;

use exported::Exported;
use listener::{Call, Listener};
use served::{Heard, Served};
use system::Host;

/// How long it stays when there is nothing to do.
const IDLE: Duration = Duration::from_secs(5);
/// How long a caller may take to say what it wants, and in how many bytes if it is not its owner.
const REQUEST: Duration = Duration::from_secs(10);
const UNTRUSTED_REQUEST: usize = 64 << 10;
/// Containers; nobody has so many.
const MOST_CONTAINERS: usize = 256;

/// The owner's session, as his containers see it.
pub struct Service {
    paths: Paths,
    uid: Uid,
    listener: Listener,
    signals: signal::Signals,
    watches: OwnedFd,
    /// That of the listener's directory.
    place: Option<i32>,
    /// Nobody can call any more.
    lost: bool,
    containers: Vec<Served>,
    sessions: Sessions,
    exported: Exported,
    /// The next container's group of sessions.
    next_group: u32,
    /// The limit of descriptors that this process was started with.
    descriptor_limit: Option<(u64, u64)>,
}

impl Service {
    /// Takes over the listener. This process must have one thread.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn new(paths: Paths, listener: Listener) -> io::Result<Self> {
        signal::block_all();
        signal::ignore_children();
        // It may have been started by another name of its file (`/proc/self/exe`).
        let _ = rustix::thread::set_name(c"snug");
        let descriptor_limit = process::limit(process::OPEN_FILES);
        if let Some((_, hard)) = descriptor_limit {
            // As far as it goes: each command has a channel here.
            let _ = process::set_limit(process::OPEN_FILES, hard, hard);
        }
        let watches = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let gone =
            WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        let place = listener
            .directory()
            .and_then(|directory| inotify::add_watch(&watches, directory, gone | WatchFlags::ONLYDIR).ok());
        Ok(Self {
            paths,
            uid: Uid(rustix::process::getuid().as_raw()),
            listener,
            signals: signal::Signals::new(&[libc::SIGTERM, libc::SIGINT])?,
            watches,
            place,
            lost: false,
            containers: Vec::new(),
            sessions: Sessions::default(),
            exported: Exported::default(),
            next_group: 0,
            descriptor_limit,
        })
    }

    /// Serves until it is told to end, or nothing is left to do.
    ///
    /// # Errors
    /// poll(2) fails.
    pub fn run(mut self) -> io::Result<()> {
        let mut idle_since = Instant::now();
        self.exported.look();
        loop {
            if !self.is_idle() {
                idle_since = Instant::now();
            }
            let woken = self.wait(idle_since + IDLE)?;
            if woken.watches {
                self.look_at_watches();
            }
            // Whoever calls next finds nobody and starts another one, which serves all.
            if woken.ended || self.lost {
                self.exported.close();
                return Ok(());
            }
            for index in woken.sessions {
                let group = self.sessions.group(index);
                match self.sessions.hear(index) {
                    // Those of another one, by their token.
                    Some(Request::Take(token, stream)) => self.sessions.give(index, token, stream),
                    Some(Request::Accepted) => {
                        self.containers
                            .iter_mut()
                            .filter(|it| Some(it.group) == group)
                            .for_each(Served::was_asked);
                    }
                    _ => {}
                }
            }
            for group in self.sessions.ended_unaccepted() {
                self.containers.iter_mut().filter(|it| it.group == group).for_each(Served::was_in_vain);
            }
            self.sessions.forget_ended(None, None);
            for index in woken.containers {
                self.hear(index);
            }
            for index in woken.exported {
                self.exported.join(index, self.descriptor_limit);
            }
            if woken.callers
                && let Some(call) = self.listener.hear()
            {
                self.serve(call);
            }
            let now = Instant::now();
            for container in &mut self.containers {
                container.advance(now, &self.watches);
            }
            // One whose sessions go on is known by them: they count when it is served again.
            self.containers.retain(|it| !it.is_over() || self.sessions.of_group(it.group) > 0);
            self.exported.advance(now);
            if self.is_idle() && idle_since.elapsed() >= IDLE {
                match self.listener.leave() {
                    Some(call) => self.serve(call),
                    None => return Ok(()),
                }
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.containers.is_empty() && self.sessions.is_empty() && self.exported.is_empty()
    }

    fn wait(&self, idle: Instant) -> io::Result<Woken> {
        let mut polled = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
            PollFd::new(&self.watches, PollFlags::IN),
        ];
        let first = polled.len();
        polled.extend(self.sessions.channels().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let exported = polled.len();
        polled.extend(self.exported.descriptors().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let joints = polled.len();
        self.exported.wait_for(&mut polled);
        let containers = polled.len();
        let mut indices = Vec::new();
        for (index, container) in self.containers.iter().enumerate() {
            if let Some(fd) = container.connection(self.sessions.of_group(container.group)) {
                polled.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
                indices.push(index);
            }
        }
        let deadline = self
            .containers
            .iter()
            .filter_map(Served::deadline)
            .chain(self.exported.deadline())
            .chain(self.is_idle().then_some(idle))
            .min()
            .map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        match poll(&mut polled, deadline.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |index: &usize| polled.get(*index).is_some_and(|fd| !fd.revents().is_empty());
        Ok(Woken {
            ended: is_ready(&0) && self.signals.next().is_some(),
            callers: is_ready(&1),
            watches: is_ready(&2),
            sessions: (first..exported).filter(is_ready).map(|index| index - first).collect(),
            exported: (exported..joints).filter(is_ready).map(|index| index - exported).collect(),
            containers: (containers..polled.len())
                .filter(is_ready)
                .filter_map(|index| indices.get(index - containers).copied())
                .collect(),
        })
    }

    /// Offers the host to a container, if its grants say so, and looks at what is exported.
    fn serve(&mut self, call: Call) {
        self.exported.look();
        let name = &call.name;
        if let Some(container) = self.containers.iter_mut().find(|container| container.name == *name) {
            container.wake(&self.watches);
        } else if self.containers.len() < MOST_CONTAINERS {
            let directory = self.paths.container_dir(self.uid, name);
            if Policy::of(&directory).joins_bus() {
                bus::prepare();
            }
            let mut container = Served::new(name.clone(), directory, self.next_group);
            self.next_group = self.next_group.wrapping_add(1);
            container.connect(&self.watches);
            self.containers.push(container);
        }
        call.done();
    }

    /// Takes one load of what has happened; what is to be done about it comes later, once for each container.
    fn look_at_watches(&mut self) {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.watches, &mut buffer);
        loop {
            let Ok(event) = reader.next() else { return };
            let at = (event.wd() >= 0).then(|| (event.wd(), event.events()));
            if event.wd() < 0 || Some(event.wd()) == self.place {
                self.lost = self.listener.is_lost();
            }
            self.containers.iter_mut().for_each(|container| container.seen(at));
            if reader.is_buffer_empty() {
                return;
            }
        }
    }

    fn hear(&mut self, index: usize) {
        let Some(container) = self.containers.get_mut(index) else { return };
        match container.hear(&self.watches) {
            Heard::Nothing => {}
            Heard::Caller(connection) => {
                let group = container.group;
                let host =
                    Host::new(container.name.clone(), container.directory.clone(), self.descriptor_limit);
                let begun =
                    control::pair().map_err(io::Error::from).and_then(|channel| Ok((channel, fork()?)));
                match begun {
                    Ok(((_, theirs), Fork::Child)) => {
                        let _ = carry_out(host, connection, theirs);
                        process::exit(0);
                    }
                    Ok(((ours, _), Fork::Parent(_))) => self.sessions.add(ours, group),
                    // The caller sees its connection end.
                    Err(_) => container.was_in_vain(),
                }
                // The next caller need not wait for this one's command to begin.
                container.connect(&self.watches);
            }
        }
    }
}

struct Woken {
    ended: bool,
    callers: bool,
    watches: bool,
    sessions: Vec<usize>,
    exported: Vec<usize>,
    containers: Vec<usize>,
}

/// Whether that is something which a session does.
fn is_request(wanted: Option<&Wanted>) -> bool {
    matches!(
        wanted,
        Some(Wanted::Command(..) | Wanted::Stream(..) | Wanted::Other(ToAgent::Open(_) | ToAgent::JoinBus))
    )
}

/// Carries out one request, in a process of its own.
fn carry_out(mut host: Host, connection: OwnedFd, control: OwnedFd) -> Result<(), Errno> {
    let (connection, control, signals) = become_session(connection, control)?;
    let hello = FromAgent::Hello {
        protocol: PROTOCOL,
        oldest: OLDEST_PROTOCOL,
        version: env!("CARGO_PKG_VERSION").into(),
        settled: true,
        offered: true,
    };
    let mut session = Session::new(connection, control, signals, host.trusts(), vec![hello]);
    if !host.trusts() {
        session.connection.bound(UNTRUSTED_REQUEST);
    }
    let wanted = session.wanted(REQUEST, &mut |_| {});
    if is_request(wanted.as_ref()) {
        // A server that is gone counts nothing.
        let _ = control::send(session.control.as_fd(), &Request::Accepted, &[]);
    }
    // It may have been taken away while the caller thought.
    host.look();
    match wanted {
        Some(Wanted::Command(exec, handed)) => command::run(&host, &mut session, *exec, handed, None),
        Some(Wanted::Other(ToAgent::Open(open))) => open::run(host, &mut session, open),
        Some(Wanted::Other(ToAgent::JoinBus)) => bus::run(&host, &mut session),
        Some(Wanted::Stream(token, stream)) => return attach(session, token, stream),
        Some(Wanted::Other(_)) | None => {}
    }
    Ok(())
}
