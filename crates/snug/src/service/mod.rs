//! `snug session`: carries out on the host, as the owner, what his containers ask for (`snug_wire::host`).
//!
//! One process with one thread, which waits for descriptors alone, and one more for each command, as in an agent. It leaves
//! when no container is served.
//!
//! | module | what |
//! |---|---|
//! | [`listener`] | where the owner's programs tell which containers to serve |
//! | [`served`] | a container, and the connection that it is offered |
//! | [`system`] | the host as a system that commands run on |
//! | [`environment`] | what a command's environment is made of |
//! | [`open`] | links and files |

mod environment;
pub mod listener;
mod open;
mod served;
mod system;

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags};
use rustix::io::Errno;
use snug_core::name::{ContainerName, Uid};
use snug_core::paths::Paths;
use snug_exec::command;
use snug_exec::control::{self, Request};
use snug_exec::session::{Session, Wanted, attach, become_session};
use snug_exec::sessions::Sessions;
use snug_exec::sys::process::{Fork, fork};
use snug_exec::sys::{process, signal, timespec};
use snug_wire::message::{FromAgent, OLDEST_PROTOCOL, PROTOCOL, ToAgent};

use listener::Listener;
use served::{Heard, Served};
use system::Host;

/// How long it stays when there is nothing to do.
const IDLE: Duration = Duration::from_secs(5);
/// Commands at a time. Who waits for one more waits for one of these to end.
const MOST_SESSIONS: usize = 512;
/// Containers; nobody has so many.
const MOST_CONTAINERS: usize = 256;

/// The owner's session, as his containers see it.
pub struct Service {
    paths: Paths,
    uid: Uid,
    listener: Listener,
    signals: signal::Signals,
    watches: OwnedFd,
    containers: Vec<Served>,
    sessions: Sessions,
}

impl Service {
    /// Takes over the listener. This process must have one thread.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn new(paths: Paths, listener: Listener) -> io::Result<Self> {
        signal::block_all();
        signal::ignore_children();
        Ok(Self {
            paths,
            uid: Uid(rustix::process::getuid().as_raw()),
            listener,
            signals: signal::Signals::new(&[libc::SIGTERM, libc::SIGINT])?,
            watches: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            containers: Vec::new(),
            sessions: Sessions::default(),
        })
    }

    /// Serves until it is told to end, or nothing is left to do.
    ///
    /// # Errors
    /// poll(2) fails.
    pub fn run(mut self) -> io::Result<()> {
        let mut idle_since = Instant::now();
        loop {
            if !self.containers.is_empty() || !self.sessions.is_empty() {
                idle_since = Instant::now();
            }
            let woken = self.wait(idle_since + IDLE)?;
            if woken.ended {
                return Ok(());
            }
            if woken.watches {
                self.look_at_watches();
            }
            for index in woken.sessions {
                // A session asks for streams alone: those of another one, by their token.
                if let Some(Request::Take(token, stream)) = self.sessions.hear(index) {
                    self.sessions.give(index, token, stream);
                }
            }
            self.sessions.forget_ended(None, None);
            for index in woken.containers {
                self.hear(index);
            }
            if woken.callers
                && let Some(name) = self.listener.hear()
            {
                self.serve(name);
            }
            self.containers.retain(|container| !container.is_over(Instant::now()));
            if self.containers.is_empty()
                && self.sessions.is_empty()
                && idle_since.elapsed() >= IDLE
                && self.listener.leave()
            {
                return Ok(());
            }
        }
    }

    fn wait(&self, idle: Instant) -> io::Result<Woken> {
        let mut polled = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
            PollFd::new(&self.watches, PollFlags::IN),
        ];
        let first = polled.len();
        polled.extend(self.sessions.channels().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let containers = polled.len();
        let full = self.sessions.channels().count() >= MOST_SESSIONS;
        let mut indices = Vec::new();
        for (index, container) in self.containers.iter().enumerate().filter(|_| !full) {
            if let Some(fd) = container.connection() {
                polled.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
                indices.push(index);
            }
        }
        let nothing = self.containers.is_empty() && self.sessions.is_empty();
        let deadline = self
            .containers
            .iter()
            .filter_map(Served::deadline)
            .chain(nothing.then_some(idle))
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
            sessions: (first..containers).filter(is_ready).map(|index| index - first).collect(),
            containers: (containers..polled.len())
                .filter(is_ready)
                .filter_map(|index| indices.get(index - containers).copied())
                .collect(),
        })
    }

    /// Offers the host to a container, if its grants say so.
    fn serve(&mut self, name: ContainerName) {
        if let Some(container) = self.containers.iter_mut().find(|container| container.name == name) {
            if container.connection().is_none() {
                container.connect(&self.watches);
            }
        } else if self.containers.len() < MOST_CONTAINERS {
            let directory = self.paths.container_dir(self.uid, &name);
            let mut container = Served::new(name, directory);
            container.connect(&self.watches);
            self.containers.push(container);
        }
    }

    fn look_at_watches(&mut self) {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.watches, &mut buffer);
        while let Ok(event) = reader.next() {
            let watch = event.wd();
            if let Some(container) = self.containers.iter_mut().find(|container| container.waits_for(watch)) {
                container.seen(event.events(), &self.watches);
            }
        }
    }

    fn hear(&mut self, index: usize) {
        let Some(container) = self.containers.get_mut(index) else { return };
        match container.hear(&self.watches) {
            Heard::Nothing => {}
            Heard::Caller(connection) => {
                let (name, directory) = (container.name.clone(), container.directory.clone());
                // The next caller need not wait for this one's command to begin.
                container.connect(&self.watches);
                let Ok((ours, theirs)) = control::pair() else { return };
                match fork() {
                    Ok(Fork::Child) => {
                        let host = Host::new(name, &directory);
                        let _ = carry_out(host, connection, theirs);
                        process::exit(0);
                    }
                    Ok(Fork::Parent(_)) => self.sessions.add(ours),
                    // The caller sees its connection end.
                    Err(_) => {}
                }
            }
        }
    }
}

struct Woken {
    ended: bool,
    callers: bool,
    watches: bool,
    sessions: Vec<usize>,
    containers: Vec<usize>,
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
    match session.wanted(&mut |_| {}) {
        Some(Wanted::Command(exec, handed)) => {
            host.learn_environment();
            command::run(&host, &mut session, *exec, handed, None);
        }
        Some(Wanted::Other(ToAgent::Open(open))) => {
            host.learn_environment();
            open::run(host, &mut session, open);
        }
        Some(Wanted::Stream(token, stream)) => return attach(session, token, stream),
        Some(Wanted::Other(_)) | None => {}
    }
    Ok(())
}
