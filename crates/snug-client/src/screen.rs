//! What the guest's terminal shows, on the caller's.
//!
//! Both drivers turn a line feed into carriage return and line feed. While the caller's does (it is not raw), what the
//! guest's has added is taken away again.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, write};

use crate::guest_terminal::{Event, adds_carriage_returns, read_packet};
use crate::relay;
use crate::signals::Signals;

/// Read from the guest's terminal at once: what a pty's buffer holds at most (`TTYB_DEFAULT_MEM_LIMIT` is 64 KiB).
const SCREEN: usize = 64 << 10;
/// As much may be on its way when the command ends: in the pty, in the agent that relays it, in the socket. Whoever still
/// writes then, without end, is not the command.
const AFTER_THE_END: usize = 1 << 20;
/// How long the agent may take to send the rest.
const THE_REST: Duration = Duration::from_secs(4);
/// How long a question is held back until its answer will not be echoed. Another client may hold the keyboard and keep
/// it: then the question is shown all the same.
const HOLD_BACK: Duration = Duration::from_millis(500);

/// Changes of the guest's modes, told in the order of the output.
pub struct Changes {
    /// Gets a byte for each.
    pub tell: OwnedFd,
    /// Hears when it is in force on the caller's terminal.
    pub in_force: Receiver<()>,
    /// Once the end of the input was typed the terminal tells of no changes: each output may come after one.
    pub are_silent: Arc<AtomicBool>,
}

impl Changes {
    /// Waits until what the guest's terminal has become is in force on the caller's.
    fn follow(&self) {
        // Of an earlier one, whose answer was not waited for to the end.
        while self.in_force.try_recv().is_ok() {}
        // A full pipe has told the session already.
        let _ = write(&self.tell, b"m");
        let _ = self.in_force.recv_timeout(HOLD_BACK);
    }
}

/// What to show, and where.
pub struct Screen {
    /// The guest's terminal: its master or a connection.
    pub source: OwnedFd,
    /// Where it is shown; `None` for nowhere.
    pub target: Option<Target>,
    /// Output that came with the connection.
    pub already_read: Vec<u8>,
    /// Whether the source ends by itself when the command's output is all there: a connection does, whose other half the
    /// client has closed (see the agent's `relay`).
    pub ends: bool,
    /// Readable when the command has ended; whoever has the other end sees by this one's that all is shown.
    pub ended: OwnedFd,
    /// Where the source is a master in packet mode.
    pub changes: Option<Changes>,
}

/// The descriptor that output is written to.
pub enum Target {
    /// A stream of the caller's.
    Stream(BorrowedFd<'static>),
    /// The terminal's device, opened by us.
    Device(OwnedFd),
}

impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stream(stream) => *stream,
            Self::Device(device) => device.as_fd(),
        }
    }
}

impl Screen {
    /// Shows on a thread what comes, until the end of the source, or, after `ended`, until nothing more is there: a process
    /// that the command left behind may keep the guest's terminal open for ever. (poll(2) of a pty's master first waits
    /// for what its driver still has under way: `n_tty_poll` in the kernel.)
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn show(self) -> io::Result<()> {
        thread::Builder::new().stack_size(256 << 10).spawn(move || {
            // A terminal that takes no more has nothing more to be shown.
            let _ = self.run();
        })?;
        Ok(())
    }

