//! When a client ends although its command does not.
//!
//! A guest that is trusted is its owner's: a command of its that ignores a signal goes on, as on the host. One that is not
//! may be hostile, and forge a command that never ends: its client obeys who sends it signals, and the agent hangs up the
//! command when the client is gone.

use std::time::{Duration, Instant};

/// After SIGHUP: as long as the agent lets a command go on that was hung up, and a bit.
const HANGUP: Duration = Duration::from_secs(3);
/// After SIGTERM: what a server may need to end in order.
const TERMINATION: Duration = Duration::from_secs(10);
/// As many interrupts, one soon after the other, end the client, as they do with other container tools.
const INTERRUPTS: usize = 3;
/// How soon.
const SOON: Duration = Duration::from_secs(5);

/// What a client was told, and when it ends for it.
#[derive(Debug, Default)]
pub struct Insistence {
    interrupts: Vec<Instant>,
    end: Option<(Instant, i32)>,
}

impl Insistence {
    /// A signal was passed on.
    pub fn heard(&mut self, signal: i32, now: Instant) {
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

    /// When the client ends; never so far.
    pub fn deadline(&self) -> Option<Instant> {
        self.end.map(|(end, _)| end)
    }

    /// The signal that it ends of now.
    pub fn ending(&self, now: Instant) -> Option<i32> {
        self.end.and_then(|(end, signal)| (end <= now).then_some(signal))
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
            insistence.heard(libc::SIGINT, begin + Duration::from_secs(seconds));
            assert_eq!(insistence.deadline(), None, "{seconds}");
        }
        let third = begin + Duration::from_secs(10);
        insistence.heard(libc::SIGQUIT, third);
        assert_eq!(insistence.ending(third), Some(libc::SIGQUIT));
    }

    #[test]
    fn the_earliest_end_counts_and_other_signals_end_nothing() {
        let begin = Instant::now();
        let mut insistence = Insistence::default();
        insistence.heard(libc::SIGUSR1, begin);
        assert_eq!(insistence.deadline(), None);
        insistence.heard(libc::SIGTERM, begin);
        insistence.heard(libc::SIGHUP, begin + Duration::from_secs(1));
        assert_eq!(insistence.deadline(), Some(begin + Duration::from_secs(4)));
        assert_eq!(insistence.ending(begin + Duration::from_secs(3)), None);
        assert_eq!(insistence.ending(begin + Duration::from_secs(4)), Some(libc::SIGHUP));
    }
}
