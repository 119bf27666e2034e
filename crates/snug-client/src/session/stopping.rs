//! Stopping as the command does.
//!
//! A guest that is trusted says when. One that is not is believed once for each time that somebody asked for it: a client that
//! is stopped hears no signal but SIGCONT and SIGKILL, so it could not be ended otherwise.

use std::thread;
use std::time::Duration;

use super::Session;
use crate::signals::{self, Signals};

/// What a command has written before it stopped may not be on the screen yet: a worker of the kernel's takes it to the master
/// (`tty_flip_buffer_push`), and nothing tells when. It would be shown after the shell's prompt, when the command goes on.
const UNDER_WAY: Duration = Duration::from_millis(10);

/// What is known of a command that may have stopped.
#[derive(Debug, Default)]
pub(super) struct Stopping {
    /// The guest says that it has, and was not asked since to go on with it.
    is_said: bool,
    /// SIGTSTP was passed on, and nothing has come of it yet.
    is_asked: bool,
}

impl Stopping {
    /// The guest says that the command has stopped.
    pub(super) fn said(&mut self) {
        self.is_said = true;
    }

    /// SIGTSTP was passed on.
    pub(super) fn asked(&mut self) {
        self.is_asked = true;
    }

    /// The guest was asked to go on with the command: what was said and asked before is no longer so.
    pub(super) fn resumed(&mut self) {
        *self = Self::default();
    }

    /// Whether the client stops now. `was_typed`: its user typed the key for it. A stop that nobody has asked for is kept in
    /// mind: whoever asks later has it at once.
    fn take(&mut self, trusted: bool, was_typed: bool) -> bool {
        let stops = self.is_said && (trusted || self.is_asked || was_typed);
        if stops {
            self.resumed();
        }
        stops
    }
}

impl Session<'_> {
    /// Stops where the command has, and goes on with it.
    pub(super) fn stop_with_command(&mut self, signals: &Signals) {
        if !self.stopping.is_said {
            return;
        }
        // They come first, and there may have been a SIGCONT. Who is about to end is not stopped.
        self.hear(signals);
        if !self.stopping.is_said || self.insistence.deadline().is_some() {
            return;
        }
        let was_typed = self.console.as_mut().is_some_and(|console| console.take_typed(libc::SIGTSTP));
        if !self.stopping.take(self.trusted, was_typed) {
            return;
        }
        // A key typed into a raw terminal has reached the guest alone. One that is not trusted is not believed that it was
        // typed: it would stop the caller's other programs.
        let is_raw = self.console.as_ref().is_some_and(|console| console.is_raw());
        if self.console.is_some() {
            thread::sleep(UNDER_WAY);
        }
        if let Some(console) = &mut self.console {
            console.release();
        }
        if is_raw && (self.trusted || was_typed) {
            signals.stop_others();
        }
        if let Some(announcement) = &self.announcement {
            announcement.pop();
        }
        signals::stop();
        if let Some(announcement) = &self.announcement {
            announcement.push();
        }
        self.resume();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_is_not_trusted_stops_its_client_once_for_each_time_that_it_was_asked_to() {
        let mut stopping = Stopping::default();
        for _ in 0..3000 {
            stopping.said();
            assert!(!stopping.take(false, false));
        }
        // Of the thousands that were said one is left.
        assert!(stopping.take(false, true));
        assert!(!stopping.take(false, true));
        stopping.asked();
        assert!(!stopping.take(false, false), "it has not stopped");
        stopping.said();
        assert!(stopping.take(false, false));
        stopping.said();
        assert!(!stopping.take(false, false), "asked once");
    }

    #[test]
    fn one_that_is_trusted_stops_it_as_often_as_its_command_stops() {
        let mut stopping = Stopping::default();
        assert!(!stopping.take(true, false));
        for _ in 0..3 {
            stopping.said();
            assert!(stopping.take(true, false));
            assert!(!stopping.take(true, false));
        }
        stopping.said();
        stopping.resumed();
        assert!(!stopping.take(true, true), "the command goes on");
        stopping.asked();
        stopping.resumed();
        stopping.said();
        assert!(!stopping.take(false, false), "what was asked before");
    }
}
