//! A guest's tree of nodes: a tmpfs that the daemon alone writes.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use snug_wire::devices::DEEPEST;

use super::{Entry, Ids, Listing, visit};
use crate::error::{Error, Result};
use crate::host::mounts;

/// Bounds of the tmpfs: nodes, links and directories take no room but their inodes.
const SIZE: &str = "1M";
const INODES: &str = "16384";

/// To whom a tree belongs.
#[derive(Debug, Clone, Copy)]
pub struct Owners {
    /// The nodes that the container's owner may use: he.
    pub nodes: Ids,
    /// Directories and links: the guest's root, as in any `/dev`. With nobody's in between, systemd-tmpfiles of the guest finds an
    /// unsafe path where it sets the modes of `/dev/snd` (systemd, `unsafe_transition`).
    pub directories: Ids,
}

/// Mounts an empty tree at `target`.
///
/// # Errors
/// What the kernel says.
pub fn mount(target: &Path, owners: Owners) -> Result<()> {
    mounts::detach(target)?;
    mounts::Detached::tmpfs_for_devices(SIZE, INODES, owners.directories)?.attach(target)
}

/// Whether a tree is mounted at `target`: a container that was started without one has none until it starts again.
#[must_use]
pub fn is_mounted(target: &Path) -> bool {
    let device = |path: &Path| fs::symlink_metadata(path).ok().map(|about| about.dev());
    target.parent().is_some_and(|parent| device(parent) != device(target))
}

/// Makes the tree at `target` hold what is listed and nothing else. What is there already
/// stays as it is, so that whoever watches it is not told. Goes on after an error and answers the first.
///
/// # Errors
/// What the system says.
pub fn fill(target: &Path, listing: &Listing, owners: Owners) -> Result<()> {
    let mut first = Ok(());
    let mut present = Vec::new();
    visit(target, Path::new(""), DEEPEST, &mut |path, about| present.push((path.to_owned(), about.clone())));
    let mut kept = 0;
    // Directories after what is in them.
    for (path, about) in present.iter().rev() {
        let file = target.join(path);
        let is_right = match listing.0.get(path) {
            Some(Entry::Node { number, rights }) => {
                about.file_type().is_char_device()
                    && about.rdev() == *number
                    && ((about.uid(), about.gid()), about.mode() & 0o7777) == rights.as_inode(owners.nodes)
            }
            Some(Entry::Link(to)) => fs::read_link(&file).is_ok_and(|present| present == *to),
            None => false,
        };
        if is_right {
            kept += 1;
        } else if about.is_dir() {
            // One that is not empty is still needed.
            let _ = fs::remove_dir(&file);
        } else {
            first = first.and(take_away(&file, about).map_err(|error| (file, error)));
        }
    }
    if kept < listing.0.len() {
        for (path, entry) in &listing.0 {
            let file = target.join(path);
            if fs::symlink_metadata(&file).is_err() {
                let made = make_parents(target, path, owners.directories);
                first =
                    first.and(made.and_then(|()| make(&file, entry, owners)).map_err(|error| (file, error)));
            }
        }
    }
    first.map_err(|(file, error)| Error::system(format!("make the device {}", file.display()), error))
}

/// Removes a name, and the rights to what it named: a guest may hold the node itself, by a descriptor that is no open file (`O_PATH`)
/// or a mount of it, and its number may be another device's next.
fn take_away(file: &Path, about: &fs::Metadata) -> io::Result<()> {
    if about.file_type().is_char_device() {
        lchown(file, Some(0), Some(0))?;
        fs::set_permissions(file, fs::Permissions::from_mode(0o000))?;
    }
    fs::remove_file(file)
}

pub(super) fn make_parents(target: &Path, path: &Path, (uid, gid): Ids) -> io::Result<()> {
    let mut directory = target.to_owned();
    for name in path.parent().into_iter().flat_map(Path::components) {
        directory.push(name);
        match fs::create_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.and_then(|()| chown(&directory, Some(uid), Some(gid)))?,
        }
    }
    Ok(())
}

fn make(file: &Path, entry: &Entry, owners: Owners) -> io::Result<()> {
    match entry {
        Entry::Link(to) => {
            symlink(to, file)?;
            let (uid, gid) = owners.directories;
            lchown(file, Some(uid), Some(gid))
        }
        Entry::Node { number, rights } => {
            // Nobody's until it has its owner.
            mknodat(CWD, file, FileType::CharacterDevice, Mode::empty(), *number)?;
            let ((uid, gid), mode) = rights.as_inode(owners.nodes);
            lchown(file, Some(uid), Some(gid))?;
            fs::set_permissions(file, fs::Permissions::from_mode(mode))
        }
    }
}
