//! When a client ends although its command does not.
//!
//! A guest that is trusted is its owner's: a command of its that ignores a signal goes on, as on the host. One that is not
//! may be hostile, and forge a command that never ends: its client obeys who sends it signals, and the agent hangs up the
//! command when the client is gone.
//!
//! Until a command has begun there is nobody to obey. But a command may run before the word of it arrives: then a signal
//! that came between the two is the command's.

use std::time::{Duration, Instant};

/// After SIGHUP: as long as the agent lets a command go on that was hung up, and a bit.
const HANGUP: Duration = Duration::from_secs(3);
/// After SIGTERM: what a server may need to end in order.
const TERMINATION: Duration = Duration::from_secs(10);
/// As many interrupts, one soon after the other, end the client, as they do with other container tools.
const INTERRUPTS: usize = 3;
/// How soon.
const SOON: Duration = Duration::from_secs(5);
/// Signals that end the client where there is no command to pass them to.
pub const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];
/// After one of those: the agent says within milliseconds that a command has begun, and nobody who types Ctrl-C at a container
/// that is booting sees the difference.
const WORD: Duration = Duration::from_millis(250);

/// What a command says at its end, of a signal perhaps, is shown for so long to a terminal that does not take it.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// A signal has to do with the end of a command that ends within so long.
const RECENT: Duration = Duration::from_secs(20);

/// What a client was told, and when it ends for it.
#[derive(Debug, Default)]
pub struct Insistence {
    interrupts: Vec<Instant>,
    end: Option<(Instant, i32)>,
    /// Where no command has begun until then.
    unless_begun: Option<(Instant, i32)>,
    /// The last of the ending signals.
    last: Option<Instant>,
}

impl Insistence {
    /// A signal has come before a command was known to have begun.
    pub fn heard_early(&mut self, signal: i32, now: Instant) {
        if ENDING.contains(&signal) {
            self.unless_begun.get_or_insert((now + WORD, signal));
        }
    }

    /// A command has begun: what was heard early was for it.
    pub fn begun(&mut self) {
        self.unless_begun = None;
    }

    /// A signal has come for a command, of a guest that is `trusted` or not.
    pub fn heard(&mut self, signal: i32, now: Instant, trusted: bool) {
        if ENDING.contains(&signal) {
            self.last = Some(now);
        }
        if trusted {
            return;
        }
        let end = match signal {
            libc::SIGHUP => now + HANGUP,
            libc::SIGTERM => now + TERMINATION,
            libc::SIGINT | libc::SIGQUIT => {
                self.interrupts.retain(|then| now.duration_since(*then) <= SOON);
                self.interrupts.push(now);
                if self.interrupts.len() < INTERRUPTS {
                    return;
                }
                now
            }
            _ => return,
        };
        if self.end.is_none_or(|(earlier, _)| end < earlier) {
            self.end = Some((end, signal));
        }
    }

    /// Until when the rest of a command's output is shown that has ended now; `None` is as long as it takes.
    pub fn end_of_output(&self, now: Instant) -> Option<Instant> {
        self.last.filter(|then| now.duration_since(*then) < RECENT).map(|_| now + LAST_WORDS)
    }

    /// When the client ends; `None` is never, as things are.
    pub fn deadline(&self) -> Option<Instant> {
        self.first().map(|(end, _)| end)
    }

    /// The signal that it ends of now.
    pub fn ending(&self, now: Instant) -> Option<i32> {
        self.first().and_then(|(end, signal)| (end <= now).then_some(signal))
    }

    fn first(&self) -> Option<(Instant, i32)> {
        self.end.into_iter().chain(self.unless_begun).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_interrupt_is_the_commands_and_three_are_the_clients() {
        let begin = Instant::now();
        let mut insistence = Insistence::default();
        for seconds in [0, 2, 8, 9] {
            insistence.heard(libc::SIGINT, begin + Duration::from_secs(seconds), false);
            assert_eq!(insistence.deadline(), None, "{seconds}");
        }
        let third = begin + Duration::from_secs(10);
        insistence.heard(libc::SIGQUIT, third, false);
        assert_eq!(insistence.ending(third), Some(libc::SIGQUIT));
    }

    #[test]
    fn what_came_before_a_command_ends_the_client_unless_one_has_begun() {
        let begin = Instant::now();
        let mut insistence = Insistence::default();
        insistence.heard_early(libc::SIGUSR1, begin);
        assert_eq!(insistence.deadline(), None);
        insistence.heard_early(libc::SIGINT, begin);
        insistence.heard_early(libc::SIGTERM, begin + WORD / 2);
        assert_eq!(insistence.ending(begin + WORD / 2), None);
        assert_eq!(insistence.ending(begin + WORD), Some(libc::SIGINT));
        insistence.begun();
        assert_eq!((insistence.deadline(), insistence.ending(begin + WORD)), (None, None));
    }

    #[test]
    fn the_earliest_end_counts_and_other_signals_end_nothing() {
        let begin = Instant::now();
        let mut insistence = Insistence::default();
        insistence.heard(libc::SIGUSR1, begin, false);
        assert_eq!(insistence.deadline(), None);
        insistence.heard(libc::SIGTERM, begin, false);
        insistence.heard(libc::SIGHUP, begin + Duration::from_secs(1), false);
        assert_eq!(insistence.deadline(), Some(begin + Duration::from_secs(4)));
        assert_eq!(insistence.ending(begin + Duration::from_secs(3)), None);
        assert_eq!(insistence.ending(begin + Duration::from_secs(4)), Some(libc::SIGHUP));
    }

    #[test]
    fn a_guest_that_is_trusted_ends_its_client_and_output_is_shown_for_ever_unless_a_signal_came() {
        let begin = Instant::now();
        let mut insistence = Insistence::default();
        insistence.heard(libc::SIGUSR1, begin, true);
        assert_eq!(insistence.end_of_output(begin), None);
        insistence.heard(libc::SIGTERM, begin, true);
        assert_eq!(insistence.deadline(), None);
        // An untrusted guest's client is here ten seconds after it.
        let end = begin + TERMINATION;
        assert_eq!(insistence.end_of_output(end), Some(end + LAST_WORDS));
        assert_eq!(insistence.end_of_output(begin + RECENT), None);
    }
}
