//! Device nodes of the host for a guest: those that the owner may open, under the names that they have below `/dev`.
//!
//! A guest has nodes of its own making, on a tmpfs that only the daemon writes, because a bind mount of the host's would show
//! it groups that it does not have: a node that the owner may open as a member of `dialout` would be nobody's there. What may be
//! opened is asked of the kernel with the owner's numbers (access(2)); nothing is opened, since that alone resets a board
//! or rewinds a tape. Nodes of block devices are never shared: the host's disks are no business of a guest's tools.

mod snapshot;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use snug_core::grant::{GrantSet, Nodes};
use snug_wire::devices::DEEPEST;

use super::credentials::{Credentials, with};
use crate::error::Result;

pub use snapshot::Snapshot;
pub use tree::{Owners, fill, is_mounted, mount};

/// Where the host has them: devtmpfs.
pub const DEV: &str = "/dev";

/// Nodes of one host.
const MOST: usize = 8192;

/// A user's and a group's number on the host.
pub type Ids = (u32, u32);

/// One name below `/dev`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    /// A character device.
    Node {
        /// Its number.
        number: u64,
        /// What the owner may do with it, and what everybody.
        rights: Rights,
    },
    /// A link to one, as in `/dev/serial/by-id`.
    Link(PathBuf),
}

/// Bits of permission, as for others (inode(7)): 4 to read, 2 to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// The container's owner.
    pub owner: u32,
    /// Other accounts of the guest.
    pub others: u32,
}

impl Rights {
    /// To write as well as to read.
    const ALL: u32 = 0o6;

    /// Whose node it is, and its mode. One that the owner may not do everything with is not his: the guest's root overrides the mode
    /// of what belongs to ids that the guest has (`capable_wrt_inode_uidgid`), and would write what its owner may only read,
    /// such as each USB device. Then it belongs to the host's root, and he has his rights by his group.
    fn as_inode(self, (uid, gid): Ids) -> (Ids, u32) {
        let Self { owner, others } = self;
        match owner {
            Self::ALL => ((uid, gid), owner << 6 | others << 3 | others),
            _ => ((0, gid), owner << 3 | others),
        }
    }
}

/// What a guest is to have, by the path below `/dev`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing(BTreeMap<PathBuf, Entry>);

impl Listing {
    /// What whoever calls may open of `nodes` in `base`, which is `/dev`. Blocks; judged by the thread's effective numbers
    /// ([`super::credentials::with`]). What goes meanwhile is not there.
    #[must_use]
    pub fn of(base: &Path, nodes: Nodes) -> Self {
        let mut found = BTreeMap::new();
        let mut links = BTreeMap::new();
        walk(base, |path, about| {
            if about.is_symlink() {
                if let Ok(target) = fs::read_link(base.join(path)) {
                    links.insert(path.to_owned(), target);
                }
            } else if nodes.has(path)
                && let Some(rights) = rights(&base.join(path), path, about)
            {
                found.insert(path.to_owned(), Entry::Node { number: about.rdev(), rights });
            }
        });
        for (path, target) in links {
            if resolved(base, &path, &target).is_some_and(|leads_to| found.contains_key(&leads_to)) {
                found.insert(path, Entry::Link(target));
            }
        }
        Self(found)
    }

    /// What somebody with these credentials may open of the host's `nodes`.
    ///
    /// # Errors
    /// Without a thread for it.
    pub fn for_owner(credentials: Credentials, nodes: Nodes) -> Result<Self> {
        with(credentials, move || Self::of(Path::new(DEV), nodes))
    }

    /// What he may do with the node at `path`, below `/dev`; `None` for one that is not among them.
    #[must_use]
    pub fn rights(&self, path: &Path) -> Option<Rights> {
        match self.0.get(path)? {
            Entry::Node { rights, .. } => Some(*rights),
            Entry::Link(_) => None,
        }
    }

    /// Whether one of `nodes` is there.
    fn has_any(&self, nodes: Nodes) -> bool {
        self.0.keys().any(|path| nodes.has(path))
    }
}

