//! What a person at a terminal is told beside what the command says.

use super::Session;
use crate::words::harmless;
use crate::{relay, stream};

impl Session<'_> {
    /// What the container's owner is to be told once, where somebody reads it.
    pub(super) fn tell_notices(&self) {
        if self.shows_notices() {
            self.request.target.notices().iter().for_each(|line| self.notice(line.as_bytes()));
        }
    }

    fn shows_notices(&self) -> bool {
        self.streams.terminals[2] && !self.request.quiet
    }

    pub(super) fn notice(&self, text: &[u8]) {
        if self.shows_notices() {
            let line = format!("{}\n", harmless(text));
            // A notice that cannot be shown is none.
            let _ = relay::write_all(stream::borrow(2), line.as_bytes());
        }
    }
}
