//! What the agent is asked: a request, with what the caller's process is and has.

use std::env;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use snug_wire::message::{Exec, PROTOCOL, Terminal as WireTerminal, User as WireUser};
use snug_wire::policy::Policy;

use crate::console::{self, Wiring};
use crate::environment::Extent;
use crate::host_session::HostSession;
use crate::request::{Error, Request, TerminalChoice, User};
use crate::stream::{self, Streams};
use crate::target::Target;
use crate::terminal::Terminal;
use crate::{directory, environment, limits, startup, terminfo};

/// Stream 0, 1 or 2.
fn standard(number: usize) -> BorrowedFd<'static> {
    stream::borrow(RawFd::try_from(number).expect("0, 1 or 2"))
}

/// The caller's terminal, where one of the streams is one.
pub fn open_terminal(streams: &Streams) -> Option<Terminal> {
    let stream = [0, 1, 2].into_iter().find(|number| streams.terminals[*number]).map(standard);
    Terminal::open(stream).ok()
}

/// Which of the caller's descriptors take part in the terminal.
pub fn wiring_of(streams: &Streams, choice: TerminalChoice) -> Wiring {
    let force = choice == TerminalChoice::Force;
    let screen = [1, 2].into_iter().find(|number| streams.terminals[*number]);
    Wiring {
        input: streams.terminals[0],
        output: streams.terminals[1],
        screen: if force { Some(standard(1)) } else { screen.map(standard) },
        typed: (force && !streams.terminals[0]).then(|| standard(0)),
    }
}

/// What the agent is asked to run, and how.
///
/// # Errors
/// The caller's directory cannot be named.
pub fn exec_of(
    request: &Request,
    streams: &Streams,
    terminal: Option<&Terminal>,
    wiring: &Wiring,
    policy: &Policy,
) -> Result<Exec, Error> {
    Ok(Exec {
        protocol: PROTOCOL,
        argv: request.argv.iter().map(|word| word.as_bytes().to_vec()).collect(),
        environment: environment_of(request, policy),
        overrides: request.overrides.iter().cloned().map(environment::joined).collect(),
        clean: request.clean,
        login: request.login,
        early: request.early,
        user: match &request.user {
            User::Owner => WireUser::Owner,
            User::Root => WireUser::Root,
            User::Named(name) => WireUser::Named(name.clone().into_vec()),
        },
        directory: directory::to_wire(&request.directory)?,
        stdio: streams.stdio,
        terminal: streams.wants_terminal().then(|| WireTerminal {
            size: terminal.map(Terminal::size).unwrap_or_default(),
            modes: console::initial_modes(terminal, wiring),
            terminfo: terminfo::entry(),
            relayed: !policy.trusted,
        }),
        umask: snug_wire::pack::umask(),
        limits: limits::current(),
        ignored: startup::ignored_signals(),
        further: streams.further.clone(),
    })
}

fn environment_of(request: &Request, policy: &Policy) -> Vec<Vec<u8>> {
    // Who is somebody else in the guest has no session of the caller's, as with sudo on the host.
    let extent = match request.user {
        _ if !policy.trusted || request.clean => Extent::Terminal,
        _ if matches!(request.target, Target::Host { .. }) => Extent::Host,
        User::Owner if policy.session => Extent::Session,
        _ => Extent::Caller,
    };
    let mut passed = environment::passed(env::vars_os(), extent);
    if extent == Extent::Session {
        let session =
            HostSession { variable: |name: &str| env::var_os(name), uid: rustix::process::getuid().as_raw() };
        for (name, value) in session.variables() {
            environment::set(&mut passed, name, &value);
        }
    }
    passed
}
