//! Leads what a guest sends to its own loopback, for ports on which the host listens and the guest does not, to sockets of this
//! program. Nothing is bound to those ports in the guest: a program of its own can take each at any moment.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::code::{Code, Helper, Label, Register, Size};
use super::{Kind, MapKind, attach, create_map, load, update};

/// What is led where: the index of its socket, and the bit of its flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Way {
    /// TCP over IPv4.
    Tcp4 = 0,
    /// TCP over IPv6.
    Tcp6 = 1,
    /// UDP over IPv4.
    Udp4 = 2,
    /// UDP over IPv6.
    Udp6 = 3,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tcp4, Self::Tcp6, Self::Udp4, Self::Udp6];

    /// Its bit in the flags of a port.
    #[must_use]
    pub fn flag(self) -> u8 {
        1 << self as u8
    }
}

const PORTS: usize = 1 << 16;
/// The memory of an array can be mapped (`BPF_F_MMAPABLE`).
const MAPPABLE: u32 = 1 << 10;
/// The loopback's number in each network namespace.
const LOOPBACK: i32 = 1;

/// Offsets in `struct bpf_sk_lookup`; the ifindex is there since Linux 5.17.
mod context {
    pub const FAMILY: i16 = 8;
    pub const PROTOCOL: i16 = 12;
    pub const LOCAL_IP4: i16 = 40;
    pub const LOCAL_IP6: i16 = 44;
    pub const LOCAL_PORT: i16 = 60;
    pub const INTERFACE: i16 = 64;
}

/// The sockets that get what is steered, by [`Way`]: TCP ones listen, UDP ones are bound.
#[derive(Debug, Clone, Copy)]
pub struct Sockets<'a>(pub [Option<BorrowedFd<'a>>; 4]);

/// The flags of all ports.
#[derive(Debug)]
pub struct Steering {
    flags: NonNull<AtomicU8>,
    map: OwnedFd,
    _link: OwnedFd,
}

// SAFETY: shared memory that is only used by atomic operations.
unsafe impl Send for Steering {}
// SAFETY: as above.
unsafe impl Sync for Steering {}

impl Steering {
    /// Begins in the network namespace, with no port. What goes to port 53 of `resolver` is steered at once, over IPv4.
    ///
    /// # Errors
    /// What the kernel says: it has no BPF, another program is there already, or this process may not.
    pub fn begin(namespace: BorrowedFd<'_>, sockets: Sockets<'_>, resolver: Ipv4Addr) -> io::Result<Self> {
        let array = create_map(MapKind::Array, 4, PORTS as u32, 1, MAPPABLE)?;
        let map = create_map(MapKind::Sockets, 4, 8, 4, 0)?;
        // What goes a way without a socket is looked up as ever.
        for (way, socket) in
            Way::ALL.into_iter().zip(sockets.0).filter_map(|(way, socket)| Some((way, socket?)))
        {
            update(&map, &u32::from(way as u8), &u64::from(socket.as_raw_fd().cast_unsigned()))?;
        }
        let program = load(Kind::SocketLookup, &steer(array.as_raw_fd(), map.as_raw_fd(), resolver))?;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let at = unsafe {
            mmap(
                std::ptr::null_mut(),
                PORTS,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                array.as_fd(),
                0,
            )?
        };
        let flags = NonNull::new(at.cast()).ok_or_else(|| io::Error::other("mapped at zero"))?;
        Ok(Self { flags, map: array, _link: attach(Kind::SocketLookup, &program, namespace)? })
    }

    /// The map of the flags: one value, a byte for each port.
    pub(super) fn map(&self) -> &OwnedFd {
        &self.map
    }

    /// Sets the flags of a port ([`Way::flag`]).
    pub fn set(&self, port: u16, flags: u8) {
        // SAFETY: one byte for each port is mapped as long as this value lives.
        unsafe { self.flags.add(port.into()).as_ref() }.store(flags, Ordering::Relaxed);
    }
}

