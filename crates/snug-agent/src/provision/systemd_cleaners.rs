//! systemd's cleaners (tmpfiles.d(5)), kept from the host's places. They mount nothing there: the unit `tmp.mount` finds
//! `/tmp` mounted. (To mask that unit ends the boot: others require what is mounted.)

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::files::{entries, read_text, replace};
use crate::places::Guest;

/// What creates, empties and ages files at boot and once a day: of the system, and by the same names of each user, whose
/// rules (`user-tmpfiles.d`) lie in the home.
const CLEANERS: [&str; 2] = ["systemd-tmpfiles-setup.service", "systemd-tmpfiles-clean.service"];

/// Where units are, as systemd.unit(5) orders them; what is in `/run` is of this boot, and so nothing yet.
const UNIT_DIRECTORIES: [&str; 4] = ["/etc", "/usr/local/lib", "/usr/lib", "/lib"];

/// The system's units, and those of users.
const MANAGERS: [&str; 2] = ["systemd/system", "systemd/user"];

const DROP_IN: &str = "snug-places.conf";

/// Rules for who runs a cleaner by hand, of this boot: `x` leaves alone what its pattern fits, and an asterisk does not stand for
/// the dot of a hidden file (tmpfiles.d(5), `FNM_PERIOD` of fnmatch(3)).
const RULES: &str = "/run/tmpfiles.d/snug-places.conf";

/// Keeps them from looking at `paths`.
///
/// # Errors
/// When a cleaner is not understood, or one of the system is not found: it would clean. Then all are left as they are.
pub fn exclude(guest: &Guest, paths: &BTreeSet<&Path>) -> io::Result<()> {
    let mut drop_ins = Vec::new();
    for manager in MANAGERS {
        for cleaner in CLEANERS {
            let unit = match unit_file(guest, manager, cleaner) {
                // Masked.
                Some(unit) if fs::read_link(&unit).is_ok_and(|link| link == Path::new("/dev/null")) => {
                    continue;
                }
                Some(unit) => unit,
                // Of users there need not be one.
                None if manager == MANAGERS[1] => continue,
                None => return Err(io::Error::other(format!("the guest has no unit {cleaner}"))),
            };
            let other_form =
                |path: &Path| io::Error::other(format!("{} has another form than is known", path.display()));
            let commands = excluding(&read_text(&unit)?, paths).ok_or_else(|| other_form(&unit))?;
            if let Some(changed) = changed_by(guest, manager, cleaner)? {
                return Err(other_form(&changed));
            }
            let directory = guest.path("/run").join(manager).join(format!("{cleaner}.d"));
            drop_ins.push((directory, format!("[Service]\nExecStart=\n{commands}")));
        }
    }
    for (directory, text) in drop_ins {
        fs::create_dir_all(&directory)?;
        replace(&directory.join(DROP_IN), text.as_bytes(), 0o644)?;
    }
    let rules = guest.path(RULES);
    rules.parent().map_or(Ok(()), fs::create_dir_all)?;
    let ignored = |path: &&Path| format!("x {0}/*\nx {0}/.*\n", path.display());
    replace(&rules, paths.iter().map(ignored).collect::<String>().as_bytes(), 0o644)
}

/// The unit's file that counts.
fn unit_file(guest: &Guest, manager: &str, name: &str) -> Option<PathBuf> {
    UNIT_DIRECTORIES
        .iter()
        .map(|directory| guest.path(directory).join(manager).join(name))
        .find(|path| fs::symlink_metadata(path).is_ok())
}

/// A drop-in that changes what the unit starts: of the unit itself, or of all whose names begin as its does.
fn changed_by(guest: &Guest, manager: &str, name: &str) -> io::Result<Option<PathBuf>> {
    let prefixes = name.match_indices('-').map(|(at, _)| format!("{}-.service.d", &name[..at]));
    let directories: Vec<String> =
        [format!("{name}.d"), "service.d".to_owned()].into_iter().chain(prefixes).collect();
    for base in UNIT_DIRECTORIES {
        for directory in &directories {
            for path in entries(&guest.path(base).join(manager).join(directory))? {
                if path.extension().is_some_and(|extension| extension == "conf")
                    && read_text(&path)?.lines().any(|line| command(line).is_some())
                {
                    return Ok(Some(path));
                }
            }
        }
    }
    Ok(None)
}

