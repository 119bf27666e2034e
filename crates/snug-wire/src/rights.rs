//! Bytes together with file descriptors (`SCM_RIGHTS` of unix(7)).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// As many go in one call (`SCM_MAX_FD` of `include/net/scm.h`).
pub const MOST: usize = 253;

/// Sends as many bytes as can be sent without waiting, the descriptors with the first of them. How many bytes it was.
///
/// # Errors
/// `EINVAL`: more than [`MOST`] descriptors. Else what sendmsg(2) says, `EAGAIN` among it.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::<u8>::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    retry_on_intr(|| sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags))
}

/// Receives what has come. How many bytes it was, 0 at the end of the connection, and the descriptors that came with them.
///
/// # Errors
/// What recvmsg(2) says.
pub fn receive(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    flags: RecvFlags,
) -> Result<(usize, Vec<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::<u8>::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let mut slices = [IoSliceMut::new(bytes)];
    let count = match retry_on_intr(|| recvmsg(socket, &mut slices, &mut control, flags)) {
        // Whoever goes with something unread.
        Err(Errno::CONNRESET) => return Ok((0, Vec::new())),
        received => received?.bytes,
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    Ok((count, fds))
}
