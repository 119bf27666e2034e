//! The messages of the agent's socket and their encoding.
//!
//! Messages may grow at their end: a reader ignores bytes after the fields that it knows. What changes the meaning of
//! an existing field needs a new [`PROTOCOL`] number.

use crate::codec::{DecodeError, Reader, Writer};

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

/// Where one of the command's streams 0, 1, 2 comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdio {
    /// The guest's side of the pty.
    Tty,
    /// The descriptor that came under this number in a `Fds` frame.
    Passed,
    /// Relayed over a connection of its own (`Attach`).
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
    /// The caller's: the guest's `path` must be the same directory, by device and inode.
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
    /// Numbers above 2 that are open in the caller and not handed over: his terminal ([`Stdio::Tty`]) and device nodes
    /// that the guest has itself. Absent in requests of clients that do not know the field.
    pub further: Vec<(u32, Stdio)>,
}

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToAgent {
    /// The descriptors in this frame's control data, and the numbers that they shall have in the command.
    Fds(Vec<u32>),
    /// Run a command.
    Exec(Box<Exec>),
    /// This connection carries stream `stream` (0, 1, 2; 3 is the terminal) of the command with that token.
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
    /// No such user in the guest: status 125.
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
    /// Answer to [`ToAgent::HangUpAll`]: all commands are gone.
    Done,
}

macro_rules! byte_enum {
    ($type:ident, $what:literal, $($variant:ident = $number:literal),+ $(,)?) => {
        impl $type {
            fn number(self) -> u8 {
                match self { $(Self::$variant => $number),+ }
            }
            fn from_number(number: u8) -> Result<Self, DecodeError> {
                match number { $($number => Ok(Self::$variant),)+ _ => Err(DecodeError::Invalid($what)) }
            }
        }
    };
}

byte_enum!(
    Stdio,
    "stream",
    Tty = 0,
    Passed = 1,
    Relayed = 2,
    Null = 3,
    Zero = 4,
    Full = 5,
    Random = 6,
    Urandom = 7,
    Closed = 8
);
byte_enum!(
    FailureKind,
    "failure",
    NotFound = 0,
    NotExecutable = 1,
    Directory = 2,
    User = 3,
    Protocol = 4,
    Denied = 5,
    Other = 6
);

fn write_size(writer: &mut Writer, size: WindowSize) {
    for value in [size.rows, size.columns, size.x_pixels, size.y_pixels] {
        writer.u16(value);
    }
}

fn read_size(reader: &mut Reader<'_>) -> Result<WindowSize, DecodeError> {
    Ok(WindowSize {
        rows: reader.u16()?,
        columns: reader.u16()?,
        x_pixels: reader.u16()?,
        y_pixels: reader.u16()?,
    })
}

impl Terminal {
    fn write(&self, writer: &mut Writer) {
        write_size(writer, self.size);
        writer.bool(self.modes.is_some());
        if let Some(modes) = &self.modes {
            for value in [modes.input, modes.output, modes.control, modes.local] {
                writer.u32(value);
            }
            writer.buffer.extend_from_slice(&modes.characters);
        }
        writer.bool(self.terminfo.is_some());
        if let Some((name, entry)) = &self.terminfo {
            writer.bytes(name);
            writer.bytes(entry);
        }
        writer.bool(self.relayed);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let size = read_size(reader)?;
        let modes = if reader.bool()? {
            Some(TerminalModes {
                input: reader.u32()?,
                output: reader.u32()?,
                control: reader.u32()?,
                local: reader.u32()?,
                characters: reader.fixed()?,
            })
        } else {
            None
        };
        let terminfo = if reader.bool()? { Some((reader.bytes()?, reader.bytes()?)) } else { None };
        Ok(Self { size, modes, terminfo, relayed: reader.bool()? })
    }
}

impl Directory {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Same { path, device, inode, or_home } => {
                writer.u8(0);
                writer.bytes(path);
                writer.u64(*device);
                writer.u64(*inode);
                writer.bool(*or_home);
            }
            Self::Guest(path) => {
                writer.u8(1);
                writer.bytes(path);
            }
            Self::Home => writer.u8(2),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(Self::Same {
                path: reader.bytes()?,
                device: reader.u64()?,
                inode: reader.u64()?,
                or_home: reader.bool()?,
            }),
            1 => Ok(Self::Guest(reader.bytes()?)),
            2 => Ok(Self::Home),
            _ => Err(DecodeError::Invalid("directory")),
        }
    }
}

impl User {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Owner => writer.u8(0),
            Self::Root => writer.u8(1),
            Self::Named(name) => {
                writer.u8(2);
                writer.bytes(name);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(Self::Owner),
            1 => Ok(Self::Root),
            2 => Ok(Self::Named(reader.bytes()?)),
            _ => Err(DecodeError::Invalid("user")),
        }
    }
}

