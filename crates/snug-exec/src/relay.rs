//! Streams of an untrusted guest's command: each is copied by a process of its own between the connection that the
//! client opened for it and the command's pipe. It lives as long as the stream does, which may be longer than the
//! command: a background process that keeps the pipe open keeps the reader waiting, as in any shell.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, read, write};
use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, splice};
use snug_wire::message::TERMINAL_STREAM;
use snug_wire::socket::GONE;

/// Size of the pipes, and of one copy: what an unprivileged process may have (`fs.pipe-max-size`).
pub const PIPE: usize = 1 << 20;

/// Makes a pipe as large as is allowed.
pub fn enlarge(pipe: BorrowedFd<'_>) {
    let _ = fcntl_setpipe_size(pipe, PIPE);
}

/// Copies `stream` of a command until either side is done with it. `early` are bytes that came with the request.
pub fn run(stream: u8, end: OwnedFd, socket: OwnedFd, early: &[u8]) -> Result<(), Errno> {
    if stream == TERMINAL_STREAM {
        return terminal(&end, &socket, early);
    }
    // Our end of the pipe tells which way it goes.
    if fcntl_getfl(&end)?.contains(OFlags::WRONLY) {
        input(&end, &socket, early)
    } else {
        output(&end, &socket)
    }
}

fn wait<const N: usize>(fds: [(&OwnedFd, PollFlags); N]) -> Result<[PollFlags; N], Errno> {
    let mut polled = fds.map(|(fd, events)| PollFd::new(fd, events));
    wait_for(&mut polled)?;
    Ok(polled.map(|fd| fd.revents()))
}

fn wait_for(polled: &mut [PollFd<'_>]) -> Result<(), Errno> {
    loop {
        match poll(polled, None) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(()),
        }
    }
}

fn input(pipe: &OwnedFd, socket: &OwnedFd, mut early: &[u8]) -> Result<(), Errno> {
    while !early.is_empty() {
        early = &early[write(pipe, early)?..];
    }
    loop {
        let [from, to] = wait([(socket, PollFlags::IN), (pipe, PollFlags::empty())])?;
        // The command has closed its stdin: the client shall not go on sending.
        if to.intersects(GONE) {
            return Ok(());
        }
        if !from.is_empty() && splice(socket, None, pipe, None, PIPE, SpliceFlags::MOVE)? == 0 {
            return Ok(());
        }
    }
}

fn output(pipe: &OwnedFd, socket: &OwnedFd) -> Result<(), Errno> {
    loop {
        let [from, to] = wait([(pipe, PollFlags::IN), (socket, PollFlags::empty())])?;
        // The reader is gone: the command's next write ends in SIGPIPE.
        if to.intersects(GONE) {
            return Ok(());
        }
        if !from.is_empty() && splice(pipe, None, socket, None, PIPE, SpliceFlags::MOVE)? == 0 {
            return Ok(());
        }
    }
}

/// Bytes on their way in one direction.
pub struct Flow {
    buffer: Vec<u8>,
    start: usize,
    /// Its source has nothing more.
    pub ended: bool,
}

impl Flow {
    /// These bytes first.
    pub fn new(bytes: &[u8]) -> Self {
        Self { buffer: bytes.to_vec(), start: 0, ended: false }
    }

    /// Whether another load can be taken.
    pub fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    /// Takes what is there; only when it is empty.
    pub fn take_from(&mut self, source: &OwnedFd) {
        self.buffer.resize(64 << 10, 0);
        self.start = 0;
        let count = match read(source, &mut self.buffer) {
            Ok(0) => {
                self.ended = true;
                0
            }
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            // A master says EIO when the last slave is closed.
            Err(_) => {
                self.ended = true;
                0
            }
        };
        self.buffer.truncate(count);
    }

    /// Gives as much as is taken.
    ///
    /// # Errors
    /// Nobody takes it any more.
    pub fn give_to(&mut self, sink: &OwnedFd) -> Result<(), Errno> {
        match write(sink, &self.buffer[self.start..]) {
            Ok(count) => self.start += count,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The command has ended, the client closes its half and waits for what was written until then: a process that was left
/// behind may keep the terminal open for ever.
fn rest(master: &OwnedFd, socket: &OwnedFd, mut shown: Flow) -> Result<(), Errno> {
    loop {
        while !shown.is_empty() {
            let [to] = wait([(socket, PollFlags::OUT)])?;
            if to.intersects(GONE) {
                return Ok(());
            }
            shown.give_to(socket)?;
        }
        // poll(2) waits for what the terminal's driver has under way (`n_tty_poll` in the kernel).
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if shown.ended || poll(&mut [PollFd::new(master, PollFlags::IN)], Some(&now))? == 0 {
            return Ok(());
        }
        shown.take_from(master);
    }
}

fn terminal(master: &OwnedFd, socket: &OwnedFd, early: &[u8]) -> Result<(), Errno> {
    // Neither direction may wait for the other.
    for fd in [master, socket] {
        fcntl_setfl(fd, fcntl_getfl(fd.as_fd())? | OFlags::NONBLOCK)?;
    }
    let (mut typed, mut shown) = (Flow::new(early), Flow::new(b""));
    loop {
        if shown.ended && shown.is_empty() {
            return Ok(());
        }
        let mut on_socket = PollFlags::RDHUP;
        let mut on_master = PollFlags::empty();
        on_socket.set(PollFlags::IN, typed.is_empty() && !typed.ended);
        on_socket.set(PollFlags::OUT, !shown.is_empty());
        on_master.set(PollFlags::IN, shown.is_empty());
        on_master.set(PollFlags::OUT, !typed.is_empty());
        let mut polled = vec![PollFd::new(socket, on_socket)];
        // Not while nothing is wanted of it: a hang-up is told all the same, and again and again.
        if !on_master.is_empty() {
            polled.push(PollFd::new(master, on_master));
        }
        wait_for(&mut polled)?;
        let from_socket = polled[0].revents();
        let from_master = polled.get(1).map_or(PollFlags::empty(), PollFd::revents);
        // The client is gone: closing the master hangs up the guest's terminal.
        if from_socket.intersects(GONE) {
            return Ok(());
        }
        if from_socket.contains(PollFlags::RDHUP) {
            return rest(master, socket, shown);
        }
        if from_socket.contains(PollFlags::IN) {
            typed.take_from(socket);
        }
        // HUP without IN: nothing is left to read and no slave is open.
        if shown.is_empty() && from_master.intersects(PollFlags::IN | GONE) {
            shown.take_from(master);
        }
        if !typed.is_empty() && !from_master.is_empty() {
            let given = from_master.contains(PollFlags::OUT) && typed.give_to(master).is_ok();
            // Nobody will read it.
            if !given && from_master.intersects(GONE) {
                typed = Flow::new(b"");
            }
        }
        if !shown.is_empty() {
            shown.give_to(socket)?;
        }
    }
}
