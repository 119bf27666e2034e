//! Device nodes of the host for a guest: those that the owner may open, under the names that they have below `/dev`.
//!
//! A guest has nodes of its own making, on a tmpfs that only the daemon writes, because a bind mount of the host's would show
//! it groups that it does not have: a node that the owner may open as a member of `dialout` would be nobody's there. What may be
//! opened is asked of the kernel with the owner's numbers (access(2)); nothing is opened, since that alone resets a board
//! or rewinds a tape. Nodes of block devices are never shared: the host's disks are no business of a guest's tools.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, accessat, mknodat};
use snug_core::grant::Nodes;
use snug_wire::devices::DEEPEST;

use super::credentials::{Credentials, with};
use super::mounts;
use crate::error::{Error, Result};

/// Where the host has them: devtmpfs.
pub const DEV: &str = "/dev";

/// Bounds of a guest's tmpfs: nodes, links and directories take no room but their inodes.
const SIZE: &str = "1M";
const INODES: &str = "16384";
/// Nodes of one host.
const MOST: usize = 8192;

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

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What there is on a host, as far as it changes what a user may open who stays in his groups.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, State>);

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Number, owners, mode and access list of a node.
    Node(u64, Ids, u32, Vec<u8>),
    /// Where a link leads to.
    Link(PathBuf),
}

impl Snapshot {
    /// Of the nodes in `base` that may be shared, and the links to such. Times do not count: whoever may open a node may touch it.
    /// Blocks.
    #[must_use]
    pub fn of(base: &Path) -> Self {
        let mut all = BTreeMap::new();
        walk(base, |path, about| {
            let state = if about.is_symlink() {
                let Ok(target) = fs::read_link(base.join(path)) else { return };
                if !resolved(base, path, &target).is_some_and(|leads_to| Nodes::ALL.has(&leads_to)) {
                    return;
                }
                State::Link(target)
            } else if Nodes::ALL.has(path) {
                let owners = (about.uid(), about.gid());
                State::Node(about.rdev(), owners, about.mode(), access_list(&base.join(path)))
            } else {
                return;
            };
            all.insert(path.to_owned(), state);
        });
        Self(all)
    }
}

