//! What is to be run, and how it ended.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use snug_wire::message::FailureKind;
use snug_wire::socket::WireError;
use thiserror::Error;

use crate::signals;
use crate::target::Target;

/// As whom a command runs in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// The container's owner.
    Owner,
    /// The guest's root.
    Root,
    /// A user of the guest, by name or number.
    Named(OsString),
}

/// Which directory it starts in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directory {
    /// The caller's own; it must be the same directory in the guest. `/` alone stands for the guest's.
    Same {
        /// Go home instead, with a notice, when the guest does not have it.
        or_home: bool,
    },
    /// The guest's directory of that path.
    Guest(PathBuf),
    /// The user's home in the guest.
    Home,
}

/// Whether the command gets a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminalChoice {
    /// Each stream is a terminal when the caller's is.
    Auto,
    /// All three streams are a terminal (`-t`).
    Force,
    /// None is (`-T`).
    Never,
}

impl TerminalChoice {
    /// What two switches say, of which the first wins.
    #[must_use]
    pub fn of(force: bool, never: bool) -> Self {
        match (force, never) {
            (true, _) => Self::Force,
            (_, true) => Self::Never,
            _ => Self::Auto,
        }
    }
}

/// One command to be run in a container.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where it runs.
    pub target: Target,
    /// Program and arguments; empty with `login` for the user's shell.
    pub argv: Vec<OsString>,
    /// Variables that win over all others.
    pub overrides: Vec<(OsString, OsString)>,
    /// Start from the guest's login environment alone.
    pub clean: bool,
    /// Through the user's login shell.
    pub login: bool,
    /// Do not wait for the guest's early boot.
    pub early: bool,
    /// As whom.
    pub user: User,
    /// Where.
    pub directory: Directory,
    /// Terminal or not.
    pub terminal: TerminalChoice,
    /// Nothing of the caller's descriptors takes part: the command's streams are the guest's `/dev/null`.
    pub detached: bool,
    /// The terminal is told of the container: a shell of it comes to the front.
    pub announced: bool,
    /// Show no notices.
    pub quiet: bool,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ended by itself with this status.
    Exited(u8),
    /// It died of this signal.
    Killed(i32),
    /// Nothing ran.
    Failed {
        /// 125, 126 or 127.
        status: u8,
        /// What failed; terminal escapes from the guest are already made harmless.
        message: String,
        /// What to do.
        hints: Vec<String>,
    },
}

/// Why the command was never asked for, or its end never heard of.
#[derive(Debug, Error)]
pub enum Error {
    /// Nobody serves the socket: the container is stopped or being stopped, missing, or its agent died.
    #[error("container {container} is not running")]
    NotRunning {
        /// Its name.
        container: String,
    },
    /// Nobody on the host carries out the container's commands.
    #[error("the host cannot be reached: {why}")]
    NoHost {
        /// Whether it may not, or nobody is there.
        kind: FailureKind,
        /// The grant that it is about.
        grant: &'static str,
        /// What the agent says; terminal escapes are already made harmless.
        why: String,
    },
    /// The container is entered through the daemon each time.
    #[error("container {container} is privileged: each entry goes through the daemon")]
    ThroughDaemon {
        /// Its name.
        container: String,
    },
    /// One of the caller's streams cannot be used for a command in a container.
    #[error("{stream} is a directory, which is never handed to a container")]
    DirectoryStream {
        /// `standard input` and so on.
        stream: &'static str,
    },
    /// The caller's directory cannot be named.
    #[error("the current directory cannot be determined: {0}")]
    NoDirectory(std::io::Error),
    /// What answers in the guest is not an agent that works.
    #[error("the agent of container {container} does not work: {source}")]
    Agent {
        /// Its name.
        container: String,
        /// What it did.
        source: WireError,
    },
    /// The connection ended before the command did.
    #[error("container {container} went away while the command ran")]
    Lost {
        /// Its name.
        container: String,
    },
    /// The system refused something on our side.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The refusal.
        source: std::io::Error,
    },
}

impl Error {
    /// What the user can do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NotRunning { container } => vec![format!("`snug start {container}` starts it")],
            Self::ThroughDaemon { .. } => vec!["this version enters no privileged container".into()],
            Self::DirectoryStream { .. } => vec!["redirect it from a file or /dev/null".into()],
            Self::NoDirectory(_) => vec!["`cd` to a directory that exists".into()],
            Self::Agent { container, .. } | Self::Lost { container } => {
                vec![
                    format!("`snug restart {container}` starts it afresh"),
                    format!("`snug logs {container}` shows its console"),
                ]
            }
            Self::NoHost { kind: FailureKind::Denied, grant, .. } => {
                vec![format!("on the host, `snug create --grant {grant} …` makes a container that has it")]
            }
            Self::NoHost { kind: FailureKind::User, grant, .. } => vec![format!(
                "where the container has the grant `{grant}`, programs of its owner and of its root reach the host, and no others"
            )],
            Self::NoHost { .. } => {
                vec!["on the host, any `snug run` or `snug enter` in this container starts it, or says why not".into()]
            }
            Self::System { .. } => Vec::new(),
        }
    }

    pub(crate) fn system(what: &'static str) -> impl Fn(rustix::io::Errno) -> Self {
        move |errno| Self::System { what, source: errno.into() }
    }
}

/// Ends the process as the command ended: with its status, or of the same signal where a shell's loop must see that
/// (INT, QUIT, TERM, HUP, PIPE), else with 128 + n.
#[must_use]
pub fn finish(outcome: &Outcome) -> ExitCode {
    match outcome {
        Outcome::Exited(status) | Outcome::Failed { status, .. } => ExitCode::from(*status),
        Outcome::Killed(signal) => {
            if [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP, libc::SIGPIPE].contains(signal) {
                signals::die_of(*signal);
            }
            ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX))
        }
    }
}
