//! The host's directories that sessions have their sockets in, mounted where Incus takes them from.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstat};
use snug_core::name::Uid;
use snug_wire::session::{LINKS, PARTS, RUNTIME_DIRECTORIES, X11_SOCKETS};

use super::mount_table::{MOST_MOUNTS, Table};
use super::{mounts, rundir};
use crate::error::{Error, Result, failed};

/// Mounts what there is of it in `base`, which is empty, and answers why something is not. Blocks.
#[must_use]
pub fn mount(base: &Path, owner: Uid) -> Vec<Error> {
    let mounted = [
        make_links(),
        mount_runtime_directories(&base.join(PARTS[0]), owner),
        mount_displays(&base.join(PARTS[1])),
    ];
    mounted.into_iter().filter_map(Result::err).collect()
}

/// The host's half of the paths that lead to the same on both sides.
fn make_links() -> Result<()> {
    let make = || -> io::Result<()> {
        for (name, target) in PARTS.into_iter().zip([RUNTIME_DIRECTORIES, X11_SOCKETS]) {
            let link = Path::new(LINKS).join(name);
            if fs::read_link(&link).is_ok_and(|present| present == Path::new(target)) {
                continue;
            }
            match fs::remove_file(&link) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => std::os::unix::fs::symlink(target, &link)?,
            }
        }
        Ok(())
    };
    rundir::directory(Path::new(LINKS), 0o755)?;
    make().map_err(|error| Error::system(format!("make the links in {LINKS}"), error))
}

/// The owner's runtime directory with all that is mounted in it, and each that is mounted later. What other users have
/// mounted in theirs is closed to him, and not copied.
fn mount_runtime_directories(target: &Path, owner: Uid) -> Result<()> {
    let all = open(RUNTIME_DIRECTORIES, 0o755)?;
    rundir::mount_target(target)?;
    mounts::Detached::clone_of_one_following(all.as_fd())?.attach(target)?;
    let own = Path::new(RUNTIME_DIRECTORIES).join(owner.to_string());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(opened) = rustix::fs::open(&own, flags, Mode::empty()) else {
        // Not logged in.
        return Ok(());
    };
    match Table::read()?.count_below(&own) {
        // No mount of its own: it is there already.
        0 => Ok(()),
        1..=MOST_MOUNTS => {
            mounts::Detached::clone_of(opened.as_fd())?.attach(&target.join(owner.to_string()))
        }
        _ => Err(failed(format!("{} is not shared: too much is mounted there", own.display()))),
    }
}

fn mount_displays(target: &Path) -> Result<()> {
    let displays = open(X11_SOCKETS, 0o1777)?;
    rundir::mount_target(target)?;
    mounts::Detached::clone_of_one(displays.as_fd())?.attach(target)
}

/// Opens one, which is made where it is missing: the first login, or the first display, would, perhaps later than the
/// container. It must be root's: whoever made it would decide who is spoken to.
fn open(directory: &str, mode: u32) -> Result<OwnedFd> {
    let system = |error: io::Error| Error::system(format!("make {directory}"), error);
    match DirBuilder::new().mode(0o700).create(directory) {
        // The mode that is asked for is cut by the mask.
        Ok(()) => fs::set_permissions(directory, Permissions::from_mode(mode)).map_err(system)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(system(error)),
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(directory, flags, Mode::empty())
        .map_err(|errno| Error::system(format!("open {directory}"), errno))?;
    let status = fstat(&opened).map_err(|errno| Error::system(format!("look at {directory}"), errno))?;
    match status.st_uid {
        0 => Ok(opened),
        other => Err(failed(format!("{directory} is not shared: it belongs to uid {other}, not to root"))),
    }
}

#[cfg(test)]
mod tests {
    use snug_wire::session::{DIRECTORY, USERS, X11};

    use super::*;

    #[test]
    fn both_crates_name_the_same_places() {
        assert_eq!(snug_core::paths::GUEST_SESSION, DIRECTORY);
        let links = PARTS.map(|name| Path::new(LINKS).join(name));
        assert_eq!(links, [USERS, X11].map(|path| Path::new(path).to_owned()));
    }
}
