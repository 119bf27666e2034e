//! The caller's terminal joined to the command's.
//!
//! Where standard input and output are both the terminal, it is put into raw mode and the guest's terminal does
//! everything. Where only some of the streams are, other programs of the same pipeline use the terminal too: then it is
//! left as it is, and lines are read from it as any program would, while nobody has switched it to single keys. It is
//! taken over only while the guest's program asks for single keys or a password ([`crate::guest_terminal`]).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::{Errno, read, write};
use rustix::net::{Shutdown, shutdown};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::termios::{tcgetwinsize, tcsetwinsize};
use snug_wire::message::{TerminalModes, WindowSize};

use crate::guest_terminal::{self, GuestTerminal, VEOF};
use crate::pipeline;
use crate::relay;
use crate::screen::{self, Changes, Screen, Target};
use crate::signal_keys::SignalKeys;
use crate::signals::Signals;
use crate::terminal::{Terminal, to_winsize};

/// Read from the terminal at once; a paste comes in such pieces.
const KEYS: usize = 4096;
/// Moved at once where a pipe is typed.
const SCREENFUL: usize = 64 << 10;
const END_OF_FILE: u8 = 4;

/// Which of the caller's descriptors take part.
#[derive(Debug, Clone, Copy)]
pub struct Wiring {
    /// Standard input is the terminal.
    pub input: bool,
    /// Standard output is.
    pub output: bool,
    /// Descriptor to show the guest's output on; `None` for the terminal's own device.
    pub screen: Option<BorrowedFd<'static>>,
    /// All bytes of this descriptor, which is no terminal, are typed into the guest's (`-t` with a pipe), and nothing else.
    pub typed: Option<BorrowedFd<'static>>,
}

impl Wiring {
    /// Whether the terminal is for this command alone.
    fn is_whole(&self) -> bool {
        self.input && self.output
    }
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
    began_with: Option<TerminalModes>,
    /// Where lines are edited by the caller's terminal, and we can see what becomes of that.
    shared: Option<GuestTerminal>,
    /// Typed but not yet taken by the guest's terminal.
    pending: Vec<u8>,
    /// Ends when the keyboard is ours.
    turn: Option<OwnedFd>,
    /// Tells of each key that arrives, once, also while it is not for us to read: a shell that brings a running job to
    /// the foreground (`fg`) tells it nothing, so the first line that is typed must.
    typing: Option<OwnedFd>,
    /// A byte for each change of the guest's modes, where they are followed.
    changes: Option<OwnedFd>,
    /// Tells the screen that such a change is in force on the caller's terminal.
    in_force: Sender<()>,
    /// The screen waits for that.
    is_awaited: bool,
    /// Tells the screen that the command has ended, and is told that the screen has.
    ended: OwnedFd,
    hung_up: bool,
    signal_keys: SignalKeys,
}

/// The modes that the guest's terminal shall start with.
#[must_use]
pub fn initial_modes(terminal: Option<&Terminal>, wiring: &Wiring) -> Option<TerminalModes> {
    let modes = terminal?.modes()?;
    let is_shared = !wiring.is_whole() && wiring.typed.is_none();
    Some(if is_shared { guest_terminal::edited_elsewhere(modes) } else { guest_terminal::edited_here(modes) })
}

impl Console {
    /// Joins them and starts to show what the guest writes. `began_with` are the [`initial_modes`] that the agent was told.
    ///
    /// # Errors
    /// When the system has no descriptor or thread left.
    pub fn new(
        terminal: Option<Terminal>,
        wiring: Wiring,
        peer: Peer,
        began_with: Option<TerminalModes>,
        already_read: Vec<u8>,
    ) -> io::Result<Self> {
        let (peer, is_master) = match peer {
            Peer::Master(fd) => (fd, true),
            Peer::Connection(fd) => (fd, false),
        };
        rustix::io::ioctl_fionbio(&peer, true)?;
        let (ended_reader, ended) = pipe_with(PipeFlags::CLOEXEC)?;
        let target = match (wiring.screen, &terminal) {
            (Some(stream), _) => Some(Target::Stream(stream)),
            (None, Some(terminal)) => Some(Target::Device(terminal.as_fd().try_clone_to_owned()?)),
            (None, None) => None,
        };
        let source = peer.as_fd().try_clone_to_owned()?;
        if let Some(typed) = wiring.typed {
            type_all_of(typed, peer.as_fd().try_clone_to_owned()?, end_of_input(began_with))?;
        }
        let shared = match began_with {
            Some(modes) if is_master && guest_terminal::is_edited_elsewhere(&modes) => {
                Some(GuestTerminal::new(peer.as_fd().try_clone_to_owned()?, modes)?)
            }
            _ => None,
        };
        let (in_force, hears) = mpsc::channel();
        let mut console = Self {
            typing: terminal.as_ref().map(watch_typing).transpose()?,
            terminal,
            wiring,
            peer,
            is_master,
            pending: Vec::new(),
            turn: None,
            changes: None,
            in_force,
            is_awaited: false,
            ended,
            hung_up: false,
            signal_keys: SignalKeys::of(began_with),
            began_with,
            shared,
        };
        // Before anything is shown: what a program changed by now is told by no event.
        console.follow();
        let changes = match &console.shared {
            Some(guest) => {
                let (changes, tell) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
                console.changes = Some(changes);
                Some(Changes { tell, in_force: hears, are_silent: guest.watch_end_of_input() })
            }
            None => None,
        };
        let ends = !is_master;
        Screen { source, target, already_read, ends, ended: ended_reader, changes }.show()?;
        Ok(console)
    }

