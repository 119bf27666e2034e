//! The host's places (`/tmp`, `/media`, …): opened as the container's owner, mounted where Incus takes them from.
//!
//! What one of them cannot be is left out and told: a container does not fail for a disk that is away.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use snug_core::paths::GUEST_PLACES;
use snug_wire::provision::Place;

use super::credentials::{Credentials, with};
use super::{directory, mounts, rundir};
use crate::error::{Error, Result, failed};

/// Where desktops mount what is plugged in: made by the first such mount (`udisks2`), so it may come later than the
/// container, which would then never see it.
pub const REMOVABLE_MEDIA: &str = "/run/media";

/// Where every guest may leave directories of its services (`PrivateTmp=` of systemd.exec(5)).
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];
/// How those are named: `namespace_tmp_dir` of systemd.
const OF_SERVICES: &str = "systemd-private-";

/// One of them, as the container's owner could open it.
pub struct HostPlace {
    /// As everybody calls it.
    place: &'static str,
    directory: OwnedFd,
    /// Its path without links.
    real: PathBuf,
}

/// Makes [`REMOVABLE_MEDIA`]. Blocks.
///
/// # Errors
/// What the system says.
pub fn make_removable_media() -> Result<()> {
    match DirBuilder::new().mode(0o755).create(REMOVABLE_MEDIA) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::system(format!("make {REMOVABLE_MEDIA}"), error))
        }
        _ => Ok(()),
    }
}

/// Opens one as the owner; none where the host has none. One that `holds` lies below is not shared as a whole: what is
/// mounted there for containers would come to each of them again, and a home of the guest's own would be the host's. Blocks.
///
/// # Errors
/// Why it is left out.
pub fn open(credentials: Credentials, place: &'static str, holds: &[PathBuf]) -> Result<Option<HostPlace>> {
    let (directory, real) = match with(credentials, move || directory::open(Path::new(place)))? {
        Ok(opened) => opened,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
    };
    if real == Path::new("/") {
        return Err(failed("it is the root directory"));
    }
    if let Some(held) = holds.iter().find(|held| held.starts_with(place) || held.starts_with(&real)) {
        return Err(failed(format!("{} lies below it", held.display())));
    }
    Ok(Some(HostPlace { place, directory, real }))
}

impl HostPlace {
    /// Mounts it in `base`, with everything below it, following what is mounted there later, and answers what the agent is
    /// told. Blocks.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn mount(self, base: &Path) -> Result<Place> {
        let name = file_name(self.place);
        let target = base.join(&name);
        rundir::directory(&target, 0o755)?;
        mounts::Detached::clone_of(self.directory.as_fd())?.attach(&target)?;
        let mut paths = vec![PathBuf::from(self.place)];
        paths.extend((self.real != paths[0]).then_some(self.real));
        Ok(Place { source: Path::new(GUEST_PLACES).join(name), paths })
    }
}

/// Removes what the services of a guest that does not run have left, which is the case where it did not end in order.
/// `root` are the host's numbers of the guest's root, and with its rights this is done, which are on no file of others.
/// Blocks.
///
/// # Errors
/// What the system says of the first that stays.
pub fn sweep(root: (u32, u32)) -> Result<()> {
    let (uid, gid) = root;
    with(Credentials { uid, gid, groups: vec![gid] }, move || {
        TEMPORARY.iter().map(|directory| sweep_one(Path::new(directory), uid)).fold(Ok(()), Result::and)
    })?
}

fn sweep_one(directory: &Path, uid: u32) -> Result<()> {
    let failed = |path: &Path| {
        let what = format!("remove {}", path.display());
        move |error| Error::system(what, error)
    };
    let mut all = Ok(());
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let entry = entry.map_err(failed(directory))?;
        if !entry.file_name().as_encoded_bytes().starts_with(OF_SERVICES.as_bytes()) {
            continue;
        }
        // One that is gone meanwhile was removed by whoever made it.
        let is_its = entry.metadata().is_ok_and(|status| status.is_dir() && status.uid() == uid);
        if is_its && let Err(error) = fs::remove_dir_all(entry.path()) {
            all = all.and(Err(failed(&entry.path())(error)));
        }
    }
    all
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
mod root_tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    fn nobody() -> Credentials {
        Credentials { uid: 65534, gid: 65534, groups: vec![65534] }
    }

    #[test]
    fn a_place_that_holds_what_is_mounted_for_containers_is_left_out() {
        let open = |held: &str| open(nobody(), "/tmp", &[held.into()]);
        assert!(open("/tmpfs/anna").unwrap().is_some());
        let error = open("/tmp/anna").err().unwrap();
        assert_eq!(error.message, "/tmp/anna lies below it");
    }

    #[test]
    fn a_place_is_opened_with_its_owners_rights() {
        let base = tempfile::tempdir().unwrap();
        // Nobody but root may pass.
        let hidden = base.path().join("srv");
        fs::create_dir(&hidden).unwrap();
        let place: &'static str = hidden.to_str().unwrap().to_owned().leak();
        let error = open(nobody(), place, &[]).err().unwrap();
        assert!(error.message.contains("denied"), "{error}");
        let missing: &'static str = base.path().with_extension("none").to_str().unwrap().to_owned().leak();
        assert!(open(nobody(), missing, &[]).unwrap().is_none());
    }

    #[test]
    fn what_a_guests_services_left_goes_and_nothing_else() {
        let (ours, other) = (3_765_536, 3_765_537);
        let make = |name: &str, uid: u32| {
            let path = Path::new("/var/tmp").join(name);
            fs::create_dir(&path).unwrap();
            chown(&path, Some(uid), Some(uid)).unwrap();
            path
        };
        let kept = [make("systemd-private-snug-other", other), make("snug-sweep-test", ours)];
        let gone = make("systemd-private-snug-ours", ours);
        let inner = gone.join("tmp");
        fs::create_dir(&inner).unwrap();
        symlink(&kept[0], inner.join("link")).unwrap();
        for path in [&inner, &inner.join("link")] {
            std::os::unix::fs::lchown(path, Some(ours), Some(ours)).unwrap();
        }
        let swept = sweep((ours, ours));
        let are_kept = kept.iter().all(|path| path.exists());
        for path in &kept {
            fs::remove_dir(path).unwrap();
        }
        swept.unwrap();
        assert!(are_kept && !gone.exists());
    }
}
