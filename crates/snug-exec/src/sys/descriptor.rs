//! Descriptors by number.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Makes `number` a copy of `source` that stays open over an exec.
pub fn place(source: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: `number` is a slot that the caller gives up; whatever was there is closed by the kernel.
    if unsafe { libc::dup3(source.as_raw_fd(), number, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Closes `number`.
pub fn close(number: RawFd) {
    // SAFETY: only called for slots that no owned descriptor of this process stands for any more.
    unsafe { libc::close(number) };
}

/// Marks every descriptor from `first` on as closed over an exec.
pub fn close_on_exec_from(first: RawFd) {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC);
}

/// Keeps `kept` under the numbers from 3 on, in that order, and closes everything after them: a forked process holds
/// nothing that belongs to its siblings.
///
/// What the caller owned before must be forgotten, not dropped.
pub fn keep_only<const N: usize>(kept: [RawFd; N]) -> io::Result<[OwnedFd; N]> {
    const HIGH: RawFd = 3;
    let first_free = HIGH + i32::try_from(N).unwrap_or(0);
    let mut moved = [0; N];
    for (slot, fd) in moved.iter_mut().zip(kept) {
        // SAFETY: duplicates a descriptor that the caller holds.
        *slot = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, first_free) };
        if *slot < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    for (number, fd) in (HIGH..).zip(moved) {
        // SAFETY: every slot from 3 on is given up by the caller.
        if unsafe { libc::dup3(fd, number, libc::O_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    close_range(first_free, 0);
    let mut number = HIGH;
    Ok([(); N].map(|()| {
        // SAFETY: just placed there, and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        number += 1;
        fd
    }))
}

/// The first socket that systemd hands over to this process (`sd_listen_fds(3)`), if it does.
#[must_use]
pub fn handed_over_by_systemd() -> Option<OwnedFd> {
    /// `SD_LISTEN_FDS_START`
    const FIRST: RawFd = 3;
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) || number("LISTEN_FDS").unwrap_or(0) == 0 {
        return None;
    }
    // SAFETY: the protocol gives it to this process, which takes it once, at its start.
    if unsafe { libc::fcntl(FIRST, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return None;
    }
    // SAFETY: as above, and it is open.
    Some(unsafe { OwnedFd::from_raw_fd(FIRST) })
}

fn close_range(first: RawFd, flags: libc::c_uint) {
    // SAFETY: the callers give up the range, or only mark it.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, first.cast_unsigned(), libc::c_uint::MAX, flags) };
    if result == 0 {
        return;
    }
    // Kernels before 5.9 (5.11 for the flag).
    let last = super::process::limit(super::process::OPEN_FILES).map_or(1024, |(soft, _)| soft.min(1 << 16));
    for number in first..i32::try_from(last).unwrap_or(1024) {
        if flags == 0 {
            close(number);
        } else {
            // SAFETY: sets a flag, or fails on a slot that is not open.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}
