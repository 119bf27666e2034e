//! Who is at the other end of a socket.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The peer's uid when it connected, as this user namespace numbers it.
///
/// Not by `rustix::net::sockopt::socket_peercred`: a peer of another PID namespace has the number 0 here, which its
/// result type cannot hold and shows as an error (1.1.6).
pub fn uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut credentials = MaybeUninit::<libc::ucred>::uninit();
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).unwrap_or(0);
    // SAFETY: the buffer is as long as `length` says.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            credentials.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has filled the structure.
    Ok(unsafe { credentials.assume_init() }.uid)
}
