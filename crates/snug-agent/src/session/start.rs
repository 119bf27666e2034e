//! From a fork to the command's program, in the child: each step as the user would meet it.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec, read, write};
use rustix::process::{chdir, getpid, setpgid, umask};
use snug_wire::message::{Directory, FailureKind, Limit};

use super::environment;
use crate::sys::process::Strings;
use crate::sys::{descriptor, process, signal};
use crate::users::Identity;

/// Why nothing ran.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// Decides the status.
    pub kind: FailureKind,
    /// What, on what, why.
    pub text: Vec<u8>,
}

impl Failure {
    /// A failure with a text.
    pub fn new(kind: FailureKind, text: impl Into<Vec<u8>>) -> Self {
        Self { kind, text: text.into() }
    }

    /// A failure of something in the machine room.
    pub fn system(what: &str, error: impl Into<io::Error>) -> Self {
        Self::new(FailureKind::Other, format!("{what}: {}", reason(&error.into())))
    }
}

/// The system's word for an error, without the number that Rust adds.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((reason, _)) => reason.into(),
        None => text,
    }
}

/// Where a stream of the command comes from.
pub enum Stream {
    /// This descriptor.
    Open(OwnedFd),
    /// A device of the guest.
    Device(&'static str),
    /// Closed.
    Closed,
}

/// Everything that is decided before the fork.
pub struct Plan {
    /// Program and arguments; the program is looked up with the environment's PATH.
    pub argv: Vec<Vec<u8>>,
    /// What is executed, when that differs from `argv[0]` (login shells).
    pub program: Option<Vec<u8>>,
    /// The whole environment.
    pub environment: Vec<Vec<u8>>,
    /// As whom.
    pub identity: Identity,
    /// Where.
    pub directory: Directory,
    /// What the command finds under which number.
    pub streams: Vec<(u32, Stream)>,
    /// The terminal whose foreground the command becomes.
    pub terminal: Option<OwnedFd>,
    /// The caller's umask.
    pub umask: u32,
    /// The caller's limits, after those that this guest starts with.
    pub limits: Vec<Limit>,
    /// Signals to ignore.
    pub ignored: u64,
}

/// What the child says before it becomes the command, over a pipe that its exec closes.
pub enum Word {
    /// For a person; the command goes on.
    Notice(Vec<u8>),
    /// The end.
    Failed(Failure),
}

const NOTICE: u8 = 255;
/// Place of `Other` in [`KINDS`].
const OTHER: u8 = 6;
const KINDS: [FailureKind; 7] = [
    FailureKind::NotFound,
    FailureKind::NotExecutable,
    FailureKind::Directory,
    FailureKind::User,
    FailureKind::Protocol,
    FailureKind::Denied,
    FailureKind::Other,
];

fn tell(pipe: BorrowedFd<'_>, kind: u8, text: &[u8]) {
    // Within PIPE_BUF, so that it arrives whole.
    let text = &text[..text.len().min(3000)];
    let length = u16::try_from(text.len()).unwrap_or(0).to_le_bytes();
    let _ = write(pipe, &[&[kind, length[0], length[1]], text].concat());
}

/// Reads what the child said until its exec closed the pipe.
pub fn listen(pipe: BorrowedFd<'_>) -> Vec<Word> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match read(pipe, &mut buffer) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    let mut words = Vec::new();
    let mut rest = bytes.as_slice();
    while let [kind, low, high, tail @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
        let (text, tail) = tail.split_at(length);
        words.push(match KINDS.get(usize::from(*kind)) {
            Some(kind) => Word::Failed(Failure::new(*kind, text)),
            None => Word::Notice(text.to_vec()),
        });
        rest = tail;
    }
    words
}

/// Becomes the command. In the child of a fork, where it never returns.
pub fn become_command(mut plan: Plan, pipe: OwnedFd) -> ! {
    let pipe = match raise(pipe, &mut plan) {
        Ok(pipe) => pipe,
        Err(_) => process::exit(125),
    };
    let failure = match steps(&mut plan, pipe.as_fd()) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    let kind = KINDS.iter().position(|kind| *kind == failure.kind).unwrap_or(KINDS.len() - 1);
    tell(pipe.as_fd(), u8::try_from(kind).unwrap_or(0), &failure.text);
    process::exit(125)
}

/// The first number above all that the command will have.
fn first_free(plan: &Plan) -> i32 {
    let highest = plan.streams.iter().map(|(number, _)| *number).max().unwrap_or(0).max(2);
    i32::try_from(highest).unwrap_or(i32::MAX - 1).saturating_add(1)
}

/// Moves every descriptor that is still needed above the numbers that the command will have.
fn raise(pipe: OwnedFd, plan: &mut Plan) -> io::Result<OwnedFd> {
    let first = first_free(plan);
    let raised = fcntl_dupfd_cloexec(&pipe, first).and_then(|pipe| {
        for (_, stream) in &mut plan.streams {
            if let Stream::Open(fd) = stream {
                *fd = fcntl_dupfd_cloexec(&*fd, first)?;
            }
        }
        if let Some(fd) = &mut plan.terminal {
            *fd = fcntl_dupfd_cloexec(&*fd, first)?;
        }
        Ok(pipe)
    });
    raised.map_err(|error| {
        // Beyond the limit of open files.
        let failure = Failure::system(&format!("descriptor {}", first - 1), error);
        tell(pipe.as_fd(), OTHER, &failure.text);
        error.into()
    })
}

fn steps(plan: &mut Plan, pipe: BorrowedFd<'_>) -> Result<std::convert::Infallible, Failure> {
    lead_a_group(plan).map_err(|error| Failure::system("cannot start a process group", error))?;
    place_descriptors(plan)?;
    set_limits(&plan.limits);
    umask(Mode::from_raw_mode(plan.umask & 0o777));
    let Identity { entry, groups } = &plan.identity;
    process::become_user(entry.uid, entry.gid, groups)
        .map_err(|error| Failure::system("cannot become the user", error))?;
    enter_directory(plan, pipe)?;
    signal::reset_dispositions(plan.ignored);
    signal::unblock_all();
    execute(plan)
}

fn lead_a_group(plan: &Plan) -> io::Result<()> {
    setpgid(None, None)?;
    if let Some(terminal) = &plan.terminal {
        // SIGTTOU is blocked, so a background process may do this.
        rustix::termios::tcsetpgrp(terminal, getpid())?;
    }
    Ok(())
}

fn place_descriptors(plan: &Plan) -> Result<(), Failure> {
    descriptor::close_on_exec_from(0);
    let first = first_free(plan);
    for (number, stream) in &plan.streams {
        let placed = i32::try_from(*number).map_err(|_| Errno::BADF.into()).and_then(|slot| match stream {
            Stream::Open(fd) => descriptor::place(fd.as_fd(), slot),
            Stream::Device(path) => {
                open_device(path, first).and_then(|fd| descriptor::place(fd.as_fd(), slot))
            }
            Stream::Closed => {
                descriptor::close(slot);
                Ok(())
            }
        });
        placed.map_err(|error| Failure::system(&format!("descriptor {number}"), error))?;
    }
    Ok(())
}

/// Opens a device of the guest above the command's own numbers.
fn open_device(path: &str, first: i32) -> io::Result<OwnedFd> {
    let opened = open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
    let named = |error: Errno| io::Error::other(format!("{path}: {}", reason(&error.into())));
    opened.and_then(|fd| fcntl_dupfd_cloexec(&fd, first)).map_err(named)
}

/// Soft limits exactly, hard ones as far as they go: without `CAP_SYS_RESOURCE` on the host none can be raised.
fn set_limits(limits: &[Limit]) {
    for Limit { resource, soft, hard } in limits {
        if process::set_limit(*resource, *soft, *hard).is_err()
            && let Some((_, possible)) = process::limit(*resource)
        {
            let hard = (*hard).min(possible);
            let _ = process::set_limit(*resource, (*soft).min(hard), hard);
        }
    }
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn enter_directory(plan: &mut Plan, pipe: BorrowedFd<'_>) -> Result<(), Failure> {
    let home = plan.identity.entry.home.clone();
    match &plan.directory {
        Directory::Same { path, device, inode, or_home } => {
            match enter_same(path, *device, *inode) {
                // The path is the caller's logical one: shells and `pwd` learn it from PWD alone.
                Ok(()) => {
                    let path = path.clone();
                    environment::set(&mut plan.environment, b"PWD", &path);
                    return Ok(());
                }
                Err(why) if *or_home => {
                    let text =
                        [b"", path.as_slice(), b": ", why.as_bytes(), b"; starting in the home directory"]
                            .concat();
                    tell(pipe, NOTICE, &text);
                }
                Err(why) => {
                    let text = [path.as_slice(), b": ", why.as_bytes()].concat();
                    return Err(Failure::new(FailureKind::Directory, text));
                }
            }
        }
        Directory::Guest(path) => {
            chdir(as_path(path)).map_err(|error| {
                let text = [path.as_slice(), b": ", reason(&error.into()).as_bytes()].concat();
                Failure::new(FailureKind::Directory, text)
            })?;
            // What a shell's `cd` would say; relative paths have no logical name here.
            if path.starts_with(b"/") {
                let path = path.clone();
                environment::set(&mut plan.environment, b"PWD", &path);
            } else {
                plan.environment.retain(|variable| environment::key(variable) != b"PWD");
            }
            return Ok(());
        }
        Directory::Home => {}
    }
    let directory = match chdir(as_path(&home)) {
        Ok(()) => home.as_slice(),
        Err(error) => {
            let text = [&home, &b": "[..], reason(&error.into()).as_bytes(), b"; starting in /"].concat();
            tell(pipe, NOTICE, &text);
            chdir("/").map_err(|error| Failure::system("/", error))?;
            b"/"
        }
    };
    environment::set(&mut plan.environment, b"PWD", directory);
    Ok(())
}

/// Goes to the guest's directory of that path, if it is the very one that the caller is in.
fn enter_same(path: &[u8], device: u64, inode: u64) -> Result<(), Cow<'static, str>> {
    let missing = |error: Errno| match error {
        Errno::NOENT | Errno::NOTDIR => Cow::Borrowed("the container does not have this directory"),
        other => Cow::Owned(reason(&other.into())),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(as_path(path), flags, Mode::empty()).map_err(missing)?;
    if path != b"/" {
        let status = rustix::fs::fstat(&directory).map_err(missing)?;
        if status.st_dev != device || status.st_ino != inode {
            return Err("the container has another directory of this name".into());
        }
    }
    rustix::process::fchdir(&directory).map_err(missing)
}

fn execute(plan: &Plan) -> Result<std::convert::Infallible, Failure> {
    let name = plan.program.as_ref().or(plan.argv.first()).cloned().unwrap_or_default();
    let arguments = Strings::new(plan.argv.iter().cloned());
    let environment = Strings::new(plan.environment.iter().cloned());
    let path = environment::value(&plan.environment, b"PATH").unwrap_or(environment::DEFAULT_PATH);
    let mut denied = None;
    for candidate in candidates(&name, path) {
        let Err(error) = process::execute(&candidate, &arguments, &environment);
        match error.raw_os_error() {
            Some(libc::ENOEXEC) => return run_by_shell(plan, &candidate, &environment),
            Some(libc::ENOENT | libc::ENOTDIR) if as_path(&candidate).exists() => {
                let text = [&candidate, &b": its interpreter does not exist in the container"[..]].concat();
                denied.get_or_insert(Failure::new(FailureKind::NotExecutable, text));
            }
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            // On the way through PATH: a directory, or something in a directory that he may not enter.
            Some(libc::EACCES) if !name.contains(&b'/') && !as_path(&candidate).is_file() => {}
            _ => {
                let why = if as_path(&candidate).is_dir() { "is a directory".into() } else { reason(&error) };
                let text = [&candidate, &b": "[..], why.as_bytes()].concat();
                denied.get_or_insert(Failure::new(FailureKind::NotExecutable, text));
            }
        }
    }
    Err(denied.unwrap_or_else(|| {
        let what: &[u8] = if name.contains(&b'/') {
            b": no such file in the container"
        } else {
            b": command not found in the container"
        };
        Failure::new(FailureKind::NotFound, [&name, what].concat())
    }))
}

/// Where execvp(3) would look.
fn candidates(name: &[u8], path: &[u8]) -> Vec<Vec<u8>> {
    if name.is_empty() {
        return Vec::new();
    }
    if name.contains(&b'/') {
        return vec![name.to_vec()];
    }
    path.split(|byte| *byte == b':')
        .map(|directory| if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() })
        .collect()
}

/// A script without `#!`: by /bin/sh, as execvp(3) and every shell do.
fn run_by_shell(
    plan: &Plan,
    script: &[u8],
    environment: &Strings,
) -> Result<std::convert::Infallible, Failure> {
    let arguments = [b"sh".to_vec(), script.to_vec()].into_iter().chain(plan.argv.iter().skip(1).cloned());
    let Err(error) = process::execute(b"/bin/sh", &Strings::new(arguments), environment);
    let text = [script, b": ", reason(&error).as_bytes()].concat();
    Err(Failure::new(FailureKind::NotExecutable, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_slash_is_looked_up_in_every_directory_of_the_path() {
        assert_eq!(candidates(b"x", b"/a::/b"), [&b"/a/x"[..], b"x", b"/b/x"]);
        assert_eq!(candidates(b"./x", b"/a"), [b"./x"]);
        assert!(candidates(b"", b"/a").is_empty());
    }

    #[test]
    fn what_the_child_says_is_heard_in_order() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        tell(writer.as_fd(), NOTICE, b"a notice");
        tell(writer.as_fd(), 2, b"no directory");
        drop(writer);
        let words = listen(reader.as_fd());
        assert!(matches!(&words[0], Word::Notice(text) if text == b"a notice"));
        let expected = Failure::new(FailureKind::Directory, "no directory");
        assert!(matches!(&words[1], Word::Failed(failure) if *failure == expected));
        assert_eq!(words.len(), 2);
    }
}
