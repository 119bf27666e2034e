//! The caller's terminal joined to the command's.
//!
//! Where standard input and output are both the terminal, it is put into raw mode and the guest's terminal does
//! everything. Where only some of the streams are (`snug run git log | less`, `make | snug run tee log`), other
//! programs of the same pipeline use the terminal too: then it is left as it is (*line mode*), lines are read from it
//! only while nobody has switched it to single keys, and it is taken over only while the guest's program asks for single
//! keys or a password. The guest's terminal starts without echo then, since the caller's echoes already, and with
//! `ECHONL` as a mark: programs that read a password clear both (sudo's `tgetpass.c`, OpenSSH's `readpassphrase.c`).
//!
//! Both drivers turn a line feed into carriage return and line feed. While the caller's does (it is not raw), what the
//! guest's has added is taken away again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::termios::{LocalModes, OutputModes, Termios, tcgetattr, tcgetwinsize, tcsetwinsize};
use snug_wire::message::{TerminalModes, WindowSize};

use crate::relay;
use crate::terminal::{Terminal, to_winsize};

/// Read from the terminal at once; a paste comes in such pieces.
const KEYS: usize = 4096;
/// Read from the guest's terminal at once: what a pty's buffer holds at most (`TTYB_DEFAULT_MEM_LIMIT` is 64 KiB).
const SCREEN: usize = 64 << 10;
const END_OF_FILE: u8 = 4;
/// How long a question is held back until its answer will not be echoed. Another client may hold the keyboard and keep
/// it: then the question is shown all the same.
const HOLD_BACK: Duration = Duration::from_millis(500);

/// Which of the caller's descriptors take part.
#[derive(Debug, Clone, Copy)]
pub struct Wiring {
    /// Standard input is the terminal.
    pub input: bool,
    /// Standard output is.
    pub output: bool,
    /// Descriptor to show the guest's output on; `None` for the terminal's own device.
    pub screen: Option<BorrowedFd<'static>>,
    /// All bytes of this descriptor, which is no terminal, are typed into the guest's (`-t` with a pipe).
    pub typed: Option<BorrowedFd<'static>>,
}

/// The guest's side: a pty's master, or a connection that the agent relays from one.
pub enum Peer {
    /// We can see and set its modes and size.
    Master(OwnedFd),
    /// We cannot.
    Connection(OwnedFd),
}

/// The caller's terminal and the guest's, joined.
pub struct Console {
    terminal: Option<Terminal>,
    wiring: Wiring,
    peer: OwnedFd,
    is_master: bool,
    /// Typed but not yet taken by the guest's terminal.
    pending: Vec<u8>,
    /// Ends when the keyboard is ours.
    turn: Option<OwnedFd>,
    /// Somebody asked for the keyboard before we knew that it was ours.
    yield_later: bool,
    /// Tells of each key that arrives, once, also while the keyboard is not ours: a shell that brings a running job to
    /// the foreground (`fg`) tells it nothing, so the first line that is typed must.
    typing: Option<OwnedFd>,
    /// A byte for each change of the guest's modes.
    changes: OwnedFd,
    /// Tells the output thread that such a change is in force on the caller's terminal.
    in_force: Sender<()>,
    /// Closed to tell the output thread that the command has ended.
    ended: Option<OwnedFd>,
    output: Option<JoinHandle<()>>,
    hung_up: bool,
    /// Keys that send SIGINT and SIGQUIT on the caller's terminal, and the last of them that was typed.
    ending_keys: [(u8, i32); 2],
    ending_key: Option<i32>,
}

/// The modes that the guest's terminal shall start with.
#[must_use]
pub fn initial_modes(terminal: Option<&Terminal>, wiring: &Wiring, trusted: bool) -> Option<TerminalModes> {
    let mut modes = terminal?.modes()?;
    if trusted && !(wiring.input && wiring.output) {
        modes.local &= !LocalModes::ECHO.bits();
        modes.local |= LocalModes::ECHONL.bits();
    }
    Some(modes)
}

fn adds_carriage_returns(modes: &Termios) -> bool {
    modes.output_modes.contains(OutputModes::OPOST | OutputModes::ONLCR)
}

/// Whether both drivers would add a carriage return to a line feed. One that cannot be asked is taken to be as it began.
fn doubles_line_ends(source: BorrowedFd<'_>, target: Option<BorrowedFd<'_>>) -> bool {
    target.is_some_and(|target| tcgetattr(target).is_ok_and(|modes| adds_carriage_returns(&modes)))
        && tcgetattr(source).map_or(true, |modes| adds_carriage_returns(&modes))
}