/// The words of those of `grants` that the host has nothing for now: there is no such node, or somebody with these
/// credentials may not open one. Blocks.
///
/// # Errors
/// Without a thread for it.
pub fn waiting(credentials: Credentials, grants: &GrantSet) -> Result<Vec<String>> {
    let of_devices = grants.iter().map(|grant| (grant, Nodes::of(grant)));
    let of_devices: Vec<_> = of_devices.filter(|(_, nodes)| !nodes.is_empty()).collect();
    if of_devices.is_empty() {
        return Ok(Vec::new());
    }
    let listing = Listing::for_owner(credentials, grants.nodes())?;
    Ok(of_devices
        .into_iter()
        .filter(|(_, nodes)| !listing.has_any(*nodes))
        .map(|(grant, _)| grant.to_string())
        .collect())
}

/// Calls `entered` with each directory of `base` that nodes come and go in, itself among them, before it looks into it: what is
/// made there meanwhile is seen by the look, or by whoever watches by then.
pub fn enter_directories(base: &Path, mut entered: impl FnMut(&Path)) {
    let mut left = MOST;
    let mut enter = |path: &Path| {
        if left > 0 {
            left -= 1;
            entered(path);
        }
    };
    enter(base);
    visit(base, Path::new(""), DEEPEST, &mut |path, about| {
        if about.is_dir() {
            enter(&base.join(path));
        }
    });
}

/// Calls `seen` with each character device and each link below `base`, at most [`MOST`].
fn walk(base: &Path, mut seen: impl FnMut(&Path, &fs::Metadata)) {
    let mut left = MOST;
    visit(base, Path::new(""), DEEPEST, &mut |path, about| {
        if left > 0 && (about.is_symlink() || about.file_type().is_char_device()) {
            left -= 1;
            seen(path, about);
        }
    });
}

/// Other file systems (`pts`, `shm`) hold no devices of the host.
fn visit(base: &Path, below: &Path, depth: usize, seen: &mut impl FnMut(&Path, &fs::Metadata)) {
    let here = base.join(below);
    let (Ok(own), Ok(entries)) = (fs::symlink_metadata(&here), fs::read_dir(&here)) else { return };
    for entry in entries.flatten() {
        let path = below.join(entry.file_name());
        let Ok(about) = fs::symlink_metadata(base.join(&path)) else { continue };
        if about.dev() != own.dev() {
            continue;
        }
        seen(&path, &about);
        if about.is_dir() && depth > 1 {
            visit(base, &path, depth - 1, seen);
        }
    }
}

/// `None` where he may not open it, or where it was replaced while it was looked at.
fn rights(file: &Path, path: &Path, about: &fs::Metadata) -> Option<Rights> {
    let may = |access, bit| if accessat(CWD, file, access, AtFlags::EACCESS).is_ok() { bit } else { 0 };
    let owner = may(Access::READ_OK, 0o4) | may(Access::WRITE_OK, 0o2);
    let others = if Nodes::is_for_everybody(path) { owner } else { owner & about.mode() & 0o6 };
    let now = fs::symlink_metadata(file).ok()?;
    let is_the_same = (now.rdev(), now.ino()) == (about.rdev(), about.ino());
    (owner != 0 && is_the_same).then_some(Rights { owner, others })
}

/// Where a link at `path` leads to, below `base`, by its text: nothing is followed, for links to links there are none.
fn resolved(base: &Path, path: &Path, target: &Path) -> Option<PathBuf> {
    let target = match target.strip_prefix(base) {
        Ok(below) => below.to_owned(),
        Err(_) if target.is_absolute() => return None,
        Err(_) => path.parent()?.join(target),
    };
    let mut out = PathBuf::new();
    for component in target.components() {
        match component {
            Component::Normal(name) => out.push(name),
            Component::ParentDir if !out.pop() => return None,
            Component::ParentDir | Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(out)
}
