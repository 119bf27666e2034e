//! The socket at which clients arrive.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

/// A listener that is never stuck with a client for whom no descriptor is left.
pub struct Door {
    listener: OwnedFd,
    /// Given up to accept, and turn away, one more client when descriptors run out.
    reserve: Option<OwnedFd>,
}

impl Door {
    /// Around a listening socket.
    pub fn new(listener: OwnedFd) -> Self {
        Self { listener, reserve: reserve() }
    }

    /// A copy of the socket, for a process that is to accept too.
    pub fn listener(&self) -> io::Result<OwnedFd> {
        self.listener.try_clone()
    }

    /// The next client, blocking, for the relays; whoever talks to a client says so with each call. `None` when there is
    /// none, or none could be taken in: then it is turned away, else the socket would stay readable for ever.
    pub fn accept(&mut self) -> Option<OwnedFd> {
        match accept_with(&self.listener, SocketFlags::CLOEXEC) {
            Ok(client) => Some(client),
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                drop(self.reserve.take());
                drop(accept_with(&self.listener, SocketFlags::CLOEXEC));
                self.reserve = reserve();
                None
            }
            Err(_) => None,
        }
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

fn reserve() -> Option<OwnedFd> {
    open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}
