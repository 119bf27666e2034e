//! The network of a guest that mirrors its host's.

use std::net::Ipv4Addr;

/// Name of the log in the container's run directory: what pasta and those who keep it running have to say.
pub const LOG: &str = "network.log";

/// The address of the guest's resolver, on its loopback interface: of the link (RFC 3927), so that no network has it, and no
/// 127.0.0.1, which nested containers would not be given (Docker takes such name servers out).
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 0, 53);
