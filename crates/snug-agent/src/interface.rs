//! Network interfaces, by the ioctls that every kernel has.

use std::io;
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

fn socket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}

fn request(interface: &str) -> io::Result<libc::ifreq> {
    // SAFETY: all zeroes are a valid request.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    if interface.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(request)
}

fn address(address: Ipv4Addr) -> libc::sockaddr {
    let internet = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from(address).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: both are 16 bytes of plain data, one a view of the other by definition.
    unsafe { std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(internet) }
}

fn call<T>(request: libc::Ioctl, argument: &mut T) -> io::Result<()> {
    let socket = socket()?;
    // SAFETY: the callers pair each request with its argument's type.
    if unsafe { libc::ioctl(socket.as_raw_fd(), request, std::ptr::from_mut(argument)) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Brings an interface up; one that is up is left alone (the host's own may not be touched).
pub fn bring_up(interface: &str) -> io::Result<()> {
    let mut request = request(interface)?;
    call(libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: the kernel has filled the flags.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    if flags & libc::IFF_UP as libc::c_short != 0 {
        return Ok(());
    }
    request.ifr_ifru.ifru_flags = flags | libc::IFF_UP as libc::c_short;
    call(libc::SIOCSIFFLAGS, &mut request)
}

/// Sets an interface's address and prefix.
pub fn set_address(interface: &str, host: Ipv4Addr, prefix: u8) -> io::Result<()> {
    let mut request = request(interface)?;
    request.ifr_ifru.ifru_addr = address(host);
    call(libc::SIOCSIFADDR, &mut request)?;
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
    request.ifr_ifru.ifru_netmask = address(Ipv4Addr::from(mask));
    call(libc::SIOCSIFNETMASK, &mut request)
}

/// Adds the default route; one that is there already is left alone.
pub fn add_default_route(gateway: Ipv4Addr) -> io::Result<()> {
    // SAFETY: all zeroes are a valid route.
    let mut route: libc::rtentry = unsafe { MaybeUninit::zeroed().assume_init() };
    route.rt_dst = address(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = address(Ipv4Addr::UNSPECIFIED);
    route.rt_gateway = address(gateway);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    match call(libc::SIOCADDRT, &mut route) {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        other => other,
    }
}
