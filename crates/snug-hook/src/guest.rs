//! A guest, by its process 1.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A guest. As a descriptor: readable when it has ended.
#[derive(Debug)]
pub struct Guest {
    pid: Pid,
    process: OwnedFd,
    network: OwnedFd,
}

impl Guest {
    /// Of the process `pid`.
    ///
    /// # Errors
    /// It has ended already.
    pub fn open(pid: u32) -> io::Result<Self> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let number = number.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let process = pidfd_open(number, PidfdFlags::empty())?;
        let network = File::open(format!("/proc/{pid}/ns/net"))?.into();
        let guest = Self { pid: number, process, network };
        // Else the number may be another process' by now.
        if guest.has_ended(Duration::ZERO)? { Err(io::ErrorKind::NotFound.into()) } else { Ok(guest) }
    }

    /// The number of its process 1.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Its network namespace.
    #[must_use]
    pub fn network(&self) -> &OwnedFd {
        &self.network
    }

    /// What the kernel tells of its network (`/proc/PID/net`).
    #[must_use]
    pub fn network_directory(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/net", self.pid()))
    }

    /// Whether it ends within that time.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn has_ended(&self, patience: Duration) -> io::Result<bool> {
        let mut wait = [PollFd::new(&self.process, PollFlags::IN)];
        let patience = Timespec::try_from(patience).ok();
        let polled = retry_on_intr(|| poll(&mut wait, patience.as_ref()));
        Ok(polled? > 0)
    }

    /// Does something in its network namespace.
    ///
    /// # Errors
    /// What the kernel says, or `work`.
    pub fn inside<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let home = File::open("/proc/thread-self/ns/net")?;
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(self.network.as_fd(), kind)?;
        let done = work();
        move_into_link_name_space(home.as_fd(), kind)?;
        done
    }
}

impl AsFd for Guest {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }
}