    /// Whether the guest's terminal leaves the editing of lines to the caller's. An untrusted guest is not asked: its
    /// word would bring it what is typed for other programs.
    fn takes_lines(&self) -> bool {
        self.shared.as_ref().map_or(!self.wiring.is_whole(), GuestTerminal::takes_lines)
    }

    /// Whether no other program of a pipeline has changed the caller's terminal for itself.
    fn edits_lines(&self, terminal: &Terminal) -> bool {
        self.began_with.is_some_and(|modes| terminal.edits_lines(&modes))
    }

    /// Does on the caller's terminal what the guest's asks for now: takes the keyboard, now or when its holder leaves it,
    /// or gives it back. Without effect in the background.
    pub fn follow(&mut self) {
        self.take_typed_ahead();
        let wants_keyboard = self.wiring.typed.is_none() && !self.takes_lines();
        let is_free = self.terminal.as_ref().is_some_and(|terminal| {
            self.wiring.is_whole() || terminal.is_raw() || self.edits_lines(terminal)
        });
        match &mut self.terminal {
            Some(terminal) if terminal.in_foreground() => {
                if !wants_keyboard {
                    terminal.release();
                } else if !is_free {
                    return;
                } else if terminal.claim() {
                    terminal.make_raw();
                    if let Some(guest) = &self.shared {
                        guest.work_alone();
                    }
                } else {
                    if self.turn.is_none() {
                        self.turn = terminal.claim_later().ok();
                    }
                    return;
                }
            }
            // Our turn may have come while we were sent here: it is for who is in the foreground.
            Some(terminal) if !terminal.is_raw() => terminal.release(),
            Some(_) | None => {}
        }
        if std::mem::take(&mut self.is_awaited) {
            // A screen that has ended waits for nothing.
            let _ = self.in_force.send(());
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
        self.hung_up || self.terminal.as_ref().is_some_and(Terminal::hung_up)
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

    /// The caller's terminal, while something may be read from it for the guest at once: single keys while we hold the
    /// keyboard, or lines where it is our standard input.
    fn readable(&self) -> Option<&Terminal> {
        let terminal = self.terminal.as_ref()?;
        let is_ours = terminal.is_raw() || self.wiring.input && self.may_read_lines(terminal);
        (is_ours && self.pending.is_empty() && !self.hung_up && terminal.in_foreground()).then_some(terminal)
    }

    fn may_read_lines(&self, terminal: &Terminal) -> bool {
        self.takes_lines() && self.edits_lines(terminal)
    }

    /// The caller's terminal, if a line that waits there is for a program of ours that opens the terminal itself. Where
    /// another program of the pipeline has it as its standard input, the line is for that one.
    fn readable_for_want_of_others(&self) -> Option<&Terminal> {
        let terminal = self.terminal.as_ref()?;
        (self.wiring.typed.is_none()
            && self.pending.is_empty()
            && terminal.in_foreground()
            && self.shared.is_some()
            && self.may_read_lines(terminal)
            && !terminal.number().is_some_and(pipeline::others_read))
        .then_some(terminal)
    }

    /// Takes the news of [`Console::typing`].
    fn is_typed(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }];
        self.typing
            .as_ref()
            .is_some_and(|typing| epoll::wait(typing, &mut events, Some(&now)).is_ok_and(|count| count > 0))
    }