impl Exec {
    fn write(&self, writer: &mut Writer) {
        writer.u16(self.protocol);
        writer.list(&self.argv);
        writer.list(&self.environment);
        writer.list(&self.overrides);
        writer.bool(self.clean);
        writer.bool(self.login);
        writer.bool(self.early);
        self.user.write(writer);
        self.directory.write(writer);
        for stdio in self.stdio {
            writer.u8(stdio.number());
        }
        writer.bool(self.terminal.is_some());
        if let Some(terminal) = &self.terminal {
            terminal.write(writer);
        }
        writer.u32(self.umask);
        writer.u8(u8::try_from(self.limits.len()).unwrap_or(u8::MAX));
        for limit in self.limits.iter().take(usize::from(u8::MAX)) {
            writer.u8(limit.resource);
            writer.u64(limit.soft);
            writer.u64(limit.hard);
        }
        writer.u64(self.ignored);
        writer.u32(u32::try_from(self.further.len()).unwrap_or(u32::MAX));
        for (number, stdio) in &self.further {
            writer.u32(*number);
            writer.u8(stdio.number());
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let protocol = reader.u16()?;
        let argv = reader.list()?;
        let environment = reader.list()?;
        let overrides = reader.list()?;
        let (clean, login, early) = (reader.bool()?, reader.bool()?, reader.bool()?);
        let user = User::read(reader)?;
        let directory = Directory::read(reader)?;
        let mut stdio = [Stdio::Null; 3];
        for stream in &mut stdio {
            *stream = Stdio::from_number(reader.u8()?)?;
        }
        let terminal = if reader.bool()? { Some(Terminal::read(reader)?) } else { None };
        let umask = reader.u32()?;
        let count = reader.u8()?;
        let mut limits = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            limits.push(Limit { resource: reader.u8()?, soft: reader.u64()?, hard: reader.u64()? });
        }
        let ignored = reader.u64()?;
        let mut further = Vec::new();
        if reader.remaining() > 0 {
            for _ in 0..reader.u32()? {
                further.push((reader.u32()?, Stdio::from_number(reader.u8()?)?));
            }
        }
        Ok(Self {
            protocol,
            argv,
            environment,
            overrides,
            clean,
            login,
            early,
            user,
            directory,
            stdio,
            terminal,
            umask,
            limits,
            ignored,
            further,
        })
    }
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

impl Message for ToAgent {
    const MAX_BODY: usize = MAX_REQUEST;

    fn encode(&self) -> (u8, Vec<u8>) {
        let mut writer = Writer::default();
        let kind = match self {
            Self::Fds(numbers) => {
                for number in numbers {
                    writer.u32(*number);
                }
                1
            }
            Self::Exec(exec) => {
                exec.write(&mut writer);
                2
            }
            Self::Attach { token, stream } => {
                writer.buffer.extend_from_slice(token);
                writer.u8(*stream);
                3
            }
            Self::Signal(signal) => {
                writer.u8(*signal);
                4
            }
            Self::Resize(size) => {
                write_size(&mut writer, *size);
                5
            }
            Self::Resume => 6,
            Self::HangUpAll { grace } => {
                writer.u32(*grace);
                7
            }
        };
        (kind, writer.buffer)
    }

    fn decode(kind: u8, body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        Ok(match kind {
            1 => {
                if body.len() > MAX_FDS * 4 || !body.len().is_multiple_of(4) {
                    return Err(DecodeError::Invalid("descriptor list"));
                }
                let mut numbers = Vec::with_capacity(body.len() / 4);
                while reader.remaining() > 0 {
                    numbers.push(reader.u32()?);
                }
                Self::Fds(numbers)
            }
            2 => Self::Exec(Box::new(Exec::read(&mut reader)?)),
            3 => Self::Attach { token: reader.fixed()?, stream: reader.u8()? },
            4 => Self::Signal(reader.u8()?),
            5 => Self::Resize(read_size(&mut reader)?),
            6 => Self::Resume,
            7 => Self::HangUpAll { grace: reader.u32()? },
            other => return Err(DecodeError::UnknownType(other)),
        })
    }
}

impl Message for FromAgent {
    const MAX_BODY: usize = MAX_REPLY;

    fn encode(&self) -> (u8, Vec<u8>) {
        let mut writer = Writer::default();
        let kind = match self {
            Self::Hello { protocol, oldest, version, settled } => {
                writer.u16(*protocol);
                writer.u16(*oldest);
                writer.bytes(version);
                writer.bool(*settled);
                128
            }
            Self::Notice(text) => {
                writer.bytes(text);
                129
            }
            Self::Streams { token } => {
                writer.buffer.extend_from_slice(token);
                130
            }
            Self::Pty => 131,
            Self::Started { pid } => {
                writer.u32(*pid);
                132
            }
            Self::Stopped(signal) => {
                writer.u8(*signal);
                133
            }
            Self::Exited(status) => {
                writer.u8(*status);
                134
            }
            Self::Killed { signal, core } => {
                writer.u8(*signal);
                writer.bool(*core);
                135
            }
            Self::Failed { kind, text } => {
                writer.u8(kind.number());
                writer.bytes(text);
                136
            }
            Self::Done => 137,
        };
        (kind, writer.buffer)
    }

    fn decode(kind: u8, body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        Ok(match kind {
            128 => Self::Hello {
                protocol: reader.u16()?,
                oldest: reader.u16()?,
                version: reader.bytes()?,
                settled: reader.bool()?,
            },
            129 => Self::Notice(reader.bytes()?),
            130 => Self::Streams { token: reader.fixed()? },
            131 => Self::Pty,
            132 => Self::Started { pid: reader.u32()? },
            133 => Self::Stopped(reader.u8()?),
            134 => Self::Exited(reader.u8()?),
            135 => Self::Killed { signal: reader.u8()?, core: reader.bool()? },
            136 => Self::Failed { kind: FailureKind::from_number(reader.u8()?)?, text: reader.bytes()? },
            137 => Self::Done,
            other => return Err(DecodeError::UnknownType(other)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Exec {
        Exec {
            protocol: PROTOCOL,
            argv: vec![b"true".to_vec()],
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
            further: vec![(3, Stdio::Tty), (9, Stdio::Null)],
        }
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
