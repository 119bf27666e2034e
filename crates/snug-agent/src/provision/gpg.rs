//! The host's gpg-agent, and the keeper of keys beside it, where gpg looks for them: in its user's runtime directory alone.
//!
//! There are links in a directory of the guest's own. Where gpg finds nobody at the other end it starts an agent in the guest, which
//! puts sockets in their place, and nothing of the host is touched. That one serves as long as the host has none; afterwards
//! the links come back, and it ends by itself, within a minute, since its socket is somebody else's (gpg-agent.c,
//! `check_own_socket`). It takes no names with it then, and does not hear of a name that another is renamed to.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, renameat, statat, symlinkat, unlinkat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use snug_wire::provision::Provision;
use snug_wire::session::USERS;

use super::session::lead_in;
use crate::files::replace_link;
use crate::init::Kind;
use crate::places::Guest;

/// Directory of their sockets in a runtime directory.
const DIRECTORY: &str = "gnupg";

/// The sockets of gpg-agent(1).
const AGENT: [&str; 4] = ["S.gpg-agent", "S.gpg-agent.extra", "S.gpg-agent.browser", "S.gpg-agent.ssh"];
/// That of keyboxd(1).
const KEYBOX: [&str; 1] = ["S.keyboxd"];
/// By program; it serves where the first of its sockets is.
const PROGRAMS: [&[&str]; 2] = [&AGENT, &KEYBOX];

/// Units of users by which a guest would serve these itself (Debian enables them for everybody).
const UNITS: [&str; 5] = [
    "gpg-agent.socket",
    "gpg-agent-extra.socket",
    "gpg-agent-browser.socket",
    "gpg-agent-ssh.socket",
    "keyboxd.socket",
];

/// Makes gpg in the guest find the host's agent.
pub fn find_agent(guest: &Guest, provision: &Provision, init: Kind) -> io::Result<()> {
    if !provision.session {
        return Ok(());
    }
    for sockets in PROGRAMS {
        lead_in(guest, &provision.owner, DIRECTORY, sockets)?;
    }
    if init == Kind::Systemd {
        let units = guest.path("/run/systemd/user");
        fs::create_dir_all(&units)?;
        for unit in UNITS {
            replace_link(&units.join(unit), Path::new("/dev/null"))?;
        }
    }
    Ok(())
}

/// Leads gpg back to the host's agent where that serves and the guest has sockets of its own. Each command does so: where there
/// is nothing to do it takes four system calls.
pub fn find_agent_again(guest: &Guest, provision: &Provision) -> io::Result<()> {
    if !provision.session {
        return Ok(());
    }
    let uid = provision.owner.uid;
    let own = guest.path(format!("/run/user/{uid}/{DIRECTORY}"));
    // It is in the hands of the owner: what is done below it is done there, wherever a link of that name would lead.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let own = match openat(CWD, &own, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        other => other?,
    };
    let there = PathBuf::from(format!("{USERS}/{uid}/{DIRECTORY}"));
    for sockets in PROGRAMS {
        if is_link(&own, sockets[0]) || !is_served(&guest.path(there.join(sockets[0]))) {
            continue;
        }
        // The one that tells comes last.
        for name in sockets.iter().rev().filter(|name| is_replaceable(&own, name)) {
            put_link(&own, name, &there.join(name))?;
        }
    }
    Ok(())
}

/// A socket, or nothing: what else lies there somebody has put there.
fn is_replaceable(directory: impl AsFd, name: &str) -> bool {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(status) => FileType::from_raw_mode(status.st_mode) == FileType::Socket,
        Err(error) => error == Errno::NOENT,
    }
}

fn is_link(directory: impl AsFd, name: &str) -> bool {
    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::Symlink)
}

/// Somebody listens. A socket also stays behind of an agent that was killed. Root gets to the host's through the owner's closed
/// directories, since his ids are the guest's, too.
fn is_served(path: &Path) -> bool {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let connected = SocketAddrUnix::new(path).and_then(|address| {
        let caller = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&caller, &address)
    });
    matches!(connected, Ok(()) | Err(Errno::AGAIN))
}

