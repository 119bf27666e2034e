//! The file that tells a client how far to trust a guest: `STATE/run/UID/NAME/policy`.
//!
//! Lines `key=value`, written by the daemon alone into a directory that no guest sees. No file, or one that cannot be
//! understood, means an untrusted guest.

use std::fmt;

/// How a client reaches the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Entry {
    /// Straight over the agent's socket.
    #[default]
    Direct,
    /// Through the daemon and polkit each time (privileged containers).
    Daemon,
}

/// What a client must know before it talks to the guest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The container is its owner: descriptors and environment may be handed over.
    pub trusted: bool,
    /// How to get in.
    pub entry: Entry,
    /// The container has its owner's session ([`crate::session`]).
    pub session: bool,
}

impl Policy {
    /// Reads the file's text. Unknown keys are ignored; whatever is missing is as for an untrusted guest.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut policy = Self::default();
        for line in text.lines() {
            match line.split_once('=') {
                Some(("trusted", "yes")) => policy.trusted = true,
                Some(("session", "yes")) => policy.session = true,
                // A way that is not known here is not the short one.
                Some(("entry", way)) if way != "direct" => policy.entry = Entry::Daemon,
                _ => {}
            }
        }
        policy
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "version=1")?;
        writeln!(f, "trusted={}", if self.trusted { "yes" } else { "no" })?;
        writeln!(f, "entry={}", if self.entry == Entry::Daemon { "daemon" } else { "direct" })?;
        writeln!(f, "session={}", if self.session { "yes" } else { "no" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for trusted in [false, true] {
            for entry in [Entry::Direct, Entry::Daemon] {
                for session in [false, true] {
                    let policy = Policy { trusted, entry, session };
                    assert_eq!(Policy::parse(&policy.to_string()), policy);
                }
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_untrusted() {
        for text in ["", "trusted", "trusted=YES", "trusted=yes ", " trusted=yes", "\0trusted=yes"] {
            assert!(!Policy::parse(text).trusted, "{text:?}");
        }
    }
}
