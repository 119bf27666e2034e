//! The mount system calls, and what is mounted. The daemon must live in the host's own mount namespace, or nothing
//! that it mounts is seen by Incus (its unit says so).

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};

use crate::error::{Error, Result};

/// A mount that hangs nowhere yet; it disappears with its descriptor.
pub struct Detached(OwnedFd);

impl Detached {
    /// A new tmpfs whose root belongs to `uid`, small, without devices, setuid or programs.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn tmpfs(size: &str, inodes: &str, uid: u32, gid: u32) -> Result<Self> {
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
                MountAttrFlags::MOUNT_ATTR_NOSUID
                    | MountAttrFlags::MOUNT_ATTR_NODEV
                    | MountAttrFlags::MOUNT_ATTR_NOEXEC,
            )
        };
        Ok(Self(make().map_err(|errno| Error::system("make the tmpfs of a run directory", errno))?))
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
    let attributes = libc::mount_attr { attr_set: 0, attr_clr: 0, propagation, userns_fd: 0 };
    let empty: &CStr = c"";
    // SAFETY: `empty` and `attributes` are live, the size is that of the structure, the kernel only reads both.
    let status = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            empty.as_ptr(),
            libc::AT_EMPTY_PATH | extent,
            &raw const attributes,
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

/// What is mounted at `directory` or below, each with all that lies on it: the outermost mounts.
///
/// # Errors
/// When `/proc/self/mountinfo` cannot be read.
pub fn below(directory: &Path) -> Result<Vec<PathBuf>> {
    // The kernel names paths without links.
    let directory = std::fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    let targets = table()?.into_iter().map(|mount| mount.target);
    Ok(outermost(targets.filter(|target| target.starts_with(&directory)).collect()))
}

/// Whether what is mounted at `directory` or below shows `path`, which lies elsewhere: a second mount of its file system.
/// Both are without links.
///
/// # Errors
/// When `/proc/self/mountinfo` cannot be read.
pub fn shows(directory: &Path, path: &Path) -> Result<bool> {
    Ok(is_shown(&table()?, directory, path))
}

fn is_shown(table: &[Mount], directory: &Path, path: &Path) -> bool {
    // The last one of those at one target lies on the others.
    let holders = table.iter().filter(|mount| path.starts_with(&mount.target));
    let Some(holder) = holders.max_by_key(|mount| mount.target.components().count()) else { return false };
    let in_file_system = holder.root.join(path.strip_prefix(&holder.target).unwrap_or(path));
    let mut shown = table.iter().filter(|mount| mount.target.starts_with(directory));
    shown.any(|mount| mount.device == holder.device && in_file_system.starts_with(&mount.root))
}

/// A line of mountinfo (proc_pid_mountinfo(5)).
struct Mount {
    /// `major:minor` of the file system.
    device: String,
    /// The directory of the file system that is mounted.
    root: PathBuf,
    target: PathBuf,
}

fn table() -> Result<Vec<Mount>> {
    let text = std::fs::read("/proc/self/mountinfo")
        .map_err(|error| Error::system("read /proc/self/mountinfo", error))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

fn parse(mountinfo: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(2);
        let (device, root, target) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Mount { device: device.to_owned(), root: unescape(root), target: unescape(target) })
    };
    mountinfo.lines().filter_map(mount).collect()
}

/// Takes away everything that is mounted at `directory` or below. No path is walked into what was mounted: below a place of
/// the host lie file systems of other users, which refuse root or never answer him. Goes on after an error and answers the
/// first.
///
/// # Errors
/// When `/proc/self/mountinfo` cannot be read; what the kernel says, with the path.
pub fn detach_below(directory: &Path) -> Result<()> {
    let mut first = Ok(());
    for target in below(directory)? {
        first = first.and(detach(&target));
    }
    first
}

/// Those that lie on no other one.
fn outermost(mut targets: Vec<PathBuf>) -> Vec<PathBuf> {
    targets.sort();
    // What lies on one comes after it: paths are compared component by component.
    let mut outermost: Vec<PathBuf> = Vec::new();
    for target in targets {
        if outermost.last().is_none_or(|last| !target.starts_with(last)) {
            outermost.push(target);
        }
    }
    outermost
}

/// `\040` and the like, as the kernel writes them (`seq_path`).
fn unescape(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'\\'
            && let Some(digits) = text.get(at + 1..at + 4)
            && let Ok(value) = u8::from_str_radix(digits, 8)
        {
            out.push(value);
            at += 4;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    std::ffi::OsString::from_vec(out).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_mountinfo_are_unescaped() {
        let text = "36 35 98:0 / /a\\040b rw - ext4 /dev/x rw\n37 36 0:1 / /c rw - tmpfs x rw\n";
        let targets: Vec<PathBuf> = parse(text).into_iter().map(|mount| mount.target).collect();
        assert_eq!(targets, [PathBuf::from("/a b"), PathBuf::from("/c")]);
    }

    #[test]
    fn what_is_mounted_on_a_mount_goes_with_it() {
        let paths = |all: &[&str]| all.iter().map(PathBuf::from).collect::<Vec<_>>();
        let all = [
            "/r/places/tmp/b/in",
            "/r/home",
            "/r/places/tmp",
            "/r/places/tmp-2",
            "/r/places/tmp",
            "/r/places/tmp/b",
        ];
        assert_eq!(outermost(paths(&all)), paths(&["/r/home", "/r/places/tmp", "/r/places/tmp-2"]));
    }

    #[test]
    fn a_second_mount_of_a_file_system_shows_what_lies_in_it() {
        let table = parse(
            "1 0 8:1 / / rw - ext4 x rw\n2 1 8:2 / /data rw - ext4 x rw\n3 1 8:1 / /mnt rw - ext4 x rw\n\
             4 1 8:2 /home /media/homes rw - ext4 x rw\n5 1 8:3 / /srv rw - ext4 x rw\n",
        );
        let shows = |directory: &str, path: &str| is_shown(&table, Path::new(directory), Path::new(path));
        assert!(shows("/mnt", "/var/lib/snug") && shows("/media", "/data/home/anna"));
        assert!(
            !shows("/media", "/data/other")
                && !shows("/srv", "/var/lib/snug")
                && !shows("/tmp", "/home/anna")
        );
    }

    #[test]
    fn the_root_is_mounted() {
        assert!(below(Path::new("/")).unwrap().contains(&PathBuf::from("/")));
    }
}
