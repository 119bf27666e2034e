//! Links and files that are opened on the host.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use percent_encoding::percent_decode;
use snug_client::environment::{Extent, passed};
use snug_client::words::harmless;
use snug_client::{Error, Outcome};
use snug_wire::host::{GUEST_PROGRAM_PATH, scheme};
use snug_wire::message::{FailureKind, FromAgent, Open, ToAgent, Wish};

use crate::{fail, host};

/// Status of a program that is not there.
const NOT_FOUND: u8 = 127;

const ABOUT: &str =
    "Opens it on the host, as the desktop there does. A file must be one that the host has, too.";

/// By which statuses a failure is told that is not the opener's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statuses {
    /// [`crate::FAILURE`].
    Own,
    /// Those of xdg-open(1), which scripts may know.
    OfXdgOpen,
}

/// What xdg-open(1) tells apart, by its statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// An error in the command line.
    Syntax = 1,
    /// A file that does not exist.
    Missing = 2,
    /// A program that is needed is not there.
    Tool = 3,
    /// It failed.
    Failed = 4,
}

impl Statuses {
    /// How it is called under its name.
    fn usage(self) -> &'static str {
        match self {
            Self::Own => "usage: host-open LINK|FILE…",
            Self::OfXdgOpen => "usage: xdg-open LINK|FILE",
        }
    }

    /// Says why, and tells the status.
    fn fail(self, reason: Reason, what: &str, hints: &[String]) -> ExitCode {
        self.status(reason, fail(what, hints))
    }

    fn status(self, reason: Reason, own: ExitCode) -> ExitCode {
        match self {
            Self::Own => own,
            Self::OfXdgOpen => ExitCode::from(reason as u8),
        }
    }
}

/// `xdg-open LINK|FILE`, and `host-open LINK|FILE…`.
pub fn run(arguments: &[OsString], statuses: Statuses) -> ExitCode {
    let targets = arguments.get(1..).unwrap_or_default();
    let usage = || [statuses.usage().to_owned()];
    match targets {
        [] => statuses.fail(Reason::Syntax, "nothing to open", &usage()),
        [option] if option == "--help" || option == "--manual" => {
            print(&format!("{}\n{ABOUT}", statuses.usage()))
        }
        [option] if option == "--version" => print(concat!("xdg-open of Snug ", env!("CARGO_PKG_VERSION"))),
        [option, ..] if statuses == Statuses::OfXdgOpen && option.as_bytes().starts_with(b"-") => {
            let text = format!("unexpected option '{}'", harmless(option.as_bytes()));
            statuses.fail(Reason::Syntax, &text, &usage())
        }
        _ => open_all(targets, statuses),
    }
}

/// `gio open`; every other word is for the guest's own `gio`.
pub fn run_gio(arguments: &[OsString]) -> ExitCode {
    match arguments {
        [_, verb, targets @ ..] if verb == "open" && !targets.is_empty() => open_all(targets, Statuses::Own),
        _ => match other_program("gio") {
            Some(program) => {
                let error = process::Command::new(&program).args(&arguments[1..]).exec();
                fail(&format!("{}: {error}", program.display()), &[])
            }
            None => {
                let _ = fail("this container has no gio of its own, and only `gio open` is the host's", &[]);
                ExitCode::from(NOT_FOUND)
            }
        },
    }
}

#[expect(clippy::print_stdout, reason = "the answer to --help")]
fn print(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

/// The first program of that name on PATH that is not this one.
fn other_program(name: &str) -> Option<PathBuf> {
    let own = fs::canonicalize(GUEST_PROGRAM_PATH).or_else(|_| env::current_exe()).ok();
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file() && fs::canonicalize(program).ok() != own)
}

fn open_all(targets: &[OsString], statuses: Statuses) -> ExitCode {
    for target in targets {
        let status = match open_of(target) {
            Ok(open) => open_one(open, statuses),
            Err((reason, text)) => statuses.fail(reason, &text, &[]),
        };
        if status != ExitCode::SUCCESS {
            return status;
        }
    }
    ExitCode::SUCCESS
}

/// What is asked of the host.
fn open_of(target: &OsStr) -> Result<Open, (Reason, String)> {
    let environment = passed(env::vars_os(), Extent::Host);
    let (target, file) = match file_of(target).map_err(|text| (Reason::Failed, text))? {
        Some(path) => {
            let status = fs::metadata(&path).map_err(|error| {
                let missing = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
                let reason = if missing { Reason::Missing } else { Reason::Failed };
                (reason, format!("{}: {error}", path.display()))
            })?;
            (path.into_os_string(), Some((status.dev(), status.ino())))
        }
        None => (target.to_owned(), None),
    };
    Ok(Open { target: target.into_vec(), file, environment })
}

/// The absolute path of a file that is meant; `None` for a link.
fn file_of(target: &OsStr) -> Result<Option<PathBuf>, String> {
    let bytes = target.as_bytes();
    if let Some(rest) = strip_scheme(bytes, b"file:") {
        // RFC 8089: `file:/path`, `file:///path`, or with the name of this machine.
        let path = match rest.strip_prefix(b"//") {
            None => rest,
            Some(rest) => {
                let slash = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
                let (machine, path) = rest.split_at(slash);
                if !machine.is_empty() && !machine.eq_ignore_ascii_case(b"localhost") {
                    return Err(format!("{}: a file of another machine", target.display()));
                }
                path
            }
        };
        let end = path.iter().position(|byte| b"?#".contains(byte)).unwrap_or(path.len());
        let decoded: Vec<u8> = percent_decode(&path[..end]).collect();
        return Ok(Some(OsString::from_vec(decoded).into()));
    }
    let path = Path::new(target);
    // As xdg-open does: what is there under that name is meant, whatever it looks like.
    if path.exists() || scheme(bytes).is_none() {
        return std::path::absolute(path).map(Some).map_err(|error| format!("{}: {error}", target.display()));
    }
    Ok(None)
}

