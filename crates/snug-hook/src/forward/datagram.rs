//! UDP datagrams that were steered here: where they were sent to, and answers that come from there.

use std::cell::RefCell;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

/// The longest datagram.
pub const LONGEST: usize = 65535;

thread_local! {
    /// Each datagram is passed on before the next one is taken: there may be more sockets than memory for a buffer of each.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; LONGEST]);
}

/// Gives `work` the thread's one buffer, as long as the longest datagram. It must not ask for it again.
pub fn with_buffer<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| work(buffer))
}

/// A socket that is bound at `address`, for [`receive`].
///
/// # Errors
/// It is taken, or not this user's to take.
pub fn bind(address: SocketAddr, only_v6: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    tell_destination(&socket, address.is_ipv6())?;
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Has [`receive`] know where a datagram was sent to. An IPv6 socket may take IPv4, too, which has an option of its own.
fn tell_destination(socket: &Socket, is_v6: bool) -> io::Result<()> {
    set(socket, libc::IPPROTO_IP, libc::IP_RECVORIGDSTADDR)?;
    if is_v6 { set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVORIGDSTADDR) } else { Ok(()) }
}

/// Switches an option on.
fn set(socket: &Socket, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the pointer and the length are those of one live integer.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(&on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A datagram's length, whom it is from, and where he sent it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes in the buffer.
    pub length: usize,
    /// The sender.
    pub from: SocketAddr,
    /// What the sender takes for the receiver.
    pub to: SocketAddr,
}

/// Room for one control message with an address, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Takes one datagram; does not wait.
///
/// # Errors
/// What the kernel says, that there is none among it.
pub fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = Control([0; 64]);
    let mut data = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut length = 0;
    let mut receive = |name: *mut libc::sockaddr_storage, name_length: *mut libc::socklen_t| {
        // SAFETY: the caller's length.
        let mut message = message(name.cast(), unsafe { *name_length }, &raw mut data, &mut control);
        // SAFETY: all pointers are to live buffers of the lengths beside them.
        let status = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
        length = usize::try_from(status).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: the kernel has set how much of the name it wrote.
        unsafe { *name_length = message.msg_namelen };
        Ok(destination(&message))
    };
    // SAFETY: `receive` writes an address of the length that it sets.
    let (to, from) = unsafe { SockAddr::try_init(|name, length| receive(name.cast(), length)) }?;
    let from = from.as_socket();
    let (Some(from), Some(to)) = (from, to) else { return Err(io::ErrorKind::InvalidData.into()) };
    Ok(Received { length, from, to })
}

fn message(
    name: *mut libc::c_void,
    name_length: libc::socklen_t,
    data: *mut libc::iovec,
    control: &mut Control,
) -> libc::msghdr {
    // SAFETY: all zeroes are a valid message.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_name = name;
    message.msg_namelen = name_length;
    message.msg_iov = data;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    message
}

/// Sends `data` from an address that this machine has: whoever has asked that one takes an answer of no other. One that cannot be the
/// sender (of a group) is left to the kernel.
///
/// # Errors
/// What the kernel says.
pub fn send_from(socket: &impl AsFd, data: &[u8], from: IpAddr, to: SocketAddr) -> io::Result<usize> {
    let sent = send_with_source(socket, data, from.to_canonical(), to);
    sent.or_else(|_| SockRef::from(socket).send_to(data, &to.into()))
}

