//! Questions to a guest's package manager, and what it is told to change.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

use snug_core::name::ContainerName;
use snug_packages::command::{Action, CommandLine, Output, Query};
use snug_packages::manager;
use snug_packages::name::PackageName;
use snug_packages::read::MAX_OUTPUT;

use super::log::Log;
use super::running;
use super::streams::{self, Piece};
use crate::bus::Bus;
use crate::bus::options::Options;
use crate::bus::snapshot::Taken;
use crate::context::{Context, OWN_PROGRAM};
use crate::entry;
use crate::env_vars;
use crate::error::CommandError;
use crate::progress::Line;

/// By which a network is reached that a guest's own configuration does not know of (curl(1), "ENVIRONMENT").
const PROXIES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
];
/// Bytes of standard error that are kept: its last lines say why.
const COMPLAINT: usize = 64 << 10;
/// Status by which `snug run` says that it has failed itself.
const FAILURE: i32 = 125;

/// A container whose package manager is known.
pub struct Guest<'a> {
    /// This process.
    pub context: &'a Context,
    /// Which.
    pub container: &'a ContainerName,
    /// What its distribution has.
    pub manager: manager::Guest,
}

impl<'a> Guest<'a> {
    /// Starts the container where it does not run, and asks which package manager it has. The default one is made where it is missing, if
    /// something is to be in it then (`makes`).
    ///
    /// # Errors
    /// It does not exist or does not start; it has none that is known.
    pub fn reach(
        context: &'a Context,
        bus: &Bus,
        container: &'a ContainerName,
        makes: bool,
    ) -> Result<Self, CommandError> {
        if !makes {
            let found = bus.get(container.as_str(), &Options::new());
            found.map_err(|error| entry::suggest(bus, container.as_str(), error))?;
        }
        entry::ensure(context, bus, container.as_str())?;
        Self::running(context, container)
    }

    /// The same of one that runs.
    ///
    /// # Errors
    /// It has none that is known; it cannot be asked.
    pub fn running(context: &'a Context, container: &'a ContainerName) -> Result<Self, CommandError> {
        Self::detect(context, container)?.ok_or_else(|| {
            let known: Vec<&str> = manager::MANAGERS.iter().map(|manager| manager.name).collect();
            CommandError::user(format!("{container} has no package manager that Snug knows"))
                .hint(format!("known are {}", known.join(", ")))
                .hint(format!("`snug run -c {container} …` installs in any other way, `snug export --bin` lets the host have it"))
        })
    }

