//! Where the owner's programs tell `snug session` which containers to serve.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Mode, OFlags, chmod, flock, open};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen,
    recv, send, socket_with,
};
use snug_client::host_service::own_socket;
use snug_core::name::ContainerName;
use snug_exec::sys::door::Door;
use snug_exec::sys::{descriptor, peer};

/// Callers send at once, or are none.
const PATIENCE: Duration = Duration::from_millis(200);
const BACKLOG: i32 = 64;
/// More than the longest name.
const LONGEST: usize = 256;

/// How long another one that begins or ceases to listen is waited for.
const TURN: Duration = Duration::from_secs(2);

/// The socket.
pub struct Listener {
    socket: Door,
    /// Where it is, if it is this process's: systemd's stays.
    own: Option<Own>,
}

/// A socket of this process's.
struct Own {
    path: PathBuf,
    /// Another one may have come there.
    inode: (u64, u64),
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a caller has told.
pub struct Call {
    /// The container to be served.
    pub name: ContainerName,
    /// He may wait for a byte: then it has been done.
    caller: OwnedFd,
}

impl Call {
    /// Tells him, if he waits, that it has been done.
    pub fn done(self) {
        let _ = send(&self.caller, b".", SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
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
            Some(socket) => Ok(Opened::Here(Self { socket: Door::new(socket), own: None })),
            None => Self::bind(own_socket()?),
        }
    }

    fn bind(path: PathBuf) -> io::Result<Opened> {
        // Held while somebody begins or ceases to listen.
        let _alone = lock(&path)?;
        match connect(&socket(SocketType::SEQPACKET)?, &SocketAddrUnix::new(&path)?) {
            // One whose callers have to queue serves as well.
            Ok(()) | Err(Errno::AGAIN) => return Ok(Opened::Elsewhere),
            Err(_) => remove(&path)?,
        }
        let listener = listen_alone(&path, SocketType::SEQPACKET)?;
        let inode = inode(&path)?;
        Ok(Opened::Here(Self { socket: Door::new(listener), own: Some(Own { path, inode }) }))
    }

    /// Closes whatever else this process has inherited: a service that outlives its starter must hold nothing of his.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn keep_alone(self) -> io::Result<Self> {
        let Self { socket, own } = self;
        let kept = [socket.as_fd().as_raw_fd()];
        std::mem::forget(socket);
        let [socket] = descriptor::keep_only(kept)?;
        Ok(Self { socket: Door::new(socket), own })
    }

    /// Where its own socket is; there it may get lost.
    pub fn directory(&self) -> Option<&Path> {
        self.own.as_ref().and_then(|own| own.path.parent())
    }

    /// Whether callers cannot find it any more: its place was cleared, and another one may be there by now.
    pub fn is_lost(&self) -> bool {
        self.own.as_ref().is_some_and(|own| inode(&own.path).ok() != Some(own.inode))
    }

    /// The container that the next caller names; callers of other users are not heard.
    pub fn hear(&mut self) -> Option<Call> {
        let caller = self.socket.accept()?;
        if peer::uid(caller.as_fd()).ok()? != rustix::process::getuid().as_raw() {
            return None;
        }
        set_socket_timeout(&caller, Timeout::Recv, Some(PATIENCE)).ok()?;
        let mut packet = [0; LONGEST];
        let (length, _) = recv(&caller, &mut packet[..], RecvFlags::empty()).ok()?;
        let name = std::str::from_utf8(packet.get(..length)?).ok()?.parse().ok()?;
        Some(Call { name, caller })
    }

    /// Ceases to listen. Who has called until then is heard: he was told that he would be.
    pub fn leave(&mut self) -> Option<Call> {
        if let Some(Own { path, .. }) = self.own.take() {
            let alone = lock(&path);
            if alone.is_err() || remove(&path).is_err() {
                // Whoever comes next finds nobody there, and takes the place.
                return None;
            }
        }
        loop {
            let mut polled = [PollFd::new(&self.socket, PollFlags::IN)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if !poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0) {
                return None;
            }
            if let Some(call) = self.hear() {
                return Some(call);
            }
        }
    }
}

fn socket(kind: SocketType) -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

/// Listens at a path, for this user alone.
///
/// # Errors
/// The system's refusal: something is there already.
pub fn listen_alone(path: &Path, kind: SocketType) -> io::Result<OwnedFd> {
    let listener = socket(kind)?;
    bind(&listener, &SocketAddrUnix::new(path)?)?;
    chmod(path, Mode::from_raw_mode(0o600))?;
    listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// What is there, by its device and number.
///
/// # Errors
/// Nothing is.
pub fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|status| (status.dev(), status.ino()))
}

/// Takes the lock beside the socket. It lies in a directory of the owner's, but his containers may have that, too.
fn lock(socket: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open(socket.with_extension("lock"), flags, Mode::from_raw_mode(0o600))?;
    let end = Instant::now() + TURN;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if Instant::now() < end => std::thread::sleep(TURN / 100),
            Err(error) => return Err(error.into()),
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_lost_when_its_place_is_cleared_or_anothers() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("own");
        fs::create_dir(&own).unwrap();
        let open = || match Listener::bind(own.join("session.sock")) {
            Ok(Opened::Here(listener)) => listener,
            _ => panic!("it does not listen"),
        };
        let first = open();
        assert!(!first.is_lost() && first.directory() == Some(own.as_path()));
        fs::rename(&own, directory.path().join("elsewhere")).unwrap();
        assert!(first.is_lost());
        fs::create_dir(&own).unwrap();
        let second = open();
        assert!(first.is_lost() && !second.is_lost());
    }
}
