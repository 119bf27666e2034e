//! Descriptors that become readable, for the executor.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the executor.
///
/// # Errors
/// What the system says.
pub fn register(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` gives the same open descriptor until it is dropped, which the `AsyncFd` owns it for.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    registered.map_err(|error| error.into_parts().1)
}

/// Waits for events of an inotify(7) descriptor, and takes as many as fit; what is left is readable again.
///
/// # Errors
/// What the system says.
pub async fn drain(watch: &AsyncFd<OwnedFd>) -> io::Result<()> {
    loop {
        let mut ready = watch.readable().await?;
        let mut buffer = [0; 4096];
        match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut buffer)?)) {
            Ok(read) => return read.map(|_| ()),
            Err(_would_block) => {}
        }
    }
}
