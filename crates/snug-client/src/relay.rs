//! Bytes between a stream of ours and one of the agent's connections, each way on a thread of its own.
//!
//! splice(2) moves pages without copying where one side is a pipe; it says EINVAL where it cannot, and then bytes are
//! copied.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use snug_wire::socket::GONE;

/// What is moved at once. As large as the largest pipe that an ordinary user may have (`/proc/sys/fs/pipe-max-size`).
const CHUNK: usize = 1 << 20;

/// Moves everything from `source` to `target` until the end of `source`, or until `target` has nobody who reads, also while
/// nothing comes.
///
/// # Errors
/// What read, write or splice say, `EPIPE` and `ECONNRESET` of the target among them.
pub fn copy(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> rustix::io::Result<()> {
    // Without waiting in it: a splice that waits for a unix socket keeps what then comes until more comes, or the end
    // (seen with Linux 6.18, every second time): what a command says would be shown when it ends.
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        match splice(source, None, target, None, CHUNK, flags) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                wait_for_source(source, target)?;
                wait_for(target, PollFlags::OUT);
            }
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    let mut buffer = vec![0; CHUNK / 4];
    loop {
        wait_for_source(source, target)?;
        match read(source, &mut buffer[..]) {
            Ok(0) => return Ok(()),
            Ok(count) => write_all(target, &buffer[..count])?,
            // A descriptor of the caller may be in non-blocking mode, and it is not ours to change.
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Writes all of `bytes`, also to a descriptor that does not wait.
///
/// # Errors
/// What write says.
pub fn write_all(target: BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match write(target, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait_for(target, PollFlags::OUT),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Waits until the descriptor is ready.
pub fn wait_for(fd: BorrowedFd<'_>, flags: PollFlags) {
    // An interrupted or failed wait only means one more try.
    let _ = poll(&mut [PollFd::from_borrowed_fd(fd, flags)], None);
}

/// Waits until something is to be read, its end included.
///
/// # Errors
/// `EPIPE`: nobody is at the target any more. A source that says nothing would never tell.
fn wait_for_source(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> rustix::io::Result<()> {
    loop {
        let mut polled = [
            PollFd::from_borrowed_fd(source, PollFlags::IN),
            PollFd::from_borrowed_fd(target, PollFlags::empty()),
        ];
        match poll(&mut polled, None) {
            Err(Errno::INTR) => {}
            // A failed wait only means one more try.
            Err(_) => return Ok(()),
            Ok(_) if polled[1].revents().intersects(GONE) => {
                return Err(Errno::PIPE);
            }
            Ok(_) => return Ok(()),
        }
    }
}

/// Sends what comes from `source` to the agent; the end of `source` becomes the end of that direction.
///
/// # Errors
/// When no thread can be made.
pub fn send(source: BorrowedFd<'static>, connection: OwnedFd) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().stack_size(64 << 10).spawn(move || {
        // A command that no longer reads its input is no failure: it would have had SIGPIPE at its own end.
        let _ = copy(source, connection.as_fd());
        let _ = rustix::net::shutdown(&connection, rustix::net::Shutdown::Write);
        // The connection is only for this direction; the agent sees its end when the process is done with it.
        std::mem::forget(connection);
    })
}

/// What is left until then, as poll(2) takes it.
pub fn until(end: Instant) -> Timespec {
    let left = end.saturating_duration_since(Instant::now());
    Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
}

/// A stream of the agent's on its way to one of ours.
pub struct Receiving {
    thread: JoinHandle<rustix::io::Result<()>>,
    done: OwnedFd,
}

impl AsFd for Receiving {
    /// Ends when all is written.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.done.as_fd()
    }
}

impl Receiving {
    /// Waits for the end. Tells whether the target took all of it.
    ///
    /// # Errors
    /// What read, write or splice say.
    pub fn finish(self) -> rustix::io::Result<()> {
        // A panic has told its own story.
        self.thread.join().unwrap_or(Ok(()))
    }
}

/// Writes to `target` what the agent sends, of which some is `already_read`.
///
/// # Errors
/// When the system has no descriptor or thread left.
pub fn receive(
    connection: OwnedFd,
    already_read: Vec<u8>,
    target: BorrowedFd<'static>,
) -> io::Result<Receiving> {
    let (done, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let thread = thread::Builder::new().stack_size(64 << 10).spawn(move || {
        let result = write_all(target, &already_read).and_then(|()| copy(connection.as_fd(), target));
        drop(writer);
        result
    })?;
    Ok(Receiving { thread, done })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_target_that_has_gone_ends_it_also_while_nothing_comes() {
        let (silent, source) = UnixStream::pair().unwrap();
        let (reader, pipe) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (far, near) = UnixStream::pair().unwrap();
        let targets: [(OwnedFd, OwnedFd); 2] = [(reader, pipe), (far.into(), near.into())];
        for (theirs, target) in targets {
            let source = source.try_clone().unwrap();
            let copying = thread::spawn(move || copy(source.as_fd(), target.as_fd()));
            drop(theirs);
            assert_eq!(copying.join().unwrap(), Err(Errno::PIPE));
        }
        drop(silent);
    }

    #[test]
    fn who_does_not_read_what_came_early_holds_up_the_thread_alone() {
        let (reader, full) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        // Never closed, as a caller's.
        let full = std::mem::ManuallyDrop::new(full);
        // SAFETY: it is never closed.
        let target = unsafe { BorrowedFd::borrow_raw(std::os::fd::AsRawFd::as_raw_fd(&*full)) };
        let (agent, connection) = UnixStream::pair().unwrap();
        let early = vec![b'x'; 1 << 20];
        let receiving = receive(connection.into(), early, target).unwrap();
        drop(agent);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        assert_eq!(poll(&mut [PollFd::new(&receiving, PollFlags::IN)], Some(&now)), Ok(0));
        let mut left = 1 << 20;
        while left > 0 {
            left -= read(&reader, &mut [0; 1 << 16]).unwrap();
        }
        wait_for(receiving.as_fd(), PollFlags::IN);
        receiving.finish().unwrap();
    }
}
