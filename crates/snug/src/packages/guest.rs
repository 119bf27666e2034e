//! Questions to a guest's package manager, and what it is told to change.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use snug_core::name::ContainerName;
use snug_packages::command::{Action, CommandLine, Output, Query};
use snug_packages::manager;
use snug_packages::name::PackageName;
use snug_packages::read::MAX_OUTPUT;

use super::line::{Line, own_failure};
use super::log::Log;
use super::running;
use super::streams::{self, Piece};
use crate::bus::Bus;
use crate::bus::options::Options;
use crate::bus::snapshot::Taken;
use crate::context::Context;
use crate::entry;
use crate::error::CommandError;
use crate::progress;

/// The longest that a question may take: dnf and zypper fetch what they know before they answer, over whatever line there is.
const LONGEST_ANSWER: Duration = Duration::from_secs(15 * 60);
/// Bytes of standard error that are kept: its last lines say why.
const COMPLAINT: usize = 64 << 10;

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

    /// The same for one that runs: the daemon is not asked.
    ///
    /// # Errors
    /// It does not answer; it has no package manager that is known.
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
        // No package manager does without a shell.
        if [126, 127].contains(&output.status) {
            return Ok(None);
        }
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
    pub fn carry_out(
        &self,
        action: &Action,
        shown: &mut progress::Line,
        log: &mut Log,
    ) -> Result<(), CommandError> {
        let mut line = Line::new(self.context, self.container, &action.command)?;
        let output = running::follow(&mut line, action, shown, log)?;
        if line.has_failed_itself() {
            return Err(log.explain(own_failure(self.container, &output.stderr)));
        }
        action.check(&output).map_err(|error| log.explain(failed(&error)))
    }

    /// Takes a snapshot before something changes, to which `snug undo` goes back; before the first change what the image brought is recorded.
    ///
    /// # Errors
    /// The pool is full, or something failed. That the pool cannot take any is none (`--verbose` tells it).
    pub fn remember(&self, bus: &Bus, before: &str) -> Result<(), CommandError> {
        super::record::begin(self, bus);
        match bus.take_snapshot(self.container.as_str(), before)? {
            Taken::Snapshot(_) => {}
            Taken::Unavailable(why) => {
                self.context.printer.detail(&format!("`snug undo` will not know of this: {why}"))
            }
        }
        Ok(())
    }

    /// The packages that an interrupted change has left half done, where there was one, and the manager can finish it.
    ///
    /// # Errors
    /// As of [`Self::ask`].
    pub fn unfinished(&self) -> Result<Option<Vec<PackageName>>, CommandError> {
        self.manager.manager.unfinished().map_or(Ok(None), |unfinished| self.ask(&unfinished))
    }

    /// What is to be said of a change that has failed: where it, or one before it, is half done, what finishes that.
    pub fn failed_change(&self, error: CommandError) -> CommandError {
        match self.unfinished() {
            Ok(Some(_)) => {
                error.hint(format!("a change is half done: `snug upgrade -c {}` finishes it", self.container))
            }
            _ => error,
        }
    }

    /// Hands a file of the host's to the guest's root, under that path there.
    ///
    /// # Errors
    /// It cannot be read here or written there.
    pub fn put(&self, file: std::fs::File, path: &str) -> Result<(), CommandError> {
        const SCRIPT: &str = r#"mkdir -p -- "${1%/*}" && cat > "$1""#;
        let mut line = self.script(SCRIPT, path)?;
        line.command().stdin(file);
        let refused = || CommandError::failed(format!("{path} cannot be written in {}", self.container));
        if line.succeeds()? { Ok(()) } else { Err(refused()) }
    }

    /// Removes what [`Self::put`] has put there, with its directory; whether it could.
    pub fn take_away(&self, path: &str) -> bool {
        const SCRIPT: &str = r#"rm -f -- "$1" && rmdir -- "${1%/*}""#;
        self.script(SCRIPT, path).and_then(|mut line| line.succeeds()).unwrap_or(false)
    }

    /// A script of root's with one argument, of which nothing is heard but its status.
    fn script(&self, script: &str, argument: &str) -> Result<Line, CommandError> {
        let argv = ["/bin/sh", "-c", script, "sh", argument].map(Into::into).into();
        let line = CommandLine { argv, environment: &[], as_root: true };
        let mut line = Line::new(self.context, self.container, &line)?;
        line.command().stdout(Stdio::null()).stderr(Stdio::null());
        Ok(line)
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

/// What a line of the table says and how it ends. A guest that never answers keeps nobody for good.
///
/// # Errors
/// As of [`ask_within`].
pub fn ask(context: &Context, container: &ContainerName, line: &CommandLine) -> Result<Output, CommandError> {
    ask_within(context, container, line, LONGEST_ANSWER)
}

/// The same where nobody waits longer than that.
///
/// # Errors
/// It cannot be run; it has not ended by then, and has been hung up.
pub fn ask_within(
    context: &Context,
    container: &ContainerName,
    line: &CommandLine,
    patience: Duration,
) -> Result<Output, CommandError> {
    let mut line = Line::new(context, container, line)?;
    let mut child = line.spawn()?;
    let output = match gather(&mut child, patience) {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            return Err(unanswered(container, patience));
        }
        Err(error) => return Err(CommandError::failed("`snug run` cannot be waited for").caused_by(error)),
    };
    if line.has_failed_itself() {
        return Err(own_failure(container, &output.stderr));
    }
    Ok(output)
}

/// A container that has been waited for that long.
pub fn unanswered(container: &ContainerName, patience: Duration) -> CommandError {
    CommandError::failed(format!("{container} has not answered within {} seconds", patience.as_secs()))
}

/// Both streams to its end. A guest may write without one: what is too much is read and dropped.
fn gather(child: &mut Child, patience: Duration) -> io::Result<Output> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let until = Instant::now() + patience;
    let mut is_late = false;
    let ended = streams::follow(child, |piece| match piece {
        Piece::Out(bytes) => keep(&mut stdout, bytes, MAX_OUTPUT),
        Piece::Err(bytes) => keep(&mut stderr, bytes, COMPLAINT),
        Piece::Nothing(child) if !is_late && Instant::now() >= until => {
            is_late = true;
            // Its command in the guest is hung up with it.
            running::tell(child, libc::SIGKILL);
        }
        Piece::Nothing(_) => {}
    });
    if is_late {
        return Err(io::ErrorKind::TimedOut.into());
    }
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
    use std::process::Command;

    use super::*;

    #[test]
    fn a_guest_that_writes_without_end_is_read_to_some_length() {
        let mut child = Command::new("sh")
            .args(["-c", "head -c 200000 /dev/zero >&2; echo out; kill -9 $$"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = gather(&mut child, LONGEST_ANSWER).unwrap();
        assert_eq!(
            (output.status, output.stdout.as_slice(), output.stderr.len()),
            (137, &b"out\n"[..], COMPLAINT)
        );
    }

    #[test]
    fn a_guest_that_does_not_answer_is_not_waited_for() {
        let mut child =
            Command::new("sleep").arg("60").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let late = gather(&mut child, Duration::from_millis(200)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }
}
