//! The run directory of a container: what its owner may reach, and the one part that its guest sees.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use snug_core::name::{ContainerName, Uid};
use snug_core::paths::Paths;
use snug_wire::network::{Bridged, Fault};
use snug_wire::policy::Policy;
use snug_wire::provision::Provision;
use snug_wire::{network, notice, ports};

use super::{acl, file, mounts};
use crate::error::{Error, Result, failed};

/// Bound of what a guest can put on the host through its run directory: its own agent's socket and a few small files.
const GUEST_SIZE: &str = "1M";
const GUEST_INODES: &str = "64";

/// Owners' directories come with the first container and go with the last one: not both at once.
static OWNERS: Mutex<()> = Mutex::new(());

/// Makes the directories of a container; those that are there get their mode and list again.
///
/// # Errors
/// What the system says; [`crate::error::ErrorKind::Unsupported`] without access control lists.
pub fn make(paths: &Paths, uid: Uid, name: &ContainerName) -> Result<()> {
    let _alone = OWNERS.lock().unwrap_or_else(PoisonError::into_inner);
    directory(&paths.state, 0o755)?;
    directory(&paths.run(), 0o711)?;
    let own = paths.run_dir(uid);
    // Not `directory`: a change of the mode would take the list's effect away (its mask, acl(5)) until it is set again,
    // and another command of the owner may be on its way through.
    match DirBuilder::new().mode(0o700).create(&own) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(Error::system(format!("make the directory {}", own.display()), error));
        }
        _ => {}
    }
    acl::let_pass(open_directory(&own)?.as_fd(), uid.0)?;
    directory(&paths.container_dir(uid, name), 0o755)?;
    mount_target(&paths.guest_dir(uid, name))?;
    directory(&paths.mounts_dir(uid, name), 0o700)
}

/// Keeps everybody but root out of a container's directory, until [`make`] opens it again.
///
/// # Errors
/// What the system says.
pub fn close(paths: &Paths, uid: Uid, name: &ContainerName) -> Result<()> {
    let own = paths.container_dir(uid, name);
    match fs::set_permissions(&own, fs::Permissions::from_mode(0o700)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::system(format!("close {}", own.display()), error))
        }
        _ => Ok(()),
    }
}

/// Makes a directory for something to be mounted on. One that is there is left alone: what is mounted may have its mode
/// from somebody else.
///
/// # Errors
/// What the system says.
pub fn mount_target(path: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|error| Error::system(format!("make {}", path.display()), error)),
    }
}

/// Makes a directory of root's, or corrects its mode.
///
/// # Errors
/// What the system says, with the path.
pub fn directory(path: &Path, mode: u32) -> Result<()> {
    let make = || -> io::Result<()> {
        match DirBuilder::new().mode(mode).recursive(false).create(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The state directory's parents are the distribution's; they get its usual mode.
                if let Some(parent) = path.parent() {
                    DirBuilder::new().mode(0o755).recursive(true).create(parent)?;
                }
                DirBuilder::new().mode(mode).create(path)?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    };
    make().map_err(|error| Error::system(format!("make the directory {}", path.display()), error))
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| Error::system(format!("open {}", path.display()), errno))
}

/// Writes what a client must know before it talks to the guest.
///
/// # Errors
/// What the system says.
pub fn write_policy(paths: &Paths, uid: Uid, name: &ContainerName, policy: Policy) -> Result<()> {
    file::replace(&paths.policy_file(uid, name), policy.to_string().as_bytes(), 0o644)
}

/// Tells clients whether the container is being ended, where they have been told anything.
///
/// # Errors
/// What the system says.
pub fn tell_stopping(paths: &Paths, uid: Uid, name: &ContainerName, stopping: bool) -> Result<()> {
    match read_policy(paths, uid, name)? {
        Some(policy) if policy.stopping != stopping => {
            write_policy(paths, uid, name, Policy { stopping, ..policy })
        }
        _ => Ok(()),
    }
}

