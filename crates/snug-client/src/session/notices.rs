//! What a person at a terminal is told beside what the command says.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, write};

use super::Session;
use crate::words::harmless;
use crate::{relay, stream};

/// How long all the notices of a session together wait for a terminal that takes nothing: no signal is heard meanwhile, and a
/// guest may send notices without end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where notices are shown.
pub(super) struct Notices {
    screen: Option<File>,
    patience: Duration,
}

impl Default for Notices {
    fn default() -> Self {
        Self { screen: None, patience: PATIENCE }
    }
}

impl Notices {
    /// Shows a line; the rest of one that the terminal does not take is left out.
    fn show(&mut self, line: &[u8]) {
        if self.screen.is_none() {
            self.screen = standard_error().ok();
        }
        if let Some(screen) = &self.screen {
            put(screen.as_fd(), line, &mut self.patience);
        }
    }
}

/// Opened anew, so that it does not wait: the caller's own descriptor may, and its mode is not ours to change. A terminal of
/// another user (`su`) cannot be opened.
fn standard_error() -> io::Result<File> {
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
    let anew = OpenOptions::new().write(true).custom_flags(flags).open("/proc/self/fd/2");
    anew.or_else(|_| Ok(stream::borrow(2).try_clone_to_owned()?.into()))
}

fn put(screen: BorrowedFd<'_>, mut bytes: &[u8], patience: &mut Duration) {
    while !bytes.is_empty() {
        let begun = Instant::now();
        let ready = poll(
            &mut [PollFd::from_borrowed_fd(screen, PollFlags::OUT)],
            Some(&relay::until(begun + *patience)),
        );
        *patience = patience.saturating_sub(begun.elapsed());
        if ready == Ok(0) {
            return;
        }
        match write(screen, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            // Somebody else writes just now.
            Err(Errno::AGAIN) if !patience.is_zero() => {}
            // A notice that cannot be shown is none.
            Err(_) => return,
        }
    }
}

impl Session<'_> {
    /// What the container's owner is to be told once, where somebody reads it.
    pub(super) fn tell_notices(&mut self) {
        if self.shows_notices() {
            let target = &self.request.target;
            target.notices().iter().for_each(|line| self.notice(line.as_bytes()));
        }
    }

    fn shows_notices(&self) -> bool {
        self.streams.terminals[2] && !self.request.quiet
    }

    pub(super) fn notice(&mut self, text: &[u8]) {
        if self.shows_notices() {
            self.notices.show(format!("{}\n", harmless(text)).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::read;
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn notices_without_end_wait_once_for_who_does_not_read_them() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let mut patience = Duration::from_millis(50);
        put(writer.as_fd(), b"shown", &mut patience);
        let mut shown = [0; 16];
        assert_eq!(read(&reader, &mut shown), Ok(5));
        assert!(!patience.is_zero());
        let begun = Instant::now();
        for _ in 0..1000 {
            put(writer.as_fd(), &[b'x'; 4096], &mut patience);
        }
        assert!(patience.is_zero());
        assert!(begun.elapsed() < Duration::from_secs(10));
        // Who reads again is told again.
        while read(&reader, &mut [0; 1 << 16]).is_ok() {}
        put(writer.as_fd(), b"again", &mut patience);
        assert_eq!(read(&reader, &mut shown), Ok(5));
    }
}
