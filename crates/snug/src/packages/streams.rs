//! What a process writes, until it has ended or nobody waits any longer.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::progress::TICK;

/// How long what a process has written may take to arrive when it has ended. Whoever it left behind may hold its streams for ever.
const REST: Duration = Duration::from_millis(500);
/// Pieces that wait to be taken: who writes faster than that waits.
const WAITING: usize = 16;
const PIECE: usize = 16 << 10;

/// A piece of what a process writes.
pub enum Piece<'a> {
    /// Of standard output.
    Out(&'a [u8]),
    /// Of standard error.
    Err(&'a [u8]),
    /// Nothing has come for a while.
    Nothing(&'a Child),
}

/// Reads a process's piped streams until it has ended; a process that it has left behind is not waited for.
///
/// # Errors
/// It cannot be waited for.
pub fn follow(child: &mut Child, mut take: impl FnMut(Piece<'_>)) -> io::Result<ExitStatus> {
    let (tell, told) = mpsc::sync_channel(WAITING);
    if let Some(stdout) = child.stdout.take() {
        pump(stdout, false, tell.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        pump(stderr, true, tell);
    }
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        match told.recv_timeout(TICK) {
            Ok((false, bytes)) => take(Piece::Out(&bytes)),
            Ok((true, bytes)) => take(Piece::Err(&bytes)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                if let Some((status, _)) = ended {
                    return Ok(status);
                }
                // It has closed both, and may live on for as long as it likes.
                if let Some(status) = wait(child, Instant::now() + TICK)? {
                    return Ok(status);
                }
            }
        }
        take(Piece::Nothing(child));
        if ended.is_none() {
            ended = child.try_wait()?.map(|status| (status, Instant::now() + REST));
        }
        if let Some((status, until)) = ended
            && Instant::now() >= until
        {
            return Ok(status);
        }
    }
}

/// Waits for a process until then; `None` where it has not ended.
///
/// # Errors
/// It cannot be waited for.
pub fn wait(child: &mut Child, until: Instant) -> io::Result<Option<ExitStatus>> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    is_ready(&process, until)?;
    child.try_wait()
}

/// A stream that nobody waits for any longer than until then.
pub struct Patient<R> {
    /// The stream.
    pub stream: R,
    /// When reading fails with [`io::ErrorKind::TimedOut`].
    pub until: Instant,
}

impl<R: Read + AsFd> Read for Patient<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Also where something always comes.
        if Instant::now() < self.until && is_ready(&self.stream, self.until)? {
            return self.stream.read(buffer);
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// Waits until there is something to read, or an end to see; whether there was before then.
fn is_ready(descriptor: impl AsFd, until: Instant) -> io::Result<bool> {
    let mut polled = [PollFd::new(&descriptor, PollFlags::IN)];
    loop {
        let left = Timespec::try_from(until.saturating_duration_since(Instant::now())).ok();
        match poll(&mut polled, left.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}

fn pump(mut stream: impl Read + Send + 'static, is_error: bool, tell: SyncSender<(bool, Vec<u8>)>) {
    thread::spawn(move || {
        let mut buffer = vec![0; PIECE];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if tell.send((is_error, buffer[..count].to_vec())).is_err() {
                break;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    #[test]
    fn what_a_process_has_left_behind_is_not_waited_for() {
        let mut child = shell("echo said; sleep 20 & exit 3");
        let begin = Instant::now();
        let mut said = Vec::new();
        let status = follow(&mut child, |piece| {
            if let Piece::Out(bytes) = piece {
                said.extend_from_slice(bytes);
            }
        });
        assert_eq!((status.unwrap().code(), said.as_slice()), (Some(3), &b"said\n"[..]));
        assert!(begin.elapsed() < Duration::from_secs(15), "it was waited for");
    }

    #[test]
    fn one_that_has_closed_its_streams_can_still_be_given_up() {
        let mut child = shell("exec >&- 2>&-; exec sleep 60");
        let mut turns = 0;
        let status = follow(&mut child, |piece| {
            if let Piece::Nothing(child) = piece {
                turns += 1;
                if turns == 5 {
                    crate::packages::running::tell(child, libc::SIGKILL);
                }
            }
        });
        assert_eq!(status.unwrap().code(), None);
    }

    #[test]
    fn a_stream_and_a_process_are_waited_for_until_then_and_no_longer() {
        let mut child = shell("printf said; exec sleep 60");
        let until = Instant::now() + Duration::from_millis(300);
        let mut stream = Patient { stream: child.stdout.take().unwrap(), until };
        let mut said = Vec::new();
        assert_eq!(stream.read_to_end(&mut said).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(said, b"said");
        assert!(wait(&mut child, until).unwrap().is_none());
        child.kill().unwrap();
        assert!(wait(&mut child, Instant::now() + Duration::from_secs(60)).unwrap().is_some());
        // One in which there is always something.
        let mut child = shell("exec cat /dev/zero");
        let until = Instant::now() + Duration::from_millis(100);
        let mut stream = Patient { stream: child.stdout.take().unwrap(), until };
        assert_eq!(io::copy(&mut stream, &mut io::sink()).unwrap_err().kind(), io::ErrorKind::TimedOut);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn nothing_of_what_was_written_is_missing() {
        let mut child = shell("head -c 3000000 /dev/zero; head -c 2000000 /dev/zero >&2");
        let (mut out, mut err) = (0, 0);
        let status = follow(&mut child, |piece| match piece {
            Piece::Out(bytes) => out += bytes.len(),
            Piece::Err(bytes) => err += bytes.len(),
            Piece::Nothing(_) => {}
        });
        assert_eq!((status.unwrap().code(), out, err), (Some(0), 3_000_000, 2_000_000));
    }
}
