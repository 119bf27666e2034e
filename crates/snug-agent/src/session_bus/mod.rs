//! The session bus of a command: the host's, for the desktop is there; but what speaks to the service manager is led to the
//! guest's own.
//!
//! Both buses have an `org.freedesktop.systemd1`. A program that asks it for a control group, by a process number
//! (rootless Podman's crun, `systemd-run --user`), means its own system's. So each message of a client goes to the bus that it is
//! for ([`route`]); what comes from both goes to the client.
//!
//! | module | what |
//! |---|---|
//! | [`message`] | as much of a message as routing needs |
//! | [`framing`] | messages, with their descriptors, out of a stream |
//! | [`route`] | which bus a message is for |
//! | [`join`] | a client joined to its buses |
//! | [`host`] | how it gets to the host's |

mod framing;
mod host;
mod join;
mod message;
mod route;

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use snug_exec::sys::{descriptor, process, signal};
use snug_wire::provision::{Account, Provision};
use snug_wire::session::USERS;

use crate::files::remove_if_there;
use crate::places::Places;

const BACKLOG: i32 = 128;

/// The two buses of a user.
pub struct Buses {
    /// Of his session on the host.
    pub host: PathBuf,
    /// Of his manager in the guest.
    pub guest: PathBuf,
    /// The agent, by which the host's is reached as from the host.
    pub agent: PathBuf,
}

impl Buses {
    /// Those of the guest's owner.
    pub fn of(owner: &Account, places: &Places) -> Self {
        Self {
            agent: places.socket(),
            host: Path::new(USERS).join(format!("{}/bus", owner.uid)),
            guest: format!("/run/user/{}/bus", owner.uid).into(),
        }
    }
}

/// Where a command finds it (D-Bus Specification, "Server Addresses").
pub fn address(places: &Places) -> Vec<u8> {
    [b"unix:path=", places.session_bus().as_os_str().as_encoded_bytes()].concat()
}

/// Listens for the owner's programs, where the guest has his session; `None` where it has not.
pub fn listen_for_owner(places: &Places, provision: Option<&Provision>) -> io::Result<Option<OwnedFd>> {
    let Some(provision) = provision.filter(|provision| provision.session) else { return Ok(None) };
    let path = places.session_bus();
    remove_if_there(&path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&listener, &SocketAddrUnix::new(&path)?)?;
    chown(&path, Some(provision.owner.uid), Some(provision.owner.gid))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    listen(&listener, BACKLOG)?;
    Ok(Some(listener))
}

/// Serves one client, in a process just forked from the server: as the owner, and with nothing of the server's.
pub fn serve(owner: &Account, places: &Places, client: OwnedFd) -> ! {
    let _ = rustix::thread::set_name(c"snug-bus");
    let kept = [client.as_raw_fd()];
    std::mem::forget(client);
    if let Ok([client]) = descriptor::keep_only(kept)
        && process::become_user(owner.uid, owner.gid, &[owner.gid]).is_ok()
    {
        let _ = rustix::process::setsid();
        signal::reset_dispositions(1 << (libc::SIGPIPE - 1));
        signal::unblock_all();
        // Whatever goes wrong, both sides see their connection end.
        let _ = join::run(client, &Buses::of(owner, places));
    }
    process::exit(0)
}
