//! Links and files that are opened on the host.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
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
use snug_wire::message::{FromAgent, Open, ToAgent, Wish};

use crate::{fail, host};

const USAGE: &str = "usage: xdg-open LINK|FILE
Opens it on the host, as the desktop there does. A file must be one that the host has, too.";

/// `xdg-open LINK|FILE`, and `host-open LINK|FILE…`.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let targets = arguments.get(1..).unwrap_or_default();
    match targets {
        [] => fail("nothing to open", &[USAGE.lines().next().unwrap_or_default().to_owned()]),
        [option] if option == "--help" || option == "--manual" => print(USAGE),
        [option] if option == "--version" => print(concat!("xdg-open of Snug ", env!("CARGO_PKG_VERSION"))),
        _ => open_all(targets),
    }
}

/// `gio open`; every other word is for the guest's own `gio`.
pub fn run_gio(arguments: &[OsString]) -> ExitCode {
    match arguments {
        [_, verb, targets @ ..] if verb == "open" && !targets.is_empty() => open_all(targets),
        _ => match other_program("gio") {
            Some(program) => {
                let error = process::Command::new(&program).args(&arguments[1..]).exec();
                fail(&format!("{}: {error}", program.display()), &[])
            }
            None => fail("this container has no gio of its own, and only `gio open` is the host's", &[]),
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

fn open_all(targets: &[OsString]) -> ExitCode {
    for target in targets {
        let status = match open_of(target) {
            Ok(open) => open_one(open),
            Err(text) => fail(&text, &[]),
        };
        if status != ExitCode::SUCCESS {
            return status;
        }
    }
    ExitCode::SUCCESS
}

/// What is asked of the host.
fn open_of(target: &OsStr) -> Result<Open, String> {
    let environment = passed(env::vars_os(), Extent::Host);
    let (target, file) = match file_of(target)? {
        Some(path) => {
            let status = fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?;
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

fn open_one(open: Open) -> ExitCode {
    let shown = harmless(&open.target);
    match converse(open) {
        Ok(Outcome::Exited(0)) => ExitCode::SUCCESS,
        Ok(Outcome::Exited(status)) => {
            let _ = fail(&format!("{shown}: the host's desktop did not open it (status {status})"), &[]);
            ExitCode::from(status)
        }
        Ok(Outcome::Killed(signal)) => fail(&format!("{shown}: opening it ended with signal {signal}"), &[]),
        Ok(Outcome::Failed { message, .. }) => fail(&format!("not opened on the host: {message}"), &[]),
        Err(error) => host::failed(&error),
    }
}

/// Asks the host, and waits until its opener has ended.
fn converse(open: Open) -> Result<Outcome, Error> {
    let target = host::target(Wish::Open);
    let failed = |error| target.agent_error(error);
    let lost = || Error::Lost { container: target.name().into() };
    let deadline = target.deadline();
    let mut connection = target.open(false, deadline)?;
    connection.send(&ToAgent::Open(open), &[], Some(deadline)).map_err(failed)?;
    loop {
        match connection.receive(None).map_err(failed)?.ok_or_else(lost)? {
            FromAgent::Exited(status) => return Ok(Outcome::Exited(status)),
            FromAgent::Killed { signal, .. } => return Ok(Outcome::Killed(signal.into())),
            FromAgent::Failed { text, .. } => {
                let message = harmless(&text);
                return Ok(Outcome::Failed { status: crate::FAILURE, message, hints: Vec::new() });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
