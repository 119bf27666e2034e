//! The host's places (`/tmp`, `/media`, …): opened as the container's owner, mounted where Incus takes them from.
//!
//! One that cannot be had is left out and told: a container does not fail for a disk that is away.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use snug_core::paths::GUEST_PLACES;
use snug_wire::provision::{Place, TEMPORARY};

use super::credentials::{Credentials, with};
use super::mount_table::{MOST_MOUNTS, Table};
use super::{directory, mounts, rundir};
use crate::error::{Result, failed};

/// Where desktops mount what is plugged in: made by the first such mount (`udisks2`), if it is not there.
pub const REMOVABLE_MEDIA: &str = "/run/media";

/// One of them, as the container's owner could open it.
pub struct HostPlace {
    /// As everybody calls it.
    path: &'static str,
    directory: OwnedFd,
    /// Its path without links.
    real: PathBuf,
}

/// What no place may hold, and what is mounted on the host.
#[derive(Debug)]
pub struct Held {
    /// Where things are mounted for containers, and the home; without links.
    pub paths: Vec<PathBuf>,
    /// Read before.
    pub table: Table,
}

/// Opens one as the owner; none where the host has none. One that has something of `held` below it, or shows it, is left out:
/// what is mounted there for containers would come to each of them again, and a home of the guest's own would be the host's.
/// So is one with more than [`MOST_MOUNTS`] below. Blocks.
///
/// # Errors
/// Why it is left out.
pub fn open(credentials: Credentials, path: &'static str, held: &Held) -> Result<Option<HostPlace>> {
    let (directory, real) = match with(credentials, move || directory::open(Path::new(path)))? {
        Ok(opened) => opened,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
    };
    if real == Path::new("/") {
        return Err(failed("it is the root directory"));
    }
    for held_path in &held.paths {
        if held_path.starts_with(path) || held_path.starts_with(&real) {
            return Err(failed(format!("{} lies below it", held_path.display())));
        }
        if shares_mounts(path) && held.table.shows(&real, held_path) {
            return Err(failed(format!("it shows {}", held_path.display())));
        }
    }
    if shares_mounts(path) && held.table.count_below(&real) > MOST_MOUNTS {
        return Err(failed(format!("more than {MOST_MOUNTS} file systems are mounted there")));
    }
    Ok(Some(HostPlace { path, directory, real }))
}

impl HostPlace {
    /// Mounts it in `base` and answers what the agent is told: with everything below it, following what is mounted there
    /// later, where it shares that. Blocks.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn mount(self, base: &Path) -> Result<Place> {
        let name = file_name(self.path);
        let target = base.join(&name);
        rundir::mount_target(&target)?;
        let copy = match shares_mounts(self.path) {
            true => mounts::Detached::clone_of(self.directory.as_fd())?,
            false => mounts::Detached::clone_of_one(self.directory.as_fd())?,
        };
        copy.attach(&target)?;
        let mut paths = vec![PathBuf::from(self.path)];
        paths.extend((self.real != paths[0]).then_some(self.real));
        Ok(Place { source: Path::new(GUEST_PLACES).join(name), paths })
    }
}

/// Whether what is mounted below a place is shared with it. Where everybody may have directories, everybody may mount file
/// systems on them: these stay the host's, or each start would copy them, and a container's processes ask a stranger's.
fn shares_mounts(path: &str) -> bool {
    !TEMPORARY.contains(&path)
}

/// `/var/tmp` becomes `var-tmp`.
fn file_name(place: &str) -> String {
    place.trim_start_matches('/').replace('/', "-")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use snug_core::grant::PLACES;

    use super::*;

    #[test]
    fn each_place_has_a_name_of_its_own() {
        let names: BTreeSet<String> = PLACES.into_iter().map(file_name).collect();
        assert_eq!(names.len(), PLACES.len());
        assert!(names.contains("var-tmp"));
    }
}

#[cfg(all(test, feature = "root-tests"))]
#[allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]
mod root_tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn nobody() -> Credentials {
        Credentials { uid: 65534, gid: 65534, groups: vec![65534] }
    }

    fn held(path: &str) -> Held {
        Held { paths: vec![path.into()], table: Table::read().unwrap() }
    }

    #[test]
    fn a_place_that_holds_what_is_mounted_for_containers_is_left_out() {
        assert!(open(nobody(), "/tmp", &held("/tmpfs/anna")).unwrap().is_some());
        let error = open(nobody(), "/tmp", &held("/tmp/anna")).err().unwrap();
        assert_eq!(error.message, "/tmp/anna lies below it");
    }

    #[test]
    fn a_place_is_opened_with_its_owners_rights() {
        let base = tempfile::tempdir().unwrap();
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let hidden = base.path().join("srv");
        fs::create_dir(&hidden).unwrap();
        let place: &'static str = hidden.to_str().unwrap().to_owned().leak();
        let error = open(nobody(), place, &held("/nowhere")).err().unwrap();
        assert!(error.message.contains("denied"), "{error}");
        let missing: &'static str = base.path().with_extension("none").to_str().unwrap().to_owned().leak();
        assert!(open(nobody(), missing, &held("/nowhere")).unwrap().is_none());
    }
}
