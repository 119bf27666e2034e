//! What passes the bridge between one guest and its host, by a packet socket (packet(7)) on the host. What the guest drops itself is not
//! seen there, what the host's rules for packets of its own or of others drop is: they come later.

use std::io;
use std::mem::size_of;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socket_with};

use super::probe::DOMAIN;

/// Bytes of each packet that are kept: the headers of an ICMP message and of the packet in it, a question.
const KEPT: usize = 128;

/// Packets of IPv4 from one guest to its host and the other way round, of port 53 or ICMP, from the headers of IP on.
#[derive(Debug)]
pub struct Tap(OwnedFd);

impl Tap {
    /// On a bridge of the calling thread's network namespace, for the guest of that address.
    ///
    /// # Errors
    /// There is no such bridge; what the kernel says.
    pub fn on(bridge: &str, guest: Ipv4Addr) -> io::Result<Self> {
        let index = nix::net::if_::if_nametoindex(bridge)
            .map_err(|errno| io::Error::new(io::Error::from(errno).kind(), format!("{bridge}: {errno}")))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Of no protocol, it hears nothing until it is bound.
        let tap = Self(socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, None)?);
        tap.filter(&filter(guest))?;
        tap.bind(libc::c_int::try_from(index).map_err(io::Error::other)?)?;
        Ok(tap)
    }

    /// What has passed since; `None` when it was more than the kernel keeps for a socket, so that something is missing.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn take(&self) -> io::Result<Option<Vec<Vec<u8>>>> {
        // Before they are read: what comes later was not waited for.
        if self.lost()? > 0 {
            return Ok(None);
        }
        let mut packets = Vec::new();
        let mut buffer = [0; KEPT];
        // The smallest takes more of the kernel's buffer than it has bytes: so many there are not, but for a guest that goes on sending.
        while packets.len() < 4096 {
            match retry_on_intr(|| recv(&self.0, &mut buffer, RecvFlags::empty())) {
                Ok((length, _)) => packets.push(buffer[..length.min(KEPT)].to_vec()),
                Err(Errno::AGAIN) => return Ok(Some(packets)),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(None)
    }

    fn filter(&self, program: &[libc::sock_filter]) -> io::Result<()> {
        let program = libc::sock_fprog {
            len: u16::try_from(program.len()).map_err(io::Error::other)?,
            filter: program.as_ptr().cast_mut(),
        };
        let (level, option) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
        let length = size_of::<libc::sock_fprog>() as libc::socklen_t;
        let value = std::ptr::from_ref(&program).cast();
        // SAFETY: the kernel reads the structure and as many instructions as it says, and copies them.
        done(unsafe { libc::setsockopt(self.0.as_raw_fd(), level, option, value, length) })
    }

    fn bind(&self, interface: libc::c_int) -> io::Result<()> {
        // SAFETY: a structure of numbers, for which 0 is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as libc::c_ushort;
        // What the host sends is heard under no other.
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = interface;
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        let value = std::ptr::from_ref(&address).cast();
        // SAFETY: the kernel reads as many bytes as the structure has.
        done(unsafe { libc::bind(self.0.as_raw_fd(), value, length) })
    }

    /// Packets for which there was no room.
    fn lost(&self) -> io::Result<u32> {
        let mut found = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        let (level, option) = (libc::SOL_PACKET, libc::PACKET_STATISTICS);
        let value = std::ptr::from_mut(&mut found).cast();
        // SAFETY: the kernel writes no more than `length` bytes.
        done(unsafe { libc::getsockopt(self.0.as_raw_fd(), level, option, value, &raw mut length) })?;
        Ok(found.tp_drops)
    }
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `PACKET_HOST` of `linux/if_packet.h`: a packet for the host.
const TO_HOST: u32 = 0;
/// `PACKET_OUTGOING`: one of the host.
const BY_HOST: u32 = 4;

/// The kernel's program (`linux/filter.h`), so that other guests' packets do not take the room.
fn filter(guest: Ipv4Addr) -> [libc::sock_filter; 20] {
    const WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
    const BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    // Behind the header of IP, whose length is in its first byte.
    const LENGTH: u32 = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
    const BEHIND: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_IND;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let of_kernel = |what: libc::c_int| (libc::SKF_AD_OFF + what).cast_unsigned();
    let step = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let is = |k: u32, jt: u8, jf: u8| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt,
        jf,
        k,
    };
    let (guest, port) = (u32::from(guest), u32::from(DOMAIN));
    [
        step(HALF, of_kernel(libc::SKF_AD_PROTOCOL)),
        is(libc::ETH_P_IP.cast_unsigned(), 0, 16),
        step(BYTE, of_kernel(libc::SKF_AD_PKTTYPE)),
        is(TO_HOST, 0, 2),
        step(WORD, 12),
        is(guest, 3, 12),
        is(BY_HOST, 0, 11),
        step(WORD, 16),
        is(guest, 0, 9),
        step(BYTE, 9),
        is(libc::IPPROTO_ICMP.cast_unsigned(), 8, 0),
        is(libc::IPPROTO_TCP.cast_unsigned(), 1, 0),
        is(libc::IPPROTO_UDP.cast_unsigned(), 0, 5),
        step(LENGTH, 0),
        step(BEHIND, 0),
        is(port, 3, 0),
        step(BEHIND, 2),
        is(port, 1, 0),
        step(RETURN, 0),
        step(RETURN, KEPT as u32),
    ]
}
