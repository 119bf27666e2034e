//! The guest's loopback interface, which is down when the hook begins.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};

const INTERFACE: &str = "lo";
/// The second address of an interface is one of an alias (netdevice(7)).
const ALIAS: &str = "lo:snug";

/// Brings it up in the calling thread's network namespace, and gives it `address` besides its own.
///
/// # Errors
/// What the kernel says.
pub fn prepare(address: Ipv4Addr) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let mut lo = request(INTERFACE);
    lo.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    call(&socket, libc::SIOCSIFFLAGS, &lo)?;
    let mut alias = request(ALIAS);
    alias.ifr_ifru.ifru_addr = socket_address(address);
    call(&socket, libc::SIOCSIFADDR, &alias)?;
    alias.ifr_ifru.ifru_netmask = socket_address(Ipv4Addr::BROADCAST);
    call(&socket, libc::SIOCSIFNETMASK, &alias)
}

fn request(interface: &str) -> libc::ifreq {
    // SAFETY: all zeroes are a valid request; the name stays ended by one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let mut out = libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: [0; 14] };
    // `struct sockaddr_in`: two bytes of a port, then the address.
    for (to, from) in out.sa_data[2..].iter_mut().zip(address.octets()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    out
}

fn call(socket: &Socket, request: libc::Ioctl, argument: &libc::ifreq) -> io::Result<()> {
    // SAFETY: these requests read one `ifreq`.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), request, std::ptr::from_ref(argument)) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
