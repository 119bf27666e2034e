//! The process that stays on the host as long as a guest runs. Root's; of the guest it asks no more than whether it has a route. It starts
//! pasta and the forwarder, again when they end, and pasta anew when the host's network has become another one.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open,
    set_parent_process_death_signal, waitid,
};

use crate::daemon::{self, say};
use crate::forward::{self, RESOLVER, Settings};
use crate::guest::Guest;
use crate::loopback;
use crate::owner::Owner;
use crate::pasta;
use crate::uplink::{self, Uplink, default_interface};

/// What is to be kept.
#[derive(Debug)]
pub struct Task {
    /// What mirrors the host's network.
    pub pasta: PathBuf,
    /// Whose ports are opened.
    pub owner: Owner,
    /// The socket of the report.
    pub socket: PathBuf,
}

/// What writes one route writes others.
const SETTLED: Duration = Duration::from_millis(300);
/// How long a start of pasta may take until nobody waits for it any more.
const STARTING: Duration = Duration::from_secs(3);
/// Between two starts of what ends at once: it doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(64);
/// What has run so long may be started again at once.
const STEADY: Duration = Duration::from_secs(60);

fn timeout(duration: Duration) -> Option<Timespec> {
    Timespec::try_from(duration).ok()
}

/// Keeps the guest's network until the guest has ended. Writes into `ready` when it has one, or will have none soon.
///
/// # Errors
/// What the kernel says.
pub fn keep(guest: &Guest, task: &Task, ready: OwnedFd) -> io::Result<()> {
    let changes = uplink::changes()?;
    let inside = guest.inside(|| {
        loopback::prepare(RESOLVER)?;
        uplink::changes()
    })?;
    // Until it has one.
    let mut ready = Some((ready, inside, Instant::now() + STARTING));
    let mut forwarder = Kept::new("the forwarder");
    let mut pasta = Kept::new("pasta");
    let mut copied = None;
    loop {
        changes.take();
        if let Some((_, inside, _)) = &ready {
            inside.take();
        }
        let uplink = Uplink::now();
        // Without a way out pasta would give the guest none, now or later; one that the host has lost may come back.
        if uplink.is_some() && uplink != copied {
            if copied.is_some() {
                say(format_args!("the host's network is another one: pasta starts anew"));
            }
            pasta.end();
            copied = uplink;
        }
        forwarder.start_if_due(|| fork_forwarder(guest, task));
        if copied.is_some() {
            pasta.start_if_due(|| pasta::start(&task.pasta, guest.pid()).map(Started::Program));
        }
        let is_over = |until: Instant| Instant::now() >= until;
        if ready.as_ref().is_some_and(|(_, _, until)| {
            copied.is_none() || default_interface(&guest.network_directory()).is_some() || is_over(*until)
        }) {
            // Said and not only closed: the forwarder has a copy of the pipe's end.
            if let Some((pipe, _, _)) = ready.take() {
                let _ = rustix::io::write(&pipe, b"\n");
            }
        }
        let next = [
            forwarder.due(),
            copied.is_some().then(|| pasta.due()).flatten(),
            ready.as_ref().map(|(_, _, until)| *until),
        ];
        let next = next.into_iter().flatten().min().map(|due| due.saturating_duration_since(Instant::now()));
        let mut wait = vec![PollFd::new(guest, PollFlags::IN), PollFd::new(&changes, PollFlags::IN)];
        if let Some((_, inside, _)) = &ready {
            wait.push(PollFd::new(inside, PollFlags::IN));
        }
        let of_children = wait.len();
        let children = [&forwarder, &pasta].map(|kept| kept.running.as_ref());
        wait.extend(children.into_iter().flatten().map(|(running, _)| PollFd::new(running, PollFlags::IN)));
        match poll(&mut wait, next.and_then(timeout).as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_told = |at: usize| !wait[at].revents().is_empty();
        let (has_ended, has_changed) = (is_told(0), is_told(1));
        let a_child_ended = (of_children..wait.len()).any(is_told);
        if has_ended {
            return Ok(());
        }
        if a_child_ended {
            forwarder.collect();
            pasta.collect();
        }
        // A guest that ends meanwhile is seen at once.
        if has_changed && guest.has_ended(SETTLED)? {
            return Ok(());
        }
    }
}

/// A child: a program, or a copy of this process.
enum Started {
    Program(Child),
    Copy(Pid),
}

impl Started {
    fn pid(&self) -> Option<Pid> {
        match self {
            Self::Program(child) => Pid::from_raw(i32::try_from(child.id()).ok()?),
            Self::Copy(pid) => Some(*pid),
        }
    }
}

/// A child that is started again when it ends.
struct Kept {
    name: &'static str,
    running: Option<(OwnedFd, Pid)>,
    since: Option<Instant>,
    pause: Duration,
}

impl Kept {
    fn new(name: &'static str) -> Self {
        Self { name, running: None, since: None, pause: Duration::ZERO }
    }

    /// When it is to be started again; `None` while it runs.
    fn due(&self) -> Option<Instant> {
        self.running.is_none().then(|| self.since.map_or_else(Instant::now, |since| since + self.pause))
    }

    fn start_if_due(&mut self, start: impl FnOnce() -> io::Result<Started>) {
        if self.due().is_none_or(|due| due > Instant::now()) {
            return;
        }
        self.since = Some(Instant::now());
        let started = start().and_then(|started| {
            let pid = started.pid().ok_or_else(|| io::Error::other("it has no number"))?;
            Ok((pidfd_open(pid, PidfdFlags::empty())?, pid))
        });
        match started {
            Ok(running) => self.running = Some(running),
            Err(error) => {
                say(format_args!("{} does not start: {error}", self.name));
                self.pause = (self.pause * 2).clamp(PAUSE, LONGEST_PAUSE);
            }
        }
    }

    /// Looks whether it has ended.
    fn collect(&mut self) {
        let Some((process, _)) = &self.running else { return };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = match waitid(WaitId::PidFd(process.as_fd()), options) {
            Ok(None) => return,
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => format!("status {code}"),
                (_, Some(signal)) => format!("signal {signal}"),
                _ => "no status".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        say(format_args!("{} has ended: {status}", self.name));
        self.running = None;
        let was_steady = self.since.is_some_and(|since| since.elapsed() >= STEADY);
        self.pause = if was_steady { PAUSE } else { (self.pause * 2).clamp(PAUSE, LONGEST_PAUSE) };
    }

    /// Ends it, and lets it start again at once.
    fn end(&mut self) {
        if let Some((process, pid)) = self.running.take() {
            // It has ended, or it ends now.
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED);
        }
        self.since = None;
        self.pause = Duration::ZERO;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.end();
    }
}

/// The forwarder is a copy of this process, which has one thread: nothing is loaded twice.
fn fork_forwarder(guest: &Guest, task: &Task) -> io::Result<Started> {
    let network = guest.network().try_clone()?;
    let parent = rustix::process::getpid();
    // SAFETY: this process has one thread, so the copy is whole.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if let Some(pid) = Pid::from_raw(pid) {
        return Ok(Started::Copy(pid));
    }
    let settings = Settings { guest: network, owner: task.owner, socket: task.socket.clone() };
    // Until it has become the owner, which takes this back; the parent may have ended before.
    let orphan = set_parent_process_death_signal(Some(Signal::KILL)).is_err()
        || rustix::process::getppid() != Some(parent);
    let ended = if orphan { Ok(()) } else { forward::run(settings) };
    if let Err(error) = &ended {
        say(format_args!("the forwarder: {error}"));
    }
    // SAFETY: ends this process; nothing of its parent's is to be cleaned up by it.
    unsafe { libc::_exit(i32::from(ended.is_err())) }
}

/// Has a daemon whose log is the file keep the guest's network; answers what is readable when the network is there.
///
/// # Errors
/// What the kernel says.
pub fn start(guest: &Guest, task: &Task, log: &File) -> io::Result<OwnedFd> {
    let (wait, ready) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    daemon::start(log, "the guest has no network of its host's any more", || keep(guest, task, ready))?;
    Ok(wait)
}
