//! The network of a guest, as far as the host's side of it is known to several programs: one that mirrors its host's, one behind
//! the bridge.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Name of the log in the container's run directory: what pasta and those who keep it running have to say, and whoever checks the
/// network of a guest behind the bridge.
pub const LOG: &str = "network.log";

/// The address of the guest's resolver, on its loopback interface: of the link (RFC 3927), so that no network has it, and no
/// 127.0.0.1, which nested containers would not be given (Docker takes such name servers out).
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 0, 53);

/// Name of the file with [`Bridged`] in the container's run directory. Root's: the guest does not see it.
pub const BRIDGED: &str = "bridged.json";

/// Name of the file with [`Fault`] in the container's run directory, as long as the guest's network does not work. Root's.
pub const FAULT: &str = "network.fault";

/// What a guest behind the bridge is to reach, as snugd knows it before each start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridged {
    /// The bridge's interface on the host.
    pub bridge: String,
    /// The host's address on it.
    pub router: Ipv4Addr,
    /// Whom the guest asks for names; those of IPv6 are left out, which the bridge does not have.
    pub name_servers: Vec<Ipv4Addr>,
}

/// Why the network of a guest does not work: a line of what is the matter, a line for each thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is the matter.
    pub text: String,
    /// Commands that mend it, or how to find out more.
    pub hints: Vec<String>,
}

impl Fault {
    /// Reads the file's text; an empty one tells of nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().filter(|line| !line.is_empty()).map(str::to_owned);
        Some(Self { text: lines.next()?, hints: lines.collect() })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.hints.iter().try_for_each(|hint| writeln!(f, "{hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_is_written_is_read_again() {
        let hints = vec!["sudo ufw route allow in on snugbr0".to_owned(), "another".to_owned()];
        for hints in [hints, Vec::new()] {
            let fault = Fault { text: "nothing goes through".to_owned(), hints };
            assert_eq!(Fault::parse(&fault.to_string()), Some(fault));
        }
        assert_eq!(Fault::parse("\n"), None);
    }
}
