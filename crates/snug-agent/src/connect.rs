//! `snug-agent connect PATH`: joins its streams to a Unix socket of the guest.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use snug_exec::joint;

/// Connects, and copies both ways until the socket's side has ended.
pub fn run(arguments: &[OsString]) -> Result<(), String> {
    let [path] = arguments else { return Err("connect PATH".into()) };
    let joined = || -> io::Result<()> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        let (input, output) = (copy_of(io::stdin())?, copy_of(io::stdout())?);
        Ok(joint::join(&input, &output, &socket)?)
    };
    joined().map_err(|error| format!("{}: {error}", path.display()))
}

fn copy_of(stream: impl AsFd) -> io::Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}
