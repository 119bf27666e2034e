//! The file that tells a client how far to trust a guest: `STATE/run/UID/NAME/policy`.
//!
//! Lines `key=value`, written by the daemon alone into a directory that no guest sees. No file, or one that cannot be
//! understood, means an untrusted guest.

use std::fmt;
use std::fs;
use std::path::Path;

/// How a client reaches the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Entry {
    /// Straight over the agent's socket.
    #[default]
    Direct,
    /// Through the daemon and polkit each time (privileged containers).
    Daemon,
}

/// Which commands of the host a guest may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HostCommands {
    /// None: the container has no grant `host-exec`.
    #[default]
    None,
    /// Those whose name, as it is typed, is in the list.
    Only(Vec<String>),
    /// All.
    All,
}

impl HostCommands {
    /// Whether the command of that name may be asked for.
    #[must_use]
    pub fn allow(&self, name: &[u8]) -> bool {
        match self {
            Self::None => false,
            Self::Only(names) => names.iter().any(|known| known.as_bytes() == name),
            Self::All => true,
        }
    }
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
    /// The commands of the host that its programs may ask for.
    pub host_exec: HostCommands,
    /// Its programs may open links and files on the host.
    pub host_open: bool,
    /// It is being stopped or removed: no command begins in it, but what it has of the host it keeps until its end. The
    /// daemon, which is to be asked for a start, answers when that is over.
    pub stopping: bool,
}

impl Policy {
    /// Whether something of the host is to be offered to the guest ([`crate::host`]).
    #[must_use]
    pub fn offers_host(&self) -> bool {
        self.host_open || self.host_exec != HostCommands::None || self.joins_bus()
    }

    /// Whether its programs may be connected to the session bus of the host.
    #[must_use]
    pub fn joins_bus(&self) -> bool {
        self.session && self.trusted
    }

    /// What is said of the container of this run directory (`STATE/run/UID/NAME`). What cannot be read says nothing.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        fs::read_to_string(directory.join("policy"))
            .map_or_else(|_| Self::default(), |text| Self::parse(&text))
    }

    /// Reads the file's text. Unknown keys are ignored; whatever is missing is as for an untrusted guest.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut policy = Self::default();
        for line in text.lines() {
            match line.split_once('=') {
                Some(("trusted", "yes")) => policy.trusted = true,
                Some(("session", "yes")) => policy.session = true,
                Some(("host-open", "yes")) => policy.host_open = true,
                Some(("stopping", "yes")) => policy.stopping = true,
                Some(("host-exec", "*")) => policy.host_exec = HostCommands::All,
                Some(("host-exec", names)) if !names.is_empty() => {
                    policy.host_exec = HostCommands::Only(names.split(',').map(str::to_owned).collect());
                }
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
        writeln!(f, "session={}", if self.session { "yes" } else { "no" })?;
        match &self.host_exec {
            HostCommands::None => {}
            HostCommands::Only(names) => writeln!(f, "host-exec={}", names.join(","))?,
            HostCommands::All => writeln!(f, "host-exec=*")?,
        }
        writeln!(f, "host-open={}", if self.host_open { "yes" } else { "no" })?;
        writeln!(f, "stopping={}", if self.stopping { "yes" } else { "no" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for trusted in [false, true] {
            for entry in [Entry::Direct, Entry::Daemon] {
                for (session, stopping) in [(false, true), (true, false)] {
                    let policy = Policy { trusted, entry, session, stopping, ..Policy::default() };
                    assert_eq!(Policy::parse(&policy.to_string()), policy);
                }
            }
        }
    }

    #[test]
    fn a_list_of_commands_is_no_other_and_none_is_none() {
        let names = vec!["git".to_owned(), "/opt/x".to_owned()];
        for host_exec in [HostCommands::None, HostCommands::All, HostCommands::Only(names)] {
            let policy = Policy { host_exec, host_open: true, ..Policy::default() };
            assert_eq!(Policy::parse(&policy.to_string()), policy);
        }
        assert_eq!(Policy::parse("host-exec=").host_exec, HostCommands::None);
        let only = Policy::parse("host-exec=git,ls").host_exec;
        assert!(only.allow(b"git") && only.allow(b"ls"));
        assert!(!only.allow(b"gi") && !only.allow(b"/usr/bin/git") && !only.allow(b"*") && !only.allow(b""));
    }

    #[test]
    fn what_is_not_understood_is_untrusted() {
        for text in ["", "trusted", "trusted=YES", "trusted=yes ", " trusted=yes", "\0trusted=yes"] {
            assert!(!Policy::parse(text).trusted, "{text:?}");
        }
    }
}
