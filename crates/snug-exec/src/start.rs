//! From a plan to the command's program: what is prepared before there is a child, and what is said about its start. What
//! the child itself does is in [`child`].

mod child;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use snug_wire::message::{Directory, FailureKind, Limit};

use crate::environment;
use crate::sys::process::{self, Child, Shared, Strings, c_string};
use crate::system::{Identity, Side};

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

/// What the child found out, left where its parent reads it.
#[derive(Debug, Clone, Copy, Default)]
struct Report {
    /// Why the command starts in the home directory instead.
    not_there: Option<NotThere>,
    /// Why it starts in / instead of there.
    no_home: Option<Errno>,
    /// Why nothing ran.
    trouble: Option<Trouble>,
}

/// Why nothing ran, as little as has to be known of it.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Group(Errno),
    Descriptor(RawFd, Errno),
    User(Errno),
    Directory(NotThere),
    Root(Errno),
    /// None of the candidates exists.
    NotFound,
    /// The candidate of that index.
    NotRun(usize, Refusal),
}

#[derive(Debug, Clone, Copy)]
enum NotThere {
    Missing,
    Another,
    Refused(Errno),
}

#[derive(Debug, Clone, Copy)]
enum Refusal {
    NoInterpreter,
    IsDirectory,
    System(Errno),
}

enum Place {
    Same { path: CString, device: u64, inode: u64, or_home: bool },
    Guest(CString),
    Home,
}

/// A plan in the kernel's terms. The child allocates nothing and copies no memory: see [`process::vfork_into`].
pub struct Prepared {
    name: Vec<u8>,
    /// Where execvp(3) would look.
    candidates: Vec<CString>,
    arguments: Strings,
    /// `sh`, a place for the script, its arguments.
    by_shell: Strings,
    environment: Strings,
    /// Which variable is PWD; none where the directory has no name.
    pwd: Option<usize>,
    /// PWD in the wanted directory, at home, and in /.
    pwds: [CString; 3],
    place: Place,
    home: CString,
    identity: Identity,
    /// All above the numbers that the command will have.
    streams: Vec<(RawFd, Option<OwnedFd>)>,
    terminal: Option<OwnedFd>,
    umask: u32,
    limits: Vec<Limit>,
    ignored: u64,
    /// Where it runs.
    system: Side,
}

/// Does all that can be done before there is a child, on that system.
///
/// # Errors
/// Descriptors that cannot be had.
pub fn prepare(plan: Plan, system: Side) -> Result<Prepared, Failure> {
    let Plan { argv, program, mut environment, identity, directory, streams, terminal, .. } = plan;
    let (streams, terminal) = raise(streams, terminal)?;
    let name = program.or_else(|| argv.first().cloned()).unwrap_or_default();
    let path = environment::value(&environment, b"PATH").unwrap_or(environment::DEFAULT_PATH);
    let candidates = candidates(&name, path).into_iter().map(c_string).collect();
    let place = match directory {
        Directory::Same { path, device, inode, or_home } => {
            Place::Same { path: c_string(path), device, inode, or_home }
        }
        Directory::Guest(path) => Place::Guest(c_string(path)),
        Directory::Home => Place::Home,
    };
    let home = c_string(identity.entry.home.clone());
    // Same: the caller's logical path, which shells and `pwd` learn from PWD alone. Guest: what a shell's `cd` would
    // say; relative paths have no logical name here.
    let there = match &place {
        Place::Same { path, .. } => Some(path),
        Place::Guest(path) if path.as_bytes().starts_with(b"/") => Some(path),
        Place::Guest(_) => None,
        Place::Home => Some(&home),
    };
    let variable = |path: &[u8]| c_string([b"PWD=", path].concat());
    let pwds =
        [variable(there.map_or(&b""[..], |path| path.as_bytes())), variable(home.as_bytes()), variable(b"/")];
    let is_pwd = |variable: &Vec<u8>| environment::key(variable) == b"PWD";
    let pwd = if there.is_some() {
        environment::set(&mut environment, b"PWD", b"");
        environment.iter().position(is_pwd)
    } else {
        environment.retain(|variable| !is_pwd(variable));
        None
    };
    let by_shell = [b"sh".to_vec(), Vec::new()].into_iter().chain(argv.iter().skip(1).cloned());
    Ok(Prepared {
        by_shell: Strings::new(by_shell),
        name,
        candidates,
        arguments: Strings::new(argv),
        environment: Strings::new(environment),
        pwd,
        pwds,
        place,
        home,
        identity,
        streams,
        terminal,
        umask: plan.umask,
        limits: plan.limits,
        ignored: plan.ignored,
        system,
    })
}

