//! The life of a command, from the request to its end.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, pidfd_send_signal, waitpid};
use rustix::termios::{tcgetpgrp, tcsetpgrp};
use snug_wire::message::{
    Exec, FailureKind, FromAgent, Limit, OLDEST_PROTOCOL, PROTOCOL, ToAgent, WindowSize,
};

use crate::cgroup::Group;
use crate::control::Order;
use crate::session::{Event, Session};
use crate::start::{self, Begun, Failure, Plan};
use crate::streams::{self, Streams};
use crate::sys::process::Child;
use crate::sys::{process, signal, terminal};
use crate::system::{Identity, System};

/// Within it a short command has ended. Until then the next spare session is not made, which would take the processor or
/// the lock of the control groups from it (measured: up to 0.3 ms of 3.3).
const SHORT: Duration = Duration::from_millis(5);

/// Runs one command for the session's client; returns only if none ran.
pub fn run(
    system: &dyn System,
    session: &mut Session,
    exec: Exec,
    handed: Vec<(u32, OwnedFd)>,
    group: Option<Group>,
) {
    match start(system, session, exec, handed, group) {
        Ok(running) => {
            session.unsaid.push(FromAgent::Started { pid: running.pid() });
            running.attend(system.grace(), session)
        }
        Err(Failure { kind, text }) => {
            session.tell(&FromAgent::Failed { kind, text }, &[]);
        }
    }
    session.step_aside();
}

/// Runs one command that is not its client's to stop: it gets no signals, and goes on when the client goes. Of its end the client
/// hears what `told` makes of it, the end last. Where it `counts`, this process stays as long as the command, so that the server knows
/// how many there are. Returns only if none ran.
pub fn run_by_itself(
    system: &dyn System,
    session: &mut Session,
    exec: Exec,
    handed: Vec<(u32, OwnedFd)>,
    told: &dyn Fn(FromAgent) -> Vec<FromAgent>,
    counts: bool,
) {
    match start(system, session, exec, handed, None) {
        Ok(mut running) => loop {
            // It may have ended before it was waited for.
            if let Some(end) = running.look(session) {
                let mut told = told(end.clone());
                let end = told.pop().unwrap_or(end);
                session.unsaid.extend(told);
                running.finish(session, &end);
            }
            match session.wait(None) {
                Event::ClientGone if counts => {}
                Event::ClientGone | Event::Terminate | Event::Order(Order::HangUp { .. }) => process::exit(0),
                Event::Message(_) | Event::Order(_) | Event::Child | Event::Deadline => {}
            }
        },
        Err(Failure { kind, text }) => {
            session.tell(&FromAgent::Failed { kind, text }, &[]);
        }
    }
}

fn start(
    system: &dyn System,
    session: &mut Session,
    exec: Exec,
    handed: Vec<(u32, OwnedFd)>,
    group: Option<Group>,
) -> Result<Running, Failure> {
    if exec.protocol < OLDEST_PROTOCOL || exec.protocol > PROTOCOL {
        let text =
            format!("protocols {OLDEST_PROTOCOL} to {PROTOCOL} are spoken here, not {}", exec.protocol);
        return Err(Failure::new(FailureKind::Protocol, text));
    }
    let identity = system.admit(&exec)?;
    let shell = system.login_shell(&identity.entry);
    let Streams { numbered, terminal, relayed } = streams::make(system, session, &exec, handed, &identity)?;
    let greets = exec.login && exec.terminal.is_some();
    let plan = plan(system, exec, identity, &shell, numbered, terminal.as_ref())?;
    if greets && let Some(text) = system.greeting(&plan.environment) {
        session.tell(&FromAgent::Notice(text.into()), &[]);
    }

    let prepared = start::prepare(plan, system.side())?;
    // Who has not been greeted believes that nothing was done, and asks again.
    session.say(&[]);
    // The group was made in advance; the server sweeps empty ones, so it may be gone.
    let group = group.and_then(|group| group.renewed().ok());
    let directory = group.as_ref().map(|group| group.directory.as_fd());
    let Begun { child, notices, failure } = start::begin(prepared, directory)
        .map_err(|error| Failure::system("cannot start a process", error))?;
    for text in notices {
        session.tell(&FromAgent::Notice(text), &[]);
    }
    if let Some(failure) = failure {
        let _ = waitpid(Some(child.pid), WaitOptions::empty());
        if let Some(group) = group {
            group.remove();
        }
        return Err(failure);
    }
    let aside_at = Some(Instant::now() + SHORT);
    Ok(Running { child, group, terminal, relayed, foreground: None, kill_at: None, aside_at })
}