fn strip_scheme<'a>(target: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = target.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn open_one(open: Open, statuses: Statuses) -> ExitCode {
    let shown = harmless(&open.target);
    let Answer { outcome, said } = match converse(open) {
        Ok(answer) => answer,
        Err(error) => return statuses.status(Reason::Failed, host::failed(&error)),
    };
    let told = |otherwise: String| format!("{shown}: {}", said.unwrap_or(otherwise));
    match outcome {
        Outcome::Exited(0) => ExitCode::SUCCESS,
        Outcome::Exited(status) => {
            let text = told(format!("the host's desktop did not open it (status {status})"));
            let _ = fail(&text, &hints(status));
            ExitCode::from(status)
        }
        Outcome::Killed(signal) => {
            statuses.fail(Reason::Failed, &told(format!("opening it ended with signal {signal}")), &[])
        }
        Outcome::Failed { message, status, .. } => {
            let reason = if status == NOT_FOUND { Reason::Tool } else { Reason::Failed };
            statuses.fail(reason, &format!("not opened on the host: {message}"), &[])
        }
    }
}

/// What helps where xdg-open of the host ended so.
fn hints(status: u8) -> Vec<String> {
    let hint = "the host has no program for it: one that is installed there opens it from then on";
    if status == Reason::Tool as u8 { vec![hint.to_owned()] } else { Vec::new() }
}

/// What the host answered.
struct Answer {
    outcome: Outcome,
    /// Which program failed there, and its last words; hosts of earlier versions tell nothing.
    said: Option<String>,
}

/// Asks the host, and waits until its opener has ended.
fn converse(open: Open) -> Result<Answer, Error> {
    let target = host::target(Wish::Open);
    let failed = |error| target.agent_error(error);
    let lost = || Error::Lost { container: target.name().into() };
    let deadline = target.deadline();
    let mut connection = target.open(false, deadline)?;
    connection.send(&ToAgent::Open(open), &[], Some(deadline)).map_err(failed)?;
    let mut said = None;
    loop {
        let outcome = match connection.receive(None).map_err(failed)?.ok_or_else(lost)? {
            FromAgent::Notice(text) => {
                said = Some(harmless(&text));
                continue;
            }
            FromAgent::Exited(status) => Outcome::Exited(status),
            FromAgent::Killed { signal, .. } => Outcome::Killed(signal.into()),
            FromAgent::Failed { kind, text } => {
                let status = if kind == FailureKind::NotFound { NOT_FOUND } else { crate::FAILURE };
                Outcome::Failed { status, message: harmless(&text), hints: Vec::new() }
            }
            _ => continue,
        };
        return Ok(Answer { outcome, said });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn called_as_xdg_open_it_ends_as_that_does() {
        let called = |words: &[&str], statuses| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            run(&words, statuses)
        };
        for (words, status) in [
            (&["xdg-open"][..], 1),
            (&["xdg-open", "--nonsense"], 1),
            (&["xdg-open", "/no/such/file"], 2),
            (&["xdg-open", "file:///etc/hostname/below"], 2),
            (&["xdg-open", "file://elsewhere/x"], 4),
            // No agent answers here.
            (&["xdg-open", "https://example.org"], 4),
        ] {
            assert_eq!(called(words, Statuses::OfXdgOpen), ExitCode::from(status), "{words:?}");
            assert_eq!(called(words, Statuses::Own), ExitCode::from(crate::FAILURE), "{words:?}");
        }
        assert_eq!(called(&["xdg-open", "--version"], Statuses::OfXdgOpen), ExitCode::SUCCESS);
    }

    #[test]
    fn each_name_has_its_own_usage() {
        assert_eq!(Statuses::Own.usage(), "usage: host-open LINK|FILE…");
        assert_eq!(Statuses::OfXdgOpen.usage(), "usage: xdg-open LINK|FILE");
    }

    #[test]
    fn links_are_told_from_files() {
        let directory = tempfile::tempdir().unwrap();
        let odd = directory.path().join("a:b");
        fs::write(&odd, "").unwrap();
        for link in ["https://x.org/a?b=c#d", "mailto:a@b", "steam://run/1", "X-Y+z:1"] {
            assert_eq!(file_of(OsStr::new(link)).unwrap(), None, "{link}");
        }
        for (given, path) in [
            ("file:///tmp/a%20b?x#y", "/tmp/a b"),
            ("FILE:/tmp/x", "/tmp/x"),
            ("file://localhost/x%zz", "/x%zz"),
            ("/nowhere:at/all", "/nowhere:at/all"),
            (odd.to_str().unwrap(), odd.to_str().unwrap()),
        ] {
            assert_eq!(file_of(OsStr::new(given)).unwrap(), Some(PathBuf::from(path)), "{given}");
        }
        let relative = file_of(OsStr::new("some/file")).unwrap().unwrap();
        assert!(relative.is_absolute() && relative.ends_with("some/file"));
        assert!(file_of(OsStr::new("file://elsewhere/x")).is_err());
    }
}