/// The access control list (acl(5)) as the kernel keeps it; empty where there is none.
fn access_list(file: &Path) -> Vec<u8> {
    /// Some hundred entries.
    const LONGEST: usize = 4096;
    let mut buffer = vec![0; LONGEST];
    let read = rustix::fs::lgetxattr(file, "system.posix_acl_access", &mut buffer[..]);
    buffer.truncate(read.unwrap_or(0));
    buffer
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

/// A user's and a group's number on the host.
pub type Ids = (u32, u32);

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

fn make_parents(target: &Path, path: &Path, (uid, gid): Ids) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_crates_name_the_same_place() {
        assert_eq!(snug_core::paths::GUEST_DEVICES, snug_wire::devices::DIRECTORY);
    }

    #[test]
    fn links_are_resolved_by_their_text() {
        let base = Path::new("/dev");
        for (path, target, wanted) in [
            ("serial/by-id/x", "../../ttyACM0", Some("ttyACM0")),
            ("cam", "/dev/video0", Some("video0")),
            ("cam", "video0", Some("video0")),
            ("log", "/run/log", None),
            ("x", "../etc/passwd", None),
        ] {
            assert_eq!(
                resolved(base, Path::new(path), Path::new(target)).as_deref(),
                wanted.map(Path::new),
                "{target}"
            );
        }
    }

    #[cfg(feature = "root-tests")]
    mod as_root {
        use snug_core::grant::GrantSet;

        use rustix::fs::OFlags;

        use super::*;

        /// `/dev/zero` (admin-guide/devices.txt), as `dev_t` has it.
        const ZERO: u64 = 1 << 8 | 5;

        fn node(base: &Path, name: &str, owner: Ids, mode: u32) {
            let file = base.join(name);
            make_parents(base, Path::new(name), (0, 0)).unwrap();
            mknodat(CWD, &file, FileType::CharacterDevice, Mode::empty(), ZERO).unwrap();
            chown(&file, Some(owner.0), Some(owner.1)).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }

        const OWNERS: Owners = Owners { nodes: (4242, 4243), directories: (100_000, 100_000) };

        fn listing(base: &Path, grants: &[&str]) -> Listing {
            let nodes = GrantSet::parse(grants.iter().copied()).unwrap().nodes();
            let credentials = Credentials { uid: 4242, gid: 4242, groups: vec![4242, 77] };
            let base = base.to_owned();
            with(credentials, move || Listing::of(&base, nodes)).unwrap()
        }

        fn shown(listing: &Listing) -> Vec<String> {
            let one = |(path, entry): (&PathBuf, &Entry)| match entry {
                Entry::Node { rights, .. } => {
                    let ((uid, _), mode) = rights.as_inode(OWNERS.nodes);
                    format!("{} {uid} {mode:o}", path.display())
                }
                Entry::Link(target) => format!("{} -> {}", path.display(), target.display()),
            };
            listing.0.iter().map(one).collect()
        }

        fn some_devices() -> tempfile::TempDir {
            let base = tempfile::tempdir().unwrap();
            fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
            let dev = base.path();
            node(dev, "ttyACM0", (0, 77), 0o660);
            node(dev, "ttyUSB0", (0, 78), 0o660);
            node(dev, "video0", (4242, 0), 0o600);
            node(dev, "rtc0", (0, 0), 0o644);
            node(dev, "null", (0, 0), 0o666);
            node(dev, "dri/renderD128", (0, 77), 0o660);
            fs::create_dir_all(dev.join("serial/by-id")).unwrap();
            symlink("../../ttyACM0", dev.join("serial/by-id/board")).unwrap();
            symlink("../../ttyUSB0", dev.join("serial/by-id/other")).unwrap();
            symlink("/etc/passwd", dev.join("elsewhere")).unwrap();
            fs::write(dev.join("file"), "").unwrap();
            base
        }

        #[test]
        fn the_owner_gets_what_he_may_open_as_his_own() {
            let base = some_devices();
            assert_eq!(
                shown(&listing(base.path(), &["devices"])),
                [
                    "dri/renderD128 4242 666",
                    "rtc0 0 44",
                    "serial/by-id/board -> ../../ttyACM0",
                    "ttyACM0 4242 600",
                    "video0 4242 600"
                ]
            );
            assert_eq!(shown(&listing(base.path(), &["gpu"])), ["dri/renderD128 4242 666"]);
        }

        #[test]
        fn a_tree_follows_its_listing_and_what_stays_is_left_alone() {
            let (base, target) = (some_devices(), tempfile::tempdir().unwrap());
            let target = target.path();
            let inode = |name: &str| fs::symlink_metadata(target.join(name)).ok().map(|about| about.ino());
            fill(target, &listing(base.path(), &["devices"]), OWNERS).unwrap();
            let about = fs::symlink_metadata(target.join("ttyACM0")).unwrap();
            assert_eq!(
                (about.uid(), about.gid(), about.mode() & 0o7777, about.rdev()),
                (4242, 4243, 0o600, ZERO)
            );
            let of = |name: &str| fs::symlink_metadata(target.join(name)).map(|about| about.uid()).unwrap();
            assert_eq!((of("serial/by-id"), of("serial/by-id/board")), (100_000, 100_000));
            let kept = inode("video0").unwrap();
            // Held by somebody: no open file, but the node itself.
            let held = rustix::fs::open(target.join("ttyACM0"), OFlags::PATH, Mode::empty()).unwrap();
            fs::remove_file(base.path().join("ttyACM0")).unwrap();
            fs::set_permissions(base.path().join("dri/renderD128"), fs::Permissions::from_mode(0o640))
                .unwrap();
            chown(base.path().join("ttyUSB0"), Some(4242), None).unwrap();
            fill(target, &listing(base.path(), &["devices"]), OWNERS).unwrap();
            assert_eq!(inode("ttyACM0"), None);
            let left = rustix::fs::fstat(&held).unwrap();
            assert_eq!((left.st_uid, left.st_gid, left.st_mode & 0o7777), (0, 0, 0));
            let card = fs::symlink_metadata(target.join("dri/renderD128")).unwrap();
            assert_eq!((card.uid(), card.gid(), card.mode() & 0o7777), (0, 4243, 0o44), "to be read only");
            assert_eq!(inode("video0"), Some(kept));
            assert!(target.join("ttyUSB0").exists());
            assert_eq!(fs::read_link(target.join("serial/by-id/other")).unwrap(), Path::new("../../ttyUSB0"));
            fs::remove_dir_all(base.path().join("serial")).unwrap();
            fill(target, &listing(base.path(), &["devices"]), OWNERS).unwrap();
            assert_eq!(inode("serial"), None);
        }

        #[test]
        fn what_changes_who_may_open_a_node_changes_the_snapshot() {
            let base = some_devices();
            let before = Snapshot::of(base.path());
            assert_eq!(Snapshot::of(base.path()), before);
            fs::set_permissions(base.path().join("null"), fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(Snapshot::of(base.path()), before, "no guest has that one");
            chown(base.path().join("ttyUSB0"), Some(4242), None).unwrap();
            assert_ne!(Snapshot::of(base.path()), before);
            let before = Snapshot::of(base.path());
            fs::set_permissions(base.path().join("ttyUSB0"), fs::Permissions::from_mode(0o660)).unwrap();
            assert_eq!(Snapshot::of(base.path()), before, "a new time is no change");
            let mut seen = Vec::new();
            enter_directories(base.path(), |directory| seen.push(directory.to_owned()));
            assert!(seen.contains(&base.path().join("serial/by-id")) && seen[0] == base.path());
        }
    }
}