/// Takes away one carriage return before each line feed, and returns what is left at the start of `bytes`.
fn single_line_ends(bytes: &mut [u8]) -> &[u8] {
    let mut length = 0;
    for index in 0..bytes.len() {
        if bytes[index] == b'\n' && length > 0 && bytes[length - 1] == b'\r' {
            length -= 1;
        }
        bytes[length] = bytes[index];
        length += 1;
    }
    &bytes[..length]
}

fn in_line_mode(master: BorrowedFd<'_>) -> bool {
    tcgetattr(master).is_ok_and(|modes| {
        modes.local_modes.contains(LocalModes::ICANON)
            && modes.local_modes.intersects(LocalModes::ECHO | LocalModes::ECHONL)
    })
}

impl Console {
    /// Joins them and starts to show what the guest writes.
    ///
    /// # Errors
    /// When the system has no descriptor or thread left.
    pub fn new(
        terminal: Option<Terminal>,
        wiring: Wiring,
        peer: Peer,
        already_read: Vec<u8>,
    ) -> io::Result<Self> {
        let (peer, is_master) = match peer {
            Peer::Master(fd) => (fd, true),
            Peer::Connection(fd) => (fd, false),
        };
        rustix::io::ioctl_fionbio(&peer, true)?;
        let (ended_reader, ended) = pipe_with(PipeFlags::CLOEXEC)?;
        let (changes, change_writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let screen_device = match (&wiring.screen, &terminal) {
            (None, Some(terminal)) => Some(terminal.as_fd().try_clone_to_owned()?),
            _ => None,
        };
        let source = peer.as_fd().try_clone_to_owned()?;
        let screen = wiring.screen;
        let (in_force, changed) = mpsc::channel();
        // Where we alone use the terminal, it is raw from the start to the end.
        let follows_modes = is_master && !(wiring.input && wiring.output);
        if let Some(typed) = wiring.typed {
            let target = peer.as_fd().try_clone_to_owned()?;
            thread::Builder::new().stack_size(256 << 10).spawn(move || {
                if relay::copy(typed, target.as_fd()).is_ok() {
                    let _ = relay::write_all(target.as_fd(), &[END_OF_FILE]);
                }
            })?;
        }
        let typing = terminal.as_ref().map(watch_typing).transpose()?;
        let characters = terminal.as_ref().and_then(Terminal::modes).map(|modes| modes.characters);
        // Their places in `c_cc`: asm-generic/termbits.h. 0 is no key.
        let ending_keys =
            characters.map_or([(0, 0); 2], |keys| [(keys[0], libc::SIGINT), (keys[1], libc::SIGQUIT)]);
        let mut console = Self {
            terminal,
            wiring,
            peer,
            is_master,
            pending: Vec::new(),
            turn: None,
            yield_later: false,
            typing,
            changes,
            in_force,
            ended: Some(ended),
            output: None,
            hung_up: false,
            ending_keys,
            ending_key: None,
        };
        console.take_keyboard();
        // Afterwards, so that it waits for no answer to this.
        let output = thread::Builder::new().stack_size(256 << 10).spawn(move || {
            let target = screen_device.as_ref().map(AsFd::as_fd).or(screen);
            show(
                source.as_fd(),
                target,
                &already_read,
                ended_reader.as_fd(),
                follows_modes.then_some((change_writer.as_fd(), &changed)),
            );
        })?;
        console.output = Some(output);
        Ok(console)
    }

    /// Whether the terminal must be raw while we hold its keyboard.
    fn wants_raw(&self) -> bool {
        !self.is_master || (self.wiring.input && self.wiring.output) || !in_line_mode(self.peer.as_fd())
    }

    /// Gets the keyboard, now or when its holder yields it, and sets the modes that fit.
    pub fn take_keyboard(&mut self) {
        let wants_raw = self.wants_raw();
        let foreground = self.terminal.as_mut().filter(|terminal| terminal.in_foreground());
        let Some(terminal) = foreground else {
            // Not ours to change: nothing is worth waiting for.
            let _ = self.in_force.send(());
            return;
        };
        // One that would only read lines, and those not from its standard input, does not take them from another.
        if terminal.claim(wants_raw || self.wiring.input) {
            if wants_raw {
                terminal.make_raw()
            } else {
                terminal.restore()
            }
            // A thread that has ended waits for nothing.
            let _ = self.in_force.send(());
        } else if self.turn.is_none() {
            self.turn = terminal.claim_later().ok();
        }
    }

    /// Another client asks for the keyboard: yield it unless the guest's program reads single keys.
    pub fn asked_to_yield(&mut self) {
        let full = self.wiring.input && self.wiring.output;
        let can_yield = self.is_master && !full && in_line_mode(self.peer.as_fd());
        let Some(terminal) = &mut self.terminal else { return };
        if !terminal.holds() {
            // Our turn may have come without our knowing.
            self.yield_later = true;
        } else if can_yield {
            terminal.release();
            self.turn = terminal.claim_later().ok();
        }
    }

    /// Whether the caller's terminal passes every key on to the guest's.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.terminal.as_ref().is_some_and(Terminal::is_raw)
    }

