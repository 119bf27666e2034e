//! The host's places (`/tmp`, `/media`, …): mounted where Incus takes them from.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use snug_core::grant::PLACES;
use snug_core::name::{ContainerName, Uid};
use snug_core::paths::{GUEST_PLACES, Paths};
use snug_wire::provision::Place;

use super::{mounts, rundir};
use crate::error::{Error, Result};

/// Where desktops mount what is plugged in: made by the first such mount (`udisks2`), so it may come later than the
/// container, which would then never see it.
const REMOVABLE_MEDIA: &str = "/run/media";

/// Mounts each place that the host has in the container's directory, with everything below it, following what is mounted
/// there later.
///
/// # Errors
/// What the kernel says.
pub fn mount(paths: &Paths, uid: Uid, name: &ContainerName) -> Result<()> {
    match DirBuilder::new().mode(0o755).create(REMOVABLE_MEDIA) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(Error::system(format!("make {REMOVABLE_MEDIA}"), error));
        }
        _ => {}
    }
    let base = paths.place_mounts(uid, name);
    rundir::directory(&base, 0o755)?;
    for (place, real) in present() {
        let target = base.join(file_name(place));
        mounts::detach(&target)?;
        rundir::directory(&target, 0o755)?;
        // As root: where a place is a link, it is not yet looked at whether the container's owner may go where it leads.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&real, flags, Mode::empty())
            .map_err(|errno| Error::system(format!("open {}", real.display()), errno))?;
        mounts::Detached::clone_of(directory.as_fd())?.attach(&target)?;
    }
    Ok(())
}

/// What the agent is told of them.
#[must_use]
pub fn provisioned() -> Vec<Place> {
    present()
        .map(|(place, real)| {
            let mut paths = vec![PathBuf::from(place)];
            paths.extend((real != paths[0]).then_some(real));
            Place { source: Path::new(GUEST_PLACES).join(file_name(place)), paths }
        })
        .collect()
}

/// Those that are directories, with their path without links.
fn present() -> impl Iterator<Item = (&'static str, PathBuf)> {
    PLACES.into_iter().filter_map(|place| {
        let real = fs::canonicalize(place).ok()?;
        (real.is_dir() && real != Path::new("/")).then_some((place, real))
    })
}

/// `/var/tmp` becomes `var-tmp`.
fn file_name(place: &str) -> String {
    place.trim_start_matches('/').replace('/', "-")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_place_has_a_name_of_its_own() {
        let names: BTreeSet<String> = PLACES.into_iter().map(file_name).collect();
        assert_eq!(names.len(), PLACES.len());
        assert!(names.contains("var-tmp"));
    }

    #[test]
    fn the_agent_is_told_of_what_is_there() {
        let places = provisioned();
        let tmp = places.iter().find(|place| place.paths[0] == Path::new("/tmp")).unwrap();
        assert_eq!(tmp.source, Path::new("/.snug/places/tmp"));
    }
}
