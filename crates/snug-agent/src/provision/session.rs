//! The owner's session on the host, as far as programs look for it at fixed places: a command is told of the rest by its
//! environment.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use snug_wire::provision::{Account, Provision};
use snug_wire::session::{DIRECTORY, LINKS, PARTS, USERS, X11, X11_SOCKETS};

use super::home;
use crate::files::replace_link;
use crate::places::Guest;

/// Directory of sockets in a runtime directory, and their names: of a Wayland session, and of the X displays that there usually
/// are.
const ACCESSIBILITY: &str = "at-spi";
const ACCESSIBILITY_SOCKETS: [&str; 4] = ["bus", "bus_0", "bus_1", "bus_2"];

/// Directories of a runtime directory that belong to what the session bus leads to: where dconf's writer marks that a setting has
/// changed (dconf, `shm/`), and where gvfs mounts what its daemons have opened.
const OF_SERVICES: [&str; 2] = ["dconf", "gvfs"];

/// Makes the guest's half of the paths that lead to the same on both sides.
pub fn make_links(guest: &Guest, provision: &Provision) -> io::Result<()> {
    if !provision.session {
        return Ok(());
    }
    fs::create_dir_all(guest.path(LINKS))?;
    PARTS
        .iter()
        .try_for_each(|name| replace_link(&guest.path(LINKS).join(name), &Path::new(DIRECTORY).join(name)))
}

/// Leads programs to the bus of the host's accessibility services, whose address the session bus tells with a path of the host's
/// runtime directory (`org.a11y.Bus` of at-spi2-core). Links to its sockets alone: a launcher that is started in the guest
/// replaces them, and nothing of the host.
pub fn find_accessibility(guest: &Guest, provision: &Provision) -> io::Result<()> {
    if !provision.session {
        return Ok(());
    }
    lead_in(guest, &provision.owner, ACCESSIBILITY, &ACCESSIBILITY_SOCKETS)
}

/// Leads programs to the directories of services that they speak with over the session bus.
pub fn find_services(guest: &Guest, provision: &Provision) -> io::Result<()> {
    if !provision.session {
        return Ok(());
    }
    lead(guest, &provision.owner, Path::new(""), &OF_SERVICES)
}

/// Leads from names in a directory of the owner's runtime directory, which is made, to those on the host.
pub fn lead_in(guest: &Guest, owner: &Account, directory: &str, names: &[&str]) -> io::Result<()> {
    let own = guest.path(format!("/run/user/{}", owner.uid)).join(directory);
    fs::create_dir_all(&own)?;
    home::give(&own, owner, 0o700)?;
    lead(guest, owner, Path::new(directory), names)
}

/// The same where the directory is there.
fn lead(guest: &Guest, owner: &Account, directory: &Path, names: &[&str]) -> io::Result<()> {
    let below = |root: PathBuf| root.join(owner.uid.to_string()).join(directory);
    let (own, there) = (below(guest.path("/run/user")), below(USERS.into()));
    names.iter().try_for_each(|name| replace_link(&own.join(name), &there.join(name)))
}

/// Leads X11 clients from where they look to the host's sockets, once nothing of the guest's early boot empties `/tmp` any
/// more. Where `/tmp` is the host's there is nothing to do. A display server of the guest's own that is there already keeps its place.
pub fn find_displays(guest: &Guest, provision: &Provision) -> io::Result<()> {
    if !provision.session {
        return Ok(());
    }
    if provision
        .places
        .iter()
        .any(|place| home::same_directory(&guest.path(&place.source), &guest.path("/tmp")))
    {
        return Ok(());
    }
    let (sockets, hosts) = (guest.path(X11_SOCKETS), guest.path(DIRECTORY).join(PARTS[1]));
    if home::same_directory(&sockets, &hosts) || !hosts.is_dir() {
        return Ok(());
    }
    match fs::remove_dir(&sockets) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(()),
        // A link of ours to a directory that is not there now.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
        Err(error) => return Err(error),
    }
    replace_link(&sockets, Path::new(X11))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest() -> (tempfile::TempDir, Guest, Provision) {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        let mut provision = crate::provision::tests::provision();
        provision.session = true;
        provision.owner.uid = rustix::process::getuid().as_raw();
        provision.owner.gid = rustix::process::getgid().as_raw();
        (directory, guest, provision)
    }

    #[test]
    fn sockets_of_accessibility_are_links_in_a_directory_of_the_guests() {
        let (_directory, guest, provision) = guest();
        for _ in 0..2 {
            find_accessibility(&guest, &provision).unwrap();
        }
        let own = guest.path(format!("/run/user/{}/at-spi", provision.owner.uid));
        assert!(!own.is_symlink());
        let there = Path::new(USERS).join(format!("{}/at-spi/bus_0", provision.owner.uid));
        assert_eq!(fs::read_link(own.join("bus_0")).unwrap(), there);
        find_services(&guest, &provision).unwrap();
        let settings = guest.path(format!("/run/user/{}/dconf", provision.owner.uid));
        let there = Path::new(USERS).join(format!("{}/dconf", provision.owner.uid));
        assert_eq!(fs::read_link(settings).unwrap(), there);
    }

    #[test]
    fn displays_are_the_hosts_unless_the_guest_has_some() {
        let (_directory, guest, provision) = guest();
        fs::create_dir_all(guest.path(DIRECTORY).join(PARTS[1])).unwrap();
        fs::create_dir_all(guest.path(X11_SOCKETS)).unwrap();
        for _ in 0..2 {
            find_displays(&guest, &provision).unwrap();
            assert_eq!(fs::read_link(guest.path(X11_SOCKETS)).unwrap(), Path::new(X11));
        }
        fs::remove_file(guest.path(X11_SOCKETS)).unwrap();
        fs::create_dir_all(guest.path(X11_SOCKETS)).unwrap();
        fs::write(guest.path(X11_SOCKETS).join("X7"), "").unwrap();
        find_displays(&guest, &provision).unwrap();
        assert!(guest.path(X11_SOCKETS).join("X7").exists());
    }
}
