//! Signals as a descriptor, dying of one, stopping oneself.
//!
//! The session waits in one poll(2); signals therefore come over a signalfd(2). Signals that the caller ignores stay
//! ignored (`nohup snug run …`).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::insistence::ENDING;
use crate::startup;

/// What is passed on to the command.
const FORWARDED: [i32; 8] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGTSTP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGCONT,
];
/// The terminal's size has changed: the client's own affair where the command has a terminal.
const OWN: i32 = libc::SIGWINCH;

/// The process' signals as a descriptor.
pub struct Signals {
    fd: OwnedFd,
    before: libc::sigset_t,
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn set_of(signals: impl Iterator<Item = i32>) -> libc::sigset_t {
    // SAFETY: sigemptyset makes the zeroed set a valid one before it is used; the numbers are valid.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

impl Signals {
    /// Blocks the signals that are handled here and opens the descriptor. Threads that are made later inherit the mask.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn block() -> io::Result<Self> {
        let ignored = startup::ignored_signals();
        let handled = FORWARDED.into_iter().chain([OWN]).filter(|signal| ignored & (1 << (signal - 1)) == 0);
        let set = set_of(handled);
        let mut before = set_of(std::iter::empty());
        // SAFETY: both sets live on the stack for the call.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before) };
        // SAFETY: -1 asks for a new descriptor; the set is valid.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor and nobody else has it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, before })
    }

    /// Does something during which signals act as the caller had them, those that have arrived already among them.
    pub fn unblocked<T>(&self, something: impl FnOnce() -> T) -> T {
        let mut blocked = set_of(std::iter::empty());
        // SAFETY: `before` was filled by the kernel, `blocked` lives on the stack for both calls.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, &raw mut blocked) };
        let done = something();
        // SAFETY: the kernel filled the set.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const blocked, std::ptr::null_mut()) };
        done
    }

    /// The next signal that has arrived.
    #[must_use]
    pub fn next(&self) -> Option<i32> {
        let mut bytes = [0; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.fd, &mut bytes) {
            // `ssi_signo` is the first field, 32 bits (signalfd(2)).
            Ok(count) if count == bytes.len() => {
                Some(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).cast_signed())
            }
            _ => None,
        }
    }

    /// The next one of those that end a client; others that have arrived are dropped.
    pub fn next_ending(&self) -> Option<i32> {
        std::iter::from_fn(|| self.next()).find(|signal| ENDING.contains(signal))
    }

    /// Stops the caller's whole job as the terminal's driver would, and returns when this process is continued.
    pub fn stop_job(&self) {
        self.stop_others();
        stop();
    }

    /// Stops the other processes of the caller's job, as the terminal's driver does for a key that was typed. Our own
    /// SIGTSTP stays blocked and is taken back.
    pub fn stop_others(&self) {
        // SAFETY: plain system calls on valid structures.
        unsafe {
            libc::kill(0, libc::SIGTSTP);
            let own = set_of(std::iter::once(libc::SIGTSTP));
            let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            libc::sigtimedwait(&raw const own, std::ptr::null_mut(), &raw const now);
        }
    }
}

/// Stops this process, and returns when it is continued.
pub fn stop() {
    // SAFETY: a plain system call.
    unsafe { libc::raise(libc::SIGSTOP) };
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: `before` was filled by the kernel.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}

/// Sends `signal` to the caller's whole job, as the terminal's driver does for a key that was typed. This process, where
/// it is blocked, dies of it later.
pub fn tell_job(signal: i32) {
    leave_no_core();
    // SAFETY: a plain system call.
    unsafe { libc::kill(0, signal) };
}

fn leave_no_core() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure lives for the call.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
}

/// Dies of `signal` without leaving a core. Returns only where the signal cannot kill.
pub fn die_of(signal: i32) {
    leave_no_core();
    // SAFETY: all arguments are valid for the calls; the process has nothing left to do.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        let set = set_of(std::iter::once(signal));
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        libc::raise(signal);
    }
}
