//! What is to be forwarded, from what listens on both sides. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::bpf::steer::Way;
use crate::sockets::{Listener, Protocol};

/// A socket of ours on the host, that stands for one of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Door {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where it is bound.
    pub address: SocketAddr,
    /// Bound to an IPv6 address, it takes no IPv4.
    pub only_v6: bool,
}

/// What there should be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// On the host, with the inodes of the guest's sockets that they stand for.
    pub doors: BTreeMap<Door, BTreeSet<u32>>,
    /// In the guest, the flags ([`Way::flag`]) of the host's ports.
    pub steered: BTreeMap<u16, u8>,
}

/// UDP ports that speak of one link or one machine: DHCP and its sixth version, time, service discovery, multicast names. A second
/// one on the host would answer for the wrong machine.
const OF_ONE_MACHINE: [u16; 9] = [67, 68, 123, 546, 547, 1900, 3702, 5353, LLMNR];
const DNS: u16 = 53;
/// Multicast names, whose long answers come by TCP (RFC 4795).
const LLMNR: u16 = 5355;

/// From what listens on the host and in the guest, without our own sockets, and the ports that programs get who ask for none
/// (`ip_local_port_range`): a UDP socket with such a one is a client, mostly.
#[must_use]
pub fn plan(host: &[Listener], guest: &[Listener], ephemeral: (u16, u16)) -> Plan {
    let is_meant = |listener: &&Listener| {
        let port = listener.address.port();
        match listener.protocol {
            Protocol::Tcp => port != LLMNR,
            Protocol::Udp => !OF_ONE_MACHINE.contains(&port) && !(ephemeral.0..=ephemeral.1).contains(&port),
        }
    };
    let mut plan = Plan::default();
    for listener in guest.iter().filter(is_meant) {
        if let Some(door) = door(listener) {
            plan.doors.entry(door).or_default().insert(listener.inode);
        }
    }
    let mut taken: BTreeMap<u16, u8> = BTreeMap::new();
    for listener in guest {
        *taken.entry(listener.address.port()).or_default() |= flags(listener);
    }
    for listener in host.iter().filter(is_meant) {
        let port = listener.address.port();
        let flags = flags(listener) & !taken.get(&port).unwrap_or(&0);
        if flags != 0 {
            *plan.steered.entry(port).or_default() |= flags;
        }
    }
    plan
}

/// Where the host listens for it. One that is bound to another address than the loopback's is not shared: that address is the
/// host's own there, or nobody's, as those of the guest's bridges are.
fn door(listener: &Listener) -> Option<Door> {
    // As Java names 127.0.0.1.
    let ip = listener.address.ip().to_canonical();
    let address = SocketAddr::new(ip, listener.address.port());
    let only_v6 = listener.only_v6 && ip.is_ipv6();
    if ip.is_loopback() && address.port() == DNS {
        // A resolver of the guest's own, as systemd-resolved is.
        return None;
    }
    (ip.is_loopback() || ip.is_unspecified()).then_some(Door {
        protocol: listener.protocol,
        address,
        only_v6,
    })
}

/// Those of the ways in which it would get what comes to the loopback.
fn flags(listener: &Listener) -> u8 {
    Way::ALL.into_iter().filter(|way| serves(listener, *way)).map(Way::flag).sum()
}

