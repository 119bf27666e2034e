//! What only a guest with systemd needs.

use std::fs;
use std::io;
use std::path::Path;

use snug_wire::provision::Provision;

use crate::files::{remove_if_there, replace, replace_link};
use crate::init::Kind;
use crate::places::{Guest, PROGRAM, Places};

const SERVICE: &str = "snug-ready.service";
const SOCKET: &str = "snug-ready.socket";

/// Writes the units that tell the server that early boot is done. `sysinit.target` pulls them in and they come after
/// it, which only works without default dependencies: else the target would wait for them.
///
/// The fifo of the socket unit is there 50 ms before a program that systemd starts then would have run (on a busy
/// machine); the service makes up for a systemd that would not make it.
pub fn write_ready_units(guest: &Guest, places: &Places) -> io::Result<()> {
    let directory = guest.path("/run/systemd/system");
    let wants = directory.join("sysinit.target.wants");
    fs::create_dir_all(&wants)?;
    let unit = "[Unit]\n\
                Description=Tell Snug's agent that early boot is done\n\
                DefaultDependencies=no\n\
                After=sysinit.target systemd-tmpfiles-setup.service local-fs.target\n\
                Conflicts=shutdown.target\n\
                Before=shutdown.target\n\n";
    let service = format!("{unit}[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={PROGRAM} ready\n");
    let fifo = places.sysinit();
    let socket = format!("{unit}[Socket]\nListenFIFO={}\nSocketMode=0600\n", fifo.display());
    for (name, text) in [(SOCKET, socket), (SERVICE, service)] {
        replace(&directory.join(name), text.as_bytes(), 0o644)?;
        replace_link(&wants.join(name), &Path::new("..").join(name))?;
    }
    Ok(())
}

/// Where [`keep_mirrored_network`] writes; numbered before what a distribution or a person has for all interfaces.
const NETWORK: &str = "/run/systemd/network/05-snug-mirror.network";
/// Of a tap interface (systemd.network(5); `Kind=` since 251): pasta's.
const KEEP: &str = "[Match]\nKind=tun\nType=ether\n\n\
                    [Network]\nDHCP=no\nIPv6AcceptRA=no\nLinkLocalAddressing=ipv6\nKeepConfiguration=yes\n";

/// Has systemd-networkd keep the addresses and routes of a mirrored network, which it would replace by what it is told by DHCP, and IPv6
/// by nothing.
pub fn keep_mirrored_network(guest: &Guest, provision: &Provision, init: Kind) -> io::Result<()> {
    if init != Kind::Systemd || !provision.mirrored {
        return Ok(());
    }
    let file = guest.path(NETWORK);
    fs::create_dir_all(file.parent().unwrap_or(Path::new("/")))?;
    replace(&file, KEEP.as_bytes(), 0o644)
}

/// Lets the owner's user manager run from the start, so that `systemctl --user` works without a login.
pub fn let_owner_linger(guest: &Guest, provision: &Provision, init: Kind) -> io::Result<()> {
    if init != Kind::Systemd {
        return Ok(());
    }
    let directory = guest.path("/var/lib/systemd/linger");
    fs::create_dir_all(&directory)?;
    replace(&directory.join(escaped(&provision.owner.name)), b"", 0o644)
}

/// Takes back what an earlier start allowed.
///
/// # Errors
/// Always one, for it is told: the owner lacks his services. What the system says, where it could not be taken back.
pub fn keep_owner_from_lingering(guest: &Guest, provision: &Provision) -> io::Result<()> {
    let file = guest.path("/var/lib/systemd/linger").join(escaped(&provision.owner.name));
    remove_if_there(&file)?;
    Err(io::Error::other("the owner's services stay off, since islands are missing"))
}

/// The file name of a user, as logind reads it (`cunescape`).
fn escaped(name: &str) -> String {
    let mut escaped = String::new();
    for byte in name.bytes() {
        match byte {
            b'\\' | b'/' | 0..=32 | 127..=255 => escaped.push_str(&format!("\\x{byte:02x}")),
            _ => escaped.push(byte.into()),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networkd_keeps_a_mirrored_network_and_no_other() {
        let (_directory, guest) = crate::provision::tests::guest(&[]);
        let mirrored = Provision { mirrored: true, ..crate::provision::tests::provision() };
        let file = guest.path(NETWORK);
        keep_mirrored_network(&guest, &crate::provision::tests::provision(), Kind::Systemd).unwrap();
        keep_mirrored_network(&guest, &mirrored, Kind::Other).unwrap();
        assert!(!file.exists());
        keep_mirrored_network(&guest, &mirrored, Kind::Systemd).unwrap();
        assert!(fs::read_to_string(file).unwrap().contains("KeepConfiguration=yes"));
    }

    #[test]
    fn the_units_are_pulled_in_by_early_boot() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        for _ in 0..2 {
            write_ready_units(&guest, &Places::default()).unwrap();
            let wants = guest.path("/run/systemd/system/sysinit.target.wants");
            let read = |name| fs::read_to_string(wants.join(name)).unwrap();
            assert!(read(SERVICE).contains("ExecStart=/.snug/bin/snug-agent ready\n"));
            assert!(read(SOCKET).contains("ListenFIFO=/run/snug/sysinit\n"));
        }
    }

    #[test]
    fn without_its_islands_a_guest_starts_no_services_of_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        let provision = crate::provision::tests::provision();
        let_owner_linger(&guest, &provision, Kind::Systemd).unwrap();
        let file = guest.path("/var/lib/systemd/linger/anna");
        assert!(file.exists());
        for _ in 0..2 {
            let told = keep_owner_from_lingering(&guest, &provision).unwrap_err();
            assert!(told.to_string().contains("services stay off"), "{told}");
            assert!(!file.exists());
        }
    }

    #[test]
    fn names_of_directory_services_become_file_names() {
        assert_eq!(escaped("anna"), "anna");
        assert_eq!(escaped("EX\\a/b"), "EX\\x5ca\\x2fb");
    }
}
