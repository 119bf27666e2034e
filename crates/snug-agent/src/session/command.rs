//! The life of a command, from the request to its end.

use std::fs;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, pidfd_send_signal, waitpid};
use rustix::termios::{tcgetpgrp, tcsetpgrp};
use snug_wire::message::{
    Exec, FailureKind, FromAgent, Limit, OLDEST_PROTOCOL, PROTOCOL, ToAgent, User, WindowSize,
};

use super::environment::{self, Sources};
use super::start::{self, Begun, Failure, Plan};
use super::streams::{self, Streams};
use super::{Context, Event, Session};
use crate::cgroup::Group;
use crate::control::Order;
use crate::provision::{host_places, locale};
use crate::sys::process::Child;
use crate::sys::{process, signal, terminal};
use crate::users::{Identity, Users};

/// When a person is told what the command waits for.
const TELL_AFTER: Duration = Duration::from_secs(3);
/// A guest whose early boot takes longer is stuck, perhaps in its emergency shell: the command may be what repairs it.
const WAIT_FOR_BOOT: Duration = Duration::from_secs(60);

/// Within it a short command has ended. Until then the next spare session is not made, which would take the processor or
/// the lock of the control groups from it (measured: up to 0.3 ms of 3.3).
const SHORT: Duration = Duration::from_millis(5);

/// Runs one command for the session's client.
pub fn run(
    context: &mut Context,
    session: &mut Session,
    exec: Exec,
    handed: Vec<(u32, OwnedFd)>,
    group: Option<Group>,
) {
    let early_end = match wait_for_boot(context, session, &exec) {
        Waited::Ready => None,
        Waited::Signal(signal) => Some(FromAgent::Killed { signal, core: false }),
        Waited::GivenUp => return,
    };
    if let Some(end) = early_end {
        session.tell(&end, &[]);
        return;
    }
    match start(context, session, exec, handed, group) {
        Ok(running) => running.attend(context, session),
        Err(Failure { kind, text }) => {
            session.tell(&FromAgent::Failed { kind, text }, &[]);
        }
    }
    session.step_aside();
}

/// Takes the login environment that the server has just learned.
pub fn read_environment(context: &mut Context) {
    let text = fs::read(context.places.environment()).unwrap_or_default();
    context.environment = Some(environment::split(&text));
}

enum Waited {
    Ready,
    Signal(u8),
    GivenUp,
}

fn wait_for_boot(context: &mut Context, session: &mut Session, exec: &Exec) -> Waited {
    let begun = Instant::now();
    let mut told = false;
    while !(exec.early || context.settled && context.environment.is_some()) {
        if session.server_gone {
            // Nobody will tell us any more; the environment is then the default one.
            break;
        }
        let deadline = begun + if told { WAIT_FOR_BOOT } else { TELL_AFTER };
        match session.wait(Some(deadline)) {
            Event::Order(Order::Settled) => context.settled = true,
            Event::Order(Order::Environment) => read_environment(context),
            Event::ClientGone | Event::Terminate | Event::Order(Order::HangUp { .. }) => {
                return Waited::GivenUp;
            }
            Event::Message(ToAgent::Signal(number)) if ends_by_default(number) => {
                return Waited::Signal(number);
            }
            Event::Deadline if told => {
                session.tell(&notice("the container has not finished starting; going on all the same"), &[]);
                break;
            }
            Event::Deadline => {
                told = true;
                session.tell(
                    &notice("waiting for the container to finish starting (--early does not wait)"),
                    &[],
                );
            }
            Event::Message(_) | Event::Order(_) | Event::Child => {}
        }
    }
    Waited::Ready
}

fn notice(text: &str) -> FromAgent {
    FromAgent::Notice(text.into())
}

fn unknown_user(user: &User) -> Vec<u8> {
    match user {
        User::Named(name) => [b"the container has no user '", &name[..], b"'"].concat(),
        User::Owner | User::Root => b"the container does not know its owner yet".to_vec(),
    }
}

/// Whether a program that does nothing about this signal ends by it.
fn ends_by_default(number: u8) -> bool {
    !matches!(
        i32::from(number),
        libc::SIGCHLD
            | libc::SIGCONT
            | libc::SIGURG
            | libc::SIGWINCH
            | libc::SIGTSTP
            | libc::SIGTTIN
            | libc::SIGTTOU
    )
}

