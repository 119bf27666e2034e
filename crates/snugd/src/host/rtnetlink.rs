//! Requests to the kernel's network by rtnetlink(7), and its answers.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// `struct nlmsghdr`
const HEADER: usize = 16;
/// Wanted and answered by a number (`NLM_F_REQUEST | NLM_F_ACK`).
const REQUEST_ACK: u16 = 0x1 | 0x4;
/// All that there is (`NLM_F_REQUEST | NLM_F_DUMP`).
const REQUEST_DUMP: u16 = 0x1 | 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// A message that is being written: a header, what its kind wants, attributes.
#[derive(Debug)]
pub struct Message(Vec<u8>);

impl Message {
    /// With flags besides those that each request has.
    #[must_use]
    pub fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut message = vec![0; 4];
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&flags.to_ne_bytes());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(body);
        Self(message)
    }

    /// With an attribute more (`struct rtattr`).
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = (4 + value.len()) as u16;
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn bytes(mut self, flags: u16) -> Vec<u8> {
        let flags = u16_at(&self.0, 6) | flags;
        self.0[6..8].copy_from_slice(&flags.to_ne_bytes());
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

fn socket() -> io::Result<OwnedFd> {
    // The protocol NETLINK_ROUTE is 0.
    Ok(socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?)
}

/// Has the kernel do what the message says.
///
/// # Errors
/// What the kernel says.
pub fn ask(message: Message) -> io::Result<()> {
    let socket = socket()?;
    send(&socket, &message.bytes(REQUEST_ACK), SendFlags::empty())?;
    let mut answer = [0u8; 512];
    let (count, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    // `struct nlmsgerr`, whose number is 0 for success.
    match answer[..count].get(HEADER..HEADER + 4).and_then(|bytes| bytes.try_into().ok()) {
        Some(number) => result(i32::from_ne_bytes(number)),
        None => Err(io::Error::other("the kernel's answer is too short")),
    }
}

fn result(number: i32) -> io::Result<()> {
    if number == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-number)) }
}

/// Gives what the message asks for to `take`, one body at a time.
///
/// # Errors
/// What the kernel says.
pub fn dump(message: Message, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let socket = socket()?;
    send(&socket, &message.bytes(REQUEST_DUMP), SendFlags::empty())?;
    let mut buffer = vec![0u8; 32 << 10];
    loop {
        let (count, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        if parse(&buffer[..count.min(buffer.len())], &mut take)? {
            return Ok(());
        }
    }
}

/// Hands on the messages of one packet; whether the last was among them.
fn parse(mut bytes: &[u8], take: &mut impl FnMut(&[u8])) -> io::Result<bool> {
    while bytes.len() >= HEADER {
        let length = u32_at(bytes, 0) as usize;
        if length < HEADER || length > bytes.len() {
            break;
        }
        let body = &bytes[HEADER..length];
        match u16_at(bytes, 4) {
            // With an error where the dump broke off.
            NLMSG_DONE => {
                result(body.get(..4).map_or(0, |number| u32_at(number, 0).cast_signed()))?;
                return Ok(true);
            }
            NLMSG_ERROR if body.len() >= 4 => {
                result(u32_at(body, 0).cast_signed())?;
                return Ok(true);
            }
            _ => take(body),
        }
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    Ok(false)
}

/// The attributes in `bytes`; what is cut off is none.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = (bytes.len() >= 4).then(|| usize::from(u16_at(bytes, 0)))?;
        let value = bytes.get(4..length)?;
        let kind = u16_at(bytes, 2);
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
        Some((kind, value))
    })
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_long_as_it_says_and_its_attributes_are_found() {
        let bytes = Message::new(32, 0x400, &[7; 12]).with(3, b"br0\0\0").with(6, &[1, 2, 3, 4]).bytes(5);
        assert_eq!(bytes.len(), 16 + 12 + 12 + 8);
        assert_eq!(u32_at(&bytes, 0) as usize, bytes.len());
        assert_eq!((u16_at(&bytes, 4), u16_at(&bytes, 6)), (32, 0x405));
        let mut found = Vec::new();
        let is_last = parse(&bytes, &mut |body| found.push(body.to_vec())).unwrap();
        assert!(!is_last);
        let attributes: Vec<_> = attributes(&found[0][12..]).collect();
        assert_eq!(attributes, [(3, &b"br0\0\0"[..]), (6, &[1, 2, 3, 4])]);
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        assert_eq!(attributes(&[200, 0, 11, 0, 1]).count(), 0);
        assert_eq!(attributes(&[0, 0, 11, 0]).count(), 0);
        assert!(!parse(&[255; 20], &mut |_| panic!("no message")).unwrap());
    }
}
