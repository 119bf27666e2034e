//! Both streams of a process, until it has ended.

use std::io::{self, Read};
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

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
                return match ended {
                    Some((status, _)) => Ok(status),
                    None => child.wait(),
                };
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