fn start(
    context: &Context,
    session: &mut Session,
    exec: Exec,
    handed: Vec<(u32, OwnedFd)>,
    group: Option<Group>,
) -> Result<Running, Failure> {
    if exec.protocol < OLDEST_PROTOCOL || exec.protocol > PROTOCOL {
        let text =
            format!("the agent speaks protocols {OLDEST_PROTOCOL} to {PROTOCOL}, not {}", exec.protocol);
        return Err(Failure::new(FailureKind::Protocol, text));
    }
    let owner = context.provision.as_ref().map(|provision| &provision.owner);
    let users = Users::new(&context.guest, owner);
    let identity = users
        .identify(&exec.user)
        .ok_or_else(|| Failure::new(FailureKind::User, unknown_user(&exec.user)))?;
    let shell = users.login_shell(&identity.entry);
    let Streams { numbered, terminal, relayed } = streams::make(context, session, &exec, handed, &identity)?;
    let greets = exec.login && exec.terminal.is_some();
    let plan = plan(context, exec, identity, &shell, numbered, terminal.as_ref())?;
    if greets {
        tell_locale(context, session, &plan.environment);
    }

    let prepared = start::prepare(plan)?;
    // Who has not been greeted believes that nothing was done, and asks again.
    session.say(&[]);
    // The group was made in advance; the server sweeps empty ones, so it may be gone.
    let group = group.and_then(|group| group.renewed().ok());
    let directory = group.as_ref().map(|group| std::os::fd::AsFd::as_fd(&group.directory));
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
    let pid = child.pid.as_raw_nonzero().get().cast_unsigned();
    session.unsaid.push(FromAgent::Started { pid });
    let aside_at = Some(Instant::now() + SHORT);
    Ok(Running { child, group, terminal, relayed, foreground: None, kill_at: None, aside_at })
}

/// Tells a person, once for each start of the guest, what programs would tell him one by one.
fn tell_locale(context: &Context, session: &mut Session, environment: &[Vec<u8>]) {
    let Some(text) = locale::hint(&context.guest, environment) else { return };
    if fs::File::create_new(context.places.told_locale()).is_ok() {
        session.tell(&notice(&text), &[]);
    }
}

fn plan(
    context: &Context,
    exec: Exec,
    identity: Identity,
    shell: &[u8],
    streams: Vec<(u32, start::Stream)>,
    terminal: Option<&OwnedFd>,
) -> Result<Plan, Failure> {
    let uid = identity.entry.uid;
    let is_owner = context.provision.as_ref().is_some_and(|provision| provision.owner.uid == uid);
    let runtime_directory = format!("/run/user/{uid}");
    let runtime_directory =
        (is_owner || context.guest.path(&runtime_directory).is_dir()).then(|| runtime_directory.into_bytes());
    let environment = environment::compose(&Sources {
        caller: &exec.environment,
        overrides: &exec.overrides,
        login: context.environment.as_deref().unwrap_or_default(),
        clean: exec.clean,
        user: &identity.entry,
        shell,
        runtime_directory,
        shares_tmp: context.provision.as_ref().is_some_and(host_places::may_share_tmp),
        container: &context.container,
    });
    let (program, argv) = arguments(exec.login, exec.argv, shell)?;
    let terminal =
        terminal.map(OwnedFd::try_clone).transpose().map_err(|error| Failure::system("terminal", error))?;
    // The server has raised its own limit: a command starts from the guest's, then the caller's.
    let own =
        context.descriptor_limit.map(|(soft, hard)| Limit { resource: process::OPEN_FILES, soft, hard });
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
    /// Stays with the command until it has ended and the client knows.
    fn attend(mut self, context: &Context, session: &mut Session) -> ! {
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
                Event::ClientGone | Event::Terminate => self.hang_up(context.grace()),
                Event::Order(Order::HangUp { grace }) => self.hang_up(Duration::from_millis(grace.into())),
                Event::Deadline if self.aside_at.take().is_some() => session.step_aside(),
                Event::Deadline => {
                    let _ = pidfd_send_signal(&self.child.pidfd, Signal::KILL);
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
            terminal::set_size(std::os::fd::AsFd::as_fd(terminal), size);
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

    /// As a terminal that is closed: the groups that belong to it get SIGHUP, the rest lives. The command itself is
    /// killed when it is still there after the grace.
    fn hang_up(&mut self, grace: Duration) {
        let foreground = self.foreground();
        for group in [Some(self.child.pid), (foreground != self.child.pid).then_some(foreground)] {
            let Some(group) = group else { continue };
            let _ = kill_process_group(group, Signal::HUP);
            let _ = kill_process_group(group, Signal::CONT);
        }
        let kill_at = Instant::now() + grace;
        self.kill_at = Some(self.kill_at.map_or(kill_at, |earlier| earlier.min(kill_at)));
    }

    fn finish(mut self, session: &mut Session, end: &FromAgent) -> ! {
        if let Some(terminal) = self.terminal.take() {
            terminal::give_up(std::os::fd::AsFd::as_fd(&terminal));
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