fn put_link(directory: impl AsFd, name: &str, target: &Path) -> io::Result<()> {
    // Two commands may do this at a time.
    let temporary = format!(".{name}.{}", rustix::process::getpid().as_raw_nonzero());
    // Of a process with this number that was killed in between.
    let _ = unlinkat(&directory, &temporary, AtFlags::empty());
    symlinkat(target, &directory, &temporary)?;
    renameat(&directory, &temporary, &directory, name).inspect_err(|_| {
        let _ = unlinkat(&directory, &temporary, AtFlags::empty());
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn guest() -> (tempfile::TempDir, Guest, Provision) {
        let (directory, guest) = crate::provision::tests::guest(&[]);
        let mut provision = crate::provision::tests::provision();
        provision.session = true;
        provision.owner.uid = rustix::process::getuid().as_raw();
        provision.owner.gid = rustix::process::getgid().as_raw();
        (directory, guest, provision)
    }

    /// Where the guest's gpg looks, and the host's directory.
    fn directories(guest: &Guest, provision: &Provision) -> (PathBuf, PathBuf) {
        let uid = provision.owner.uid;
        (guest.path(format!("/run/user/{uid}/gnupg")), guest.path(format!("{USERS}/{uid}/gnupg")))
    }

    fn is_socket(path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|it| !it.is_symlink())
    }

    #[test]
    fn gpg_is_led_to_the_hosts_agent_and_the_guest_starts_none_by_itself() {
        let (_directory, guest, mut provision) = guest();
        let (own, _) = directories(&guest, &provision);
        for _ in 0..2 {
            find_agent(&guest, &provision, Kind::Systemd).unwrap();
        }
        assert_eq!(
            fs::read_link(own.join("S.gpg-agent")).unwrap(),
            Path::new(USERS).join(format!("{}/gnupg/S.gpg-agent", provision.owner.uid))
        );
        assert!(own.join("S.keyboxd").is_symlink());
        assert!(guest.path("/run/systemd/user/gpg-agent-ssh.socket").is_symlink());
        provision.session = false;
        fs::remove_dir_all(guest.path("/run")).unwrap();
        find_agent(&guest, &provision, Kind::Systemd).unwrap();
        find_agent_again(&guest, &provision).unwrap();
        assert!(!guest.path("/run").exists());
    }

    #[test]
    fn the_guests_own_agent_serves_until_the_host_has_one_again() {
        let (_directory, guest, provision) = guest();
        let (own, hosts) = directories(&guest, &provision);
        find_agent(&guest, &provision, Kind::Other).unwrap();
        let _started: Vec<UnixListener> = ["S.gpg-agent", "S.gpg-agent.ssh", "S.keyboxd"]
            .map(|name| {
                fs::remove_file(own.join(name)).unwrap();
                UnixListener::bind(own.join(name)).unwrap()
            })
            .into();
        let own_agent = || is_socket(&own.join("S.gpg-agent")) && is_socket(&own.join("S.gpg-agent.ssh"));
        find_agent_again(&guest, &provision).unwrap();
        assert!(own_agent(), "the host has no directory of that name");
        fs::create_dir_all(&hosts).unwrap();
        drop(UnixListener::bind(hosts.join("S.gpg-agent")).unwrap());
        find_agent_again(&guest, &provision).unwrap();
        assert!(own_agent(), "what the host has is the socket of an agent that was killed");
        fs::remove_file(hosts.join("S.gpg-agent")).unwrap();
        let _hosts = UnixListener::bind(hosts.join("S.gpg-agent")).unwrap();
        for _ in 0..2 {
            find_agent_again(&guest, &provision).unwrap();
            for name in AGENT {
                let there = Path::new(USERS).join(format!("{}/gnupg/{name}", provision.owner.uid));
                assert_eq!(fs::read_link(own.join(name)).unwrap(), there);
            }
        }
        assert!(is_socket(&own.join("S.keyboxd")), "the host has no other keyboxd");
        assert_eq!(fs::read_dir(&own).unwrap().count(), 5, "nothing temporary is left");
    }

    #[test]
    fn names_that_the_guests_agent_took_with_it_are_links_again() {
        let (_directory, guest, provision) = guest();
        let (own, hosts) = directories(&guest, &provision);
        fs::create_dir_all(&hosts).unwrap();
        let _hosts = UnixListener::bind(hosts.join("S.gpg-agent")).unwrap();
        find_agent_again(&guest, &provision).unwrap();
        fs::create_dir_all(&own).unwrap();
        find_agent_again(&guest, &provision).unwrap();
        assert!(AGENT.iter().all(|name| own.join(name).is_symlink()));
    }

    #[test]
    fn a_link_in_the_place_of_the_directory_leads_nowhere() {
        let (_directory, guest, provision) = guest();
        let (own, hosts) = directories(&guest, &provision);
        fs::create_dir_all(&hosts).unwrap();
        let _hosts = UnixListener::bind(hosts.join("S.gpg-agent")).unwrap();
        fs::create_dir_all(guest.path("/etc")).unwrap();
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(guest.path("/etc"), &own).unwrap();
        find_agent_again(&guest, &provision).unwrap();
        assert_eq!(fs::read_dir(guest.path("/etc")).unwrap().count(), 0);
    }
}
