//! What only a guest with systemd needs.

use std::fs;
use std::io;

use snug_wire::provision::Provision;

use crate::files::{replace, replace_link};
use crate::init::Kind;
use crate::places::{Guest, PROGRAM};

const UNIT: &str = "snug-ready.service";

/// Writes the unit that tells the server that early boot is done. `sysinit.target` pulls it in and it comes after it,
/// which only works without default dependencies: else the target would wait for it.
pub fn write_ready_unit(guest: &Guest) -> io::Result<()> {
    let directory = guest.path("/run/systemd/system");
    let wants = directory.join("sysinit.target.wants");
    fs::create_dir_all(&wants)?;
    let text = format!(
        "[Unit]\n\
         Description=Tell Snug's agent that early boot is done\n\
         DefaultDependencies=no\n\
         After=sysinit.target systemd-tmpfiles-setup.service local-fs.target\n\
         Conflicts=shutdown.target\n\
         Before=shutdown.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart={PROGRAM} ready\n"
    );
    replace(&directory.join(UNIT), text.as_bytes(), 0o644)?;
    replace_link(&wants.join(UNIT), &std::path::Path::new("..").join(UNIT))
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
    fn the_unit_is_pulled_in_by_early_boot() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        for _ in 0..2 {
            write_ready_unit(&guest).unwrap();
            let link = guest.path("/run/systemd/system/sysinit.target.wants").join(UNIT);
            assert!(fs::read_to_string(link).unwrap().contains("ExecStart=/.snug/bin/snug-agent ready\n"));
        }
    }

    #[test]
    fn names_of_directory_services_become_file_names() {
        assert_eq!(escaped("anna"), "anna");
        assert_eq!(escaped("EX\\a/b"), "EX\\x5ca\\x2fb");
    }
}