    fn run(&self) -> rustix::io::Result<()> {
        self.put(&mut self.already_read.clone())?;
        // In packet mode a byte precedes the output.
        let mut buffer = vec![0; SCREEN + 1];
        let mut left = AFTER_THE_END;
        let mut last = None;
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(self.source.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.ended.as_fd(), PollFlags::IN),
            ];
            let patience = last.map(relay::until);
            let watched = if last.is_some() { &mut fds[..1] } else { &mut fds[..] };
            match poll(watched, patience.as_ref()) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let ended = last.is_some() || !fds[1].revents().is_empty();
            let is_quiet = fds[0].revents().is_empty();
            if ended && self.ends && last.is_none() {
                last = Some(Instant::now() + THE_REST);
                if is_quiet {
                    continue;
                }
            }
            if is_quiet {
                return Ok(());
            }
            match self.next(&mut buffer) {
                Ok(Some(output)) => {
                    if ended {
                        let Some(rest) = left.checked_sub(output.len()) else { return Ok(()) };
                        left = rest;
                    }
                    self.put(&mut buffer[output])?;
                }
                Ok(None) => return Ok(()),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Where in `buffer` the next output is, perhaps none; nothing at the end of the source.
    fn next(&self, buffer: &mut [u8]) -> rustix::io::Result<Option<Range<usize>>> {
        let Some(changes) = &self.changes else {
            return match read(&self.source, buffer) {
                Ok(0) | Err(Errno::IO) => Ok(None),
                Ok(count) => Ok(Some(0..count)),
                Err(errno) => Err(errno),
            };
        };
        Ok(match read_packet(self.source.as_fd(), buffer)? {
            Event::Output(count) => {
                if changes.are_silent.load(Ordering::Relaxed) {
                    changes.follow();
                }
                Some(1..1 + count)
            }
            Event::End => None,
            Event::Nothing => Some(0..0),
            Event::ModesChanged => {
                changes.follow();
                Some(0..0)
            }
        })
    }

    fn put(&self, bytes: &mut [u8]) -> rustix::io::Result<()> {
        let Some(target) = &self.target else { return Ok(()) };
        let bytes = if self.doubles_line_ends(target) { single_line_ends(bytes) } else { bytes };
        relay::write_all(target.as_fd(), bytes)
    }

    /// Whether both drivers add a carriage return to a line feed. A source that cannot be asked is taken to be as it began.
    fn doubles_line_ends(&self, target: &Target) -> bool {
        adds_carriage_returns(target.as_fd()).unwrap_or(false)
            && adds_carriage_returns(self.source.as_fd()).unwrap_or(true)
    }
}

/// Waits until the screen that has the other end of `ended` has shown all, until `deadline` at the latest, or until a signal ends the wait, which is returned then.
pub fn wait_for_end(ended: &OwnedFd, signals: &Signals, deadline: Option<Instant>) -> Option<i32> {
    loop {
        let mut fds = [
            // A pipe without a reader has an error.
            PollFd::new(ended, PollFlags::empty()),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        let timeout = deadline.map(relay::until);
        match poll(&mut fds, timeout.as_ref()) {
            Err(Errno::INTR) => continue,
            // Without a wait there is nothing to wait for.
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
        if !fds[0].revents().is_empty() {
            return None;
        }
        if let Some(signal) = signals.next_ending() {
            return Some(signal);
        }
    }
}

/// Takes away one carriage return before each line feed, and returns what is left at the start of `bytes`.
fn single_line_ends(bytes: &mut [u8]) -> &[u8] {
    let mut length = 0;
    for index in 0..bytes.len() {
        if bytes[index] == b'\n' && length > 0 && bytes[length - 1] == b'\r' {
            length -= 1;
        }
        bytes[length] = bytes[index];
        length += 1;
    }
    &bytes[..length]
}

#[cfg(test)]
mod tests {
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn one_carriage_return_before_each_line_feed_is_taken_away() {
        for (bytes, expected) in [
            (&b"a\r\nb\r\n"[..], &b"a\nb\n"[..]),
            (b"\r\r\n", b"\r\n"),
            (b"\n\r\n\r", b"\n\n\r"),
            (b"50%\r60%\r", b"50%\r60%\r"),
            (b"", b""),
        ] {
            assert_eq!(single_line_ends(&mut bytes.to_vec()), expected);
        }
    }

    /// A screen of which nothing is read yet: what to read, and what tells of its end.
    fn screen() -> (OwnedFd, OwnedFd) {
        let (reader, full) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (ended_reader, ended) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (source, _) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let screen = Screen {
            source,
            target: Some(Target::Device(full)),
            already_read: vec![b'x'; 1 << 20],
            ends: true,
            ended: ended_reader,
            changes: None,
        };
        screen.show().unwrap();
        write(&ended, b"e").unwrap();
        (reader, ended)
    }

    #[test]
    fn a_terminal_that_nobody_reads_holds_its_client_until_a_signal_or_the_deadline() {
        let signals = Signals::block().unwrap();
        let (reader, ended) = screen();
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(wait_for_end(&ended, &signals, Some(soon)), None);
        for signal in [libc::SIGUSR1, libc::SIGTERM] {
            // SAFETY: a plain system call; this thread has the signal blocked.
            unsafe { libc::raise(signal) };
        }
        assert_eq!(wait_for_end(&ended, &signals, None), Some(libc::SIGTERM));
        while read(&reader, &mut [0; 1 << 16]).unwrap() > 0 {}
        assert_eq!(wait_for_end(&ended, &signals, None), None);
    }
}
