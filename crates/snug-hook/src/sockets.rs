//! Who listens in a network namespace, by sock_diag(7).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::netlink::SOCK_DIAG;
use snug_netlink::dump;
use snug_netlink::message::{Message, attribute, u32_at};

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP: sockets that listen.
    Tcp,
    /// UDP: sockets that are bound and not connected.
    Udp,
}

/// A socket that takes what comes from whoever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listener {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where it is bound.
    pub address: SocketAddr,
    /// Bound to an IPv6 address, it takes no IPv4.
    pub only_v6: bool,
    /// The kernel's name for the socket, which no other gets (`SO_COOKIE`).
    pub cookie: u64,
    /// Number of the socket's inode, as `/proc/PID/fd` shows it.
    pub inode: u32,
}

/// `SOCK_DIAG_BY_FAMILY`
const BY_FAMILY: u16 = 20;
/// `INET_DIAG_SKV6ONLY`: present for sockets that listen or are not connected.
const ONLY_V6: u16 = 11;
/// `TCP_CLOSE`, the state of a UDP socket that is not connected, and `TCP_LISTEN`.
const CLOSE: u32 = 7;
const LISTEN: u32 = 10;

/// `struct inet_diag_msg`
const MESSAGE: usize = 72;

/// Asks one network namespace: the one in which it was made, wherever the process goes.
#[derive(Debug)]
pub struct Diagnosis(OwnedFd);

impl Diagnosis {
    /// Of the calling thread's network namespace.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn here() -> io::Result<Self> {
        Ok(Self(snug_netlink::open(Some(SOCK_DIAG))?))
    }

    /// Everything that listens, sorted.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn listeners(&self) -> io::Result<Vec<Listener>> {
        let mut all = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            for (protocol, number, state) in
                [(Protocol::Tcp, libc::IPPROTO_TCP, LISTEN), (Protocol::Udp, libc::IPPROTO_UDP, CLOSE)]
            {
                let request = Message::new(BY_FAMILY, 0, &question(family as u8, number as u8, 1 << state));
                dump(&self.0, request, |body| all.extend(listener(body, protocol)))?;
            }
        }
        all.sort_unstable();
        Ok(all)
    }
}

/// `struct inet_diag_req_v2`
fn question(family: u8, protocol: u8, states: u32) -> [u8; 56] {
    let mut out = [0; 56];
    out[..2].copy_from_slice(&[family, protocol]);
    out[4..8].copy_from_slice(&states.to_ne_bytes());
    out
}

/// One `struct inet_diag_msg` and its attributes.
fn listener(body: &[u8], protocol: Protocol) -> Option<Listener> {
    if body.len() < MESSAGE {
        return None;
    }
    let ip: IpAddr = match i32::from(body[0]) {
        libc::AF_INET => Ipv4Addr::new(body[8], body[9], body[10], body[11]).into(),
        libc::AF_INET6 => Ipv6Addr::from(<[u8; 16]>::try_from(&body[8..24]).ok()?).into(),
        _ => return None,
    };
    let port = u16::from_be_bytes([body[4], body[5]]);
    let cookie = u64::from(u32_at(body, 44)) | u64::from(u32_at(body, 48)) << 32;
    let inode = u32_at(body, MESSAGE - 4);
    let only_v6 = attribute(&body[MESSAGE..], ONLY_V6).is_some_and(|value| value.first() == Some(&1));
    // One that has no port yet takes nothing.
    (port != 0).then_some(Listener { protocol, address: SocketAddr::new(ip, port), only_v6, cookie, inode })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn what_listens_is_seen() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
        connected.connect("127.0.0.1:9").unwrap();
        let seen = Diagnosis::here().unwrap().listeners().unwrap();
        let has = |protocol, address| {
            seen.iter().any(|found| found.protocol == protocol && found.address == address)
        };
        assert!(has(Protocol::Tcp, tcp.local_addr().unwrap()));
        assert!(has(Protocol::Udp, udp.local_addr().unwrap()));
        assert!(!has(Protocol::Udp, connected.local_addr().unwrap()));
        assert!(!has(Protocol::Udp, tcp.local_addr().unwrap()));
    }

    #[test]
    fn what_is_cut_off_is_no_listener() {
        assert_eq!(listener(&[0; 71], Protocol::Tcp), None);
    }
}
