//! The owner's `snug session`, which carries out on the host what his containers ask for (`snug_wire::host`).
//!
//! It listens on a sequenced-packet socket of the owner's: a packet is the name of a container to be served. Where systemd
//! has the socket (`snug-session.socket`) a packet starts it; else it is started here.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use snug_wire::host::SERVICE_SOCKET;
use snug_wire::socket::wait;

/// How long the service may take to look at what it is told: it carries out nothing itself.
const LOOK: Duration = Duration::from_secs(5);
/// How long a command waits for the service's word: one that lives gives it within a millisecond, and one that was killed hangs
/// up as soon as the system has closed what it had.
const WORD: Duration = Duration::from_millis(200);

/// The command of `snug` that serves, and its option to return when it does.
pub const COMMAND: [&str; 2] = ["session", "--background"];

/// Has the owner's session serve a container; starts it, by the program `snug`, where it does not run. A slow one is not waited
/// for.
///
/// # Errors
/// It cannot be reached or started.
pub fn wake(snug: &Path, container: &str) -> io::Result<()> {
    match until_answered(WORD, || call(snug, container)) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(()),
        other => other,
    }
}

/// The same, and waits until the service has looked: at what is exported, too.
///
/// # Errors
/// As of [`wake`]; it takes longer than it may.
pub fn wake_and_wait(snug: &Path, container: &str) -> io::Result<()> {
    until_answered(LOOK, || call(snug, container))
}

fn until_answered(patience: Duration, mut call: impl FnMut() -> io::Result<OwnedFd>) -> io::Result<()> {
    // One that was killed takes callers in until its last descriptor is closed, and one of an earlier version has no word for them.
    for _ in 0..2 {
        if is_answered(&call()?, patience)? {
            break;
        }
    }
    Ok(())
}

/// Waits until the service has done what it was told; false where it has gone without a word.
fn is_answered(connection: &OwnedFd, patience: Duration) -> io::Result<bool> {
    wait(connection.as_fd(), PollFlags::IN, Some(Instant::now() + patience)).map_err(|error| {
        io::Error::new(io::ErrorKind::TimedOut, format!("the service does not answer: {error}"))
    })?;
    let answer = rustix::net::recv(connection, &mut [0; 1][..], RecvFlags::DONTWAIT);
    Ok(answer.is_ok_and(|(_, length)| length > 0))
}

fn call(snug: &Path, container: &str) -> io::Result<OwnedFd> {
    if let Some(socket) = systemds_socket() {
        match tell(&socket, container) {
            Err(error) if is_not_served(&error) => {}
            other => return other,
        }
    }
    let own = own_socket()?;
    match tell(&own, container) {
        Err(error) if is_not_served(&error) => {}
        other => return other,
    }
    let started = Command::new(snug)
        .arg0("snug")
        .args(COMMAND)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !started.success() {
        return Err(io::Error::other(format!("{} {} ended with {started}", snug.display(), COMMAND[0])));
    }
    tell(&own, container)
}

fn is_not_served(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::CONNREFUSED))
}

/// The connection; it ends when what was told has been done.
fn tell(socket: &Path, container: &str) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let client = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::connect(&client, &SocketAddrUnix::new(socket)?)?;
    rustix::net::send(client.as_fd(), container.as_bytes(), SendFlags::NOSIGNAL)?;
    Ok(client)
}

/// Where systemd listens for the owner's session, if it does.
fn systemds_socket() -> Option<PathBuf> {
    runtime_directory().map(|directory| directory.join(SERVICE_SOCKET))
}

/// The user's runtime directory, where he has one. One that others may write is none: they could be first with what is made there.
fn runtime_directory() -> Option<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    let named = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let usual = PathBuf::from(format!("/run/user/{uid}"));
    named.into_iter().chain([usual]).find(|directory| is_own(directory))
}

