//! What only a guest with systemd needs.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use snug_wire::provision::Provision;

use crate::files::{replace, replace_link};
use crate::init::Kind;
use crate::places::{Guest, PROGRAM, Places};

/// What creates, empties and ages files (tmpfiles.d(5)) at boot and once a day.
const CLEANERS: [&str; 2] = ["systemd-tmpfiles-setup.service", "systemd-tmpfiles-clean.service"];

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

/// Keeps systemd's cleaners (tmpfiles.d(5)) from looking at `paths`. It mounts nothing there itself: its unit `tmp.mount`
/// finds `/tmp` mounted. (To mask that unit ends the boot: others require what is mounted.)
///
/// # Errors
/// When a cleaner is not understood, or not found where there is one: it would clean.
pub fn keep_from_cleaning(guest: &Guest, paths: &[&Path]) -> io::Result<()> {
    let other_form =
        |path: &Path| io::Error::other(format!("{} has another form than is known", path.display()));
    for cleaner in CLEANERS {
        let unit = match unit_file(guest, cleaner) {
            // Masked.
            Some(unit) if fs::read_link(&unit).is_ok_and(|link| link == Path::new("/dev/null")) => continue,
            Some(unit) => unit,
            None if has_cleaner(guest) => {
                return Err(io::Error::other(format!("the guest has no unit {cleaner}, but what it starts")));
            }
            None => continue,
        };
        let commands = excluding(&fs::read_to_string(&unit)?, paths).ok_or_else(|| other_form(&unit))?;
        if let Some(later) = later_commands(guest, cleaner) {
            return Err(other_form(&later));
        }
        let directory = guest.path("/run/systemd/system").join(format!("{cleaner}.d"));
        fs::create_dir_all(&directory)?;
        replace(&directory.join(DROP_IN), format!("[Service]\nExecStart=\n{commands}").as_bytes(), 0o644)?;
    }
    Ok(())
}

/// Where units are, as systemd.unit(5) orders them; what is in `/run` is of this boot, and so nothing yet.
const UNIT_DIRECTORIES: [&str; 4] = ["/etc", "/usr/local/lib", "/usr/lib", "/lib"];
/// The last one counts: drop-ins are sorted by their names, whichever directory they lie in.
const DROP_IN: &str = "zzzz-snug-places.conf";

/// The unit's file that counts.
fn unit_file(guest: &Guest, name: &str) -> Option<PathBuf> {
    UNIT_DIRECTORIES
        .iter()
        .map(|directory| guest.path(directory).join("systemd/system").join(name))
        .find(|path| fs::symlink_metadata(path).is_ok())
}

fn has_cleaner(guest: &Guest) -> bool {
    ["/usr/bin", "/bin"].iter().any(|directory| guest.path(directory).join("systemd-tmpfiles").exists())
}

/// A drop-in that adds commands after ours has set them.
fn later_commands(guest: &Guest, name: &str) -> Option<PathBuf> {
    let directories =
        UNIT_DIRECTORIES.iter().map(|base| guest.path(base).join("systemd/system").join(format!("{name}.d")));
    directories
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name().is_some_and(|name| name > OsStr::new(DROP_IN))
                && fs::read_to_string(path).is_ok_and(|text| text.lines().any(|line| command(line).is_some()))
        })
}

/// The value of a line `ExecStart=`.
fn command(line: &str) -> Option<&str> {
    let (key, value) = line.split_once('=')?;
    (key.trim() == "ExecStart").then(|| value.trim())
}

/// The `ExecStart=` lines of a cleaner's unit with `paths` excluded; none where one is not such a command.
fn excluding(unit: &str, paths: &[&Path]) -> Option<String> {
    let paths: BTreeSet<&Path> = paths.iter().copied().collect();
    let excluded: String = paths.iter().map(|path| format!(" --exclude-prefix={}", path.display())).collect();
    let mut lines = String::new();
    for command in unit.lines().filter_map(command) {
        let program = command.split_whitespace().next()?;
        if !program.ends_with("systemd-tmpfiles") || command.ends_with('\\') {
            return None;
        }
        lines.push_str(&format!("ExecStart={command}{excluded}\n"));
    }
    (!lines.is_empty()).then_some(lines)
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
    match fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Err(io::Error::other("the owner's services stay off, since islands are missing")),
    }
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
    fn a_cleaner_is_kept_from_places_and_one_of_another_form_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        let units = guest.path("/usr/lib/systemd/system");
        fs::create_dir_all(&units).unwrap();
        let unit = "[Service]\nType=oneshot\nExecStart = systemd-tmpfiles --clean\nIOSchedulingClass=idle\n";
        fs::write(units.join(CLEANERS[1]), unit).unwrap();
        let paths = ["/tmp", "/var/tmp", "/tmp"].map(Path::new);
        for _ in 0..2 {
            keep_from_cleaning(&guest, &paths).unwrap();
        }
        let drop_in =
            guest.path("/run/systemd/system/systemd-tmpfiles-clean.service.d/zzzz-snug-places.conf");
        assert_eq!(
            fs::read_to_string(drop_in).unwrap(),
            "[Service]\nExecStart=\nExecStart=systemd-tmpfiles --clean --exclude-prefix=/tmp --exclude-prefix=/var/tmp\n"
        );
        for other in
            ["ExecStart=/opt/sweep /tmp\n", "ExecStart=systemd-tmpfiles \\\n --clean\n", "[Service]\n"]
        {
            fs::write(units.join(CLEANERS[1]), other).unwrap();
            assert!(keep_from_cleaning(&guest, &paths).is_err(), "{other}");
        }
        fs::write(units.join(CLEANERS[1]), unit).unwrap();
        let own = guest.path("/etc/systemd/system").join(format!("{}.d", CLEANERS[1]));
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("50-more.conf"), "[Service]\nExecStart=systemd-tmpfiles --clean --boot\n")
            .unwrap();
        keep_from_cleaning(&guest, &paths).unwrap();
        fs::write(own.join("zzzzz.conf"), "[Service]\nExecStart=systemd-tmpfiles --clean --boot\n").unwrap();
        assert!(keep_from_cleaning(&guest, &paths).is_err());
    }

    #[test]
    fn a_cleaner_without_its_unit_is_told_and_a_masked_unit_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        let paths = [Path::new("/tmp")];
        keep_from_cleaning(&guest, &paths).unwrap();
        fs::create_dir_all(guest.path("/usr/bin")).unwrap();
        fs::write(guest.path("/usr/bin/systemd-tmpfiles"), "").unwrap();
        assert!(keep_from_cleaning(&guest, &paths).is_err());
        let units = guest.path("/etc/systemd/system");
        fs::create_dir_all(&units).unwrap();
        for cleaner in CLEANERS {
            std::os::unix::fs::symlink("/dev/null", units.join(cleaner)).unwrap();
        }
        keep_from_cleaning(&guest, &paths).unwrap();
        assert!(!guest.path("/run/systemd").exists());
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
