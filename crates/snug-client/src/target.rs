//! Where a command runs, and how whoever carries it out is reached.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use snug_wire::host::{NotGiven, obtain};
use snug_wire::message::{FailureKind, ToAgent, Wish};
use snug_wire::notice;
use snug_wire::policy::Policy;
use snug_wire::socket::{Connection, Descriptors, WireError, connect};

use crate::host_service;
use crate::request::Error;
use crate::words::harmless;

/// How long an agent may take to accept a connection and say hello: it does nothing else first.
pub const HELLO: Duration = Duration::from_secs(5);
/// How long an agent may take to give a connection to the host; the owner's session there may be starting just now.
const DIAL: Duration = Duration::from_secs(15);

/// Where a command runs.
#[derive(Debug, Clone)]
pub enum Target {
    /// In a container of the caller's.
    Container {
        /// `STATE/run/UID/NAME`, where `policy` and `guest/agent.sock` are.
        directory: PathBuf,
        /// Its name.
        name: String,
        /// `snug`, which serves the container in the owner's session where it asks for the host.
        service: PathBuf,
    },
    /// On the host, from a container.
    Host {
        /// The socket of the container's agent.
        agent: PathBuf,
        /// What for.
        wish: Wish,
    },
}

impl Target {
    /// Its name, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Container { name, .. } => name,
            Self::Host { .. } => "the host",
        }
    }

    /// How far it is trusted. The host is by its guests: it is the one that may refuse.
    #[must_use]
    pub fn policy(&self) -> Policy {
        match self {
            // No policy means an untrusted guest, or none at all: then the socket is missing too.
            Self::Container { directory, .. } => Policy::of(directory),
            Self::Host { .. } => Policy { trusted: true, ..Policy::default() },
        }
    }

    /// What its owner is to be told once, taken away by this.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        match self {
            Self::Container { directory, .. } => notice::take(directory),
            Self::Host { .. } => Vec::new(),
        }
    }

    /// When a connection that is asked for now must be there.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::now()
            + match self {
                Self::Container { .. } => HELLO,
                Self::Host { .. } => DIAL,
            }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`Error::NotRunning`] when nobody serves the container's socket; [`Error::NoHost`] when nobody on the host serves the
    /// container; [`Error::Agent`].
    pub fn open(&self, trusted: bool, deadline: Instant) -> Result<Connection, Error> {
        let descriptors = if trusted { Descriptors::Accept } else { Descriptors::Refuse };
        match self {
            Self::Container { directory, .. } => {
                self.connect(&directory.join("guest/agent.sock"), descriptors, deadline)
            }
            Self::Host { agent, wish } => self.dial(agent, *wish, descriptors, deadline),
        }
    }

    fn connect(
        &self,
        socket: &Path,
        descriptors: Descriptors,
        deadline: Instant,
    ) -> Result<Connection, Error> {
        // No time at all would be taken for an unbounded one (`SO_SNDTIMEO`, socket(7)).
        let patience = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        connect(socket, patience, descriptors).map_err(|error| match &error {
            WireError::System(io)
                if matches!(
                    Errno::from_io_error(io),
                    Some(Errno::NOENT | Errno::CONNREFUSED | Errno::NOTDIR)
                ) =>
            {
                Error::NotRunning { container: self.name().into() }
            }
            _ => self.agent_error(error),
        })
    }

    /// Asks the agent for a connection that somebody on the host has offered.
    fn dial(
        &self,
        agent: &Path,
        wish: Wish,
        descriptors: Descriptors,
        deadline: Instant,
    ) -> Result<Connection, Error> {
        let mut connection = self.connect(agent, Descriptors::Accept, deadline)?;
        let dialled =
            obtain(&mut connection, &ToAgent::Dial(wish), deadline).map_err(|error| match error {
                NotGiven::Refused { kind, text } => {
                    Error::NoHost { kind, grant: wish.grant(), why: harmless(&text) }
                }
                NotGiven::Wire(error) => self.agent_error(error),
            })?;
        Ok(Connection::new(dialled, descriptors))
    }

    /// Sees to it that the owner's session serves the container, which has told that it does not yet.
    ///
    /// # Errors
    /// It cannot: the container's programs are then told that nobody serves them.
    pub fn wake_host(&self, policy: &Policy) -> io::Result<()> {
        match self {
            Self::Container { name, service, .. } if policy.offers_host() => {
                host_service::wake(service, name)
            }
            _ => Ok(()),
        }
    }

    /// The failure that nobody answers there.
    #[must_use]
    pub fn not_running(&self) -> Error {
        match self {
            Self::Container { name, .. } => Error::NotRunning { container: name.clone() },
            Self::Host { .. } => {
                let why = "the owner's session has ended".into();
                Error::NoHost { kind: FailureKind::Other, grant: Wish::Command.grant(), why }
            }
        }
    }

    /// A failure of whoever answers there.
    #[must_use]
    pub fn agent_error(&self, source: WireError) -> Error {
        Error::Agent { container: self.name().into(), source }
    }
}