    /// What to wait for.
    pub fn poll_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        for fd in [&self.changes, &self.turn].into_iter().flatten() {
            fds.push(PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN));
        }
        if let Some(terminal) = self.readable() {
            fds.push(PollFd::from_borrowed_fd(terminal.as_fd(), PollFlags::IN));
        } else if !self.is_raw()
            && let Some(typing) = &self.typing
        {
            fds.push(PollFd::from_borrowed_fd(typing.as_fd(), PollFlags::IN));
        }
        if !self.pending.is_empty() {
            fds.push(PollFd::from_borrowed_fd(self.peer.as_fd(), PollFlags::OUT));
        }
    }

    /// Whether our turn for the keyboard has come.
    fn take_turn(&mut self) -> bool {
        self.turn.take_if(|turn| ready(turn.as_fd())).is_some()
    }

    /// Does what can be done without waiting.
    pub fn progress(&mut self) {
        let has_turn = self.take_turn();
        let mut byte = [0; 64];
        let has_changed = match self.changes.as_ref().map(|changes| read(changes, &mut byte)) {
            // The screen has ended: nothing more is told.
            Some(Ok(0)) => {
                self.changes = None;
                false
            }
            Some(Ok(_)) => true,
            Some(Err(_)) | None => false,
        };
        self.is_awaited |= has_changed;
        let is_typed = !self.is_raw() && self.is_typed();
        if has_turn || has_changed || is_typed {
            self.follow();
        }
        self.flush();
        if let Some(terminal) = self.readable()
            && ready(terminal.as_fd())
        {
            self.read_keys();
        } else if is_typed && self.readable_for_want_of_others().is_some() {
            // Told once of all that waits.
            while self.pending.is_empty() && self.read_keys() {}
        }
    }

    /// Reads what was typed, for the guest; false when there was nothing.
    fn read_keys(&mut self) -> bool {
        if let Some(guest) = self.shared.as_mut().filter(|guest| guest.input_has_ended()) {
            guest.take_no_more_lines();
            self.follow();
        }
        let Some(terminal) = &self.terminal else { return false };
        let raw = terminal.is_raw();
        let mut keys = [0; KEYS];
        match read(terminal.as_fd(), &mut keys) {
            Ok(0) if raw => self.hung_up = true,
            Ok(0) => {
                let end = end_of_input(self.began_with);
                self.pending.push(self.shared.as_ref().map_or(end, GuestTerminal::end_input));
            }
            Ok(count) => {
                let keys = &keys[..count];
                if raw {
                    self.signal_keys.hear(keys);
                }
                self.pending.extend_from_slice(keys);
            }
            // Another program was faster.
            Err(Errno::INTR | Errno::AGAIN) => return false,
            Err(_) => self.hung_up = true,
        }
        self.flush();
        !self.hung_up
    }

    /// Reads what was typed before the terminal is taken over. An end of the input among it would come as a NUL after that:
    /// the driver keeps one as such a byte with a mark, and forgets the marks when it no longer edits lines
    /// (`n_tty_set_termios` in the kernel).
    fn take_typed_ahead(&mut self) {
        while self.pending.len() < KEYS && self.is_typed_ahead() {
            if !self.read_keys() {
                return;
            }
        }
    }

    fn is_typed_ahead(&self) -> bool {
        let is_for_us = self.wiring.is_whole() && !self.is_raw() && !self.hung_up();
        self.terminal.as_ref().is_some_and(|terminal| {
            is_for_us && terminal.in_foreground() && terminal.claim() && ready(terminal.as_fd())
        })
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
        self.signal_keys.was_typed(signal)
            && self.terminal.as_ref().is_some_and(|terminal| terminal.in_foreground())
    }

    /// The same for a guest that is not trusted: once for each time that one was typed, and not long after.
    pub fn take_typed(&mut self, signal: i32) -> bool {
        self.was_typed(signal) && self.signal_keys.take_recent()
    }

    /// Shows the rest of the output after the command has ended, until `deadline` at the latest, and restores the terminal.
    /// Which signal has put an end to that: a terminal that nobody reads takes no more.
    pub fn finish(self, signals: &Signals, deadline: Option<Instant>) -> Option<i32> {
        if !self.is_master {
            // The agent's sign that the command has ended: it sends what is there and closes.
            let _ = shutdown(&self.peer, Shutdown::Write);
        }
        let Self { mut terminal, ended, in_force, .. } = self;
        let _ = write(&ended, b"e");
        // Nobody follows the guest's modes any more, so nothing is to be held back.
        drop(in_force);
        let interrupted = screen::wait_for_end(&ended, signals, deadline);
        // The process is about to end, and one call less is to be made.
        std::mem::forget(ended);
        if let Some(terminal) = &mut terminal {
            terminal.release();
        }
        interrupted
    }
}

/// What is typed for the end of the input. A guest's terminal that begins with no modes of ours has those of every new one.
fn end_of_input(began_with: Option<TerminalModes>) -> u8 {
    began_with.map_or(END_OF_FILE, |modes| modes.characters[VEOF])
}

/// Types everything from `typed` into `target`, and its end with the character `end` as a person does. After a line without
/// its end that takes two: the first hands the program the line (termios(3), `VEOF`).
fn type_all_of(typed: BorrowedFd<'static>, target: OwnedFd, end: u8) -> io::Result<()> {
    thread::Builder::new().stack_size(256 << 10).spawn(move || {
        let mut buffer = vec![0; SCREENFUL];
        let mut last = b'\n';
        loop {
            match read(typed, &mut buffer[..]) {
                Ok(0) => break,
                Ok(count) => {
                    last = buffer[count - 1];
                    if relay::write_all(target.as_fd(), &buffer[..count]).is_err() {
                        // A terminal that is gone has no use for the end.
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => relay::wait_for(typed, PollFlags::IN),
                Err(_) => break,
            }
        }
        // A terminal may have none.
        let ends = if end == 0 { 0 } else { 1 + usize::from(last != b'\n') };
        let _ = relay::write_all(target.as_fd(), &vec![end; ends]);
    })?;
    Ok(())
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
