//! The system that commands run on: what differs between a guest and the host.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use snug_wire::message::{Exec, User};

use crate::start::Failure;

/// One line of `/etc/passwd` (passwd(5)), as bytes: names need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Login name.
    pub name: Vec<u8>,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home directory.
    pub home: Vec<u8>,
    /// Login shell.
    pub shell: Vec<u8>,
}

/// As whom a command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub entry: Entry,
    /// Supplementary groups to be taken with it; `None`: the command stays the user, with the groups, that this process
    /// is.
    pub groups: Option<Vec<u32>>,
}

/// A system that commands run on.
pub trait System {
    /// Whether a request is carried out at all, and which account of this system is meant by its user.
    ///
    /// # Errors
    /// Refused, or no such user.
    fn admit(&self, exec: &Exec) -> Result<Identity, Failure>;

    /// His shell, as it exists on this system.
    fn login_shell(&self, entry: &Entry) -> Vec<u8>;

    /// The command's whole environment.
    fn environment(&self, exec: &Exec, identity: &Identity, shell: &[u8]) -> Vec<Vec<u8>>;

    /// Makes a terminal's slave his.
    fn adopt_terminal(&self, slave: BorrowedFd<'_>, identity: &Identity);

    /// Keeps the entry of the caller's terminal type where the system has none.
    fn bring_terminfo(&self, user: &User, entry: &Entry, name: &[u8], compiled: &[u8]);

    /// What a person is told at the begin of a login shell with this environment.
    fn greeting(&self, environment: &[Vec<u8>]) -> Option<String>;

    /// `RLIMIT_NOFILE` that a command starts from, soft and hard, where this process has another.
    fn descriptor_limit(&self) -> Option<(u64, u64)>;

    /// How long a command that was hung up may go on.
    fn grace(&self) -> Duration;

    /// Which of the two it is.
    fn side(&self) -> Side;
}

/// Which of the two systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A guest.
    Guest,
    /// The host.
    Host,
}

impl Side {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Guest => "the container",
            Self::Host => "the host",
        }
    }

    /// What it is called where something is not there.
    #[must_use]
    pub fn place(self) -> &'static str {
        match self {
            Self::Guest => "in the container",
            Self::Host => "on the host",
        }
    }
}
