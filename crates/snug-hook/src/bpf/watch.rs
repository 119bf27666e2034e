//! Tells when a port may have been opened or closed on this machine, in whatever network namespace. No clock looks for it: the kernel
//! writes into a ring when a TCP socket begins or ends to listen, and when a UDP socket is bound or such a one is closed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::code::{Code, Helper, Label, Register, Size};
use super::steer::{Steering, flags_of_port};
use super::{Kind, MapKind, attach, attach_to_tracepoint, create_map, load, update};

/// UDP sockets that were bound, whose end is told; of more, the oldest is forgotten.
const BOUND: u32 = 8192;
/// `TCP_LISTEN` (`net/tcp_states.h`).
const LISTEN: i32 = 10;
/// `SOCK_DGRAM`.
const DATAGRAM: i32 = 2;
/// A cgroup's program lets the call go on.
const GO_ON: i32 = 1;

/// Offsets in `struct bpf_sock`.
mod socket {
    pub const TYPE: i16 = 8;
    /// In the host's byte order; to be read after bind(2) alone.
    pub const PORT: i16 = 44;
}

/// What the kernel tells with, and how far that was taken.
#[derive(Debug)]
pub struct Watch {
    consumer: Page,
    producer: Page,
    bound: OwnedFd,
    _links: Vec<OwnedFd>,
}

impl Watch {
    /// Begins. Answers what is readable when a port may have changed, too. A port that is bound in the network namespace with this cookie
    /// (`SO_NETNS_COOKIE`) is not steered any more at once: a program that has just begun to serve is not asked past. Root's; the
    /// descriptor works for whoever this process becomes.
    ///
    /// # Errors
    /// What the kernel says: it has no BPF, or this process may not.
    pub fn begin(guest: Option<(u64, &Steering)>) -> io::Result<(Self, OwnedFd)> {
        let page = rustix::param::page_size();
        // Whole pages of data; one is many events.
        let ring = create_map(MapKind::Ring, 0, 0, u32::try_from(page).map_err(io::Error::other)?, 0)?;
        let bound = create_map(MapKind::LruHash, 8, 8, BOUND, 0)?;
        let (ring_number, bound_number) = (ring.as_raw_fd(), bound.as_raw_fd());
        let cgroup = root_cgroup()?;
        let mut links = Vec::new();
        let listening = load(Kind::RawTracepoint, &listening(ring_number))?;
        links.push(attach_to_tracepoint(c"inet_sock_set_state", &listening)?);
        let flags = guest.map(|(cookie, steering)| (cookie, steering.map().as_raw_fd()));
        for kind in [Kind::PostBind4, Kind::PostBind6] {
            let program = load(kind, &socket_bound(ring_number, bound_number, flags))?;
            links.push(attach(kind, &program, cgroup.as_fd())?);
        }
        let program = load(Kind::SocketRelease, &datagram_closed(ring_number, bound_number))?;
        links.push(attach(Kind::SocketRelease, &program, cgroup.as_fd())?);
        let consumer = Page::map(&ring, ProtFlags::READ | ProtFlags::WRITE, 0)?;
        let producer = Page::map(&ring, ProtFlags::READ, page as u64)?;
        Ok((Self { consumer, producer, bound, _links: links }, ring))
    }

    /// Has the end of a UDP socket told that was bound before, by its cookie. Root's.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remember(&self, cookie: u64) -> io::Result<()> {
        update(&self.bound, &cookie, &0u64)
    }

    /// Takes what has been told: the next event is told again.
    pub fn take(&self) {
        // The records say nothing; the kernel tells of the next one when all before were taken.
        let written = self.producer.position().load(Ordering::Acquire);
        self.consumer.position().store(written, Ordering::Release);
    }
}

/// The root of the cgroup v2 hierarchy, in which all processes are, where it is mounted. It is not mounted anew for this: that would
/// change the options of the one that there is (`cgroup_get_tree`: `nsdelegate` would be gone for all).
fn root_cgroup() -> io::Result<OwnedFd> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let path = mounts.lines().find_map(cgroup_mount);
    let path = path.ok_or_else(|| io::Error::other("no cgroup v2 hierarchy is mounted"))?;
    Ok(std::fs::File::open(path)?.into())
}

/// The mount point, if a line of mountinfo (proc(5)) is of a whole hierarchy.
fn cgroup_mount(line: &str) -> Option<&str> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut words = mount.split(' ').skip(3);
    let (root, point) = (words.next()?, words.next()?);
    (root == "/" && kind.starts_with("cgroup2 ")).then_some(point)
}

