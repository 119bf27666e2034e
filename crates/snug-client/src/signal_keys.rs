//! The keys that send signals on the caller's terminal, typed while it passes every key on: then the caller's other processes
//! have not had the signal.

use std::time::{Duration, Instant};

use snug_wire::message::TerminalModes;

/// How long a guest that is not trusted may say that a key of the user's has stopped or ended its command: what comes later is not
/// what he meant.
const KEY_COUNTS: Duration = Duration::from_secs(60);

/// Those keys, and which of them was typed last.
pub struct SignalKeys {
    keys: [(u8, i32); 3],
    /// Its signal, and when.
    typed: Option<(i32, Instant)>,
}

impl SignalKeys {
    /// Those of a terminal that is in `modes`.
    #[must_use]
    pub fn of(modes: Option<TerminalModes>) -> Self {
        // Their places in `c_cc`: asm-generic/termbits.h. 0 is no key.
        let keys = modes.map_or([(0, 0); 3], |modes| {
            let key = |place: usize, signal| (modes.characters[place], signal);
            [key(0, libc::SIGINT), key(1, libc::SIGQUIT), key(10, libc::SIGTSTP)]
        });
        Self { keys, typed: None }
    }

    /// Takes note of what was typed.
    pub fn hear(&mut self, typed: &[u8]) {
        if let Some(signal) = self.last_of(typed) {
            self.typed = Some((signal, Instant::now()));
        }
    }

    fn last_of(&self, typed: &[u8]) -> Option<i32> {
        let signal_of = |byte: &u8| self.keys.into_iter().find(|(key, _)| key == byte && *key != 0);
        typed.iter().rev().find_map(signal_of).map(|(_, signal)| signal)
    }

    /// Whether the key for this signal was the last one.
    #[must_use]
    pub fn was_typed(&self, signal: i32) -> bool {
        self.typed.is_some_and(|(typed, _)| typed == signal)
    }

    /// Forgets the last one, unless it was typed long ago; whether it was forgotten.
    pub fn take_recent(&mut self) -> bool {
        self.typed.take_if(|(_, when)| when.elapsed() < KEY_COUNTS).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_key_that_was_typed_counts() {
        let keys = [(3, libc::SIGINT), (28, libc::SIGQUIT), (0, libc::SIGTSTP)];
        let keys = SignalKeys { keys, typed: None };
        assert_eq!(keys.last_of(b"a\x03b"), Some(libc::SIGINT));
        assert_eq!(keys.last_of(b"\x03\x1c."), Some(libc::SIGQUIT));
        assert_eq!(keys.last_of(b"\x1c\x03."), Some(libc::SIGINT));
        assert_eq!(keys.last_of(b"\0"), None, "0 is no key");
    }
}