/// Whether that is a directory of the user's that he alone may write; a link to one is not.
#[must_use]
pub fn is_own(directory: &Path) -> bool {
    fs::symlink_metadata(directory).is_ok_and(|status| {
        status.is_dir()
            && status.uid() == rustix::process::getuid().as_raw()
            && status.permissions().mode() & 0o022 == 0
    })
}

/// Where sockets of the user's containers are: `snug` in his runtime directory, or in a directory of his below `/tmp`.
///
/// # Errors
/// As of [`own_socket`].
pub fn run_directory() -> io::Result<PathBuf> {
    match runtime_directory() {
        Some(directory) => Ok(directory.join("snug")),
        None => own_directory(),
    }
}

/// Where the owner's session listens when it was started without systemd: in a directory of his below `/tmp`, which is made. A
/// socket in the runtime directory would keep that from being unmounted when he logs out.
///
/// # Errors
/// A directory in its place that is not his alone.
pub fn own_socket() -> io::Result<PathBuf> {
    own_directory().map(|directory| directory.join("session.sock"))
}

fn own_directory() -> io::Result<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    let directory = PathBuf::from(format!("/tmp/snug-{uid}"));
    match fs::DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match foreign(&directory, uid)? {
        Some(text) => Err(io::Error::new(io::ErrorKind::PermissionDenied, text)),
        None => Ok(directory),
    }
}

/// Why that is not a directory of the user's alone, and what he can do; `None`: it is.
fn foreign(directory: &Path, uid: u32) -> io::Result<Option<String>> {
    let status = fs::symlink_metadata(directory)?;
    let shown = directory.display();
    Ok(if status.uid() != uid {
        let owner = status.uid();
        Some(format!(
            "{shown} belongs to the user with uid {owner}, and Snug needs that place for you: `sudo rm -r {shown}` clears it"
        ))
    } else if !status.is_dir() {
        Some(format!("{shown} is no directory: `rm {shown}` clears the place"))
    } else if status.permissions().mode() & 0o077 != 0 {
        Some(format!("{shown} is open to other users: `rm -r {shown}` clears the place"))
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_hangs_up_without_a_word_is_called_again_and_a_slow_one_is_not() {
        let kind = SocketType::SEQPACKET;
        let pair = || rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
        let mut calls = 0;
        let answered = until_answered(LOOK, || {
            let (ours, theirs) = pair();
            calls += 1;
            if calls == 2 {
                rustix::net::send(&theirs, &[1], SendFlags::empty()).unwrap();
            }
            Ok(ours)
        });
        assert!(answered.is_ok() && calls == 2, "{calls}");
        let mut open = Vec::new();
        let late = until_answered(Duration::from_millis(1), || {
            let (ours, theirs) = pair();
            open.push(theirs);
            Ok(ours)
        });
        assert_eq!((late.unwrap_err().kind(), open.len()), (io::ErrorKind::TimedOut, 1));
    }

    #[test]
    fn a_directory_is_the_users_own_if_he_alone_may_write_it() {
        let place = env::temp_dir().join(format!("snug-own-{}", std::process::id()));
        let link = place.join("link");
        let set = |mode| fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
        let uid = rustix::process::getuid().as_raw();
        fs::create_dir(&place).unwrap();
        std::os::unix::fs::symlink(&place, &link).unwrap();
        for (mode, own, alone) in
            [(0o700, true, true), (0o755, true, false), (0o770, false, false), (0o702, false, false)]
        {
            set(mode);
            assert_eq!(is_own(&place), own, "{mode:o}");
            assert_eq!(foreign(&place, uid).unwrap().is_none(), alone, "{mode:o}");
        }
        set(0o700);
        assert!(!is_own(&link) && foreign(&link, uid).unwrap().is_some());
        // Whose it is, and what to do.
        let text = foreign(&place, uid.wrapping_add(1)).unwrap().unwrap();
        let shown = place.display();
        assert!(text.contains(&format!("{shown} belongs to the user with uid {uid}")), "{text}");
        assert!(text.contains(&format!("`sudo rm -r {shown}`")), "{text}");
        fs::remove_dir_all(&place).unwrap();
    }
}
