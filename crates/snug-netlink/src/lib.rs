//! What is asked of the kernel's network by netlink(7): requests that it carries out, dumps of its tables, word of their changes.
//!
//! All here blocks, but [`Changes`].
//!
//! | module | what |
//! |---|---|
//! | [`message`] | requests as bytes, and what answers are made of |

pub mod message;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

use message::{Message, NLMSG_ERROR, parse, result, u16_at, u32_at};

/// Wanted and answered by a number (`NLM_F_REQUEST | NLM_F_ACK`).
const REQUEST_ACK: u16 = 0x1 | 0x4;
/// All that there is (`NLM_F_REQUEST | NLM_F_DUMP`).
const REQUEST_DUMP: u16 = 0x1 | 0x300;
/// Messages that are taken at a time: more than the kernel keeps for a socket (`net.core.rmem_default`).
const MOST: usize = 4096;

/// A socket of a netlink family (rtnetlink(7) without one) in the calling thread's network namespace, which it stays in.
///
/// # Errors
/// What the kernel says.
pub fn open(family: Option<Protocol>) -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, family)?)
}

/// Has the kernel do what the message says.
///
/// # Errors
/// What the kernel says.
pub fn ask(socket: impl AsFd, message: Message) -> io::Result<()> {
    send(&socket, &message.into_bytes(REQUEST_ACK), SendFlags::empty())?;
    let mut answer = [0u8; 512];
    let (count, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    let answer = &answer[..count];
    // `struct nlmsgerr`, whose number is 0 for success.
    if answer.len() < message::HEADER + 4 || u16_at(answer, 4) != NLMSG_ERROR {
        return Err(io::Error::other("the kernel's answer is none to a request"));
    }
    result(u32_at(answer, message::HEADER))
}

/// Gives what the message asks for to `take`, the body of one answer at a time.
///
/// # Errors
/// What the kernel says, also where it breaks off.
pub fn dump(socket: impl AsFd, message: Message, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    send(&socket, &message.into_bytes(REQUEST_DUMP), SendFlags::empty())?;
    let mut buffer = vec![0u8; 32 << 10];
    loop {
        let (count, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        if parse(&buffer[..count.min(buffer.len())], &mut take)? {
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

#[cfg(test)]
mod tests {
    use super::*;

    const RTM_GETLINK: u16 = 18;
    const RTM_SETLINK: u16 = 19;
    const IFLA_IFNAME: u16 = 3;

    #[test]
    fn the_kernel_lists_the_loopback() {
        let mut names = Vec::new();
        let message = Message::new(RTM_GETLINK, 0, &[0; 16]);
        dump(open(None).unwrap(), message, |body| {
            let name = message::attribute(&body[16..], IFLA_IFNAME).unwrap();
            names.push(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned());
        })
        .unwrap();
        assert!(names.iter().any(|name| name == "lo"), "{names:?}");
    }

    #[test]
    fn what_the_kernel_refuses_is_an_error_by_its_number() {
        let socket = open(None).unwrap();
        let name = b"snug-no-such\0";
        let error = ask(&socket, Message::new(RTM_SETLINK, 0, &[0; 16]).with(IFLA_IFNAME, name)).unwrap_err();
        // Who may not change the network is told that first.
        let numbers = [Errno::NODEV, Errno::PERM].map(Errno::raw_os_error);
        assert!(numbers.contains(&error.raw_os_error().unwrap()), "{error}");
        // Of a family that there is none of.
        let error = dump(&socket, Message::new(9999, 0, &[0; 16]), |_| panic!("no answer")).unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error}");
    }
}
