//! Where the owner's programs tell `snug session` which containers to serve.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, chmod, flock};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    recv, socket_with,
};
use snug_client::host_service::own_socket;
use snug_core::name::ContainerName;
use snug_exec::sys::{descriptor, peer};

/// Callers send at once, or are none.
const PATIENCE: Duration = Duration::from_millis(200);
const BACKLOG: i32 = 64;
/// More than the longest name.
const LONGEST: usize = 256;

/// The socket.
pub struct Listener {
    socket: OwnedFd,
    /// Where it is, if it is this process's: systemd's stays.
    own: Option<PathBuf>,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What has become of an attempt to listen.
pub enum Opened {
    /// It listens.
    Here(Listener),
    /// Somebody else does already.
    Elsewhere,
}

impl Listener {
    /// The socket that systemd hands over (`sd_listen_fds(3)`), or one of its own.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn open() -> io::Result<Opened> {
        match descriptor::handed_over_by_systemd() {
            Some(socket) => Ok(Opened::Here(Self { socket, own: None })),
            None => Self::bind(own_socket()?),
        }
    }

    fn bind(path: PathBuf) -> io::Result<Opened> {
        // Held while somebody begins or ceases to listen.
        let _alone = lock(&path)?;
        let address = SocketAddrUnix::new(&path)?;
        let socket = || socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        if connect(&socket()?, &address).is_ok() {
            return Ok(Opened::Elsewhere);
        }
        remove(&path)?;
        let listener = socket()?;
        bind(&listener, &address)?;
        chmod(&path, Mode::from_raw_mode(0o600))?;
        listen(&listener, BACKLOG)?;
        Ok(Opened::Here(Self { socket: listener, own: Some(path) }))
    }

    /// The container that the next caller names; callers of other users are not heard.
    pub fn hear(&self) -> Option<ContainerName> {
        let caller = accept_with(&self.socket, SocketFlags::CLOEXEC).ok()?;
        if peer::uid(caller.as_fd()).ok()? != rustix::process::getuid().as_raw() {
            return None;
        }
        set_socket_timeout(&caller, Timeout::Recv, Some(PATIENCE)).ok()?;
        let mut packet = [0; LONGEST];
        let (length, _) = recv(&caller, &mut packet[..], RecvFlags::empty()).ok()?;
        std::str::from_utf8(packet.get(..length)?).ok()?.parse().ok()
    }

    /// Ceases to listen; whether it may, since nobody has called meanwhile.
    pub fn leave(&self) -> bool {
        let Some(path) = &self.own else { return true };
        let Ok(_alone) = lock(path) else { return true };
        let mut polled = [rustix::event::PollFd::new(&self.socket, rustix::event::PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        if rustix::event::poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0) {
            return false;
        }
        remove(path).is_ok()
    }
}

fn lock(socket: &std::path::Path) -> io::Result<File> {
    let file = File::options().create(true).append(true).open(socket.with_extension("lock"))?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

fn remove(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
