//! The conversation with the agent.

mod attachment;
mod ending;
mod notices;
mod stopping;

use std::env;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use snug_wire::codec::DecodeError;
use snug_wire::message::{Exec, FailureKind, FromAgent, MAX_FDS, TerminalModes, ToAgent};
use snug_wire::policy::{Entry, Policy};
use snug_wire::socket::{Connection, Filled, WireError, wait};

use crate::announcement::Announcement;
use crate::console::{Console, Peer, Wiring};
use crate::exec::{exec_of, open_terminal, wiring_of};
use crate::insistence::Insistence;
use crate::relay::Receiving;
use crate::request::{Error, Outcome, Request};
use crate::signals::Signals;
use crate::stream::Streams;
use crate::target::{HELLO, Target};
use crate::terminal::{Terminal, is_pty_master};
use crate::words::{directory_hints, harmless};
use crate::{relay, stream};
use notices::Notices;
use stopping::Stopping;

/// How long a request may take to be read; it is a few megabytes at most.
const REQUEST: Duration = Duration::from_secs(20);
/// How long a guest that is trusted may take to read what its socket has no room for, hundreds of signals.
const READ: Duration = Duration::from_millis(500);
/// How long a guest that has booted may take to start a command.
const START: Duration = Duration::from_secs(30);
/// How long a guest may boot before its first command.
const BOOT: Duration = Duration::from_secs(180);

/// Runs a command in a container and returns how it ended. The caller's terminal is left as it was found.
///
/// # Errors
/// [`Error::NotRunning`] when nobody serves the container's socket, or not for long: start it and try again. The others are
/// final.
pub fn run(request: &Request) -> Result<Outcome, Error> {
    let target = &request.target;
    let policy = target.policy();
    if policy.entry == Entry::Daemon {
        return Err(Error::ThroughDaemon { container: target.name().into() });
    }
    // Its agent answers to the last, and what it began would go with the guest.
    if policy.stopping {
        return Err(target.not_running());
    }
    let streams = if request.detached {
        Streams::none()
    } else {
        Streams::of_caller(policy.trusted, request.terminal, &request.argv)?
    };
    let terminal = streams.wants_terminal().then(|| open_terminal(&streams)).flatten();
    let wiring = wiring_of(&streams, request.terminal);
    let exec = exec_of(request, &streams, terminal.as_ref(), &wiring, &policy)?;
    let mut session = Session {
        request,
        trusted: policy.trusted,
        guest_modes: exec.terminal.as_ref().and_then(|terminal| terminal.modes),
        streams,
        connection: target.open(policy.trusted, target.deadline())?,
        terminal,
        wiring,
        console: None,
        outputs: Vec::new(),
        settled: true,
        started: false,
        attached: false,
        announcement: None,
        insistence: Insistence::default(),
        notices: Notices::default(),
        stopping: Stopping::default(),
        policy,
    };
    // Before the request: what arrives from the command's first moment on is the command's.
    let signals =
        Signals::block().map_err(|source| Error::System { what: "cannot receive signals", source })?;
    session.send_request(exec, &signals)?;
    session.announce();
    let result = session.converse(&signals);
    session.finish(result, &signals)
}

struct Session<'a> {
    request: &'a Request,
    trusted: bool,
    /// What the guest's terminal began with.
    guest_modes: Option<TerminalModes>,
    streams: Streams,
    connection: Connection,
    terminal: Option<Terminal>,
    wiring: Wiring,
    console: Option<Console>,
    outputs: Vec<Receiving>,
    settled: bool,
    started: bool,
    /// The relayed streams are connected.
    attached: bool,
    announcement: Option<Announcement>,
    insistence: Insistence,
    notices: Notices,
    stopping: Stopping,
    policy: Policy,
}

