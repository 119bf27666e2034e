//! The messages of the agent's socket and their encoding.
//!
//! Messages may grow at their end: a reader ignores bytes after the fields that it knows. What changes the meaning of
//! an existing field needs a new [`PROTOCOL`] number.

mod encoding;

use crate::codec::DecodeError;
use crate::provision::Followed;

/// The protocol that this version speaks.
pub const PROTOCOL: u16 = 1;
/// The oldest protocol that this version still understands.
pub const OLDEST_PROTOCOL: u16 = 1;
/// Longest body of a frame from a client: the kernel's own bound for arguments and environment is 2 MiB by default and
/// 6 MiB at most (`execve(2)`, three quarters of `_STK_LIM`), and there may be both.
pub const MAX_REQUEST: usize = 16 << 20;
/// Longest body of a frame from an agent: its longest field is an error text.
pub const MAX_REPLY: usize = 64 << 10;
/// Descriptors in one [`ToAgent::Fds`] frame; the kernel allows 253 (`SCM_MAX_FD`).
pub const MAX_FDS: usize = 250;

/// The stream of an [`ToAgent::Attach`] that is the command's terminal.
pub const TERMINAL_STREAM: u8 = 3;
/// The stream of an [`ToAgent::Attach`] that is the first number of [`Exec::further`]; the next ones follow.
pub const FIRST_FURTHER_STREAM: u8 = 4;

/// Where one of the command's streams comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdio {
    /// The guest's side of the pty.
    Tty,
    /// The descriptor that came under this number in a `Fds` frame.
    Passed,
    /// Relayed over a connection of its own (`Attach`); the command reads 0 and writes 1 and 2.
    Relayed,
    /// The guest's `/dev/null`; device nodes are never handed over.
    Null,
    /// The guest's `/dev/zero`.
    Zero,
    /// The guest's `/dev/full`.
    Full,
    /// The guest's `/dev/random`.
    Random,
    /// The guest's `/dev/urandom`.
    Urandom,
    /// Closed in the caller, closed in the command.
    Closed,
    /// Relayed, a number above 2 that the command reads.
    Incoming,
    /// Relayed, a number above 2 that the command writes.
    Outgoing,
}

/// Size of a terminal, in cells and pixels (`struct winsize`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowSize {
    /// Rows of cells.
    pub rows: u16,
    /// Columns of cells.
    pub columns: u16,
    /// Width in pixels, 0 when not known.
    pub x_pixels: u16,
    /// Height in pixels, 0 when not known.
    pub y_pixels: u16,
}

/// The caller's terminal modes (`struct termios` of the kernel, 19 control characters), so that the guest's pty starts
/// with the same erase key and flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalModes {
    /// `c_iflag`.
    pub input: u32,
    /// `c_oflag`.
    pub output: u32,
    /// `c_cflag`.
    pub control: u32,
    /// `c_lflag`.
    pub local: u32,
    /// `c_cc`.
    pub characters: [u8; 19],
}

/// A terminal to be made for the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// Its size at the start.
    pub size: WindowSize,
    /// The caller's modes, when they could be read.
    pub modes: Option<TerminalModes>,
    /// Name of the terminal type and its compiled terminfo entry, written for the guest where it is missing.
    pub terminfo: Option<(Vec<u8>, Vec<u8>)>,
    /// Relay the terminal over stream 3 instead of passing the master (untrusted guests).
    pub relayed: bool,
}

/// Which directory the command starts in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directory {
    /// The caller's: the guest's `path` must be the same directory, by device and inode. `/` alone stands for itself.
    Same {
        /// Logical path.
        path: Vec<u8>,
        /// `st_dev` as the client sees it.
        device: u64,
        /// `st_ino`.
        inode: u64,
        /// Go to the user's home, with a notice, when the guest does not have it (`enter`).
        or_home: bool,
    },
    /// The guest's directory of that path (`-w`); missing is an error.
    Guest(Vec<u8>),
    /// The user's home in the guest.
    Home,
}

/// As whom the command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// The container's owner.
    Owner,
    /// The guest's root.
    Root,
    /// A user of the guest, by name or number.
    Named(Vec<u8>),
}