    /// Leaves the terminal as it was found, before stopping or ending.
    pub fn release(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.release();
        }
    }

    /// The terminal that the user sits at is gone.
    #[must_use]
    pub fn hung_up(&self) -> bool {
        self.hung_up
            || self.terminal.as_ref().is_some_and(|terminal| {
                matches!(rustix::termios::tcgetpgrp(terminal.as_fd()), Err(Errno::IO | Errno::NOTTY))
            })
    }

    /// The terminal's size now; set on the guest's where we can, else returned for a message.
    #[must_use]
    pub fn resize(&self) -> Option<WindowSize> {
        let size = self.terminal.as_ref()?.size();
        if self.is_master {
            // The guest's terminal tells its foreground group by SIGWINCH itself.
            let same = tcgetwinsize(&self.peer)
                .is_ok_and(|now| now.ws_row == size.rows && now.ws_col == size.columns);
            if !same {
                let _ = tcsetwinsize(&self.peer, to_winsize(size));
            }
            return None;
        }
        Some(size)
    }

    /// Keys are read only while we hold the keyboard, nothing waits for the guest, and, in line mode, nobody else has
    /// switched the terminal to single keys.
    fn reads_keys(&self) -> bool {
        let Some(terminal) = &self.terminal else { return false };
        terminal.holds()
            && self.pending.is_empty()
            && !self.hung_up
            && terminal.in_foreground()
            && (terminal.is_raw()
                || tcgetattr(terminal.as_fd())
                    .is_ok_and(|modes| modes.local_modes.contains(LocalModes::ICANON)))
    }

    fn holds_keyboard(&self) -> bool {
        self.terminal.as_ref().is_some_and(|terminal| terminal.holds() && terminal.in_foreground())
    }

    /// Takes the news of [`Console::typing`].
    fn is_typed_elsewhere(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }];
        !self.holds_keyboard()
            && self.typing.as_ref().is_some_and(|typing| {
                epoll::wait(typing, &mut events, Some(&now)).is_ok_and(|count| count > 0)
            })
    }

    /// What to wait for.
    pub fn poll_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        fds.push(PollFd::from_borrowed_fd(self.changes.as_fd(), PollFlags::IN));
        if let Some(turn) = &self.turn {
            fds.push(PollFd::from_borrowed_fd(turn.as_fd(), PollFlags::IN));
        }
        if self.reads_keys()
            && let Some(terminal) = &self.terminal
        {
            fds.push(PollFd::from_borrowed_fd(terminal.as_fd(), PollFlags::IN));
        } else if !self.holds_keyboard()
            && let Some(typing) = &self.typing
        {
            fds.push(PollFd::from_borrowed_fd(typing.as_fd(), PollFlags::IN));
        }
        if !self.pending.is_empty() {
            fds.push(PollFd::from_borrowed_fd(self.peer.as_fd(), PollFlags::OUT));
        }
    }

    /// Does what can be done without waiting.
    pub fn progress(&mut self) {
        let mut byte = [0; 64];
        let changed = matches!(read(&self.changes, &mut byte), Ok(count) if count > 0);
        if let Some(turn) = &self.turn
            && ready(turn.as_fd())
        {
            self.turn = None;
            if let Some(terminal) = &mut self.terminal {
                terminal.claimed();
            }
            if std::mem::take(&mut self.yield_later) {
                self.asked_to_yield();
            }
            if self.turn.is_none() {
                self.take_keyboard();
            }
        } else if changed || self.is_typed_elsewhere() {
            self.take_keyboard();
        }
        self.flush();
        if self.reads_keys()
            && let Some(terminal) = &self.terminal
            && ready(terminal.as_fd())
        {
            let raw = terminal.is_raw();
            let mut keys = [0; KEYS];
            match read(terminal.as_fd(), &mut keys) {
                Ok(0) if raw => self.hung_up = true,
                Ok(0) => self.pending.push(END_OF_FILE),
                Ok(count) => {
                    let keys = &keys[..count];
                    let is_typed = |(key, _): &(u8, i32)| raw && *key != 0 && keys.contains(key);
                    if let Some((_, signal)) = self.ending_keys.into_iter().find(is_typed) {
                        self.ending_key = Some(signal);
                    }
                    self.pending.extend_from_slice(keys);
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => self.hung_up = true,
            }
            self.flush();
        }
    }

    fn flush(&mut self) {
        while !self.pending.is_empty() {
            match write(&self.peer, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // Nobody reads there any more; the end of the command is on its way.
                Err(_) => self.pending.clear(),
            }
        }
    }

    /// Whether the user typed the key for this signal into the raw terminal. Then the caller's other processes have not
    /// had it: a script's loop goes on unless it gets the signal, too.
    #[must_use]
    pub fn was_typed(&self, signal: i32) -> bool {
        self.ending_key == Some(signal)
            && self.terminal.as_ref().is_some_and(|terminal| terminal.in_foreground())
    }

    /// Shows the rest of the output after the command has ended, and restores the terminal.
    pub fn finish(mut self) {
        self.ended = None;
        // Nobody follows the guest's modes any more, so nothing is to be held back.
        drop(self.in_force);
        if let Some(output) = self.output.take() {
            // A panicked output thread has nothing more to show.
            let _ = output.join();
        }
        if let Some(terminal) = &mut self.terminal {
            terminal.release();
        }
    }
}