/// Whether it would get what comes to the loopback this way.
fn serves(listener: &Listener, way: Way) -> bool {
    let protocol = match way {
        Way::Tcp4 | Way::Tcp6 => Protocol::Tcp,
        Way::Udp4 | Way::Udp6 => Protocol::Udp,
    };
    let v4 = matches!(way, Way::Tcp4 | Way::Udp4);
    let reaches = match listener.address.ip() {
        IpAddr::V4(ip) => v4 && (ip.is_loopback() || ip.is_unspecified()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => !v4 || !listener.only_v6,
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(Ipv4Addr::UNSPECIFIED) => v4,
            Some(mapped) => v4 && mapped.is_loopback(),
            None => !v4 && ip.is_loopback(),
        },
    };
    listener.protocol == protocol && reaches
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPHEMERAL: (u16, u16) = (32768, 60999);

    fn listeners(words: &[&str]) -> Vec<Listener> {
        let one = |(at, word): (usize, &&str)| {
            let mut parts = word.split(' ');
            let protocol = if parts.next() == Some("tcp") { Protocol::Tcp } else { Protocol::Udp };
            let address = parts.next().unwrap().parse().unwrap();
            Listener { protocol, address, only_v6: parts.next().is_some(), cookie: 0, inode: at as u32 }
        };
        words.iter().enumerate().map(one).collect()
    }

    fn doors(guest: &[&str]) -> Vec<String> {
        let plan = plan(&[], &listeners(guest), EPHEMERAL);
        plan.doors
            .keys()
            .map(|door| format!("{:?} {} {}", door.protocol, door.address, door.only_v6))
            .collect()
    }

    #[test]
    fn a_port_of_the_guest_is_where_it_is_bound_and_nowhere_else() {
        for (guest, wanted) in [
            ("tcp 127.0.0.1:8000", &["Tcp 127.0.0.1:8000 false"][..]),
            ("tcp 127.0.0.53:8000", &["Tcp 127.0.0.53:8000 false"]),
            ("tcp 0.0.0.0:8000", &["Tcp 0.0.0.0:8000 false"]),
            ("tcp [::]:8000", &["Tcp [::]:8000 false"]),
            ("tcp [::]:8000 only", &["Tcp [::]:8000 true"]),
            ("tcp [::1]:8000", &["Tcp [::1]:8000 false"]),
            ("udp 0.0.0.0:8000", &["Udp 0.0.0.0:8000 false"]),
            ("tcp [::ffff:127.0.0.1]:8000", &["Tcp 127.0.0.1:8000 false"]),
            ("tcp [::ffff:0.0.0.0]:8000", &["Tcp 0.0.0.0:8000 false"]),
            ("tcp 0.0.0.0:5355", &[]),
            ("udp 127.0.0.53:53", &[]),
            ("udp 0.0.0.0:53", &["Udp 0.0.0.0:53 false"]),
            ("tcp 172.17.0.1:53", &[]),
            ("udp 0.0.0.0:5353", &[]),
            ("udp 0.0.0.0:40000", &[]),
            ("tcp 0.0.0.0:40000", &["Tcp 0.0.0.0:40000 false"]),
        ] {
            assert_eq!(doors(&[guest]), wanted, "{guest}");
        }
        // Two that share a port, as servers with several processes do, have one door.
        let both = plan(&[], &listeners(&["tcp 0.0.0.0:80", "tcp 0.0.0.0:80"]), EPHEMERAL);
        assert_eq!(both.doors.into_values().collect::<Vec<_>>(), [BTreeSet::from([0, 1])]);
    }

    #[test]
    fn a_port_of_the_host_is_steered_unless_the_guest_has_it() {
        let (tcp4, tcp6, udp4, udp6) =
            (Way::Tcp4.flag(), Way::Tcp6.flag(), Way::Udp4.flag(), Way::Udp6.flag());
        for (host, guest, wanted) in [
            (&["tcp 127.0.0.1:80"][..], &[][..], Some(tcp4)),
            (&["tcp 0.0.0.0:80"], &[], Some(tcp4)),
            (&["tcp [::]:80"], &[], Some(tcp4 | tcp6)),
            (&["tcp [::]:80 only"], &[], Some(tcp6)),
            (&["tcp [::1]:80"], &[], Some(tcp6)),
            (&["tcp [::ffff:127.0.0.1]:80"], &[], Some(tcp4)),
            (&["tcp 192.0.2.1:80"], &[], None),
            (&["udp [::]:80"], &[], Some(udp4 | udp6)),
            (&["tcp 0.0.0.0:80", "udp 127.0.0.1:80"], &[], Some(tcp4 | udp4)),
            (&["tcp [::]:80"], &["tcp 127.0.0.1:80"], Some(tcp6)),
            (&["tcp [::]:80"], &["tcp [::]:80"], None),
            (&["tcp [::]:80"], &["udp [::]:80"], Some(tcp4 | tcp6)),
            (&["udp 0.0.0.0:5353"], &[], None),
            (&["udp 0.0.0.0:50000"], &[], None),
        ] {
            let plan = plan(&listeners(host), &listeners(guest), EPHEMERAL);
            assert_eq!(plan.steered.into_values().next(), wanted, "{host:?} {guest:?}");
        }
    }
}
