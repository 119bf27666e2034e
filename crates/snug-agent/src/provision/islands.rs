//! Islands: directories of a shared home that are the container's own, such as the units of `systemd --user`, which
//! would else run twice. The guest's own directory is mounted over each before its init starts.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, mkdirat, open, openat};
use rustix::io::Errno;
use snug_wire::provision::{Account, Provision};

use super::{home, mounts};
use crate::console;
use crate::places::Guest;
use snug_exec::sys::process::as_user;

/// Where the islands' contents lie in the guest.
const STORE: &str = "/var/lib/snug/private";

/// Makes every island; one that fails is told and does not keep the others.
///
/// # Errors
/// When one is missing: what lies at its path in the guest is then the host's.
pub fn make(guest: &Guest, provision: &Provision) -> io::Result<()> {
    if !provision.home_shared {
        return Ok(());
    }
    let mut missing = 0;
    for path in &provision.private {
        if let Err(error) = make_one(guest, &provision.owner, path) {
            console::say(format_args!("island {}: {error}", path.display()));
            missing += 1;
        }
    }
    if missing > 0 {
        return Err(io::Error::other(format!("{missing} of {} are missing", provision.private.len())));
    }
    Ok(())
}

fn make_one(guest: &Guest, owner: &Account, path: &Path) -> io::Result<()> {
    let (base, below) = match home::relative(owner, path) {
        Some(below) => (owner.home_real.clone(), below),
        None => (PathBuf::from("/"), path.strip_prefix("/").unwrap_or(path).to_path_buf()),
    };
    let names = names(&below).ok_or_else(|| io::Error::other("not a plain path"))?;
    let source = make_source(guest, owner, base == owner.home_real, &names)?;
    // With the owner's rights: the home may be one where the guest's root has none, and must not have more than he.
    let target = as_user(owner.uid, owner.gid, || make_target(&guest.path(base), &names))?;
    mounts::bind(&source, Path::new(&format!("/proc/self/fd/{}", target.as_raw_fd())))
}

/// The components of a path that goes only down.
fn names(path: &Path) -> Option<Vec<&Path>> {
    let names: Option<Vec<&Path>> = path
        .components()
        .filter(|component| *component != Component::CurDir)
        .map(|component| match component {
            Component::Normal(name) => Some(Path::new(name)),
            _ => None,
        })
        .collect();
    names.filter(|names| !names.is_empty())
}

fn make_source(guest: &Guest, owner: &Account, in_home: bool, names: &[&Path]) -> io::Result<PathBuf> {
    let mut path = guest.path(STORE).join(if in_home { "home" } else { "root" });
    fs::create_dir_all(&path)?;
    for name in names {
        path.push(name);
        if !path.is_dir() {
            fs::create_dir(&path)?;
            home::give(&path, owner, 0o700)?;
        }
    }
    Ok(path)
}

/// Walks down, making what is missing. A link is followed as anywhere: it is the owner's own.
fn make_target(base: &Path, names: &[&Path]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut directory = open(base, flags, Mode::empty())?;
    for name in names {
        match mkdirat(&directory, *name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        directory = openat(&directory, *name, flags, Mode::empty())?;
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_cannot_be_made_is_an_error_and_a_home_of_the_guests_own_needs_none() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        let mut provision = crate::provision::tests::provision();
        provision.private = vec!["/somewhere/../else".into()];
        let error = make(&guest, &provision).unwrap_err();
        assert_eq!(error.to_string(), "1 of 1 are missing");
        provision.home_shared = false;
        assert!(make(&guest, &provision).is_ok());
    }

    #[test]
    fn an_island_lies_below_its_base() {
        assert_eq!(names(Path::new("./a/b")).unwrap().len(), 2);
        for path in ["", ".", "..", "a/../../b", "/a"] {
            assert!(names(Path::new(path)).is_none(), "{path}");
        }
    }
}
