//! What each of the caller's descriptors is, and what may become of it.
//!
//! A terminal is never handed over: the command gets a pty of the guest. Directories and device nodes are never handed
//! over: a directory would give the guest the host's tree, and a device node may do anything. To an untrusted guest
//! nothing is handed over at all; streams 0, 1 and 2 are relayed.
//!
//! Numbers above 2 (`3</dev/null`, `3>&1` of a script that asks by a dialogue) follow the same rules. The caller's
//! terminal stands there for the guest's; terminals of somebody else, masters of a terminal emulator that forgot to close
//! them among them, are left out as directories are. For an untrusted guest a file or pipe there is relayed if an argument
//! names it (`diff <(a) <(b)` of a shell): to relay is to read ahead, which would take from a loop's `while read -u 3` what
//! it has not read yet.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, major, minor};
use rustix::io::{FdFlags, fcntl_getfd};
use rustix::termios::isatty;
use snug_wire::message::Stdio;

use crate::request::{Error, TerminalChoice};
use crate::startup;

const NAMES: [&str; 3] = ["standard input", "standard output", "standard error"];

/// What descriptors 0, 1 and 2 and the inherited ones above become.
#[derive(Debug)]
pub struct Streams {
    /// For [`snug_wire::message::Exec::stdio`].
    pub stdio: [Stdio; 3],
    /// Which of the three are terminals of the caller.
    pub terminals: [bool; 3],
    /// Numbers to be handed over, those of 0, 1, 2 that are [`Stdio::Passed`] among them.
    pub passed: Vec<RawFd>,
    /// For [`snug_wire::message::Exec::further`].
    pub further: Vec<(u32, Stdio)>,
}

impl Streams {
    /// Nothing of the caller's.
    #[must_use]
    pub fn none() -> Self {
        Self { stdio: [Stdio::Null; 3], terminals: [false; 3], passed: Vec::new(), further: Vec::new() }
    }

    /// Looks at the process' own descriptors, for a command with these arguments.
    ///
    /// # Errors
    /// [`Error::DirectoryStream`] when stream 0, 1 or 2 is a directory.
    pub fn of_caller(trusted: bool, terminal: TerminalChoice, argv: &[OsString]) -> Result<Self, Error> {
        let mut stdio = [Stdio::Null; 3];
        let mut terminals = [false; 3];
        let mut passed = Vec::new();
        for (number, name) in NAMES.iter().enumerate() {
            let kind = classify(RawFd::try_from(number).expect("a number below 3"));
            terminals[number] = matches!(kind, Kind::Terminal);
            stdio[number] = match kind {
                _ if terminal == TerminalChoice::Force => Stdio::Tty,
                Kind::Directory => return Err(Error::DirectoryStream { stream: name }),
                Kind::Closed => Stdio::Closed,
                Kind::Substitute(stdio) => stdio,
                Kind::Terminal if terminal == TerminalChoice::Auto => Stdio::Tty,
                Kind::Plain if trusted => Stdio::Passed,
                Kind::Terminal | Kind::Plain | Kind::Device => Stdio::Relayed,
            };
            if stdio[number] == Stdio::Passed {
                passed.push(RawFd::try_from(number).expect("a number below 3"));
            }
        }
        let mut further = Vec::new();
        for number in inherited() {
            match classify(number) {
                Kind::Plain if trusted => passed.push(number),
                Kind::Plain if argv.iter().any(|word| names(word.as_bytes(), number)) => {
                    further.extend(direction(number).map(|stdio| (number.cast_unsigned(), stdio)));
                }
                Kind::Terminal if terminal != TerminalChoice::Never && is_callers(number, terminals) => {
                    further.push((number.cast_unsigned(), Stdio::Tty));
                }
                Kind::Substitute(stdio) => further.push((number.cast_unsigned(), stdio)),
                _ => {}
            }
        }
        Ok(Self { stdio, terminals, passed, further })
    }

