//! Making processes, changing what they are, replacing their program.

use std::convert::Infallible;
use std::ffi::{CString, c_char};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Which side of a fork this is.
pub enum Fork<Child> {
    /// The new process.
    Child,
    /// The old one, with what it knows of the new.
    Parent(Child),
}

/// fork(2).
pub fn fork() -> io::Result<Fork<Pid>> {
    // SAFETY: the process has one thread, so the child may go on as the parent could.
    match unsafe { libc::fork() } {
        0 => Ok(Fork::Child),
        pid => Pid::from_raw(pid.max(0)).map(Fork::Parent).ok_or_else(io::Error::last_os_error),
    }
}

/// A child and a descriptor of it.
pub struct Child {
    /// Its number.
    pub pid: Pid,
    /// Names it for good, also when its number is used again.
    pub pidfd: OwnedFd,
}

/// linux/sched.h; libc's own constant overflows its type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks into `cgroup` at once: writing `cgroup.procs` costs 12 ms, this nothing (measured). Where the kernel or a
/// filter refuses, a plain fork.
pub fn fork_into(cgroup: Option<BorrowedFd<'_>>) -> io::Result<Fork<Child>> {
    let mut pidfd: RawFd = -1;
    // SAFETY: all zeroes are valid arguments.
    let mut arguments: libc::clone_args = unsafe { MaybeUninit::zeroed().assume_init() };
    arguments.flags = libc::CLONE_PIDFD as u64;
    arguments.pidfd = (&raw mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM this is a fork; the process has one thread. The kernel writes the pidfd where told.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>()) };
    if result == 0 {
        return Ok(Fork::Child);
    }
    if let Some(pid) = i32::try_from(result).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw) {
        // SAFETY: the call succeeded, so the kernel has put a fresh descriptor there.
        return Ok(Fork::Parent(Child { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }));
    }
    match fork()? {
        Fork::Child => Ok(Fork::Child),
        Fork::Parent(pid) => Ok(Fork::Parent(Child { pid, pidfd: pidfd_open(pid, PidfdFlags::empty())? })),
    }
}

/// Ends this process at once, without unwinding what it shares with its parent.
pub fn exit(status: i32) -> ! {
    // SAFETY: always sound.
    unsafe { libc::_exit(status) }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Becomes another user for good.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: the pointer and length belong to one slice; the process has one thread.
    check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
    // SAFETY: plain numbers.
    check(unsafe { libc::setresgid(gid, gid, gid) })?;
    // SAFETY: plain numbers.
    check(unsafe { libc::setresuid(uid, uid, uid) })
}

/// Does `work` on files with the rights of another user, then is root again.
pub fn as_user<T>(uid: u32, gid: u32, work: impl FnOnce() -> T) -> T {
    // SAFETY: setfsuid and setfsgid take plain numbers and report no errors. The kernel drops the capabilities that
    // override file permissions with the change away from 0, and gives them back with the change to it.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
    }
    let result = work();
    // SAFETY: as above.
    unsafe {
        libc::setfsuid(0);
        libc::setfsgid(0);
    }
    result
}

/// Reads one resource limit: soft, hard.
pub fn limit(resource: u8) -> Option<(u64, u64)> {
    let mut limit = MaybeUninit::<libc::rlimit64>::uninit();
    // SAFETY: the kernel fills the structure or refuses the number.
    let result = unsafe { libc::prlimit64(0, resource.into(), ptr::null(), limit.as_mut_ptr()) };
    // SAFETY: filled, since the call succeeded.
    (result == 0).then(|| unsafe { limit.assume_init() }).map(|limit| (limit.rlim_cur, limit.rlim_max))
}

/// Sets one resource limit.
pub fn set_limit(resource: u8, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: a valid structure; unknown numbers are refused.
    check(unsafe { libc::prlimit64(0, resource.into(), &raw const limit, ptr::null_mut()) })
}

/// Strings as execve(2) takes them.
pub struct Strings {
    // Keeps alive what `pointers` point at.
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    /// Takes over byte strings; one with a NUL inside ends there, as it would have in the caller's own memory.
    pub fn new(values: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let strings: Vec<CString> = values
            .into_iter()
            .map(|mut value| {
                value.truncate(value.iter().position(|byte| *byte == 0).unwrap_or(value.len()));
                CString::new(value).unwrap_or_default()
            })
            .collect();
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        Self { _strings: strings, pointers }
    }
}

/// Replaces this process's program; returns only when that failed.
pub fn execute(program: &[u8], arguments: &Strings, environment: &Strings) -> io::Result<Infallible> {
    let program = CString::new(program).map_err(|_| io::Error::from_raw_os_error(libc::ENOENT))?;
    // SAFETY: both arrays end with a null pointer and outlive the call.
    unsafe {
        libc::execve(program.as_ptr(), arguments.pointers.as_ptr(), environment.pointers.as_ptr());
    }
    Err(io::Error::last_os_error())
}
