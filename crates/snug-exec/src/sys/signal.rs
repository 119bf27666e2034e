//! Signal masks, dispositions and the descriptor that signals are read from.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::process::Signal;

/// Highest signal number of Linux.
pub const LAST: i32 = 64;

/// A signal of the standard, or of the real-time range, by its number as the kernel counts.
pub fn from_number(number: u8) -> Option<Signal> {
    if number == 0 || i32::from(number) > LAST {
        return None;
    }
    // SAFETY: the number is within the kernel's range; sending one that libc reserves for threads harms nobody here.
    Some(unsafe { Signal::from_raw_unchecked(number.into()) })
}

fn full_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set and cannot fail on a valid pointer.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set; sigaddset refuses numbers out of range.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

/// Blocks every signal: from now on they are only read by [`Signals`].
pub fn block_all() {
    let set = full_set();
    // SAFETY: both pointers are valid or null.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) };
}

/// Unblocks every signal.
pub fn unblock_all() {
    block_only(&[]);
}

/// Blocks `signals` and no other. What is blocked and pending stays so over an exec (signal(7)).
pub fn block_only(signals: &[i32]) {
    let set = set_of(signals);
    // SAFETY: both pointers are valid or null.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) };
}

/// `struct sigaction` of the kernel, less the mask that nothing here needs.
#[repr(C)]
struct KernelAction {
    handler: libc::sighandler_t,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

fn set_disposition(signal: i32, handler: libc::sighandler_t) {
    let action = KernelAction { handler, flags: 0, restorer: 0, mask: 0 };
    // SAFETY: the structure has the kernel's layout; SIG_DFL and SIG_IGN run no code of ours. KILL and STOP are
    // refused. libc's own function would also refuse 32 and 33, which a caller may have left ignored.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            &raw const action,
            ptr::null_mut::<KernelAction>(),
            8_usize,
        );
    }
}

/// Leaves dead children to the kernel: nobody waits for them.
pub fn ignore_children() {
    set_disposition(libc::SIGCHLD, libc::SIG_IGN);
}

/// Makes children waitable again after [`ignore_children`] of the parent.
pub fn expect_children() {
    set_disposition(libc::SIGCHLD, libc::SIG_DFL);
}

/// Every signal as a fresh program expects it, but those of `ignored` (bit n-1 for signal n) ignored. The mask stays.
pub fn reset_dispositions(ignored: u64) {
    for signal in 1..=LAST {
        let ignore = ignored & (1 << (signal - 1)) != 0;
        set_disposition(signal, if ignore { libc::SIG_IGN } else { libc::SIG_DFL });
    }
}

/// Blocked signals, readable.
pub struct Signals(OwnedFd);

impl Signals {
    /// A descriptor that becomes readable when one of `signals` (which must be blocked) is pending.
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        let set = set_of(signals);
        // SAFETY: a valid set; the result is checked before it is owned.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next pending signal's number, without waiting.
    pub fn next(&self) -> Option<i32> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the buffer is exactly as large as one record, and the kernel writes whole records only.
        let count = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) };
        if usize::try_from(count) != Ok(size) {
            return None;
        }
        // SAFETY: a whole record was written.
        i32::try_from(unsafe { info.assume_init() }.ssi_signo).ok()
    }
}

impl std::os::fd::AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits for one of `signals`, all of which must be blocked.
pub fn wait_for(signals: &[i32]) -> i32 {
    let set = set_of(signals);
    loop {
        // SAFETY: a valid set, and no details are asked for.
        let signal = unsafe { libc::sigwaitinfo(&raw const set, ptr::null_mut()) };
        if signal > 0 {
            return signal;
        }
    }
}