impl Drop for Steering {
    fn drop(&mut self) {
        // SAFETY: mapped by us in this size, and nobody has a reference any more.
        let _ = unsafe { munmap(self.flags.as_ptr().cast(), PORTS) };
    }
}

/// `R0 = &flags[port]`, where the port is in the context (R6) at `offset`; to `without` if there are no flags, which cannot be. Uses
/// R1, R2 and the stack's last four bytes.
pub(super) fn flags_of_port(code: &mut Code, flags: i32, offset: i16, without: Label) {
    use Register::{R0, R1, R2, R6, R10};
    code.store_value(Size::Word, R10, -4, 0);
    code.set_map(R1, flags);
    code.set_stack(R2, -4);
    code.call(Helper::MapLookup);
    code.jump_if_null(R0, without);
    code.load(Size::Word, R1, R6, offset);
    code.and_value(R1, 0xffff);
    code.add(R0, R1);
}

/// The program. Ends with `SK_PASS` always: what is not assigned is looked up as ever.
fn steer(flags: i32, sockets: i32, resolver: Ipv4Addr) -> Vec<u64> {
    use Register::{R0, R1, R2, R3, R6, R7, R10};
    const PASS: i32 = 1;
    let mut code = Code::default();
    let [pass, way, v4, loopback, assign] = std::array::from_fn(|_| code.label());
    code.set(R6, R1);
    // R7 becomes the way.
    code.load(Size::Word, R2, R6, context::PROTOCOL);
    code.set_value(R7, Way::Tcp4 as i32);
    code.jump_if(R2, libc::IPPROTO_TCP, way);
    code.set_value(R7, Way::Udp4 as i32);
    code.jump_unless(R2, libc::IPPROTO_UDP, pass);
    code.here(way);
    code.load(Size::Word, R2, R6, context::FAMILY);
    code.jump_if(R2, libc::AF_INET, v4);
    code.jump_unless(R2, libc::AF_INET6, pass);
    code.add_value(R7, 1);
    // ::1
    for (word, value) in [0, 0, 0, 1i32.to_be()].into_iter().enumerate() {
        code.load(Size::Word, R2, R6, context::LOCAL_IP6 + 4 * word as i16);
        code.jump_unless(R2, value, pass);
    }
    code.jump_if(R2, 1i32.to_be(), loopback);
    code.here(v4);
    code.load(Size::Word, R1, R6, context::LOCAL_PORT);
    code.load(Size::Word, R2, R6, context::LOCAL_IP4);
    let not_resolver = code.label();
    code.jump_unless(R2, i32::from_ne_bytes(resolver.octets()), not_resolver);
    code.jump_if(R1, 53, assign);
    code.here(not_resolver);
    // 127.0.0.0/8
    code.and_value(R2, i32::from_ne_bytes([0xff, 0, 0, 0]));
    code.jump_unless(R2, i32::from_ne_bytes([127, 0, 0, 0]), pass);
    code.here(loopback);
    code.load(Size::Word, R2, R6, context::INTERFACE);
    code.jump_unless(R2, LOOPBACK, pass);
    flags_of_port(&mut code, flags, context::LOCAL_PORT, pass);
    code.load(Size::Byte, R2, R0, 0);
    code.set_value(R1, 1);
    code.shift_left(R1, R7);
    code.and(R2, R1);
    code.jump_if(R2, 0, pass);
    code.here(assign);
    code.store(Size::Word, R10, -4, R7);
    code.set_map(R1, sockets);
    code.set_stack(R2, -4);
    code.call(Helper::MapLookup);
    code.jump_if_null(R0, pass);
    code.set(R7, R0);
    code.set(R1, R6);
    code.set(R2, R0);
    code.set_value(R3, 0);
    code.call(Helper::SocketAssign);
    code.set(R1, R7);
    code.call(Helper::SocketRelease);
    code.here(pass);
    code.exit(PASS);
    code.finish()
}