/// What clients have been told, if anything.
///
/// # Errors
/// What the system says.
pub fn read_policy(paths: &Paths, uid: Uid, name: &ContainerName) -> Result<Option<Policy>> {
    let text = file::read_or_empty(&paths.policy_file(uid, name))?;
    Ok((!text.is_empty()).then(|| Policy::parse(&text)))
}

/// Whether a process of `snug-hook` keeps a mirrored network: each of them has this log open, which the first has locked.
///
/// # Errors
/// What the system says.
pub fn is_network_kept(log: &Path) -> Result<bool> {
    let file = match File::open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(|error| Error::system("read a network's log", error))?,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(Error::system("look at a network's lock", error)),
    }
}

/// Writes what a guest behind the bridge is to reach; there is none of one that is not.
///
/// # Errors
/// What the system says.
pub fn write_bridged(paths: &Paths, uid: Uid, name: &ContainerName, bridged: Option<&Bridged>) -> Result<()> {
    let path = paths.container_dir(uid, name).join(network::BRIDGED);
    let Some(bridged) = bridged else {
        // Nor is there anything wrong with it, whatever was when it was one.
        return [network::BRIDGED, network::FAULT].into_iter().try_for_each(|name| {
            let path = path.with_file_name(name);
            file::remove_if_there(&path)
                .map_err(|error| Error::system(format!("remove {}", path.display()), error))
        });
    };
    let text = serde_json::to_vec(bridged)
        .map_err(|error| failed(format!("write {}: {error}", network::BRIDGED)))?;
    file::replace(&path, &text, 0o644)
}

/// Why the network of a guest behind the bridge does not work, as far as somebody has found that it does not.
///
/// # Errors
/// What the system says.
pub fn network_fault(paths: &Paths, uid: Uid, name: &ContainerName) -> Result<Option<Fault>> {
    let path = paths.container_dir(uid, name).join(network::FAULT);
    Ok(Fault::parse(&file::read_or_empty(&path)?))
}

/// Gives a guest that does not run a fresh tmpfs, with `provision` in it, owned by its root.
///
/// Always a fresh one: what an earlier run of the guest left there (links, files by the names that we write) is never
/// touched. It is filled before it is seen.
///
/// # Errors
/// What the system says.
pub fn fill_guest(
    paths: &Paths,
    uid: Uid,
    name: &ContainerName,
    guest_root: (u32, u32),
    provision: &Provision,
) -> Result<()> {
    let target = paths.guest_dir(uid, name);
    let tmpfs = mounts::Detached::tmpfs(GUEST_SIZE, GUEST_INODES, guest_root.0, guest_root.1)?;
    let text =
        serde_json::to_vec(provision).map_err(|error| failed(format!("write provision.json: {error}")))?;
    let write = || -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = openat(tmpfs.root(), "provision.json", flags, Mode::from_raw_mode(0o644))?;
        let mut file = File::from(descriptor);
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        io::Write::write_all(&mut file, &text)
    };
    write().map_err(|error| Error::system("write provision.json", error))?;
    mounts::detach(&target)?;
    tmpfs.attach(&target)
}

/// Takes away the mounts of a container and its directory. Goes on after a failure and tells the first one.
///
/// # Errors
/// What the system says.
pub fn remove(paths: &Paths, uid: Uid, name: &ContainerName) -> Result<()> {
    let own = paths.container_dir(uid, name);
    // The policy goes first: without it a client trusts nothing.
    let policy = paths.policy_file(uid, name);
    let forgotten = file::remove_if_there(&policy)
        .map_err(|error| Error::system(format!("remove {}", policy.display()), error));
    let detached = mounts::detach_below(&own);
    // With a home still mounted there, nothing below may be removed.
    forgotten.and(detached)?;
    remove_tree(&own)?;
    // The owner's directory stays while another container of his has its own in it, or is about to.
    let _alone = OWNERS.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = fs::remove_dir(paths.run_dir(uid));
    Ok(())
}