/// What the command finds under which number, and its terminal.
type Descriptors = (Vec<(RawFd, Option<OwnedFd>)>, Option<OwnedFd>);

/// Brings every descriptor that is still needed above the numbers that the command will have.
fn raise(streams: Vec<(u32, Stream)>, terminal: Option<OwnedFd>) -> Result<Descriptors, Failure> {
    let highest = streams.iter().map(|(number, _)| *number).max().unwrap_or(0).max(2);
    let first = i32::try_from(highest).unwrap_or(i32::MAX - 1).saturating_add(1);
    let above = |fd: OwnedFd| if fd.as_raw_fd() < first { fcntl_dupfd_cloexec(&fd, first) } else { Ok(fd) };
    // Beyond the limit of open files.
    let too_high = |error: Errno| Failure::system(&format!("descriptor {}", first - 1), error);
    let mut raised = Vec::with_capacity(streams.len());
    for (number, stream) in streams {
        let slot = i32::try_from(number)
            .map_err(|_| Failure::system(&format!("descriptor {number}"), Errno::BADF))?;
        let fd = match stream {
            Stream::Open(fd) => Some(above(fd).map_err(too_high)?),
            Stream::Device(path) => {
                let opened = open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
                let failed = |error| Failure::system(&format!("descriptor {number}: {path}"), error);
                Some(above(opened.map_err(failed)?).map_err(too_high)?)
            }
            Stream::Closed => None,
        };
        raised.push((slot, fd));
    }
    let terminal = terminal.map(above).transpose().map_err(too_high)?;
    Ok((raised, terminal))
}

/// A child that was started, and what is to be said about it.
pub struct Begun {
    /// The child, which may have ended already.
    pub child: Child,
    /// For a person; the command goes on.
    pub notices: Vec<Vec<u8>>,
    /// Why it did not become the command.
    pub failure: Option<Failure>,
}

