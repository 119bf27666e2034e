//! The guest's terminal, seen and steered through its master.
//!
//! Where only some of the streams are a terminal (`snug run git log | less`, `make | snug run tee log`), the caller's
//! terminal edits lines, echoes them and makes signals of keys, for all programs of the pipeline. The guest's must not
//! do so again, and yet its programs must find `ICANON` and `ECHO` as on any terminal and may change them.
//! `EXTPROC` is made for that (telnet's line mode; `n_tty.c`: bytes that are typed go to the reader as they are), and a
//! master in packet mode hears of each change of modes that takes it or leaves it (`TIOCPKT_IOCTL`, ioctl_tty(2)).
//!
//! As soon as a program changes its modes (single keys, a password), its terminal is to do everything itself:
//! [`GuestTerminal::work_alone`] takes `EXTPROC` away. A program that puts back what it found brings `EXTPROC` back.
//!
//! Only the end of the input needs more: with `EXTPROC` the driver takes the end-of-file key for an end only while
//! nothing else waits to be read (`copy_from_read_buf` in `n_tty.c`), which nobody can know. So `EXTPROC` goes away before
//! it, and no change of modes is told any more. They are looked at whenever something is shown, then, and the next line
//! that is typed, which hardly ever comes, makes the guest's terminal do everything.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{Errno, read};
use rustix::termios::{LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr};
use snug_wire::message::TerminalModes;

/// The byte in front of what a master in packet mode reads, for a change of modes (include/uapi/asm-generic/ioctls.h).
const TIOCPKT_IOCTL: u8 = 0x40;
/// Place of the end-of-file key in `c_cc` (include/uapi/asm-generic/termbits.h).
pub const VEOF: usize = 4;
/// Flags of the driver's own, which come and go without anybody asking for them.
const DRIVERS_OWN: LocalModes = LocalModes::FLUSHO.union(LocalModes::PENDIN);

/// What came from the master.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// So many bytes of output, at the start of the buffer behind its first byte.
    Output(usize),
    /// A program, or we, changed the modes.
    ModesChanged,
    /// Something that does not matter here.
    Nothing,
    /// Nobody has the terminal open any more.
    End,
}

/// The modes of a terminal.
#[must_use]
pub fn modes(terminal: BorrowedFd<'_>) -> Option<TerminalModes> {
    // SAFETY: the descriptor is open and the structure is filled by the call.
    let modes = unsafe {
        let mut modes: libc::termios = std::mem::zeroed();
        (libc::tcgetattr(terminal.as_raw_fd(), &raw mut modes) == 0).then_some(modes)
    }?;
    let mut characters = [0; 19];
    // The kernel has 19 of them, the C library room for more.
    characters.copy_from_slice(&modes.c_cc[..19]);
    Some(TerminalModes {
        input: modes.c_iflag,
        output: modes.c_oflag,
        control: modes.c_cflag,
        local: modes.c_lflag,
        characters,
    })
}

/// The modes for a guest's terminal whose lines are edited by the caller's, which has `modes`.
#[must_use]
pub fn edited_elsewhere(modes: TerminalModes) -> TerminalModes {
    TerminalModes { local: modes.local | LocalModes::EXTPROC.bits(), ..modes }
}

/// The modes for a guest's terminal that does all itself. The caller's may be one whose lines are edited elsewhere.
#[must_use]
pub fn edited_here(modes: TerminalModes) -> TerminalModes {
    TerminalModes { local: modes.local & !LocalModes::EXTPROC.bits(), ..modes }
}

/// Whether [`edited_elsewhere`] made them.
#[must_use]
pub fn is_edited_elsewhere(modes: &TerminalModes) -> bool {
    modes.local & LocalModes::EXTPROC.bits() != 0
}

/// A terminal of the guest whose lines the caller's edits while the guest's programs leave it so.
#[derive(Debug)]
pub struct GuestTerminal {
    master: OwnedFd,
    began_with: TerminalModes,
    input_has_ended: Arc<AtomicBool>,
    takes_no_more_lines: bool,
}

