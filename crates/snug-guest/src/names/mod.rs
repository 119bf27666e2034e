//! The names by which commands of the host are known, each with the options that scripts give it.
//!
//! | module | whose |
//! |---|---|
//! | [`host_exec`] | Snug's own |
//! | [`distrobox`] | `distrobox-host-exec` of distrobox |
//! | [`host_spawn`] | `host-spawn`, which distrobox and toolbox bring |
//! | [`flatpak`] | `flatpak-spawn --host` |

pub mod distrobox;
pub mod flatpak;
pub mod host_exec;
pub mod host_spawn;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::FAILURE;

/// Parses `arguments`, the name first; what cannot be parsed, or asks for help, is answered.
fn parse<P: Parser>(arguments: &[OsString]) -> Result<P, ExitCode> {
    P::try_parse_from(arguments).map_err(|error| {
        // A stream that is closed takes no help.
        let _ = error.print();
        if error.use_stderr() { ExitCode::from(FAILURE) } else { ExitCode::SUCCESS }
    })
}

/// A directory that is named from this one.
fn directory(path: PathBuf) -> PathBuf {
    // It fails for the empty path alone, which the host refuses.
    std::path::absolute(&path).unwrap_or(path)
}

/// `KEY=VALUE`, or `KEY` with the value that it has here; a KEY that has none is left out.
fn variable(text: &OsStr) -> Option<(OsString, OsString)> {
    let bytes = text.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(0) => None,
        Some(at) => {
            let (key, value) = (OsStr::from_bytes(&bytes[..at]), OsStr::from_bytes(&bytes[at + 1..]));
            Some((key.to_owned(), value.to_owned()))
        }
        None => std::env::var_os(text).map(|value| (text.to_owned(), value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn what_follows_the_command_is_the_commands() {
        let options: host_exec::Options =
            parse(&words(&["host-exec", "-w", "/srv", "-e", "A=1", "ls", "-w", "x"])).unwrap();
        let command = options.command();
        assert_eq!(command.argv, words(&["ls", "-w", "x"]));
        assert_eq!(command.directory.unwrap().as_os_str(), "/srv");
        assert_eq!(command.overrides, [("A".into(), "1".into())]);
        assert!(parse::<host_exec::Options>(&words(&["host-exec"])).is_err());
        assert!(parse::<host_exec::Options>(&words(&["host-exec", "-w", "relative", "ls"])).is_err());
    }

    #[test]
    fn other_programs_options_are_understood() {
        let spawn =
            host_spawn::command(&words(&["host-spawn", "-no-pty", "-env", "A=1", "-cwd", "/", "ls", "-l"]));
        let spawn = spawn.unwrap();
        assert_eq!((spawn.argv, spawn.directory), (words(&["ls", "-l"]), Some("/".into())));
        assert_eq!(spawn.terminal, snug_client::TerminalChoice::Never);
        let flatpak = flatpak::command(&words(&[
            "flatpak-spawn",
            "--host",
            "--watch-bus",
            "--env=A=1",
            "--unset-env=B",
            "--directory=/",
            "git",
            "--env=x",
        ]));
        let flatpak = flatpak.unwrap();
        assert_eq!(flatpak.argv, words(&["env", "-u", "B", "--", "git", "--env=x"]));
        assert_eq!(flatpak.overrides, [("A".into(), "1".into())]);
        assert!(flatpak::command(&words(&["flatpak-spawn", "ls"])).is_err());
        let box_ = distrobox::command(&words(&["distrobox-host-exec", "-Y", "podman", "-v"])).unwrap();
        assert_eq!(box_.argv, words(&["podman", "-v"]));
    }
}