/// The value of a line `ExecStart=`.
fn command(line: &str) -> Option<&str> {
    let (key, value) = line.split_once('=')?;
    (key.trim() == "ExecStart").then(|| value.trim())
}

/// The `ExecStart=` lines of a cleaner's unit with `paths` excluded; none where one is not such a command.
fn excluding(unit: &str, paths: &BTreeSet<&Path>) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str =
        "[Service]\nType=oneshot\nExecStart = systemd-tmpfiles --clean\nIOSchedulingClass=idle\n";

    fn guest() -> (tempfile::TempDir, Guest) {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        for manager in MANAGERS {
            fs::create_dir_all(guest.path("/usr/lib").join(manager)).unwrap();
        }
        (directory, guest)
    }

    fn write_unit(guest: &Guest, manager: &str, cleaner: &str, text: &str) {
        fs::write(guest.path("/usr/lib").join(manager).join(cleaner), text).unwrap();
    }

    fn paths() -> BTreeSet<&'static Path> {
        ["/tmp", "/var/tmp"].map(Path::new).into()
    }

    fn drop_in(guest: &Guest, manager: &str, cleaner: &str) -> PathBuf {
        guest.path("/run").join(manager).join(format!("{cleaner}.d")).join(DROP_IN)
    }

    #[test]
    fn each_cleaner_is_told_where_not_to_look() {
        let (_directory, guest) = guest();
        let all = MANAGERS.into_iter().flat_map(|manager| CLEANERS.map(|cleaner| (manager, cleaner)));
        all.clone().for_each(|(manager, cleaner)| write_unit(&guest, manager, cleaner, UNIT));
        for _ in 0..2 {
            exclude(&guest, &paths()).unwrap();
        }
        for (manager, cleaner) in all {
            assert_eq!(
                fs::read_to_string(drop_in(&guest, manager, cleaner)).unwrap(),
                "[Service]\nExecStart=\nExecStart=systemd-tmpfiles --clean --exclude-prefix=/tmp --exclude-prefix=/var/tmp\n"
            );
        }
    }

    #[test]
    fn one_of_another_form_is_an_error_and_then_none_is_changed() {
        let (_directory, guest) = guest();
        write_unit(&guest, MANAGERS[0], CLEANERS[0], UNIT);
        for other in
            ["ExecStart=/opt/sweep /tmp\n", "ExecStart=systemd-tmpfiles \\\n --clean\n", "[Service]\n"]
        {
            write_unit(&guest, MANAGERS[0], CLEANERS[1], other);
            assert!(exclude(&guest, &paths()).is_err(), "{other}");
        }
        write_unit(&guest, MANAGERS[0], CLEANERS[1], UNIT);
        for directory in ["systemd-tmpfiles-clean.service.d", "systemd-.service.d", "service.d"] {
            let own = guest.path("/etc/systemd/system").join(directory);
            fs::create_dir_all(&own).unwrap();
            fs::write(own.join("more.conf"), "[Service]\nExecStart=systemd-tmpfiles --clean --boot\n")
                .unwrap();
            assert!(exclude(&guest, &paths()).is_err(), "{directory}");
            fs::write(own.join("more.conf"), "[Service]\nNice=1\n").unwrap();
        }
        assert!(!guest.path("/run").exists());
        exclude(&guest, &paths()).unwrap();
    }

    #[test]
    fn one_without_its_unit_is_an_error_and_a_masked_one_cleans_nothing() {
        let (_directory, guest) = guest();
        assert!(exclude(&guest, &paths()).is_err());
        let units = guest.path("/etc/systemd/system");
        fs::create_dir_all(&units).unwrap();
        for cleaner in CLEANERS {
            std::os::unix::fs::symlink("/dev/null", units.join(cleaner)).unwrap();
        }
        exclude(&guest, &paths()).unwrap();
        assert!(!guest.path("/run/systemd").exists());
        // Who runs one by hand is told all the same.
        let rules = fs::read_to_string(guest.path(RULES)).unwrap();
        assert_eq!(rules, "x /tmp/*\nx /tmp/.*\nx /var/tmp/*\nx /var/tmp/.*\n");
        write_unit(&guest, MANAGERS[1], CLEANERS[0], "[Service]\nExecStart=/opt/sweep\n");
        assert!(exclude(&guest, &paths()).is_err());
    }
}