fn watch_typing(terminal: &Terminal) -> io::Result<OwnedFd> {
    let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(&watch, terminal, epoll::EventData::new_u64(0), flags)?;
    Ok(watch)
}

fn ready(fd: BorrowedFd<'_>) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&now)).is_ok_and(|count| count > 0)
}

/// Shows what comes from `source` until its end, or, after `ended`, until nothing more is there: a process that the
/// command left behind may keep the guest's terminal open for ever. (poll(2) of a pty's master first waits for what its
/// driver still has under way: `n_tty_poll` in the kernel.)
fn show(
    source: BorrowedFd<'_>,
    target: Option<BorrowedFd<'_>>,
    already_read: &[u8],
    ended: BorrowedFd<'_>,
    changes: Option<(BorrowedFd<'_>, &Receiver<()>)>,
) {
    let put = |bytes: &[u8]| target.is_none_or(|target| relay::write_all(target, bytes).is_ok());
    if !put(already_read) {
        return;
    }
    let mut buffer = vec![0; SCREEN];
    // It begins so; what it was changed to before this thread ran is a change.
    let mut line_mode = true;
    loop {
        let mut fds =
            [PollFd::from_borrowed_fd(source, PollFlags::IN), PollFd::from_borrowed_fd(ended, PollFlags::IN)];
        if poll(&mut fds, None).is_err() {
            continue;
        }
        if fds[0].revents().is_empty() {
            if fds[1].revents().is_empty() {
                continue;
            }
            return;
        }
        match read(source, &mut buffer[..]) {
            Ok(0) => return,
            Ok(count) => {
                if let Some((changes, in_force)) = changes {
                    let now = in_line_mode(source);
                    if now != line_mode {
                        line_mode = now;
                        while in_force.try_recv().is_ok() {}
                        // A full pipe has told the session already.
                        let _ = write(changes, b"m");
                        let _ = in_force.recv_timeout(HOLD_BACK);
                    }
                }
                let bytes = &mut buffer[..count];
                let bytes = if doubles_line_ends(source, target) { single_line_ends(bytes) } else { &*bytes };
                if !put(bytes) {
                    return;
                }
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_carriage_return_before_each_line_feed_is_taken_away() {
        for (bytes, expected) in [
            (&b"a\r\nb\r\n"[..], &b"a\nb\n"[..]),
            (b"\r\r\n", b"\r\n"),
            (b"\n\r\n\r", b"\n\n\r"),
            (b"50%\r60%\r", b"50%\r60%\r"),
            (b"", b""),
        ] {
            assert_eq!(single_line_ends(&mut bytes.to_vec()), expected);
        }
    }
}
