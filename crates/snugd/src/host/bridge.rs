//! Hardware addresses on a bridge.

use std::io;
use std::path::Path;

use rustix::io::Errno;
use snug_netlink::message::Message;

use crate::error::{Error, Result};

/// A hardware address as the kernel takes it.
pub type Hardware = [u8; 6];

/// Reads `10:66:6a:0d:ef:13`.
#[must_use]
pub fn parse_hardware(text: &str) -> Option<Hardware> {
    let mut address = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut address {
        *byte = parts
            .next()
            .filter(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|part| u8::from_str_radix(part, 16).ok())?;
    }
    parts.next().is_none().then_some(address)
}

/// Ties an address to a port of a bridge: else the bridge learns from any frame behind which port an address is, and a guest
/// that sends one with another's address gets what is meant for that one. Filters come too late for it. Blocks.
///
/// # Errors
/// What the kernel says: the interface is gone, or is no port of a bridge.
pub fn tie(port: &str, address: Hardware) -> Result<()> {
    let doing =
        |error: io::Error| Error::system(format!("tie a container's address to its port {port}"), error);
    // A name that leads elsewhere is none of an interface.
    if port.is_empty() || port.contains(['/', '\0']) || port.starts_with('.') {
        return Err(doing(Errno::NODEV.into()));
    }
    let index =
        std::fs::read_to_string(Path::new("/sys/class/net").join(port).join("ifindex")).map_err(doing)?;
    let index = index.trim().parse().map_err(|_| doing(Errno::NODEV.into()))?;
    snug_netlink::open(None)
        .and_then(|socket| snug_netlink::ask(socket, request(index, address)))
        .map_err(doing)
}

/// `RTM_NEWNEIGH` (rtnetlink(7)) for the table of a bridge: `struct ndmsg`, the address as an attribute; numbers of
/// `linux/rtnetlink.h` and `linux/neighbour.h`. `NTF_STICKY` is in Linux since 4.20.
fn request(interface: i32, address: Hardware) -> Message {
    const RTM_NEWNEIGH: u16 = 28;
    const CREATE_REPLACE: u16 = 0x400 | 0x100;
    const AF_BRIDGE: u8 = 7;
    const NUD_NOARP: u16 = 0x40;
    const NTF_MASTER_STICKY: u8 = 0x04 | 0x40;
    const NDA_LLADDR: u16 = 2;
    let mut body = vec![AF_BRIDGE, 0, 0, 0];
    body.extend_from_slice(&interface.to_ne_bytes());
    body.extend_from_slice(&NUD_NOARP.to_ne_bytes());
    body.extend_from_slice(&[NTF_MASTER_STICKY, 0]);
    Message::new(RTM_NEWNEIGH, CREATE_REPLACE, &body).with(NDA_LLADDR, &address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_six_bytes() {
        assert_eq!(parse_hardware("10:66:6a:0d:ef:13"), Some([0x10, 0x66, 0x6a, 0x0d, 0xef, 0x13]));
        for bad in [
            "",
            "10:66:6a:0d:ef",
            "10:66:6a:0d:ef:13:00",
            "1:66:6a:0d:ef:13",
            "+1:66:6a:0d:ef:13",
            "zz:66:6a:0d:ef:13",
        ] {
            assert_eq!(parse_hardware(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_port_is_refused_by_the_system() {
        for port in ["", "../lo", "snug-no-such"] {
            assert!(tie(port, [2, 0, 0, 0, 0, 1]).is_err(), "{port}");
        }
    }
}
