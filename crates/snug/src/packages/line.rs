//! A command line of the table as a process of this program: `snug run`, whose streams and end are its own.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use snug_core::name::ContainerName;
use snug_packages::command::CommandLine;

use crate::context::{Context, OWN_PROGRAM};
use crate::env_vars;
use crate::error::CommandError;

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

/// A line that is to be run, or runs.
pub struct Line {
    command: Command,
    /// Told when `snug run` has failed itself: any status may be the line's own.
    failed: PipeReader,
    tell: Option<PipeWriter>,
}

impl Line {
    /// One that reads nothing and has nothing of the caller's environment but the way to the network: `PYTHONPATH` and its like mislead
    /// package managers.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(
        context: &Context,
        container: &ContainerName,
        line: &CommandLine,
    ) -> Result<Self, CommandError> {
        let (failed, tell) = io::pipe().map_err(unstarted)?;
        let mut command = Command::new(OWN_PROGRAM);
        command.arg0("snug").args([
            "run",
            "--quiet",
            "--clean-env",
            "-T",
            "-w",
            "/",
            "-c",
            container.as_str(),
        ]);
        // A shell that asks for a word asks this process, not that one.
        command.env_remove(env_vars::SNUG_COMPLETE);
        command.args(["--failure-to", &tell.as_raw_fd().to_string()]);
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
        let told = tell.as_raw_fd();
        // What package managers make is for all of a container's users. The pipe is inherited by this process alone.
        // SAFETY: umask(2) and fcntl(2) are async-signal-safe; the descriptor is open until the process has been started.
        unsafe {
            command.pre_exec(move || {
                libc::umask(0o022);
                if libc::fcntl(told, libc::F_SETFD, 0) == -1 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        command.arg("--").args(&line.argv).stdin(Stdio::null());
        Ok(Self { command, failed, tell: Some(tell) })
    }

    /// What else is to be said of the process: its streams.
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Starts it, with pipes for what it writes.
    ///
    /// # Errors
    /// The system has no room for a process.
    pub fn spawn(&mut self) -> Result<Child, CommandError> {
        let child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        self.tell = None;
        child.map_err(unstarted)
    }

    /// Runs it; whether it ended well. Its streams are the caller's to set.
    ///
    /// # Errors
    /// As of [`Self::spawn`].
    pub fn succeeds(&mut self) -> Result<bool, CommandError> {
        let status = self.command.status();
        self.tell = None;
        status.map(|status| status.success()).map_err(unstarted)
    }

    /// Whether it has ended since `snug run` failed itself.
    pub fn has_failed_itself(&self) -> bool {
        // Nobody else has the other end; if somebody had, he would not be waited for.
        let flags = fcntl_getfl(&self.failed).unwrap_or(OFlags::empty());
        let is_patient = fcntl_setfl(&self.failed, flags | OFlags::NONBLOCK).is_err();
        !is_patient && matches!((&self.failed).read(&mut [0]), Ok(1))
    }
}

fn unstarted(error: io::Error) -> CommandError {
    CommandError::failed("`snug run` cannot be started").caused_by(error)
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

#[cfg(test)]
mod tests {
    use super::*;

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
