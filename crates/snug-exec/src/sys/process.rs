//! Making processes, changing what they are, replacing their program.

#[cfg(target_arch = "x86_64")]
use std::arch::asm;
use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
#[cfg(target_arch = "x86_64")]
use rustix::mm::{MprotectFlags, mprotect};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};

use super::descriptor;

const READ_WRITE: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

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

/// Leaves everything behind that belonged to the process that started this one.
pub fn belong_to_nobody() {
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
    if let Ok(null) = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        for number in 0..3 {
            let _ = descriptor::place(null.as_fd(), number);
        }
    }
}

/// Goes on as a process that belongs to nobody. The old one shall end; nobody has to wait for the new one.
///
/// # Errors
/// No process can be had.
pub fn go_to_background() -> io::Result<Fork<()>> {
    if let Fork::Parent(between) = fork()? {
        let _ = waitpid(Some(between), WaitOptions::empty());
        return Ok(Fork::Parent(()));
    }
    belong_to_nobody();
    match fork() {
        Ok(Fork::Child) => Ok(Fork::Child),
        _ => exit(0),
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

/// Forks into `cgroup` at once, as [`vfork_into`] does. Where the kernel or a filter refuses, a plain fork.
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
        Fork::Parent(pid) => Ok(Fork::Parent(child_of(pid)?)),
    }
}

/// A child that was made without its pidfd. Where none can be had it must not live: nobody would own it.
fn child_of(pid: Pid) -> io::Result<Child> {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Child { pid, pidfd }),
        Err(errno) => {
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::empty());
            Err(errno.into())
        }
    }
}

/// Memory that a process and its forks share, for what a child has to say: a plain value, without pointers.
pub struct Shared<T: Copy> {
    place: ptr::NonNull<T>,
}

impl<T: Copy> Shared<T> {
    /// A page with `value` in it.
    pub fn new(value: T) -> io::Result<Self> {
        const { assert!(size_of::<T>() <= 4096 && align_of::<T>() <= 4096) };
        // SAFETY: an anonymous mapping at a place of the kernel's choice touches nothing that exists.
        let place = unsafe { mmap_anonymous(ptr::null_mut(), 4096, READ_WRITE, MapFlags::SHARED) }?;
        let place = ptr::NonNull::new(place.cast::<T>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let shared = Self { place };
        shared.set(value);
        Ok(shared)
    }

    /// Leaves a value for the others.
    pub fn set(&self, value: T) {
        // SAFETY: the page is mapped as long as this lives, and aligned for a T. Parent and child take turns, or the value is one
        // byte, of which a reader in another process sees the old or the new one.
        unsafe { self.place.write_volatile(value) };
    }

    /// What was left last.
    pub fn get(&self) -> T {
        // SAFETY: as above; a value has been there since the beginning.
        unsafe { self.place.read_volatile() }
    }
}

impl<T: Copy> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody borrows from it.
        let _ = unsafe { munmap(self.place.as_ptr().cast(), 4096) };
    }
}

/// Starts `work` in a child, in `cgroup` from its first moment on (writing `cgroup.procs` costs 12 ms, this nothing;
/// measured), and returns when the child has become another program or has ended.
///
/// Where that can be had the child borrows this process's memory, as of vfork(2), on a stack of its own: it then copies
/// no page (2.5 µs each, and there were 40). So `work` must leave alone what the parent goes on using, and must not
/// allocate. Where the kernel or a filter refuses, the child has a copy of the memory, or no cgroup.
pub fn vfork_into(cgroup: Option<BorrowedFd<'_>>, work: &mut dyn FnMut() -> Infallible) -> io::Result<Child> {
    let mut pidfd: RawFd = -1;
    // SAFETY: all zeroes are valid arguments.
    let mut arguments: libc::clone_args = unsafe { MaybeUninit::zeroed().assume_init() };
    arguments.flags = (libc::CLONE_PIDFD | libc::CLONE_VFORK) as u64;
    arguments.pidfd = (&raw mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    let pid = borrowing_clone(&arguments, work).or_else(|_| copying_clone(&arguments, work));
    if let Ok(pid) = pid {
        // SAFETY: the call succeeded, so the kernel has put a fresh descriptor there.
        return Ok(Child { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } });
    }
    let flags = libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: a fork again, by the older call, whose further arguments are all nothing.
    let result = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if result == 0 {
        work();
    }
    child_of(to_pid(result)?)
}

fn to_pid(result: libc::c_long) -> io::Result<Pid> {
    let pid = i32::try_from(result).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw);
    pid.ok_or_else(io::Error::last_os_error)
}

fn copying_clone(arguments: &libc::clone_args, work: &mut dyn FnMut() -> Infallible) -> io::Result<Pid> {
    // SAFETY: without CLONE_VM this is a fork; the process has one thread. The kernel writes the pidfd where told.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const *arguments, size_of::<libc::clone_args>()) };
    if result == 0 {
        work();
    }
    to_pid(result)
}

/// The child's stack: what it does is known and shallow. The page below it stays unmapped.
#[cfg(target_arch = "x86_64")]
const STACK: usize = 256 << 10;