impl GuestTerminal {
    /// Takes a descriptor of the master, which hears of changes from now on, and the modes that the terminal began with.
    ///
    /// # Errors
    /// What the kernel says to `TIOCPKT`.
    pub fn new(master: OwnedFd, began_with: TerminalModes) -> io::Result<Self> {
        let on: libc::c_int = 1;
        // SAFETY: the descriptor is open and the kernel only reads the number.
        if unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCPKT, &raw const on) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { master, began_with, input_has_ended: Arc::default(), takes_no_more_lines: false })
    }

    /// Whether the guest's programs have left the modes alone: then lines are the caller's terminal's business.
    #[must_use]
    pub fn takes_lines(&self) -> bool {
        let ours = match self.input_has_ended() {
            true => DRIVERS_OWN.union(LocalModes::EXTPROC),
            false => DRIVERS_OWN,
        };
        let of_programs =
            |modes: &TerminalModes| (modes.input, modes.output, modes.local & !ours.bits(), modes.characters);
        !self.takes_no_more_lines
            && modes(self.master.as_fd())
                .is_some_and(|now| of_programs(&now) == of_programs(&self.began_with))
    }

    /// Whether the end of the input has been typed.
    #[must_use]
    pub fn input_has_ended(&self) -> bool {
        self.input_has_ended.load(Ordering::Relaxed)
    }

    /// The same for another thread.
    #[must_use]
    pub fn watch_end_of_input(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.input_has_ended)
    }

    /// What is typed from now on is for the guest's driver to edit.
    pub fn take_no_more_lines(&mut self) {
        self.takes_no_more_lines = true;
    }

    /// Lets the guest's driver do all that a terminal does, until a program puts back the modes that it found.
    pub fn work_alone(&self) {
        let Ok(mut modes) = tcgetattr(&self.master) else { return };
        if modes.local_modes.contains(LocalModes::EXTPROC) {
            modes.local_modes.remove(LocalModes::EXTPROC);
            // The master of a terminal that is gone: its end is noticed elsewhere.
            let _ = tcsetattr(&self.master, OptionalActions::Now, &modes);
        }
    }

    /// The input ends here: returns the byte that says so to the guest's driver.
    #[must_use]
    pub fn end_input(&self) -> u8 {
        self.input_has_ended.store(true, Ordering::Relaxed);
        self.work_alone();
        self.began_with.characters[VEOF]
    }
}

impl AsFd for GuestTerminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

/// Reads from a master in packet mode.
///
/// # Errors
/// What read(2) says.
pub fn read_packet(master: BorrowedFd<'_>, buffer: &mut [u8]) -> rustix::io::Result<Event> {
    let count = match read(master, &mut *buffer) {
        // What a master says once the last program has closed its terminal.
        Err(Errno::IO) => 0,
        other => other?,
    };
    Ok(match buffer[..count] {
        [] => Event::End,
        [0, ref output @ ..] => Event::Output(output.len()),
        [status, ..] if status & TIOCPKT_IOCTL != 0 => Event::ModesChanged,
        _ => Event::Nothing,
    })
}

/// Whether the driver puts a carriage return before each line feed; `None` for what has no modes.
#[must_use]
pub fn adds_carriage_returns(terminal: BorrowedFd<'_>) -> Option<bool> {
    let modes = tcgetattr(terminal).ok()?;
    Some(modes.output_modes.contains(OutputModes::OPOST | OutputModes::ONLCR))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, open};
    use rustix::io::write;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    /// A guest's terminal and the program's end of it.
    fn terminal() -> (GuestTerminal, OwnedFd) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let program = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let mut with = tcgetattr(&program).unwrap();
        with.local_modes |= LocalModes::EXTPROC;
        tcsetattr(&program, OptionalActions::Now, &with).unwrap();
        let began_with = edited_elsewhere(modes(program.as_fd()).unwrap());
        (GuestTerminal::new(master, began_with).unwrap(), program)
    }

    fn event(guest: &GuestTerminal) -> Event {
        read_packet(guest.as_fd(), &mut [0; 64]).unwrap()
    }

    fn typed(program: &OwnedFd) -> Vec<u8> {
        let mut buffer = [0; 64];
        let count = read(program, &mut buffer).unwrap();
        buffer[..count].to_vec()
    }

    #[test]
    fn a_line_arrives_without_an_echo() {
        let (guest, program) = terminal();
        write(&guest, b"line\n").unwrap();
        assert_eq!(typed(&program), b"line\n");
        write(&program, b"shown\n").unwrap();
        assert_eq!(event(&guest), Event::Output(b"shown\r\n".len()));
    }

    #[test]
    fn a_program_that_asks_for_a_password_is_noticed_even_when_it_clears_the_echo_alone() {
        let (guest, program) = terminal();
        assert!(guest.takes_lines());
        let before = tcgetattr(&program).unwrap();
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&program, OptionalActions::Flush, &silent).unwrap();
        assert_eq!(event(&guest), Event::ModesChanged);
        assert!(!guest.takes_lines());
        guest.work_alone();
        assert_eq!(event(&guest), Event::ModesChanged);
        tcsetattr(&program, OptionalActions::Flush, &before).unwrap();
        assert_eq!(event(&guest), Event::ModesChanged);
        assert!(guest.takes_lines());
    }

    #[test]
    fn the_end_of_input_arrives_behind_what_waits_to_be_read() {
        let (guest, program) = terminal();
        write(&guest, b"line\n").unwrap();
        // Wait until the driver has it: a canonical terminal with EXTPROC is readable then.
        let mut fds = [rustix::event::PollFd::new(&program, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, None).unwrap();
        let end = guest.end_input();
        write(&guest, &[end]).unwrap();
        assert_eq!(typed(&program), b"line\n");
        assert_eq!(typed(&program), b"");
        // The caller's terminal stays as it is, until something else is typed or asked for.
        assert!(guest.takes_lines());
        let mut silent = tcgetattr(&program).unwrap();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&program, OptionalActions::Now, &silent).unwrap();
        assert!(!guest.takes_lines());
    }
}
