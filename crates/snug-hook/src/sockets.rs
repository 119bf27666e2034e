//! Who listens in a network namespace, by sock_diag(7).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::netlink::SOCK_DIAG;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

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

const HEADER: usize = 16;
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
        let flags = SocketFlags::CLOEXEC;
        Ok(Self(socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG))?))
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
                send(&self.0, &request(family as u8, number as u8, 1 << state), SendFlags::empty())?;
                self.receive(protocol, &mut all)?;
            }
        }
        all.sort_unstable();
        Ok(all)
    }

    fn receive(&self, protocol: Protocol, all: &mut Vec<Listener>) -> io::Result<()> {
        let mut buffer = vec![0u8; 32 << 10];
        loop {
            let length = recv(&self.0, &mut buffer[..], RecvFlags::empty())?.0;
            if parse(&buffer[..length.min(buffer.len())], protocol, all)? {
                return Ok(());
            }
        }
    }
}

/// A dump (`struct nlmsghdr`, `struct inet_diag_req_v2`).
fn request(family: u8, protocol: u8, states: u32) -> Vec<u8> {
    const LENGTH: usize = HEADER + 56;
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let mut out = Vec::with_capacity(LENGTH);
    out.extend((LENGTH as u32).to_ne_bytes());
    out.extend(BY_FAMILY.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend([0; 8]);
    out.extend([family, protocol, 0, 0]);
    out.extend(states.to_ne_bytes());
    out.resize(LENGTH, 0);
    out
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Adds what some messages tell; whether the last was among them.
fn parse(mut bytes: &[u8], protocol: Protocol, all: &mut Vec<Listener>) -> io::Result<bool> {
    while bytes.len() >= HEADER {
        let length = u32_at(bytes, 0) as usize;
        if length < HEADER || length > bytes.len() {
            break;
        }
        let body = &bytes[HEADER..length];
        match i32::from(u16_at(bytes, 4)) {
            // With an error where the dump broke off.
            libc::NLMSG_DONE if body.len() >= 4 && u32_at(body, 0) != 0 => {
                return Err(io::Error::from_raw_os_error(-u32_at(body, 0).cast_signed()));
            }
            libc::NLMSG_DONE => return Ok(true),
            libc::NLMSG_ERROR if body.len() >= 4 => {
                let errno = u32_at(body, 0).cast_signed();
                return Err(io::Error::from_raw_os_error(-errno));
            }
            _ => all.extend(listener(body, protocol)),
        }
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    Ok(false)
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

fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    while bytes.len() >= 4 {
        let length = usize::from(u16_at(bytes, 0));
        if length < 4 || length > bytes.len() {
            return None;
        }
        if u16_at(bytes, 2) == wanted {
            return Some(&bytes[4..length]);
        }
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    None
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
        assert_eq!(attribute(&[200, 0, 11, 0, 1], ONLY_V6), None);
        assert!(!parse(&[255; 20], Protocol::Tcp, &mut Vec::new()).unwrap());
    }
}
