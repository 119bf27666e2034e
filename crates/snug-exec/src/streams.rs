//! Where a command's streams come from: handed over, relayed, the guest's devices, or a terminal.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Gid, Uid, fchown, fstat};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::rand::{GetRandomFlags, getrandom};
use snug_wire::message::{
    Exec, FIRST_FURTHER_STREAM, FailureKind, FromAgent, Stdio, TERMINAL_STREAM, Terminal,
};

use crate::control::{self, Request};
use crate::relay;
use crate::session::{MAX_DESCRIPTORS, Session};
use crate::start::{Failure, Stream};
use crate::sys::terminal::{self, Pty};
use crate::system::{Identity, System};

/// The command's side of everything.
pub struct Streams {
    /// What the command finds under which number.
    pub numbered: Vec<(u32, Stream)>,
    /// The terminal's slave.
    pub terminal: Option<OwnedFd>,
    /// Something is relayed: the session must outlive the command until the client has taken it.
    pub relayed: bool,
}

/// Makes the streams that `exec` asks for and tells the client how to reach them.
pub fn make(
    system: &dyn System,
    session: &mut Session,
    exec: &Exec,
    handed: Vec<(u32, OwnedFd)>,
    identity: &Identity,
) -> Result<Streams, Failure> {
    let mut handed: Vec<(u32, OwnedFd)> =
        handed.into_iter().filter(|(_, fd)| may_be_handed_over(fd)).collect();
    let pty =
        exec.terminal.as_ref().map(|terminal| make_terminal(system, exec, terminal, identity)).transpose()?;
    let mut kept: Vec<(u8, OwnedFd)> = Vec::new();
    let mut numbered = Vec::new();
    let standard = (0..).zip(exec.stdio).map(|(number, wanted)| (u8::try_from(number).ok(), number, wanted));
    let further = (usize::from(FIRST_FURTHER_STREAM)..)
        .zip(exec.further.iter().take(MAX_DESCRIPTORS))
        .map(|(stream, (number, wanted))| (u8::try_from(stream).ok(), *number, *wanted))
        .filter(|(_, number, _)| *number > 2);
    for (stream, number, wanted) in standard.chain(further) {
        let stream = match wanted {
            Stdio::Tty => Stream::Open(copy_of_slave(pty.as_ref())?),
            Stdio::Passed => Stream::Open(take(&mut handed, number)?),
            Stdio::Relayed | Stdio::Incoming | Stdio::Outgoing => {
                let stream = stream.ok_or_else(|| {
                    Failure::new(FailureKind::Protocol, format!("descriptor {number} cannot be relayed"))
                })?;
                let read = wanted == Stdio::Incoming || wanted == Stdio::Relayed && number == 0;
                let (ours, theirs) = make_pipe(read, identity)?;
                kept.push((stream, ours));
                Stream::Open(theirs)
            }
            Stdio::Null => Stream::Device("/dev/null"),
            Stdio::Zero => Stream::Device("/dev/zero"),
            Stdio::Full => Stream::Device("/dev/full"),
            Stdio::Random => Stream::Device("/dev/random"),
            Stdio::Urandom => Stream::Device("/dev/urandom"),
            Stdio::Closed => Stream::Closed,
        };
        numbered.push((number, stream));
    }
    numbered.extend(
        handed.into_iter().filter(|(number, _)| *number > 2).map(|(number, fd)| (number, Stream::Open(fd))),
    );

    let mut terminal = None;
    let mut master_to_pass = None;
    if let Some(Pty { master, slave }) = pty {
        terminal = Some(slave);
        if exec.terminal.as_ref().is_some_and(|terminal| terminal.relayed) {
            kept.push((TERMINAL_STREAM, master));
        } else {
            master_to_pass = Some(master);
        }
    }
    let relayed = !kept.is_empty();
    if relayed {
        keep(session, kept)?;
    }
    if let Some(master) = master_to_pass {
        session.tell(&FromAgent::Pty, &[master.as_fd()]);
    }
    Ok(Streams { numbered, terminal, relayed })
}

/// Leaves our ends with the server, where the client's further connections find them.
fn keep(session: &mut Session, kept: Vec<(u8, OwnedFd)>) -> Result<(), Failure> {
    let mut token = [0; 16];
    getrandom(&mut token, GetRandomFlags::empty())
        .map_err(|error| Failure::system("random numbers", error))?;
    if kept.len() > control::MAX_FDS {
        let text = format!("more than {} streams cannot be relayed", control::MAX_FDS);
        return Err(Failure::new(FailureKind::Other, text));
    }
    let (numbers, ends): (Vec<u8>, Vec<OwnedFd>) = kept.into_iter().unzip();
    control::send(session.control.as_fd(), &Request::Keep(token, numbers), &control::borrowed(&ends))
        .map_err(|error| Failure::system("the server does not answer", error))?;
    session.tell(&FromAgent::Streams { token }, &[]);
    Ok(())
}

/// Directories and devices are never taken, whatever the client thinks (rule 2 of the design).
fn may_be_handed_over(fd: &OwnedFd) -> bool {
    fstat(fd).is_ok_and(|status| {
        !matches!(
            FileType::from_raw_mode(status.st_mode),
            FileType::Directory | FileType::CharacterDevice | FileType::BlockDevice
        )
    })
}

fn take(handed: &mut Vec<(u32, OwnedFd)>, number: u32) -> Result<OwnedFd, Failure> {
    let place = handed.iter().position(|(other, _)| *other == number).ok_or_else(|| {
        Failure::new(FailureKind::Denied, format!("stream {number} may not be handed over"))
    })?;
    Ok(handed.swap_remove(place).1)
}

fn copy_of_slave(pty: Option<&Pty>) -> Result<OwnedFd, Failure> {
    let pty =
        pty.ok_or_else(|| Failure::new(FailureKind::Protocol, "a terminal stream without a terminal"))?;
    pty.slave.try_clone().map_err(|error| Failure::system("terminal", error))
}

/// Our end and the command's, which it reads or writes. Its user owns the pipe, so that he can open `/dev/stdout` again.
fn make_pipe(read: bool, identity: &Identity) -> Result<(OwnedFd, OwnedFd), Failure> {
    let (reader, writer) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|error| Failure::system("cannot make a pipe", error))?;
    relay::enlarge(writer.as_fd());
    let owner = (Uid::from_raw(identity.entry.uid), Gid::from_raw(identity.entry.gid));
    let _ = fchown(&writer, Some(owner.0), Some(owner.1));
    Ok(if read { (writer, reader) } else { (reader, writer) })
}

fn make_terminal(
    system: &dyn System,
    exec: &Exec,
    wanted: &Terminal,
    identity: &Identity,
) -> Result<Pty, Failure> {
    let pty = terminal::open_pty().map_err(|error| {
        Failure::system(&format!("cannot make a terminal {}", system.side().place()), error)
    })?;
    if let Some(modes) = &wanted.modes {
        terminal::set_modes(pty.slave.as_fd(), modes);
    }
    terminal::set_size(pty.slave.as_fd(), wanted.size);
    system.adopt_terminal(pty.slave.as_fd(), identity);
    if let Some((name, compiled)) = &wanted.terminfo {
        system.bring_terminfo(&exec.user, &identity.entry, name, compiled);
    }
    rustix::process::ioctl_tiocsctty(&pty.slave)
        .map_err(|error| Failure::system("cannot take the terminal", error))?;
    Ok(pty)
}
