//! Processes: which are the bed's own, and how they are ended.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Result};

/// The variable in the environment of everything that the bed starts, and of what that starts.
pub const MARK: &str = "SNUG_TESTBED";

/// A process, told from a later one with the same id by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub start: u64,
}

impl Process {
    /// The process that has this id now, unless it is a zombie.
    pub fn now(pid: i32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, start) = state_and_start(&stat)?;
        (state != 'Z' && state != 'X').then_some(Process { pid, start })
    }

    /// Whether it still runs.
    pub fn is_alive(self) -> bool {
        Process::now(self.pid) == Some(self)
    }

    /// Its program, `" (deleted)"` removed.
    pub fn program(self) -> Option<PathBuf> {
        let link = fs::read_link(format!("/proc/{}/exe", self.pid)).ok()?;
        let text = link.to_string_lossy().into_owned();
        Some(PathBuf::from(text.strip_suffix(" (deleted)").unwrap_or(&text)))
    }

    /// Its command line, for people.
    pub fn command_line(self) -> String {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned();
        if !text.is_empty() {
            return text;
        }
        fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default().trim().to_owned()
    }

    /// Whether its environment has this variable (with this value, if one is given).
    pub fn has_variable(self, key: &str, value: Option<&str>) -> bool {
        let Ok(environ) = fs::read(format!("/proc/{}/environ", self.pid)) else { return false };
        let start = format!("{key}=");
        environ.split(|byte| *byte == 0).any(|entry| {
            entry
                .strip_prefix(start.as_bytes())
                .is_some_and(|found| value.is_none_or(|wanted| found == wanted.as_bytes()))
        })
    }

    /// Its mount namespace.
    pub fn mount_namespace(self) -> Option<u64> {
        Some(fs::metadata(format!("/proc/{}/ns/mnt", self.pid)).ok()?.ino())
    }

    /// Its cgroup in the unified hierarchy.
    pub fn cgroup(self) -> Option<String> {
        let text = fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).ok()?;
        text.lines().find_map(|line| line.strip_prefix("0::").map(str::to_owned))
    }

    /// The uid it runs as.
    pub fn uid(self) -> Option<u32> {
        Some(fs::metadata(format!("/proc/{}", self.pid)).ok()?.uid())
    }

    /// Opens it, so that a signal cannot reach another process with the same id.
    pub fn open(self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(self.pid)?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
        self.is_alive().then_some(pidfd)
    }

    /// Sends a signal; a process that is gone is no failure.
    pub fn signal(self, signal: Signal) {
        if let Some(pidfd) = self.open() {
            let _ = rustix::process::pidfd_send_signal(pidfd, signal);
        }
    }

    /// Waits for its end; false at the deadline.
    pub fn wait_end(self, patience: Duration) -> bool {
        self.open().is_none_or(|pidfd| wait_readable(&pidfd, Some(Instant::now() + patience)).is_ok())
    }
}

/// Every process there is, kernel threads and zombies excepted.
pub fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(Process::now).filter(|process| process.program().is_some()).collect()
}

/// The processes that the bed started, and what they started.
pub fn marked() -> Vec<Process> {
    all().into_iter().filter(|process| process.has_variable(MARK, None)).collect()
}

/// Ends processes: SIGTERM, `patience`, SIGKILL. Returns what still runs.
pub fn end(processes: &[Process], patience: Duration) -> Vec<Process> {
    for (signal, patience) in [(Signal::TERM, patience), (Signal::KILL, Duration::from_secs(10))] {
        let deadline = Instant::now() + patience;
        let open: Vec<OwnedFd> = processes.iter().filter_map(|process| process.open()).collect();
        for pidfd in &open {
            let _ = rustix::process::pidfd_send_signal(pidfd, signal);
        }
        for pidfd in &open {
            let _ = wait_readable(pidfd, Some(deadline));
        }
    }
    processes.iter().copied().filter(|process| process.is_alive()).collect()
}

/// Waits until a child has ended (it stays to be waited for); false at the deadline.
pub(crate) fn ended_by(pid: Pid, deadline: Instant) -> Result<bool> {
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())
        .doing(|| format!("opening process {}", pid.as_raw_nonzero()))?;
    Ok(wait_readable(&pidfd, Some(deadline)).is_ok())
}

/// Waits until a descriptor has something to read (a pidfd: until the process has ended).
///
/// # Errors
/// `TimedOut` at the deadline.
pub fn wait_readable(fd: &impl AsFd, deadline: Option<Instant>) -> io::Result<()> {
    wait_for(fd, PollFlags::IN, deadline)
}

/// Waits for poll events; errors and hang-ups count as events.
pub(crate) fn wait_for(fd: &impl AsFd, flags: PollFlags, deadline: Option<Instant>) -> io::Result<()> {
    wait_for_any(&[(fd.as_fd(), flags)], deadline)
}

/// Waits until one of the descriptors has its event.
pub(crate) fn wait_for_any(
    events: &[(BorrowedFd<'_>, PollFlags)],
    deadline: Option<Instant>,
) -> io::Result<()> {
    loop {
        let timeout = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
        });
        let mut fds: Vec<PollFd<'_>> =
            events.iter().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn state_and_start(stat: &str) -> Option<(char, u64)> {
    // The name in parentheses may hold anything, parentheses and spaces too.
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// Keeps what this process inherited from those that it starts. A daemon of the bed would else hold, say, the lock of
/// `flock FILE snug-testbed up` for as long as it runs (seen).
pub fn keep_inherited_descriptors() {
    for entry in fs::read_dir("/proc/self/fd").into_iter().flatten().flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if number > 2 {
            // SAFETY: only a flag of the descriptor is changed; one that is closed meanwhile (that of the directory) is
            // refused with EBADF.
            let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
            let _ = rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b) (c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 1 1";
        assert_eq!(state_and_start(stat), Some(('S', 777)));
    }

    #[test]
    fn a_process_knows_itself() {
        let me = Process::now(std::process::id().cast_signed()).unwrap();
        assert!(me.is_alive());
        assert!(!Process { start: me.start + 1, ..me }.is_alive());
        assert!(me.mount_namespace().is_some());
    }

    #[test]
    fn a_process_that_ignores_term_is_killed() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "trap '' TERM; echo ready; while :; do read x; done"])
            .env(MARK, "unit-test")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 6];
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let process = Process::now(child.id().cast_signed()).unwrap();
        assert!(marked().contains(&process));
        let left = end(&[process], Duration::from_millis(50));
        assert!(left.is_empty());
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn what_was_inherited_is_not_passed_on() {
        // dup(2) makes a descriptor that a child would inherit.
        let inherited = rustix::io::dup(io::stdin()).unwrap();
        keep_inherited_descriptors();
        assert!(rustix::io::fcntl_getfd(&inherited).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }
}
