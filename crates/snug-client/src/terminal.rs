//! The caller's terminal: its modes and size, and which of several clients holds its keyboard.
//!
//! Two clients may share one terminal (`snug run a | snug run less`). While one of them needs every single key it holds
//! the keyboard: it sets raw mode, reads, and restores what it found. They agree by a lock on the terminal's device node,
//! which its owner may lock and which ends with its holder (fcntl(2), `F_SETLK`). Who only reads lines needs no lock: he
//! reads as any program does, and sees by the terminal's modes when somebody else has taken the keyboard.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::thread;

use rustix::io::Errno;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, Termios, Winsize, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
};
use snug_wire::message::{TerminalModes, WindowSize};

use crate::{ancestry, guest_terminal};

/// The caller's terminal.
pub struct Terminal {
    device: File,
    /// The node that is locked: never `/dev/tty`, which all terminals of the host share.
    node: File,
    /// Modes to go back to, and those that we have set; `Some` while they are ours.
    changed: Option<(Termios, TerminalModes)>,
    /// It is the controlling terminal of this process, or was when it was opened.
    controls: bool,
}

impl Terminal {
    /// Opens the terminal that `stream` is, anew, so that a lock belongs to this process alone; the controlling
    /// terminal when none of the streams is one.
    ///
    /// # Errors
    /// When there is no terminal.
    pub fn open(stream: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        // A line that another program was faster to read must not be waited for.
        let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
        let open = |path: &str| OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
        let anew = stream.and_then(|stream| open(&format!("/proc/self/fd/{}", stream.as_raw_fd())).ok());
        let (device, node) = match (anew, stream) {
            (Some(device), _) => (device.try_clone()?, device),
            // A terminal of another user (`su`) can be used through its descriptor but not opened again. Where it is not our
            // session's (`su -c`), only the descriptor is left.
            (None, Some(stream)) => {
                let node: File = stream.try_clone_to_owned()?.into();
                let device = open("/dev/tty").or_else(|_| node.try_clone())?;
                (device, node)
            }
            (None, None) => {
                let device = open("/dev/tty")?;
                (device.try_clone()?, device)
            }
        };
        let controls = tcgetpgrp(&device).is_ok();
        Ok(Self { device, node, changed: None, controls })
    }

    /// It is gone. A terminal that has never been this process' own answers ENOTTY as well (tcgetpgrp(3)): `setsid snug run`.
    #[must_use]
    pub fn hung_up(&self) -> bool {
        match tcgetpgrp(&self.device) {
            Err(Errno::IO) => true,
            Err(Errno::NOTTY) => self.controls,
            _ => false,
        }
    }

