//! The guest's one server: its lock, and the socket that clients find it at.

use std::os::fd::OwnedFd;

use rustix::fs::{FlockOperation, Mode, OFlags, chmod, fcntl_lock, open};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use rustix::process::{Flock, FlockType, Signal, fcntl_getlk, kill_process};

use super::{ServeError, failed};
use crate::files::remove_if_there;
use crate::places::Places;

/// Connections that may wait to be accepted: the kernel's own default bound (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// Tells a server to make its socket again.
pub const LISTEN_AGAIN: i32 = libc::SIGHUP;

/// A POSIX lock: it belongs to this process alone, not to the sessions that inherit its descriptor.
pub fn take_lock(places: &Places) -> Result<OwnedFd, ServeError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock =
        open(places.lock(), flags, Mode::from_raw_mode(0o600)).map_err(failed("cannot open the lock"))?;
    match fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(Errno::AGAIN | Errno::ACCESS) => Err(ServeError::AlreadyServed),
        Err(error) => Err(failed("cannot take the lock")(error)),
    }
}

/// Who serves, but at a socket that the guest's root has removed, is told to make it again: nobody can reach it, and nobody
/// else can take its place.
pub fn reach_again(places: &Places) -> Result<(), ServeError> {
    let address = SocketAddrUnix::new(places.socket()).map_err(failed("the socket's path"))?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let caller = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(failed("cannot make a socket"))?;
    match connect(&caller, &address) {
        // Who cannot queue now will be able to.
        Ok(()) | Err(Errno::AGAIN) => return Ok(()),
        Err(_) => {}
    }
    let lock = open(places.lock(), OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed("cannot open the lock"))?;
    let holder =
        fcntl_getlk(&lock, &Flock::from(FlockType::WriteLock)).map_err(failed("cannot ask who serves"))?;
    match holder.and_then(|lock| lock.pid) {
        Some(pid) => kill_process(pid, Signal::HUP).map_err(failed("cannot tell who serves")),
        // Gone meanwhile.
        None => Ok(()),
    }
}

pub fn listen_at(places: &Places) -> Result<OwnedFd, ServeError> {
    let path = places.socket();
    remove_if_there(&path).map_err(failed("cannot remove the old socket"))?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(failed("cannot make a socket"))?;
    let address = SocketAddrUnix::new(&path).map_err(failed("the socket's path"))?;
    bind(&listener, &address).map_err(failed("cannot bind the socket"))?;
    listen(&listener, BACKLOG).map_err(failed("cannot listen"))?;
    // Last: who watches for it (`snug session`) finds it served. The host's directory decides who gets here, and the peer is checked.
    chmod(&path, Mode::from_raw_mode(0o666)).map_err(failed("cannot open the socket to clients"))?;
    Ok(listener)
}
