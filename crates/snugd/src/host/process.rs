//! A process told from another one that got its number later.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A process: its number and when it started, in clock ticks since boot (field 22 of `/proc/PID/stat`, proc(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started.
    pub start: u64,
}

impl Process {
    /// The process that has the number now.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self { pid, start: start_time(&stat)? })
    }

    /// A descriptor that becomes readable when the process ends; `None` when it has ended.
    ///
    /// # Errors
    /// What the system says, when it cannot tell: no descriptor or memory is left.
    pub fn open(self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            // EINVAL: a thread has the number now (pidfd_open(2)).
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        // Opened first, compared then: what has the number now is what the descriptor holds.
        let stat = match std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // It ended between open and read (ESRCH, proc(5)).
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok((start_time(&stat) == Some(self.start)).then_some(descriptor))
    }
}

fn start_time(stat: &str) -> Option<u64> {
    // The name in parentheses may hold anything, also `) `.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_again_and_another_start_is_another_process() {
        let me = Process::of(std::process::id()).unwrap();
        assert_eq!(Process::of(std::process::id()), Some(me));
        assert!(me.open().unwrap().is_some());
        assert!(Process { start: me.start + 1, ..me }.open().unwrap().is_none());
        assert!(Process { pid: u32::MAX, ..me }.open().unwrap().is_none());
    }

    #[test]
    fn a_strange_name_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        assert_eq!(start_time(stat), Some(4242));
    }
}