fn plan(
    system: &dyn System,
    exec: Exec,
    identity: Identity,
    shell: &[u8],
    streams: Vec<(u32, start::Stream)>,
    terminal: Option<&OwnedFd>,
) -> Result<Plan, Failure> {
    let environment = system.environment(&exec, &identity, shell);
    let (program, argv) = arguments(exec.login, exec.argv, shell)?;
    let terminal =
        terminal.map(OwnedFd::try_clone).transpose().map_err(|error| Failure::system("terminal", error))?;
    // The server has raised its own limit: a command starts from the system's, then the caller's.
    let own =
        system.descriptor_limit().map(|(soft, hard)| Limit { resource: process::OPEN_FILES, soft, hard });
    let limits = own.into_iter().chain(exec.limits).collect();
    Ok(Plan {
        argv,
        program,
        environment,
        identity,
        directory: exec.directory,
        streams,
        terminal,
        umask: exec.umask,
        limits,
        ignored: exec.ignored,
    })
}

/// The program, where it is not `argv[0]`, and the arguments.
type Words = (Option<Vec<u8>>, Vec<Vec<u8>>);

fn arguments(login: bool, argv: Vec<Vec<u8>>, shell: &[u8]) -> Result<Words, Failure> {
    if !login {
        return match argv.first() {
            Some(_) => Ok((None, argv)),
            None => Err(Failure::new(FailureKind::Protocol, "a command without a name")),
        };
    }
    let name = shell.rsplit(|byte| *byte == b'/').next().unwrap_or(shell);
    if argv.is_empty() {
        return Ok((Some(shell.to_vec()), vec![[b"-", name].concat()]));
    }
    // The leading dash makes any shell a login shell; fish has no `$0` and `$@`.
    let dashed = [b"-", name].concat();
    let words: &[&[u8]] = match name {
        b"fish" => &[b"-c", b"exec $argv", b"--"],
        _ => &[b"-c", b"exec \"$0\" \"$@\""],
    };
    let words = words.iter().map(|word| word.to_vec());
    Ok((Some(shell.to_vec()), [dashed].into_iter().chain(words).chain(argv).collect()))
}

/// A command that runs.
struct Running {
    child: Child,
    group: Option<Group>,
    terminal: Option<OwnedFd>,
    relayed: bool,
    /// Who had the terminal when the command stopped.
    foreground: Option<Pid>,
    kill_at: Option<Instant>,
    /// When the server is told that the command has begun, unless it ends before.
    aside_at: Option<Instant>,
}