    /// Its device number.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        rustix::fs::fstat(&self.node).ok().map(|status| status.st_rdev)
    }

    /// Its size, where it has one.
    #[must_use]
    pub fn size(&self) -> WindowSize {
        tcgetwinsize(&self.device).map(to_window_size).unwrap_or_default()
    }

    /// Its modes.
    #[must_use]
    pub fn modes(&self) -> Option<TerminalModes> {
        guest_terminal::modes(self.device.as_fd())
    }

    /// Whether this process' job is in the terminal's foreground, so that touching the terminal does not stop it. Where the
    /// terminal is another session's: whether a job in front waits for this one (`su -c`, `setsid -w`).
    #[must_use]
    pub fn in_foreground(&self) -> bool {
        match tcgetpgrp(&self.device) {
            Ok(group) => group == rustix::process::getpgrp(),
            Err(Errno::NOTTY) if !self.controls => self.number().is_some_and(ancestry::is_in_front),
            Err(_) => false,
        }
    }

    /// Whether it still edits and echoes lines as it did with `before`: nobody has switched it to single keys, or asks for a
    /// password.
    #[must_use]
    pub fn edits_lines(&self, before: &TerminalModes) -> bool {
        let both = (LocalModes::ICANON | LocalModes::ECHO).bits();
        self.modes().is_some_and(|now| {
            now.local & both == before.local & both && now.local & LocalModes::ICANON.bits() != 0
        })
    }

    /// Tries to get the keyboard. True when we have it, also from before.
    #[must_use]
    pub fn claim(&self) -> bool {
        lock(&self.node, libc::F_SETLK, libc::F_WRLCK).is_ok()
    }

    /// Waits for the keyboard on a thread and then closes the returned pipe's other end, which poll(2) reports.
    ///
    /// # Errors
    /// When the system has no descriptor or thread left.
    pub fn claim_later(&self) -> io::Result<std::os::fd::OwnedFd> {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let device = self.node.try_clone()?;
        thread::Builder::new().stack_size(32 << 10).spawn(move || {
            while lock(&device, libc::F_SETLKW, libc::F_WRLCK)
                .is_err_and(|error| error.kind() == io::ErrorKind::Interrupted)
            {}
            drop(writer);
            // The lock would end with any descriptor of the file that this process closes (fcntl(2)).
            std::mem::forget(device);
        })?;
        Ok(reader)
    }

    /// Raw mode: every byte goes to the guest's terminal, which does all that a terminal does.
    ///
    /// At once: to drain waits for whoever writes to the terminal (`tty_write_lock` in the kernel, since 6.3), the screen among
    /// them, and thus for ever where nobody reads it. What is written was translated when it was written.
    pub fn make_raw(&mut self) {
        if self.is_raw() || !self.in_foreground() {
            return;
        }
        let Ok(modes) = tcgetattr(&self.device) else { return };
        let mut raw = modes.clone();
        raw.make_raw();
        // The guest's driver has done the output's line ends already; UTF-8 editing stays known to the driver.
        raw.input_modes |= modes.input_modes & InputModes::IUTF8;
        if tcsetattr(&self.device, OptionalActions::Now, &raw).is_ok() {
            self.changed = self.modes().map(|ours| (modes, ours));
        }
    }

    /// Puts the modes back that [`Terminal::make_raw`] found, where they are still those that it set: another program may
    /// ask for a password meanwhile, and must not have it echoed. Stopped jobs must not touch the terminal: only from the
    /// foreground.
    pub fn restore(&mut self) {
        if let Some((modes, ours)) = self.changed.take() {
            // From the background this would stop us with SIGTTOU; the shell has set its own modes by then.
            if self.in_foreground() && self.modes() == Some(ours) {
                let _ = tcsetattr(&self.device, OptionalActions::Now, &modes);
            }
        }
    }

    /// Whether [`Terminal::make_raw`] is in force.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.changed.is_some()
    }

    /// Gives the keyboard up, modes restored. Also the one that [`Terminal::claim_later`] got a moment ago: who stops must
    /// not keep it from others.
    pub fn release(&mut self) {
        self.restore();
        // Fails only for a terminal that is gone.
        let _ = lock(&self.node, libc::F_SETLK, libc::F_UNLCK);
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.release();
    }
}

fn lock(device: &File, command: i32, kind: i32) -> io::Result<()> {
    // SAFETY: an all-zero flock is valid: the whole file, from its start.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
    lock.l_whence = libc::SEEK_SET.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is open and the structure lives for the call.
    if unsafe { libc::fcntl(device.as_raw_fd(), command, &raw mut lock) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn to_window_size(size: Winsize) -> WindowSize {
    WindowSize { rows: size.ws_row, columns: size.ws_col, x_pixels: size.ws_xpixel, y_pixels: size.ws_ypixel }
}

/// For rustix, which names the fields as C does.
#[must_use]
pub fn to_winsize(size: WindowSize) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: size.x_pixels, ws_ypixel: size.y_pixels }
}

/// A pty's master is the character device 5:2, or a unix98 master 128–135 (admin-guide/devices.txt); only such a one
/// answers TIOCGPTN.
pub fn is_pty_master(fd: BorrowedFd<'_>) -> bool {
    rustix::pty::ptsname(fd, Vec::new()).is_ok()
}