/// `ring <- 8 bytes`; uses the stack's last eight.
fn tell(code: &mut Code, ring: i32) {
    code.store_value(Size::Double, Register::R10, -8, 0);
    code.set_map(Register::R1, ring);
    code.set_stack(Register::R2, -8);
    code.set_value(Register::R3, 8);
    code.set_value(Register::R4, 0);
    code.call(Helper::RingOutput);
}

/// `inet_sock_set_state(sk, old, new)`: from or to listening.
fn listening(ring: i32) -> Vec<u64> {
    let mut code = Code::default();
    let (told, end) = (code.label(), code.label());
    code.load(Size::Double, Register::R2, Register::R1, 8);
    code.load(Size::Double, Register::R3, Register::R1, 16);
    code.jump_if(Register::R2, LISTEN, told);
    code.jump_unless(Register::R3, LISTEN, end);
    code.here(told);
    tell(&mut code, ring);
    code.here(end);
    code.exit(0);
    code.finish()
}

/// The socket's cookie on the stack at -16; R6 is the context.
fn cookie(code: &mut Code) {
    code.set(Register::R1, Register::R6);
    code.call(Helper::SocketCookie);
    code.store(Size::Double, Register::R10, -16, Register::R0);
}

/// To `end` for what is no datagram socket; R6 is the context.
fn only_datagrams(code: &mut Code, end: Label) {
    code.load(Size::Word, Register::R2, Register::R6, socket::TYPE);
    code.jump_unless(Register::R2, DATAGRAM, end);
}

/// `flags`: the guest's cookie, and the map of its steered ports.
fn socket_bound(ring: i32, bound: i32, flags: Option<(u64, i32)>) -> Vec<u64> {
    use Register::{R0, R1, R2, R3, R4, R6, R10};
    let mut code = Code::default();
    let (tell_it, end) = (code.label(), code.label());
    code.set(R6, R1);
    if let Some((guest, map)) = flags {
        code.call(Helper::NamespaceCookie);
        code.set_wide(R2, guest);
        code.jump_unless_same(R0, R2, tell_it);
        flags_of_port(&mut code, map, socket::PORT, tell_it);
        code.store_value(Size::Byte, R0, 0, 0);
    }
    code.here(tell_it);
    only_datagrams(&mut code, end);
    cookie(&mut code);
    code.store_value(Size::Double, R10, -8, 0);
    code.set_map(R1, bound);
    code.set_stack(R2, -16);
    code.set_stack(R3, -8);
    code.set_value(R4, 0);
    code.call(Helper::MapUpdate);
    tell(&mut code, ring);
    code.here(end);
    code.exit(GO_ON);
    code.finish()
}

fn datagram_closed(ring: i32, bound: i32) -> Vec<u64> {
    let mut code = Code::default();
    let end = code.label();
    code.set(Register::R6, Register::R1);
    only_datagrams(&mut code, end);
    cookie(&mut code);
    code.set_map(Register::R1, bound);
    code.set_stack(Register::R2, -16);
    code.call(Helper::MapDelete);
    // Sockets that took a port by sending are none of those, and come and go with each name that is looked up.
    code.jump_unless(Register::R0, 0, end);
    tell(&mut code, ring);
    code.here(end);
    code.exit(GO_ON);
    code.finish()
}

/// One page of the ring's, with a position at its begin (`kernel/bpf/ringbuf.c`).
#[derive(Debug)]
struct Page(NonNull<AtomicU64>);

// SAFETY: the page is shared memory that is only used by atomic operations.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    fn map(ring: &OwnedFd, protection: ProtFlags, offset: u64) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let at = unsafe {
            mmap(
                std::ptr::null_mut(),
                rustix::param::page_size(),
                protection,
                MapFlags::SHARED,
                ring,
                offset,
            )?
        };
        NonNull::new(at.cast()).map(Self).ok_or_else(|| io::Error::other("mapped at zero"))
    }

    fn position(&self) -> &AtomicU64 {
        // SAFETY: mapped as long as this value lives, aligned as pages are.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: mapped by us in this size, and nobody has a reference any more.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), rustix::param::page_size()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_hierarchy_is_told_from_a_part_of_one() {
        for (line, wanted) in [
            (
                "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate",
                Some("/sys/fs/cgroup"),
            ),
            ("30 23 0:26 /part /mnt rw - cgroup2 cgroup2 rw", None),
            ("30 23 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids", None),
            ("", None),
        ] {
            assert_eq!(cgroup_mount(line), wanted, "{line}");
        }
    }
}
