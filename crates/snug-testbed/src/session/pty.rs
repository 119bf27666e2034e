//! A command on a terminal of its own, as a person would have it.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::process::{Pid, PidfdFlags, Signal};
use rustix::pty::OpenptFlags;
use rustix::termios::{Termios, Winsize};

use crate::error::{Doing, Error, Result};
use crate::process::wait_readable;
use crate::stack::users::Account;

/// A running command and the master side of its terminal. Dropping it closes the terminal and kills what is left.
#[derive(Debug)]
pub struct Pty {
    master: Option<File>,
    /// Kept to look at the terminal's modes after the command; a slave that is open also keeps what was written.
    slave: Option<OwnedFd>,
    name: String,
    child: Child,
    command: String,
    seen: Vec<u8>,
    deadline: Duration,
}

impl Pty {
    pub(crate) fn spawn(
        mut command: Command,
        account: &Account,
        shown: String,
        deadline: Duration,
    ) -> Result<Pty> {
        let opening = || "opening a terminal".to_owned();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).doing(opening)?;
        rustix::pty::unlockpt(&master).doing(opening)?;
        let name = rustix::pty::ptsname(&master, Vec::new()).doing(opening)?;
        let name = name.to_string_lossy().into_owned();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&name, flags, Mode::empty()).doing(opening)?;
        // As a login would: the user's own, group tty may write.
        let tty = std::fs::metadata("/dev/tty").map_or(5, |meta| meta.gid());
        rustix::fs::fchown(&slave, Some(Uid::from_raw(account.uid)), Some(Gid::from_raw(tty)))
            .doing(opening)?;
        rustix::fs::fchmod(&slave, Mode::from_raw_mode(0o620)).doing(opening)?;
        rustix::termios::tcsetwinsize(&slave, size(24, 80)).doing(opening)?;
        let stream = || slave.try_clone().map(Stdio::from).doing(opening);
        let child = command.stdin(stream()?).stdout(stream()?).stderr(stream()?).spawn();
        let child = child.doing(|| format!("starting `{shown}`"))?;
        Ok(Pty {
            master: Some(master.into()),
            slave: Some(slave),
            name,
            child,
            command: shown,
            seen: Vec::new(),
            deadline,
        })
    }

    /// The terminal's device, as the host names it.
    pub fn device(&self) -> &str {
        &self.name
    }

    /// The command's process id.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Types. What is read back later includes the echo.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        let mut bytes = bytes.as_ref();
        let end = Instant::now() + self.deadline;
        let writing = || format!("typing to `{}`", self.command);
        while !bytes.is_empty() {
            let Some(master) = &self.master else { return Err(self.closed()) };
            crate::process::wait_for(master, PollFlags::OUT, Some(end)).doing(writing)?;
            // In small pieces: one that the terminal cannot take whole would block, and nobody would read.
            let piece = &bytes[..bytes.len().min(1024)];
            let written = rustix::io::write(master, piece).doing(writing)?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Types a line and Enter.
    pub fn line(&mut self, line: impl AsRef<str>) -> Result<()> {
        self.write(format!("{}\r", line.as_ref()))
    }

    /// Reads until the text appears, and returns everything up to its end; what follows stays for the next call.
    ///
    /// # Errors
    /// With all that was seen, at the deadline or when the command closes the terminal first.
    pub fn until(&mut self, text: &str) -> Result<String> {
        let end = Instant::now() + self.deadline;
        loop {
            if let Some(at) = find(&self.seen, text.as_bytes()) {
                let rest = self.seen.split_off(at + text.len());
                let found = std::mem::replace(&mut self.seen, rest);
                return Ok(String::from_utf8_lossy(&found).into_owned());
            }
            if !self.read_more(end) {
                return Err(Error::Program {
                    command: self.command.clone(),
                    how: format!("did not show {text:?} on its terminal"),
                    output: String::from_utf8_lossy(&self.seen).into_owned(),
                });
            }
        }
    }

    /// Waits for the command's end, reading the terminal meanwhile; returns status and what was not read before.
    pub fn finish(&mut self) -> Result<(ExitStatus, String)> {
        let end = Instant::now() + self.deadline;
        let ended = || "waiting for a command on a terminal".to_owned();
        let pidfd = match self.child.try_wait().doing(ended)? {
            Some(status) => return Ok((status, self.rest())),
            None => {
                rustix::process::pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()).doing(ended)?
            }
        };
        while wait_readable(&pidfd, Some(Instant::now())).is_err() {
            let Some(master) = &self.master else {
                wait_readable(&pidfd, Some(end)).map_err(|_| self.too_late())?;
                break;
            };
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.too_late());
            }
            let timeout =
                Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            let mut fds = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(master, PollFlags::IN)];
            let _ = rustix::event::poll(&mut fds, Some(&timeout));
            if fds[1].revents().contains(PollFlags::IN) {
                self.read_more(end);
            }
        }
        let status = self.child.wait().doing(ended)?;
        Ok((status, self.rest()))
    }

    /// Waits for the end and compares the status (128+n for signal n).
    ///
    /// # Panics
    /// With what the terminal showed, if it is another one or the deadline passes.
    #[track_caller]
    pub fn ends_with(&mut self, code: i32) -> String {
        let (status, rest) =
            self.finish().unwrap_or_else(|error| panic!("{error}\n--- seen\n{}", self.shown()));
        let got = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        assert_eq!(got, Some(code), "status of `{}`\n--- terminal\n{rest}", self.command);
        rest
    }

    /// Changes the size of the terminal; the foreground group gets SIGWINCH.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let Some(master) = &self.master else { return Err(self.closed()) };
        rustix::termios::tcsetwinsize(master, size(rows, columns)).doing(|| "resizing a terminal".to_owned())
    }

    /// The modes of the terminal now: raw or not, echo or not.
    pub fn modes(&self) -> Result<Termios> {
        let Some(slave) = &self.slave else { return Err(self.closed()) };
        rustix::termios::tcgetattr(slave).doing(|| "reading the modes of a terminal".to_owned())
    }

    /// The process group that has the terminal's keyboard now.
    pub fn foreground(&self) -> Result<i32> {
        let Some(master) = &self.master else { return Err(self.closed()) };
        let group = rustix::termios::tcgetpgrp(master).doing(|| "asking a terminal".to_owned())?;
        Ok(group.as_raw_nonzero().get())
    }

    /// Sends a signal to the command alone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        rustix::process::kill_process(Pid::from_child(&self.child), signal)
            .doing(|| format!("signalling `{}`", self.command))
    }

    /// Closes the terminal, as closing its window would: the session gets SIGHUP.
    pub fn close(&mut self) {
        self.slave = None;
        self.master = None;
    }

    fn rest(&mut self) -> String {
        while self.read_more(Instant::now()) {}
        String::from_utf8_lossy(&std::mem::take(&mut self.seen)).into_owned()
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Reads what is there; false at the deadline or the terminal's end.
    fn read_more(&mut self, end: Instant) -> bool {
        let Some(master) = &mut self.master else { return false };
        let mut buffer = [0; 65536];
        if wait_readable(master, Some(end)).is_err() {
            return false;
        }
        match master.read(&mut buffer) {
            Ok(n) if n > 0 => {
                self.seen.extend(&buffer[..n]);
                true
            }
            _ => false,
        }
    }

    fn too_late(&self) -> Error {
        Error::Deadline { what: format!("`{}` ({})", self.command, self.shown()), deadline: self.deadline }
    }

    fn closed(&self) -> Error {
        Error::Unfit(format!("the terminal of `{}` is closed", self.command))
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        self.close();
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    haystack.windows(needle.len()).position(|window| window == needle)
}
