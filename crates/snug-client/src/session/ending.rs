//! The end of a command: what is left of its output, and what the client says of it.

use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::Session;
use crate::relay;
use crate::request::{Error, Outcome};
use crate::signals::{self, Signals};

impl Session<'_> {
    /// The command has ended; its relayed output may still be under way, and what it left behind in the guest may keep that
    /// open for ever: a signal ends the wait.
    pub(super) fn end(&mut self, outcome: Outcome, signals: &Signals) -> Result<Option<Outcome>, Error> {
        for output in self.outputs.drain(..) {
            loop {
                let mut fds = [
                    PollFd::new(&output, PollFlags::IN),
                    PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
                ];
                let timeout = self.insistence.deadline().map(relay::until);
                match poll(&mut fds, timeout.as_ref()) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(errno) => return Err(Error::system("cannot wait")(errno)),
                }
                if !fds[0].revents().is_empty() {
                    break;
                }
                if let Some(signal) = signals.next_ending() {
                    return Ok(Some(Outcome::Killed(signal)));
                }
                // One that came before the command's end counts as it did.
                if let Some(signal) = self.insistence.ending(Instant::now()) {
                    return Ok(Some(Outcome::Killed(signal)));
                }
            }
            match output.finish() {
                Ok(()) | Err(Errno::PIPE | Errno::CONNRESET) => {}
                Err(errno) => return Err(Error::system("cannot write the command's output")(errno)),
            }
        }
        Ok(Some(outcome))
    }

    /// Leaves the terminal as it was found, after the last of the output, and tells the caller's job of a key that was typed.
    pub(super) fn finish(
        &mut self,
        result: Result<Outcome, Error>,
        signals: &Signals,
    ) -> Result<Outcome, Error> {
        let Some(mut console) = self.console.take() else {
            self.announcement = None;
            drop(self.terminal.take());
            return result;
        };
        let trusted = self.trusted;
        let mut was_typed =
            |signal| if trusted { console.was_typed(signal) } else { console.take_typed(signal) };
        let typed = match &result {
            Ok(Outcome::Killed(signal)) if was_typed(*signal) => Some(*signal),
            _ => None,
        };
        let interrupted = console.finish(signals, self.insistence.end_of_output(Instant::now()));
        // Before this process may die of the signal, too.
        self.announcement = None;
        if let Some(signal) = typed {
            signals::tell_job(signal);
        }
        interrupted.map_or(result, |signal| Ok(Outcome::Killed(signal)))
    }
}