/// Starts the command, in `cgroup`, and returns when it runs or will not.
pub fn begin(mut prepared: Prepared, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Begun> {
    let report = Shared::new(Report::default())?;
    let child = process::vfork_into(cgroup, &mut || child::become_command(&mut prepared, &report))?;
    let Report { not_there, no_home, trouble } = report.get();
    let mut notices = Vec::new();
    // Where the caller is in his home and the system has another one, that one is what he expects.
    if let Some(why) = not_there
        && !prepared.is_from_home()
    {
        notices.push([&prepared.explain_place(why)[..], b"; starting in the home directory"].concat());
    }
    if let Some(error) = no_home {
        notices.push(
            [prepared.home.as_bytes(), b": ", reason(&error.into()).as_bytes(), b"; starting in /"].concat(),
        );
    }
    Ok(Begun { child, notices, failure: trouble.map(|trouble| prepared.explain(trouble)) })
}

impl Prepared {
    fn explain(&self, trouble: Trouble) -> Failure {
        match trouble {
            Trouble::Group(error) => Failure::system("cannot start a process group", error),
            Trouble::Descriptor(number, error) => Failure::system(&format!("descriptor {number}"), error),
            Trouble::User(error) => Failure::system("cannot become the user", error),
            Trouble::Directory(why) => Failure::new(FailureKind::Directory, self.explain_place(why)),
            Trouble::Root(error) => Failure::system("/", error),
            Trouble::NotFound => {
                if self.name.is_empty() {
                    return Failure::new(FailureKind::NotFound, b"the empty name is no command".to_vec());
                }
                let what = if self.name.contains(&b'/') { "no such file" } else { "command not found" };
                let text = format!(": {what} {}", self.system.place());
                Failure::new(FailureKind::NotFound, [&self.name, text.as_bytes()].concat())
            }
            Trouble::NotRun(index, refusal) => {
                let candidate = self.candidates.get(index).map(|path| path.as_bytes()).unwrap_or_default();
                let why = match refusal {
                    Refusal::NoInterpreter => {
                        format!("its interpreter does not exist {}", self.system.place())
                    }
                    Refusal::IsDirectory => "is a directory".into(),
                    Refusal::System(error) => reason(&error.into()),
                };
                Failure::new(FailureKind::NotExecutable, [candidate, b": ", why.as_bytes()].concat())
            }
        }
    }

    /// Whether the command was asked for in the caller's home.
    fn is_from_home(&self) -> bool {
        matches!(&self.place, Place::Same { path, .. } if *path == self.home)
    }

    fn explain_place(&self, why: NotThere) -> Vec<u8> {
        let path = match &self.place {
            Place::Same { path, .. } | Place::Guest(path) => path,
            Place::Home => &self.home,
        };
        let why = match why {
            NotThere::Missing => format!("{} does not have this directory", self.system.name()),
            NotThere::Another => format!("{} has another directory of this name", self.system.name()),
            NotThere::Refused(error) => reason(&error.into()),
        };
        [path.as_bytes(), b": ", why.as_bytes()].concat()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_slash_is_looked_up_in_every_directory_of_the_path() {
        assert_eq!(candidates(b"x", b"/a::/b"), [&b"/a/x"[..], b"x", b"/b/x"]);
        assert_eq!(candidates(b"./x", b"/a"), [b"./x"]);
        assert!(candidates(b"", b"/a").is_empty());
    }

    fn prepared(argv: &[&str], directory: Directory) -> Result<Prepared, Failure> {
        let plan = Plan {
            argv: argv.iter().map(|word| word.as_bytes().to_vec()).collect(),
            program: None,
            environment: vec![b"PWD=/before".to_vec(), b"PATH=/nowhere:/bin".to_vec()],
            identity: Identity {
                entry: crate::system::Entry {
                    name: b"anna".to_vec(),
                    uid: 1000,
                    gid: 1000,
                    home: b"/home/anna".to_vec(),
                    shell: b"/bin/sh".to_vec(),
                },
                groups: Some(vec![1000]),
            },
            directory,
            streams: vec![(0, Stream::Device("/dev/null")), (7, Stream::Closed)],
            terminal: None,
            umask: 0o22,
            limits: Vec::new(),
            ignored: 0,
        };
        prepare(plan, Side::Guest)
    }

    #[test]
    fn the_variable_of_the_directory_keeps_its_place_and_a_relative_directory_has_none() {
        let absolute = prepared(&["x"], Directory::Guest(b"/a".to_vec())).unwrap();
        assert_eq!(absolute.pwd, Some(0));
        assert_eq!(absolute.pwds, [c"PWD=/a", c"PWD=/home/anna", c"PWD=/"].map(CString::from));
        assert_eq!(prepared(&["x"], Directory::Guest(b"a".to_vec())).unwrap().pwd, None);
        assert_eq!(prepared(&["x"], Directory::Home).unwrap().pwds[0].as_c_str(), c"PWD=/home/anna");
    }

    #[test]
    fn no_descriptor_that_is_needed_stands_where_the_command_will_have_another() {
        let prepared = prepared(&["x"], Directory::Home).unwrap();
        assert!(prepared.streams[0].1.as_ref().unwrap().as_raw_fd() > 7);
        assert!(prepared.streams[1].1.is_none());
    }

    #[test]
    fn what_the_child_found_out_becomes_a_sentence() {
        let prepared = prepared(&["x"], Directory::Guest(b"/a".to_vec())).unwrap();
        for (trouble, kind, text) in [
            (Trouble::NotFound, FailureKind::NotFound, "x: command not found in the container"),
            (
                Trouble::NotRun(1, Refusal::System(Errno::ACCESS)),
                FailureKind::NotExecutable,
                "/bin/x: Permission denied",
            ),
            (
                Trouble::Directory(NotThere::Refused(Errno::NOENT)),
                FailureKind::Directory,
                "/a: No such file or directory",
            ),
        ] {
            assert_eq!(prepared.explain(trouble), Failure::new(kind, text), "{trouble:?}");
        }
    }
}