    /// Asks one that runs which package manager it has; `None` for one that has none that is known.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn detect(context: &'a Context, container: &'a ContainerName) -> Result<Option<Self>, CommandError> {
        let detection = manager::Guest::detection();
        let output = ask(context, container, &detection.command)?;
        let found = detection.read(&output).map_err(|error| failed(&error))?;
        Ok(found.map(|manager| Self { context, container, manager }))
    }

    /// Its answer to a question.
    ///
    /// # Errors
    /// It cannot be asked; its program fails.
    pub fn ask<T>(&self, query: &Query<T>) -> Result<T, CommandError> {
        let output = ask(self.context, self.container, &query.command)?;
        query.read(&output).map_err(|error| failed(&error))
    }

    /// Changes something, and shows how far it is. What the manager says goes to the log.
    ///
    /// # Errors
    /// The program fails: what it said last is in the error. The user has given up.
    pub fn carry_out(&self, action: &Action, line: &mut Line, log: &mut Log) -> Result<(), CommandError> {
        let mut command = command(self.context, self.container, &action.command);
        let output = running::follow(&mut command, action, line, log)?;
        action.check(&output).map_err(|error| log.explain(failed(&error)))
    }

    /// Takes a snapshot before something changes, to which `snug undo` goes back.
    ///
    /// # Errors
    /// The pool is full, or something failed. That the pool cannot take any is none (`--verbose` tells it).
    pub fn remember(&self, bus: &Bus, before: &str) -> Result<(), CommandError> {
        match bus.take_snapshot(self.container.as_str(), before)? {
            Taken::Snapshot => {}
            Taken::Unavailable(why) => {
                self.context.printer.detail(&format!("`snug undo` will not know of this: {why}"))
            }
        }
        Ok(())
    }

    /// Hands a file of the host's to the guest's root, under that path there.
    ///
    /// # Errors
    /// It cannot be read here or written there.
    pub fn put(&self, file: std::fs::File, path: &str) -> Result<(), CommandError> {
        const SCRIPT: &str = r#"mkdir -p -- "${1%/*}" && cat > "$1""#;
        let mut command = self.script(SCRIPT, path);
        let status = command.stdin(file).status().map_err(unstarted)?;
        let refused = || CommandError::failed(format!("{path} cannot be written in {}", self.container));
        if status.success() { Ok(()) } else { Err(refused()) }
    }

    /// Removes what [`Self::put`] has put there, with its directory; whether it could.
    pub fn take_away(&self, path: &str) -> bool {
        const SCRIPT: &str = r#"rm -f -- "$1" && rmdir -- "${1%/*}""#;
        self.script(SCRIPT, path).stdin(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// A script of root's with one argument, of which nothing is heard but its status.
    fn script(&self, script: &str, argument: &str) -> Command {
        let argv = ["/bin/sh", "-c", script, "sh", argument].map(Into::into).into();
        let line = CommandLine { argv, environment: &[], as_root: true };
        let mut command = command(self.context, self.container, &line);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The files of an installed package; none where that cannot be told.
    pub fn files(&self, package: &PackageName) -> Vec<std::path::PathBuf> {
        self.ask(&self.manager.manager.files(package)).unwrap_or_default()
    }

    /// Which of these are installed, by name.
    ///
    /// # Errors
    /// As of [`Self::ask`].
    pub fn installed(
        &self,
        names: &[PackageName],
    ) -> Result<Vec<snug_packages::answer::Package>, CommandError> {
        if names.is_empty() { Ok(Vec::new()) } else { self.ask(&self.manager.manager.installed(names)) }
    }
}

/// A failure of a package manager's.
pub fn failed(error: &snug_packages::Error) -> CommandError {
    CommandError::failed(error.to_string()).with_hints(error.hint())
}

/// A word that no package manager may be told.
pub fn unfit(error: &snug_packages::Error) -> CommandError {
    CommandError::usage(error.to_string()).with_hints(error.hint())
}

fn unstarted(error: io::Error) -> CommandError {
    CommandError::failed("`snug run` cannot be started").caused_by(error)
}

/// A process of this program that runs a line of the table: its streams and its end are its own. It has nothing of the caller's
/// environment but the way to the network: `PYTHONPATH` and its like mislead package managers.
fn command(context: &Context, container: &ContainerName, line: &CommandLine) -> Command {
    let mut command = Command::new(OWN_PROGRAM);
    command.arg0("snug").args(["run", "--quiet", "--clean-env", "-T", "-w", "/", "-c", container.as_str()]);
    if line.as_root {
        command.arg("--root");
    }
    for name in PROXIES.into_iter().filter(|name| env_vars::non_empty(name).is_some()) {
        command.args(["-e", name]);
    }
    for (name, value) in line.environment {
        command.args(["-e", &format!("{name}={value}")]);
    }
    context.printer.detail(&format!("{container}: {}", line.program()));
    // What package managers make is for all of a container's users.
    // SAFETY: umask(2) is async-signal-safe and always succeeds.
    unsafe {
        command.pre_exec(|| {
            libc::umask(0o022);
            Ok(())
        });
    }
    command.arg("--").args(&line.argv);
    command
}

/// What a line of the table says and how it ends.
///
/// # Errors
/// It cannot be run.
pub fn ask(context: &Context, container: &ContainerName, line: &CommandLine) -> Result<Output, CommandError> {
    let mut command = command(context, container, line);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(unstarted)?;
    let output = gather(&mut child).map_err(unstarted)?;
    if output.status == FAILURE {
        return Err(own_failure(container, &output.stderr));
    }
    Ok(output)
}

/// What `snug run` itself has said: in its own words.
pub fn own_failure(container: &ContainerName, stderr: &[u8]) -> CommandError {
    let text = String::from_utf8_lossy(stderr);
    let mut said = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = said.next().unwrap_or("it does not say why");
    let first = first.strip_prefix("error: ").unwrap_or(first);
    let hints = said.filter_map(|line| line.strip_prefix("hint: ")).map(str::to_owned);
    CommandError::failed(format!("{container} cannot be asked: {first}")).with_hints(hints)
}

/// Both streams to its end. A guest may write without one: what is too much is read and dropped.
fn gather(child: &mut Child) -> io::Result<Output> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let ended = streams::follow(child, |piece| match piece {
        Piece::Out(bytes) => keep(&mut stdout, bytes, MAX_OUTPUT),
        Piece::Err(bytes) => keep(&mut stderr, bytes, COMPLAINT),
        Piece::Nothing(_) => {}
    });
    Ok(Output { status: status(ended?), stdout, stderr })
}

fn keep(all: &mut Vec<u8>, bytes: &[u8], most: usize) {
    let room = most.saturating_sub(all.len());
    all.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// As the shell tells it: 128 + n for signal n.
pub fn status(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_writes_without_end_is_read_to_some_length() {
        let mut child = Command::new("sh")
            .args(["-c", "head -c 200000 /dev/zero >&2; echo out; kill -9 $$"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = gather(&mut child).unwrap();
        assert_eq!(
            (output.status, output.stdout.as_slice(), output.stderr.len()),
            (137, &b"out\n"[..], COMPLAINT)
        );
    }

    #[test]
    fn what_snug_run_says_is_said_again_in_its_own_words() {
        let error = own_failure(&"tools".parse().unwrap(), b"error: no room\nhint: make some\n");
        assert_eq!(
            (error.to_string().as_str(), &error.hints[..]),
            ("tools cannot be asked: no room", &["make some".to_owned()][..])
        );
        assert!(own_failure(&"tools".parse().unwrap(), b"").to_string().ends_with("does not say why"));
    }
}
