//! The mount system calls. The daemon must live in the host's own mount namespace, or nothing
//! that it mounts is seen by Incus (its unit says so).

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};

use super::mount_table::Table;
use crate::error::{Error, Result};

/// A mount that hangs nowhere yet; it disappears with its descriptor.
pub struct Detached(OwnedFd);

impl Detached {
    /// A new tmpfs whose root belongs to `uid`, small, without devices, setuid or programs.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn tmpfs(size: &str, inodes: &str, uid: u32, gid: u32) -> Result<Self> {
        Self::new_tmpfs(size, inodes, (uid, gid), MountAttrFlags::MOUNT_ATTR_NODEV)
    }

    /// The same, whose device nodes can be opened.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn tmpfs_for_devices(size: &str, inodes: &str, root: (u32, u32)) -> Result<Self> {
        Self::new_tmpfs(size, inodes, root, MountAttrFlags::empty())
    }

    fn new_tmpfs(size: &str, inodes: &str, (uid, gid): (u32, u32), more: MountAttrFlags) -> Result<Self> {
        let make = || -> rustix::io::Result<OwnedFd> {
            let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_set_string(context.as_fd(), "source", "snug")?;
            fsconfig_set_string(context.as_fd(), "size", size)?;
            fsconfig_set_string(context.as_fd(), "nr_inodes", inodes)?;
            fsconfig_set_string(context.as_fd(), "mode", "0755")?;
            fsconfig_set_string(context.as_fd(), "uid", uid.to_string())?;
            fsconfig_set_string(context.as_fd(), "gid", gid.to_string())?;
            fsconfig_create(context.as_fd())?;
            fsmount(
                context.as_fd(),
                FsMountFlags::FSMOUNT_CLOEXEC,
                MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC | more,
            )
        };
        Ok(Self(make().map_err(|errno| Error::system("make a tmpfs", errno))?))
    }

    /// A new tmpfs of root's that can be written through a copy alone ([`Self::writable`]).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn read_only_tmpfs(size: &str, inodes: &str) -> Result<Self> {
        let more = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_RDONLY;
        Self::new_tmpfs(size, inodes, (0, 0), more)
    }

    /// A copy of what is mounted at `place` and below, which follows the original but is not followed by it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn clone_of(place: BorrowedFd<'_>) -> Result<Self> {
        Self::clone_with(place, libc::AT_RECURSIVE, libc::MS_SLAVE)
    }

    /// A copy of what is mounted at `place` alone, without what is mounted below, now or later.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn clone_of_one(place: BorrowedFd<'_>) -> Result<Self> {
        Self::clone_with(place, 0, libc::MS_PRIVATE)
    }

    /// A copy of what is mounted at `place` without what is mounted below now; what is mounted there later comes.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn clone_of_one_following(place: BorrowedFd<'_>) -> Result<Self> {
        Self::clone_with(place, 0, libc::MS_SLAVE)
    }

    fn clone_with(place: BorrowedFd<'_>, extent: i32, propagation: u64) -> Result<Self> {
        let how = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH
            | if extent == 0 { OpenTreeFlags::empty() } else { OpenTreeFlags::AT_RECURSIVE };
        let tree = open_tree(place, c"", how).map_err(|errno| Error::system("copy the mounts", errno))?;
        set_propagation(tree.as_fd(), extent, propagation)
            .map_err(|error| Error::system("make the copy follow, or not follow, the original", error))?;
        Ok(Self(tree))
    }

    /// The same mount, read-only, without devices or setuid, in whatever namespace it appears.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn read_only(self) -> Result<Self> {
        let attributes = libc::mount_attr {
            attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
            attr_clr: 0,
            propagation: 0,
            userns_fd: 0,
        };
        set_attributes(self.0.as_fd(), 0, &attributes)
            .map_err(|error| Error::system("make a mount read-only", error))?;
        Ok(self)
    }

    /// The same mount for whoever has its descriptor, to be written.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn writable(self) -> Result<Self> {
        let attributes =
            libc::mount_attr { attr_set: 0, attr_clr: libc::MOUNT_ATTR_RDONLY, propagation: 0, userns_fd: 0 };
        set_attributes(self.0.as_fd(), 0, &attributes)
            .map_err(|error| Error::system("make a mount writable", error))?;
        Ok(self)
    }

    /// The root of the mount, to put files in before anybody sees it.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Hangs it at `target`.
    ///
    /// # Errors
    /// What the kernel says, with the path.
    pub fn attach(self, target: &Path) -> Result<()> {
        move_mount(self.0.as_fd(), c"", rustix::fs::CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(|errno| Error::system(format!("mount at {}", target.display()), errno))
    }
}

fn set_propagation(tree: BorrowedFd<'_>, extent: i32, propagation: u64) -> std::io::Result<()> {
    set_attributes(tree, extent, &libc::mount_attr { attr_set: 0, attr_clr: 0, propagation, userns_fd: 0 })
}

fn set_attributes(tree: BorrowedFd<'_>, extent: i32, attributes: &libc::mount_attr) -> std::io::Result<()> {
    let empty: &CStr = c"";
    // SAFETY: `empty` and `attributes` are live, the size is that of the structure, the kernel only reads both.
    let status = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            empty.as_ptr(),
            libc::AT_EMPTY_PATH | extent,
            ptr::from_ref(attributes),
            size_of::<libc::mount_attr>(),
        )
    };
    if status == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Binds the host's network namespace to a file, so that a container can share it.
///
/// # Errors
/// What the kernel says.
pub fn hold_host_network(target: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let system = |error: std::io::Error| {
        Error::system(format!("hold the host's network at {}", target.display()), error)
    };
    // Root's own: the daemon's, which its unit leaves in the host's namespace.
    let own = "/proc/self/ns/net";
    let (there, here) = (std::fs::metadata(target), std::fs::metadata(own).map_err(system)?);
    if there.is_ok_and(|there| (there.dev(), there.ino()) == (here.dev(), here.ino())) {
        return Ok(());
    }
    detach(target)?;
    std::fs::File::options().create(true).append(true).open(target).map_err(system)?;
    rustix::mount::mount_bind(own, target).map_err(|errno| system(errno.into()))
}

/// Takes away every mount at `target`, open files or not; that there is none is what was wanted.
///
/// # Errors
/// What the kernel says, with the path.
pub fn detach(target: &Path) -> Result<()> {
    loop {
        match unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(Error::system(format!("unmount {}", target.display()), errno)),
        }
    }
}

/// Takes away everything that is mounted at `directory` or below. No path is walked into what was mounted: below a place of
/// the host lie file systems of other users, which refuse root or never answer him. Goes on after an error and answers the
/// first.
///
/// # Errors
/// When `/proc/self/mountinfo` cannot be read; what the kernel says, with the path.
pub fn detach_below(directory: &Path) -> Result<()> {
    let mut first = Ok(());
    for target in Table::read()?.below(directory) {
        first = first.and(detach(&target));
    }
    first
}