    /// Whether there is one that the client has to connect before the command starts; a terminal is where the guest is not
    /// trusted.
    #[must_use]
    pub fn are_relayed(&self, trusted: bool) -> bool {
        let relayed = |stdio: &Stdio| matches!(stdio, Stdio::Relayed | Stdio::Incoming | Stdio::Outgoing);
        self.stdio.iter().any(relayed)
            || self.further.iter().any(|(_, stdio)| relayed(stdio))
            || !trusted && self.wants_terminal()
    }

    /// Whether the command gets a terminal.
    #[must_use]
    pub fn wants_terminal(&self) -> bool {
        self.stdio.contains(&Stdio::Tty) || self.further.iter().any(|(_, stdio)| *stdio == Stdio::Tty)
    }
}

/// Whether a word names a descriptor by its file, as a shell's `<(…)` does; also within the word, as in `--in=/dev/fd/63`.
fn names(word: &[u8], number: RawFd) -> bool {
    ["/dev/fd/", "/proc/self/fd/"].into_iter().any(|dir| {
        let path = format!("{dir}{number}");
        let mut places = word.windows(path.len()).enumerate();
        places.any(|(start, part)| {
            part == path.as_bytes() && !word.get(start + path.len()).is_some_and(u8::is_ascii_digit)
        })
    })
}

/// Which way a descriptor is relayed; none that is read and written at once, a socket for instance.
fn direction(number: RawFd) -> Option<Stdio> {
    let flags = fcntl_getfl(borrow(number)).ok()?;
    match flags & OFlags::RWMODE {
        OFlags::RDONLY => Some(Stdio::Incoming),
        OFlags::WRONLY => Some(Stdio::Outgoing),
        _ => None,
    }
}

/// What one descriptor is.
enum Kind {
    Closed,
    Directory,
    Terminal,
    /// One of the harmless device nodes that every guest has itself.
    Substitute(Stdio),
    /// Another device node, or a descriptor without access (`O_PATH`).
    Device,
    /// A file, pipe, socket or anonymous descriptor.
    Plain,
}

/// A descriptor of the caller.
pub fn borrow(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: descriptors of the caller are never closed by this process, and one that is not open makes each call
    // fail with EBADF, which `classify` takes as closed.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Whether a terminal above 2 is the one that this command is run on: the controlling one (which alone answers
/// TIOCGPGRP) or the one of a stream.
fn is_callers(number: RawFd, terminals: [bool; 3]) -> bool {
    let device = |number| fstat(borrow(number)).map(|status| status.st_rdev);
    rustix::termios::tcgetpgrp(borrow(number)).is_ok()
        && rustix::pty::ptsname(borrow(number), Vec::new()).is_err()
        || (0..3).zip(terminals).any(|(stream, terminal)| terminal && device(stream) == device(number))
}

fn classify(number: RawFd) -> Kind {
    if startup::was_closed(number.cast_unsigned()) {
        return Kind::Closed;
    }
    let fd = borrow(number);
    let Ok(status) = fstat(fd) else { return Kind::Closed };
    match FileType::from_raw_mode(status.st_mode) {
        FileType::Directory => Kind::Directory,
        FileType::CharacterDevice if isatty(fd) => Kind::Terminal,
        // Numbers of the memory devices: admin-guide/devices.txt of the kernel, major 1.
        FileType::CharacterDevice if major(status.st_rdev) == 1 => match minor(status.st_rdev) {
            3 => Kind::Substitute(Stdio::Null),
            5 => Kind::Substitute(Stdio::Zero),
            7 => Kind::Substitute(Stdio::Full),
            8 => Kind::Substitute(Stdio::Random),
            9 => Kind::Substitute(Stdio::Urandom),
            _ => Kind::Device,
        },
        FileType::CharacterDevice | FileType::BlockDevice => Kind::Device,
        _ if fcntl_getfl(fd).is_ok_and(|flags| flags.contains(OFlags::PATH)) => Kind::Device,
        _ => Kind::Plain,
    }
}

/// Numbers above 2 that the caller left open for us. What this process opened itself is close-on-exec, as all that
/// Rust's library opens.
fn inherited() -> Vec<RawFd> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok())
        .filter(|number| {
            *number > 2 && fcntl_getfd(borrow(*number)).is_ok_and(|flags| !flags.contains(FdFlags::CLOEXEC))
        })
        .collect()
}