impl Session<'_> {
    /// Where the command has the whole terminal.
    fn announce(&mut self) {
        let Some(terminal) = &self.terminal else { return };
        // Such a one shows what it does not understand.
        if env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb") {
            return;
        }
        if self.request.announced && self.wiring.input && self.wiring.output && terminal.in_foreground() {
            let terminal = terminal.as_fd().try_clone_to_owned().ok();
            self.announcement =
                terminal.and_then(|terminal| Announcement::new(terminal, self.request.target.name()));
        }
    }

    fn agent_error(&self, source: WireError) -> Error {
        self.request.target.agent_error(source)
    }

    /// A message that an agent does not send at that point.
    fn out_of_turn(&self) -> Error {
        self.agent_error(WireError::Decode(DecodeError::Invalid("message at this point")))
    }

    fn send(&mut self, message: &ToAgent) {
        // Who is not trusted and does not read is not waited for: what is sent here goes as a whole or not at all.
        let patience = if self.trusted { READ } else { Duration::ZERO };
        // An agent that is gone is noticed by the end of its connection, which may still hold the command's status.
        let _ = self.connection.send(message, &[], Some(Instant::now() + patience));
    }

    fn send_request(&mut self, exec: Exec, signals: &Signals) -> Result<(), Error> {
        let deadline = Some(Instant::now() + REQUEST);
        // A guest that does not take it has begun nothing, and must not keep the client from its caller's Ctrl-C.
        let mut until_taken =
            |socket: BorrowedFd<'_>| signals.unblocked(|| wait(socket, PollFlags::OUT, deadline));
        let mut numbers = self.streams.passed.as_slice();
        loop {
            let (now, later) = numbers.split_at(numbers.len().min(MAX_FDS));
            let fds: Vec<_> = now.iter().map(|number| stream::borrow(*number)).collect();
            let passed = ToAgent::Fds(now.iter().map(|number| number.cast_unsigned()).collect());
            if later.is_empty() {
                let messages = [passed, ToAgent::Exec(Box::new(exec))];
                let needed = &messages[usize::from(now.is_empty())..];
                let sent = self.connection.send_waiting(needed, &fds, &mut until_taken);
                return sent.map_err(|error| self.unsent(error));
            }
            let sent = self.connection.send_waiting(&[passed], &fds, &mut until_taken);
            sent.map_err(|error| self.unsent(error))?;
            numbers = later;
        }
    }

    /// An agent that ended before it took the request is one that is not running.
    fn unsent(&self, error: WireError) -> Error {
        match &error {
            WireError::System(io)
                if matches!(Errno::from_io_error(io), Some(Errno::PIPE | Errno::CONNRESET)) =>
            {
                self.request.target.not_running()
            }
            _ => self.agent_error(error),
        }
    }

    /// From the hello to the command's end.
    fn converse(&mut self, signals: &Signals) -> Result<Outcome, Error> {
        let begun = Instant::now();
        let mut greeted = false;
        loop {
            while let Some(message) =
                self.connection.next_buffered::<FromAgent>().map_err(|e| self.agent_error(e))?
            {
                if !greeted {
                    greeted = true;
                    let FromAgent::Hello { settled, offered, .. } = message else {
                        return Err(self.out_of_turn());
                    };
                    self.settled = settled;
                    self.tell_notices();
                    if !offered && let Err(error) = self.request.target.wake_host(&self.policy) {
                        self.notice(format!("the container cannot be offered the host: {error}").as_bytes());
                    }
                    continue;
                }
                if let Some(outcome) = self.answer(message, signals)? {
                    return Ok(outcome);
                }
            }
            self.stop_with_command(signals);
            let patience = match (greeted, self.started, self.settled) {
                (_, true, _) => None,
                (false, ..) => Some(begun + HELLO),
                (true, _, true) => Some(begun + START),
                (true, _, false) => Some(begun + BOOT),
            };
            if !self.wait(signals, patience)? {
                if !greeted {
                    return Err(self.request.target.not_running());
                }
                return Err(Error::Lost { container: self.request.target.name().into() });
            }
            self.hear(signals);
            if let Some(signal) = self.insistence.ending(Instant::now()) {
                return Ok(Outcome::Killed(signal));
            }
            if let Some(console) = &mut self.console {
                console.progress();
                if console.hung_up() {
                    return Ok(Outcome::Killed(libc::SIGHUP));
                }
            }
        }
    }

    /// Waits for anything to happen; false at the end of the connection.
    fn wait(&mut self, signals: &Signals, deadline: Option<Instant>) -> Result<bool, Error> {
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.connection.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        if let Some(console) = &self.console {
            console.poll_fds(&mut fds);
        }
        let timeout = [deadline, self.insistence.deadline()].into_iter().flatten().min().map(relay::until);
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::system("cannot wait")(errno)),
        }
        // Also when something is ready: an agent that talks without end is no nearer to an answer.
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(self.agent_error(WireError::TimedOut));
        }
        let talked = !fds[0].revents().is_empty();
        drop(fds);
        if talked {
            return Ok(self.connection.fill().map_err(|error| self.agent_error(error))? != Filled::End);
        }
        Ok(true)
    }

    fn answer(&mut self, message: FromAgent, signals: &Signals) -> Result<Option<Outcome>, Error> {
        match message {
            FromAgent::Hello { .. } | FromAgent::Done | FromAgent::Dialled => {}
            FromAgent::Notice(text) => self.notice(&text),
            // Once: each answer costs connections and threads.
            FromAgent::Streams { .. } if self.attached => return Err(self.out_of_turn()),
            FromAgent::Streams { token } => {
                self.attached = true;
                self.attach(token)?;
            }
            FromAgent::Pty if self.console.is_some() => return Err(self.out_of_turn()),
            FromAgent::Pty => {
                let mut fds = self.connection.take_fds(1).map_err(|error| self.agent_error(error))?;
                let master = fds.pop().ok_or_else(|| self.agent_error(WireError::Descriptors))?;
                if !is_pty_master(master.as_fd()) {
                    return Err(self.agent_error(WireError::Descriptors));
                }
                self.join(Peer::Master(master), Vec::new())?;
            }
            // Else the guest chose whether there is a terminal that can be hung up.
            FromAgent::Started { .. } if self.streams.are_relayed(self.trusted) && !self.attached => {
                return Err(self.out_of_turn());
            }
            FromAgent::Started { .. } => {
                self.started = true;
                self.insistence.begun();
            }
            // Who stops is bound by no deadline.
            FromAgent::Stopped(_) if !self.started => return Err(self.out_of_turn()),
            FromAgent::Stopped(_) => self.stopping.said(),
            FromAgent::Exited(status) => return self.end(Outcome::Exited(status), signals),
            FromAgent::Killed { signal, .. } => return self.end(Outcome::Killed(i32::from(signal)), signals),
            FromAgent::Failed { kind, text } => return Ok(Some(self.failure(kind, &text))),
        }
        Ok(None)
    }

    fn tell_size(&mut self) {
        if let Some(size) = self.console.as_ref().and_then(Console::resize) {
            self.send(&ToAgent::Resize(size));
        }
    }

    /// Passes on what has arrived.
    fn hear(&mut self, signals: &Signals) {
        while let Some(signal) = signals.next() {
            // First: it counts from now on, however long a guest takes to read it.
            self.insistence.heard(signal, Instant::now(), self.trusted);
            if !self.started {
                self.insistence.heard_early(signal, Instant::now());
            }
            if signal == libc::SIGTSTP {
                self.stopping.asked();
            }
            self.pass_on(signal);
        }
    }

    fn pass_on(&mut self, signal: i32) {
        match signal {
            // The guest's terminal tells of a new size itself.
            libc::SIGWINCH if self.console.is_some() => self.tell_size(),
            libc::SIGCONT => self.resume(),
            // SIGTSTP among them: we stop when the command has stopped, and not when it ignores that.
            _ => self.send(&ToAgent::Signal(to_byte(signal))),
        }
    }

    fn resume(&mut self) {
        if let Some(console) = &mut self.console {
            console.follow();
        }
        self.tell_size();
        self.send(&ToAgent::Resume);
        self.stopping.resumed();
    }

    fn failure(&self, kind: FailureKind, text: &[u8]) -> Outcome {
        let target = &self.request.target;
        let container = target.name();
        let (status, hints) = match kind {
            FailureKind::NotFound => (127, Vec::new()),
            FailureKind::NotExecutable => (126, Vec::new()),
            FailureKind::Directory => {
                let current = env::current_dir().ok();
                let wanted = &self.request.directory;
                let hints = match target {
                    Target::Container { .. } => {
                        directory_hints(wanted, current.as_deref(), container, self.trusted)
                    }
                    Target::Host { .. } => vec!["`-w DIR` names a directory of the host".into()],
                };
                (125, hints)
            }
            FailureKind::Protocol => {
                let hint = match target {
                    Target::Container { .. } => {
                        format!("`snug restart {container}` gives it the agent of this version")
                    }
                    Target::Host { .. } => "a restart of the container brings both to one version".to_owned(),
                };
                (125, vec![hint])
            }
            FailureKind::User | FailureKind::Denied | FailureKind::Other => (125, Vec::new()),
        };
        Outcome::Failed { status, message: harmless(text), hints }
    }
}

fn to_byte(signal: i32) -> u8 {
    u8::try_from(signal).expect("signal numbers are below 65")
}