fn send_with_source(socket: &impl AsFd, data: &[u8], from: IpAddr, to: SocketAddr) -> io::Result<usize> {
    let to = SockAddr::from(to);
    let mut control = Control([0; 64]);
    let mut data = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    let name = to.as_ptr().cast_mut().cast();
    let mut message = message(name, to.len(), &raw mut data, &mut control);
    match from {
        IpAddr::V4(ip) => {
            let source = libc::in_addr { s_addr: u32::from(ip).to_be() };
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: source,
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            put(&mut message, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        IpAddr::V6(ip) => {
            let info =
                libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: 0 };
            put(&mut message, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
    }
    // SAFETY: all pointers are to live buffers of the lengths beside them, which the kernel only reads.
    let status = unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
    usize::try_from(status).map_err(|_| io::Error::last_os_error())
}

/// Makes `value` the one control message.
fn put<T>(message: &mut libc::msghdr, level: libc::c_int, kind: libc::c_int, value: T) {
    let size = size_of::<T>() as libc::c_uint;
    // SAFETY: computes a length.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size) } as usize;
    // SAFETY: the control buffer has room for each of these values (`Control`), and is aligned for a header.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = libc::CMSG_LEN(size) as usize;
        libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
    }
}

fn destination(message: &libc::msghdr) -> Option<SocketAddr> {
    // SAFETY: the kernel has filled the control buffer, which the macros walk within its length.
    let first = unsafe { libc::CMSG_FIRSTHDR(message).as_ref() }?;
    // SAFETY: as above.
    let data = unsafe { libc::CMSG_DATA(first) };
    match (first.cmsg_level, first.cmsg_type) {
        (libc::IPPROTO_IP, libc::IP_ORIGDSTADDR) => {
            // SAFETY: this kind of message holds such an address.
            let address: libc::sockaddr_in = unsafe { data.cast::<libc::sockaddr_in>().read_unaligned() };
            let ip = u32::from_be(address.sin_addr.s_addr);
            Some(SocketAddrV4::new(ip.into(), u16::from_be(address.sin_port)).into())
        }
        (libc::IPPROTO_IPV6, libc::IPV6_ORIGDSTADDR) => {
            // SAFETY: this kind of message holds such an address.
            let address: libc::sockaddr_in6 = unsafe { data.cast::<libc::sockaddr_in6>().read_unaligned() };
            let ip = address.sin6_addr.s6_addr;
            Some(SocketAddrV6::new(ip.into(), u16::from_be(address.sin6_port), 0, 0).into())
        }
        _ => None,
    }
}

/// Sends datagrams that come from any address. Made by root in the guest's network namespace.
#[derive(Debug)]
pub struct Sender {
    v4: Socket,
    v6: Socket,
}

impl Sender {
    /// In the calling thread's network namespace.
    ///
    /// # Errors
    /// This process may not (`CAP_NET_RAW`).
    pub fn here() -> io::Result<Self> {
        let raw = |domain| {
            // IPPROTO_RAW: the header is the sender's (raw(7)), and nothing is received.
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        };
        Ok(Self { v4: raw(Domain::IPV4)?, v6: raw(Domain::IPV6)? })
    }

    /// Sends `data`; it is lost where it does not fit, as any datagram may be.
    pub fn send(&self, data: &[u8], from: SocketAddr, to: SocketAddr) {
        let Some(packet) = packet(data, from, to) else { return };
        let (socket, to) = match to.ip() {
            IpAddr::V4(ip) => (&self.v4, SocketAddr::from((ip, 0))),
            IpAddr::V6(ip) => (&self.v6, SocketAddr::from((ip, 0))),
        };
        let _ = socket.send_to(&packet, &to.into());
    }
}

/// The headers' lengths: IPv4 without options (RFC 791), IPv6 (RFC 8200), UDP (RFC 768).
const V4: usize = 20;
const V6: usize = 40;
const UDP: usize = 8;
/// As many machines as a packet may pass.
const HOPS: u8 = 64;

/// The whole packet; `None` for addresses of two kinds, or more data than one holds.
fn packet(data: &[u8], from: SocketAddr, to: SocketAddr) -> Option<Vec<u8>> {
    let length = u16::try_from(UDP + data.len()).ok()?;
    let mut out = Vec::with_capacity(V6 + usize::from(length));
    let udp = libc::IPPROTO_UDP as u8;
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            // The kernel fills in the checksum and the identification (raw(7)).
            out.extend([0x45, 0]);
            out.extend(length.checked_add(V4 as u16)?.to_be_bytes());
            out.extend([0, 0, 0, 0, HOPS, udp, 0, 0]);
            out.extend(from.octets());
            out.extend(to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            out.extend([0x60, 0, 0, 0]);
            out.extend(length.to_be_bytes());
            out.extend([udp, HOPS]);
            out.extend(from.octets());
            out.extend(to.octets());
        }
        _ => return None,
    }
    let header = out.len();
    out.extend(from.port().to_be_bytes());
    out.extend(to.port().to_be_bytes());
    out.extend(length.to_be_bytes());
    out.extend([0, 0]);
    out.extend(data);
    // IPv6 asks for a checksum; over IPv4, 0 says that there is none.
    if header == V6 {
        let sum = checksum(&out[8..], u32::from(length) + u32::from(udp));
        out[header + 6..header + 8].copy_from_slice(&sum.to_be_bytes());
    }
    Some(out)
}

/// The Internet checksum (RFC 1071) of `bytes` and a number more; never 0 (RFC 768).
fn checksum(bytes: &[u8], more: u32) -> u16 {
    let word = |pair: &[u8]| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    let mut sum = bytes.chunks(2).map(word).sum::<u32>() + more;
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match !(sum as u16) {
        0 => u16::MAX,
        sum => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_have_the_lengths_and_the_sum_of_their_standards() {
        let (from, to) = ("127.0.0.1:53".parse().unwrap(), "127.0.0.1:4000".parse().unwrap());
        let v4 = packet(b"abc", from, to).unwrap();
        assert_eq!((v4.len(), &v4[2..4]), (31, &[0, 31][..]));
        assert_eq!(&v4[20..], [0, 53, 0x0f, 0xa0, 0, 11, 0, 0, b'a', b'b', b'c']);
        let (from, to) = ("[::1]:53".parse().unwrap(), "[::1]:4000".parse().unwrap());
        let v6 = packet(b"abc", from, to).unwrap();
        assert_eq!((v6.len(), &v6[4..6]), (51, &[0, 11][..]));
        // The sum over everything with the checksum in it is all ones.
        assert_eq!(checksum(&v6[8..], 11 + 17), u16::MAX);
        assert_eq!(packet(b"", "[::1]:53".parse().unwrap(), "127.0.0.1:1".parse().unwrap()), None);
        assert_eq!(packet(&[0; LONGEST], from, to), None);
    }
}
