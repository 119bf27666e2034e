//! `snug-agent connect PATH`: joins its streams to a Unix socket of the guest.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use snug_exec::joint;

/// Connects, and copies both ways until the socket's side has ended.
pub fn run(arguments: &[OsString]) -> Result<(), String> {
    let [path] = arguments else { return Err("connect PATH".into()) };
    let joined = || -> io::Result<()> {
        let socket = UnixStream::connect(path)?.into();
        let (input, output) =
            (io::stdin().as_fd().try_clone_to_owned()?, io::stdout().as_fd().try_clone_to_owned()?);
        Ok(joint::join(&input, &output, &socket)?)
    };
    joined().map_err(|error| format!("{}: {error}", path.display()))
}
