//! Dumps of the kernel's tables and word of their changes by netlink(7): headers, attributes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

/// `struct nlmsghdr`
const HEADER: usize = 16;
/// The bits of an attribute's type that are no type (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const ATTRIBUTE_FLAGS: u16 = 0xc000;

/// Messages that are taken at a time: more than the kernel keeps for a socket (`net.core.rmem_default`).
const MOST: usize = 4096;

/// A request of a dump: its type, and what follows the header.
#[must_use]
pub fn request(kind: u16, body: &[u8]) -> Vec<u8> {
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let length = HEADER + body.len();
    let mut out = Vec::with_capacity(length);
    out.extend((length as u32).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend([0; 8]);
    out.extend(body);
    out
}

/// Asks, and gives the body of each message of the answer to `take`.
///
/// # Errors
/// What the kernel says.
pub fn dump(socket: &OwnedFd, request: &[u8], mut take: impl FnMut(&[u8])) -> io::Result<()> {
    send(socket, request, SendFlags::empty())?;
    let mut buffer = vec![0u8; 32 << 10];
    loop {
        let length = recv(socket, &mut buffer[..], RecvFlags::empty())?.0;
        if parse(&buffer[..length.min(buffer.len())], &mut take)? {
            return Ok(());
        }
    }
}

/// Readable when something that the kernel keeps for a network namespace changes.
#[derive(Debug)]
pub struct Changes(OwnedFd);

impl Changes {
    /// Of what the bits `groups` of a family stand for (bind(2), netlink(7)), in the calling thread's network namespace. Without a family:
    /// of rtnetlink(7).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn here(family: Option<Protocol>, groups: u32) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, family)?;
        bind(&socket, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self(socket))
    }

    /// Takes what has been told; whether it was anything. What was too much to be told is one change more. Who makes changes faster than
    /// they are taken leaves some for the next time.
    pub fn take(&self) -> bool {
        let mut buffer = [0; 4096];
        let mut any = false;
        for _ in 0..MOST {
            match recv(&self.0, &mut buffer, RecvFlags::TRUNC) {
                Ok(_) | Err(Errno::NOBUFS) => any = true,
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        any
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A number in the machine's own order.
#[must_use]
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

/// A number in the machine's own order.
#[must_use]
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Hands on the messages of one packet; whether the last was among them.
fn parse(mut bytes: &[u8], take: &mut impl FnMut(&[u8])) -> io::Result<bool> {
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
            _ => take(body),
        }
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    Ok(false)
}

/// The value of the first attribute of that type.
#[must_use]
pub fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    while bytes.len() >= 4 {
        let length = usize::from(u16_at(bytes, 0));
        if length < 4 || length > bytes.len() {
            return None;
        }
        if u16_at(bytes, 2) & !ATTRIBUTE_FLAGS == wanted {
            return Some(&bytes[4..length]);
        }
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_is_nothing() {
        assert_eq!(attribute(&[200, 0, 11, 0, 1], 11), None);
        assert!(!parse(&[255; 20], &mut |_| panic!("no message")).unwrap());
    }

    #[test]
    fn a_nested_attribute_is_found_by_its_type() {
        let bytes = [5, 0, 1, 0, 7, 0, 0, 0, 8, 0, 4, 0x80, 1, 2, 3, 4];
        assert_eq!(attribute(&bytes, 1), Some(&[7][..]));
        assert_eq!(attribute(&bytes, 4), Some(&[1, 2, 3, 4][..]));
        assert_eq!(attribute(&bytes, 2), None);
    }
}