/// Directories of containers that are not in `existing`.
///
/// # Errors
/// What the system says.
pub fn stale(paths: &Paths, existing: &BTreeSet<(Uid, ContainerName)>) -> Result<Vec<(Uid, ContainerName)>> {
    let mut found = Vec::new();
    for owner in file::names_in(&paths.run())? {
        let Ok(uid) = owner.parse().map(Uid) else { continue };
        for name in file::names_in(&paths.run_dir(uid))? {
            let Ok(name) = name.parse::<ContainerName>() else { continue };
            let is_directory =
                fs::symlink_metadata(paths.container_dir(uid, &name)).is_ok_and(|about| about.is_dir());
            if is_directory && !existing.contains(&(uid, name.clone())) {
                found.push((uid, name));
            }
        }
    }
    Ok(found)
}

/// Removes the few directories that [`make`] made. Not recursive by intent: a mount that was not seen would be emptied.
fn remove_tree(own: &Path) -> Result<()> {
    let mut inner = Vec::new();
    for group in ["mounts/places", "mounts/session"] {
        let group = own.join(group);
        inner.extend(file::names_in(&group)?.into_iter().map(|name| group.join(name)));
        inner.push(group);
    }
    // The last two are half written.
    let written = [network::FAULT, notice::NOTICE].map(|name| format!("{name}.new"));
    let files = [network::LOG, network::BRIDGED, network::FAULT, notice::NOTICE, ports::SOCKET];
    for name in files.into_iter().chain(written.iter().map(String::as_str)) {
        let file = own.join(name);
        file::remove_if_there(&file)
            .map_err(|error| Error::system(format!("remove {}", file.display()), error))?;
    }
    let others =
        ["mounts/home", "mounts/devices", "mounts/driver", "mounts", "guest"].map(|name| own.join(name));
    for path in inner.into_iter().chain(others).chain([own.to_owned()]) {
        match fs::remove_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::system(format!("remove {}", path.display()), error)),
            Ok(()) => {}
        }
    }
    Ok(())
}

#[cfg(all(test, feature = "root-tests"))]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_twice_without_harm_and_removed() {
        let base = tempfile::tempdir_in("/var/tmp").unwrap();
        let paths = Paths::below(base.path());
        let (uid, name) = (Uid(1000), "dev".parse().unwrap());
        for _ in 0..2 {
            make(&paths, uid, &name).unwrap();
        }
        write_policy(&paths, uid, &name, Policy { trusted: true, ..Policy::default() }).unwrap();
        let text = fs::read_to_string(paths.policy_file(uid, &name)).unwrap();
        assert!(Policy::parse(&text).trusted);
        for stopping in [true, false] {
            tell_stopping(&paths, uid, &name, stopping).unwrap();
            let told = Policy::of(&paths.container_dir(uid, &name));
            assert_eq!(told, Policy { trusted: true, stopping, ..Policy::default() });
        }
        for file in [network::LOG, network::FAULT, notice::NOTICE, ports::SOCKET] {
            fs::write(paths.container_dir(uid, &name).join(file), "").unwrap();
        }
        fs::write(paths.run_dir(uid).join("file"), "").unwrap();
        assert_eq!(
            stale(&paths, &BTreeSet::new()).unwrap(),
            [(uid, name.clone())],
            "a file is no container's directory"
        );
        assert_eq!(stale(&paths, &BTreeSet::from([(uid, name.clone())])).unwrap(), []);
        fs::remove_file(paths.run_dir(uid).join("file")).unwrap();
        remove(&paths, uid, &name).unwrap();
        assert!(!paths.run_dir(uid).exists());
        remove(&paths, uid, &name).unwrap();
        tell_stopping(&paths, uid, &name, true).unwrap();
        assert!(!paths.run_dir(uid).exists());
    }
}
