//! What the forwarder of a container's ports tells of them, as JSON to whoever connects to its socket: snugd, who shows it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Name of the socket in the container's run directory.
pub const SOCKET: &str = "ports.sock";
/// Of the shape of [`Report`].
pub const VERSION: u32 = 1;
/// More bytes are no report.
pub const LONGEST: usize = 4 << 20;

/// What is forwarded, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// What is missing, as the end of a sentence about the container.
    #[serde(default)]
    pub incomplete: Option<String>,
    /// Ports of the guest.
    #[serde(default)]
    pub doors: Vec<Door>,
    /// Ports of the host's loopback that the guest has at its own, since nothing of its own listens there.
    #[serde(default)]
    pub steered: Vec<u16>,
}

/// A port of the guest, and the host's for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where it is bound, in the guest as on the host.
    pub address: SocketAddr,
    /// Numbers of the inodes of the guest's sockets.
    pub inodes: Vec<u32>,
    /// Whether the host's is there.
    pub opened: Opened,
}

/// Of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Whether the host's port is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Opened {
    /// It is.
    Yes,
    /// Somebody else has it, on the host or in another container.
    Taken,
    /// The owner may not open it: it is below `net.ipv4.ip_unprivileged_port_start`.
    NotPermitted,
    /// Something else.
    Failed(String),
}