impl Running {
    fn pid(&self) -> u32 {
        self.child.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Stays with the command until it has ended and the client knows.
    fn attend(mut self, grace: Duration, session: &mut Session) -> ! {
        // A short command may have ended while this process waited for a processor.
        if let Some(end) = self.look(session) {
            self.finish(session, &end);
        }
        loop {
            let deadline = [self.kill_at, self.aside_at].into_iter().flatten().min();
            match session.wait(deadline) {
                Event::Message(ToAgent::Signal(number)) => self.signal(number),
                Event::Message(ToAgent::Resize(size)) => self.resize(size),
                Event::Message(ToAgent::Resume) => self.resume(),
                Event::ClientGone | Event::Terminate => self.hang_up(grace),
                Event::Order(Order::HangUp { grace }) => self.hang_up(Duration::from_millis(grace.into())),
                Event::Deadline if self.aside_at.take().is_some() => session.step_aside(),
                Event::Deadline => {
                    self.kill();
                    self.kill_at = None;
                }
                Event::Child => {
                    if let Some(end) = self.look(session) {
                        self.finish(session, &end);
                    }
                }
                Event::Message(_) | Event::Order(_) => {}
            }
        }
    }

    /// What has become of the command: its end, if it has one.
    fn look(&mut self, session: &mut Session) -> Option<FromAgent> {
        loop {
            let options = WaitOptions::NOHANG | WaitOptions::UNTRACED;
            let (_, status) = waitpid(Some(self.child.pid), options).ok()??;
            let byte = |number: Option<i32>| number.and_then(|number| u8::try_from(number).ok()).unwrap_or(0);
            if status.stopped() {
                self.foreground = self.terminal.as_ref().and_then(|terminal| tcgetpgrp(terminal).ok());
                session.tell(&FromAgent::Stopped(byte(status.stopping_signal())), &[]);
                continue;
            }
            return Some(if status.signaled() {
                let core = status.as_raw() & 0x80 != 0;
                FromAgent::Killed { signal: byte(status.terminating_signal()), core }
            } else {
                FromAgent::Exited(byte(status.exit_status()))
            });
        }
    }

    fn foreground(&self) -> Pid {
        let foreground = self.terminal.as_ref().and_then(|terminal| tcgetpgrp(terminal).ok());
        foreground.unwrap_or(self.child.pid)
    }

    fn signal(&self, number: u8) {
        if let Some(signal) = signal::from_number(number) {
            let _ = kill_process_group(self.foreground(), signal);
        }
    }

    fn resize(&self, size: WindowSize) {
        if let Some(terminal) = &self.terminal {
            terminal::set_size(terminal.as_fd(), size);
        }
    }

    fn resume(&mut self) {
        let group = self.foreground.take().unwrap_or(self.child.pid);
        if let Some(terminal) = &self.terminal {
            let _ = tcsetpgrp(terminal, group);
        }
        let _ = kill_process_group(group, Signal::CONT);
        if group != self.child.pid {
            let _ = kill_process_group(self.child.pid, Signal::CONT);
        }
    }

    /// The command's own process group, and that which has the terminal.
    fn groups(&self) -> impl Iterator<Item = Pid> {
        let (own, foreground) = (self.child.pid, self.foreground());
        [Some(own), (foreground != own).then_some(foreground)].into_iter().flatten()
    }

    /// Ends the command and what runs with it; what it has put into groups of their own lives.
    fn kill(&self) {
        for group in self.groups() {
            let _ = kill_process_group(group, Signal::KILL);
        }
        // It may have left its group.
        let _ = pidfd_send_signal(&self.child.pidfd, Signal::KILL);
    }

    /// As a terminal that is closed: the groups that belong to it get SIGHUP, the rest lives. They are killed when the command
    /// itself is still there after the grace.
    fn hang_up(&mut self, grace: Duration) {
        for group in self.groups() {
            let _ = kill_process_group(group, Signal::HUP);
            let _ = kill_process_group(group, Signal::CONT);
        }
        let kill_at = Instant::now() + grace;
        self.kill_at = Some(self.kill_at.map_or(kill_at, |earlier| earlier.min(kill_at)));
    }

    fn finish(mut self, session: &mut Session, end: &FromAgent) -> ! {
        if let Some(terminal) = self.terminal.take() {
            terminal::give_up(terminal.as_fd());
        }
        session.tell(end, &[]);
        session.step_aside();
        if let Some(group) = self.group.take() {
            group.remove();
        }
        // The server keeps relayed streams as long as this session lives: a client that is slow to take them must
        // still find them.
        while self.relayed && !session.client_gone {
            match session.wait(None) {
                Event::Terminate | Event::Order(Order::HangUp { .. }) => break,
                _ => {}
            }
        }
        process::exit(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(values: &[&str]) -> Vec<Vec<u8>> {
        values.iter().map(|value| value.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_login_goes_through_the_users_shell() {
        let argv =
            |login, argv: &[&str], shell: &str| arguments(login, strings(argv), shell.as_bytes()).unwrap();
        assert_eq!(argv(false, &["ls", "-l"], "/bin/sh"), (None, strings(&["ls", "-l"])));
        assert_eq!(argv(true, &[], "/bin/bash"), (Some(b"/bin/bash".to_vec()), strings(&["-bash"])));
        let (program, words) = argv(true, &["ls", "a b"], "/usr/bin/zsh");
        assert_eq!(program.unwrap(), b"/usr/bin/zsh");
        assert_eq!(words, strings(&["-zsh", "-c", "exec \"$0\" \"$@\"", "ls", "a b"]));
        assert!(arguments(false, Vec::new(), b"/bin/sh").is_err());
    }
}