/// One resource limit of the caller. `u64::MAX` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// `RLIMIT_*` number of Linux.
    pub resource: u8,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// A request to run a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// Protocol that the client speaks.
    pub protocol: u16,
    /// Program and arguments; empty with `login`: the user's shell.
    pub argv: Vec<Vec<u8>>,
    /// `KEY=VALUE`: the caller's environment, already without what belongs to the host.
    pub environment: Vec<Vec<u8>>,
    /// `KEY=VALUE` that win over everything (`-e`).
    pub overrides: Vec<Vec<u8>>,
    /// Start from the guest's login environment alone (`--clean-env`; `environment` is then empty but for `TERM` and the like).
    pub clean: bool,
    /// Run as by the user's login shell: `-SHELL`, with `argv` by `-c 'exec "$0" "$@"'` when there is one.
    pub login: bool,
    /// Do not wait for the guest's early boot.
    pub early: bool,
    /// As whom.
    pub user: User,
    /// Where.
    pub directory: Directory,
    /// Streams 0, 1, 2.
    pub stdio: [Stdio; 3],
    /// The terminal, when one of the streams is one.
    pub terminal: Option<Terminal>,
    /// The caller's umask.
    pub umask: u32,
    /// The caller's limits.
    pub limits: Vec<Limit>,
    /// Signals that the caller ignores, bit n-1 for signal n.
    pub ignored: u64,
    /// Numbers above 2 that are open in the caller and not handed over: his terminal ([`Stdio::Tty`]), device nodes
    /// that the guest has itself, and what is relayed. Absent in requests of clients that do not know the field.
    pub further: Vec<(u32, Stdio)>,
}

impl Exec {
    /// A command of the owner's in his home, without streams, terminal, variables or limits of a caller.
    #[must_use]
    pub fn plain(argv: Vec<Vec<u8>>) -> Self {
        Self {
            protocol: PROTOCOL,
            argv,
            environment: Vec::new(),
            overrides: Vec::new(),
            clean: false,
            login: false,
            early: false,
            user: User::Owner,
            directory: Directory::Home,
            stdio: [Stdio::Null; 3],
            terminal: None,
            umask: 0o22,
            limits: Vec::new(),
            ignored: 0,
            further: Vec::new(),
        }
    }
}

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToAgent {
    /// The descriptors in this frame's control data, and the numbers that they shall have in the command.
    Fds(Vec<u32>),
    /// Run a command.
    Exec(Box<Exec>),
    /// This connection carries a stream of the command with that token: 0, 1, 2, [`TERMINAL_STREAM`], or one of
    /// [`Exec::further`] by its place there, counted from [`FIRST_FURTHER_STREAM`].
    Attach {
        /// From [`FromAgent::Streams`].
        token: [u8; 16],
        /// Number of the stream.
        stream: u8,
    },
    /// Send this signal to the command's process group (with a terminal: its foreground group).
    Signal(u8),
    /// The terminal has this size now (relayed terminals; else the client sets it on the master itself).
    Resize(WindowSize),
    /// Continue what was stopped.
    Resume,
    /// Hang up every command and kill what is left after the grace (owner or root; before a stop).
    HangUpAll {
        /// Milliseconds until the kill.
        grace: u32,
    },
    /// The host has changed (owner or root).
    Follow(Followed),
    /// Whoever sent this carries out what the guest asks for over this connection: keep it until somebody dials.
    Offer,
    /// Give me an offered connection, for this.
    Dial(Wish),
    /// To the host: open this. Before an end that is no success a notice says which program failed.
    Open(Open),
    /// To the host: connect me to the owner's session bus, and stay as long as this connection does.
    JoinBus,
}

/// What a guest's program wants of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// [`ToAgent::Exec`].
    Command,
    /// [`ToAgent::Open`].
    Open,
    /// [`ToAgent::JoinBus`].
    Bus,
}

impl Wish {
    /// The grant that gives it.
    #[must_use]
    pub const fn grant(self) -> &'static str {
        match self {
            Self::Command => "host-exec",
            Self::Open => "host-open",
            Self::Bus => "session",
        }
    }
}