#[cfg(target_arch = "x86_64")]
fn borrowing_clone(
    arguments: &libc::clone_args,
    mut work: &mut dyn FnMut() -> Infallible,
) -> io::Result<Pid> {
    const GUARD: usize = 4096;
    extern "C" fn begin(work: *mut &mut dyn FnMut() -> Infallible) -> ! {
        // SAFETY: the pointer is to the caller's variable; the caller waits in the kernel until this child has gone.
        match unsafe { (*work)() } {}
    }
    // SAFETY: an anonymous mapping at a place of the kernel's choice touches nothing that exists.
    let stack = unsafe { mmap_anonymous(ptr::null_mut(), GUARD + STACK, READ_WRITE, MapFlags::PRIVATE) }?;
    // SAFETY: the lowest page of that mapping, which nothing uses.
    unsafe { mprotect(stack, GUARD, MprotectFlags::empty()) }?;
    let mut arguments = *arguments;
    arguments.flags |= libc::CLONE_VM as u64;
    arguments.stack = stack as u64 + GUARD as u64;
    arguments.stack_size = STACK as u64;
    let result: libc::c_long;
    // SAFETY: the parent goes on behind the call with all but the named registers as they were, the kernel having kept
    // them while it waited for the child (CLONE_VFORK). The child has a fresh, aligned stack that nobody else uses; it
    // calls `begin` with a pointer that stays good, as the parent waits, and never returns. All signals are blocked in
    // this process, so no handler runs on what is shared.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") &raw const arguments,
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") begin as extern "C" fn(*mut &mut dyn FnMut() -> Infallible) -> !,
            in("r13") &raw mut work,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    // SAFETY: the child has another program and other memory now, or has ended.
    let _ = unsafe { munmap(stack, GUARD + STACK) };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(i32::try_from(-result).unwrap_or(libc::EINVAL)));
    }
    to_pid(result)
}

/// The call that starts the child on another stack has to be written for each processor.
#[cfg(not(target_arch = "x86_64"))]
fn borrowing_clone(_: &libc::clone_args, _: &mut dyn FnMut() -> Infallible) -> io::Result<Pid> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Ends this process at once, without unwinding what it shares with its parent.
pub fn exit(status: i32) -> ! {
    // SAFETY: always sound.
    unsafe { libc::_exit(status) }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Becomes another user for good. By the kernel's own calls, for this process alone: those of the C library are for all
/// threads of a program, and a child that borrows its parent's memory sees the parent's threads there.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> Result<(), Errno> {
    let check = |result: libc::c_long| match result {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    };
    // SAFETY: the pointer and length belong to one slice.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })
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

/// `RLIMIT_NOFILE` of Linux.
pub const OPEN_FILES: u8 = 7;

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

/// One string as the kernel takes it; what has a NUL inside ends there, as it would have in the caller's own memory.
pub fn c_string(mut value: Vec<u8>) -> CString {
    value.truncate(value.iter().position(|byte| *byte == 0).unwrap_or(value.len()));
    CString::new(value).unwrap_or_default()
}

/// Strings as execve(2) takes them.
pub struct Strings {
    // Keeps alive what `pointers` point at.
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    /// Takes over byte strings.
    pub fn new(values: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let strings: Vec<CString> = values.into_iter().map(c_string).collect();
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        Self { _strings: strings, pointers }
    }

    /// Puts `string`, which must live until the next [`execute`], in the place of the string at `index`.
    pub fn replace(&mut self, index: usize, string: &CStr) {
        // The last one is the end of the list.
        let last = self.pointers.len() - 1;
        if let Some(place) = self.pointers[..last].get_mut(index) {
            *place = string.as_ptr();
        }
    }
}

/// Replaces this process's program; says why not.
pub fn execute(program: &CStr, arguments: &Strings, environment: &Strings) -> Errno {
    // SAFETY: both arrays end with a null pointer and outlive the call.
    unsafe {
        libc::execve(program.as_ptr(), arguments.pointers.as_ptr(), environment.pointers.as_ptr());
    }
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitOptions, waitpid};

    #[test]
    fn what_a_child_leaves_is_there_when_its_start_returns() {
        let shared = Shared::new(1).unwrap();
        let child = vfork_into(None, &mut || {
            shared.set(shared.get() + 1);
            exit(3)
        })
        .unwrap();
        assert_eq!(shared.get(), 2);
        let (_, status) = waitpid(Some(child.pid), WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.exit_status(), Some(3));
    }

    #[test]
    fn a_child_becomes_another_program_with_strings_that_were_replaced() {
        let mut arguments = Strings::new(["sh", "-c", "exit $N"].map(|word| word.as_bytes().to_vec()));
        let mut environment = Strings::new([b"M=1".to_vec(), b"N=1".to_vec()]);
        environment.replace(1, c"N=9");
        environment.replace(2, c"beyond the end");
        arguments.replace(0, c"shell");
        let child = vfork_into(None, &mut || {
            execute(c"/bin/sh", &arguments, &environment);
            exit(125)
        })
        .unwrap();
        let (_, status) = waitpid(Some(child.pid), WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.exit_status(), Some(9));
    }
}
