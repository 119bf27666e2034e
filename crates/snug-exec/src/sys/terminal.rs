//! Pseudo-terminals.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use snug_wire::message::{TerminalModes, WindowSize};

/// `struct termios` of the kernel (asm-generic/termbits.h), which is not the one of libc.
#[repr(C)]
struct KernelTermios {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    line: u8,
    characters: [u8; 19],
}

/// Both ends of a new pseudo-terminal of this mount namespace.
pub struct Pty {
    /// The end of the terminal emulator.
    pub master: OwnedFd,
    /// The end of the command.
    pub slave: OwnedFd,
}

/// Opens a new pseudo-terminal.
pub fn open_pty() -> io::Result<Pty> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master =
        open("/dev/pts/ptmx", flags, Mode::empty()).or_else(|_| open("/dev/ptmx", flags, Mode::empty()))?;
    rustix::pty::unlockpt(&master)?;
    // SAFETY: TIOCGPTPEER takes open flags and returns a descriptor.
    let slave = unsafe {
        libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC)
    };
    if slave < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(Pty { master, slave: unsafe { OwnedFd::from_raw_fd(slave) } })
}

/// Sets the size; the foreground group gets SIGWINCH when it changes.
pub fn set_size(terminal: BorrowedFd<'_>, size: WindowSize) {
    let size = libc::winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: size.x_pixels,
        ws_ypixel: size.y_pixels,
    };
    // SAFETY: a valid structure.
    unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
}

/// Takes over the caller's modes.
pub fn set_modes(terminal: BorrowedFd<'_>, modes: &TerminalModes) {
    let mut current = MaybeUninit::<KernelTermios>::uninit();
    // SAFETY: the kernel fills the structure, which has its layout.
    if unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TCGETS, current.as_mut_ptr()) } != 0 {
        return;
    }
    // SAFETY: filled, since the call succeeded.
    let current = unsafe { current.assume_init() };
    let wanted = KernelTermios {
        input: modes.input,
        output: modes.output,
        control: modes.control,
        local: modes.local,
        line: current.line,
        characters: modes.characters,
    };
    // SAFETY: a valid structure of the kernel's layout.
    unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TCSETS, &raw const wanted) };
}

/// Gives up the controlling terminal without hanging it up. A leader that merely exited would flush what the client
/// has not read yet (`tty_vhangup_session`).
pub fn give_up(terminal: BorrowedFd<'_>) {
    // SAFETY: takes no argument.
    unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCNOTTY) };
}
