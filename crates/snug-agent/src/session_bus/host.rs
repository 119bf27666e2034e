//! How a client gets to the bus of its owner's session on the host.
//!
//! Services there look at who has connected, by its process (`xdg-desktop-portal` opens `/proc/PID/root`), and may not look
//! into one of another user namespace. So a process of the host's makes the connection, the owner's `snug session`
//! ([`snug_wire::host`]), and stays as long as it is needed. Where nobody serves the container, the connection is made here, and those
//! services refuse its client.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use snug_wire::host::{NotGiven, obtain};
use snug_wire::message::{ToAgent, Wish};
use snug_wire::socket::{Connection, Descriptors, connect};

use super::Buses;

/// How long the agent and the session together may take: longer than either waits for the other.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to a bus of the host's.
pub struct HostBus {
    /// The bus.
    pub bus: OwnedFd,
    /// Who has made it ends with this one.
    pub maker: Option<Connection>,
}

/// Connects.
///
/// # Errors
/// The host has no such bus now.
pub fn open(buses: &Buses) -> Result<HostBus, Errno> {
    if let Ok(made) = ask(&buses.agent) {
        return Ok(made);
    }
    Ok(HostBus { bus: super::join::open(&buses.host)?, maker: None })
}

/// Asks the owner's session for a connection, by way of the agent.
fn ask(agent: &Path) -> Result<HostBus, NotGiven> {
    let deadline = Instant::now() + PATIENCE;
    let mut connection = connect(agent, PATIENCE, Descriptors::Accept)?;
    let session = obtain(&mut connection, &ToAgent::Dial(Wish::Bus), deadline)?;
    let mut session = Connection::new(session, Descriptors::Accept);
    let bus = obtain(&mut session, &ToAgent::JoinBus, deadline)?;
    Ok(HostBus { bus, maker: Some(session) })
}