/// Something to be opened as the owner's desktop does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// A link (RFC 3986, with a scheme), or an absolute path.
    pub target: Vec<u8>,
    /// Of a path: device and inode as the caller sees them.
    pub file: Option<(u64, u64)>,
    /// `KEY=VALUE`: the caller's environment, already without what belongs to the guest.
    pub environment: Vec<Vec<u8>>,
}

/// What went wrong before a command ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The program does not exist: status 127.
    NotFound,
    /// It exists and cannot be executed: status 126.
    NotExecutable,
    /// The guest does not have the caller's directory: status 125.
    Directory,
    /// No such user in the guest, or one who may not ask: status 125.
    User,
    /// The agent does not speak the client's protocol: status 125.
    Protocol,
    /// Not allowed for this peer: status 125.
    Denied,
    /// Anything else: status 125.
    Other,
}

/// What an agent sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromAgent {
    /// First message on every connection.
    Hello {
        /// Newest protocol that the agent speaks.
        protocol: u16,
        /// Oldest that it understands.
        oldest: u16,
        /// The agent's version, for messages and `snug info`.
        version: Vec<u8>,
        /// The guest's early boot is done.
        settled: bool,
        /// An offered connection waits here ([`ToAgent::Offer`]).
        offered: bool,
    },
    /// Something that a person at a terminal should know; not an error.
    Notice(Vec<u8>),
    /// Connect the relayed streams with this token.
    Streams {
        /// For [`ToAgent::Attach`].
        token: [u8; 16],
    },
    /// The pty's master is in this frame's control data.
    Pty,
    /// The command runs, under this process id of the guest.
    Started {
        /// Process id in the guest.
        pid: u32,
    },
    /// The command was stopped by this signal.
    Stopped(u8),
    /// It ended by itself.
    Exited(u8),
    /// It died of this signal.
    Killed {
        /// The signal.
        signal: u8,
        /// Whether it left a core.
        core: bool,
    },
    /// Nothing ran.
    Failed {
        /// What kind of failure: decides the status.
        kind: FailureKind,
        /// For a person: what, on what, why. From the guest: print it escaped.
        text: Vec<u8>,
    },
    /// Answer to [`ToAgent::Dial`] and [`ToAgent::JoinBus`]: the connection is in this frame's control data.
    Dialled,
    /// Answer to [`ToAgent::HangUpAll`]: all commands are gone. To [`ToAgent::Follow`]: the guest is as the host is.
    Done,
}

/// A message that can stand in a frame.
pub trait Message: Sized {
    /// Longest body that a reader of this kind of message accepts.
    const MAX_BODY: usize;
    /// Type byte and body.
    fn encode(&self) -> (u8, Vec<u8>);
    /// The message of a type byte and a body. Bytes after the known fields are ignored.
    fn decode(kind: u8, body: &[u8]) -> Result<Self, DecodeError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Exec {
        Exec { further: vec![(3, Stdio::Tty), (9, Stdio::Null)], ..Exec::plain(vec![b"true".to_vec()]) }
    }

    #[test]
    fn numbers_above_two_that_are_not_handed_over_arrive_with_their_kind() {
        let message = ToAgent::Exec(Box::new(request()));
        let (kind, body) = message.encode();
        assert_eq!(ToAgent::decode(kind, &body), Ok(message));
    }

    #[test]
    fn a_request_of_a_client_that_does_not_know_further_numbers_has_none() {
        let (kind, mut body) = ToAgent::Exec(Box::new(Exec { further: Vec::new(), ..request() })).encode();
        body.truncate(body.len() - 4);
        let Ok(ToAgent::Exec(exec)) = ToAgent::decode(kind, &body) else { panic!("not a request") };
        assert!(exec.further.is_empty());
    }

    #[test]
    fn a_count_of_further_numbers_that_lies_ends_with_the_body() {
        let (kind, mut body) = ToAgent::Exec(Box::new(Exec { further: Vec::new(), ..request() })).encode();
        let end = body.len();
        body[end - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(ToAgent::decode(kind, &body), Err(DecodeError::Truncated));
    }
}
