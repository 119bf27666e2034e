//! A container's mounts of the driver's files: a tmpfs, read-only for everybody, with a directory for each generation.
//!
//! The daemon writes through a mount of the same tmpfs that hangs nowhere. What it mounts below appears in a guest that runs, as long as
//! the state directory passes mounts on. What a guest had at its start is locked there (`MNT_LOCKED`, mount_namespaces(7)), and may outlive
//! that it is unmounted here: when the files that it lies on are removed, the kernel takes it away in each namespace (`detach_mounts` of
//! fs/namespace.c).

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use snug_wire::driver::CURRENT;

use super::layout::{Entry, Layout};
use super::path_of;
use crate::error::{Error, Result, failed};
use crate::host::devices;
use crate::host::mounts::{self, Detached};

/// Bounds of the tmpfs: names alone, of two generations.
const SIZE: &str = "1M";
const INODES: &str = "8192";

/// Mounts an empty one at `target`.
///
/// # Errors
/// What the kernel says.
pub fn mount(target: &Path) -> Result<()> {
    mounts::detach(target)?;
    Detached::read_only_tmpfs(SIZE, INODES)?.attach(target)
}

/// Whether one is mounted at `target`: a container that was started without one has none until it starts again.
#[must_use]
pub fn is_mounted(target: &Path) -> bool {
    devices::is_mounted(target)
}

/// The generation that a guest has.
#[must_use]
pub fn current(target: &Path) -> Option<String> {
    fs::read_link(target.join(CURRENT)).ok()?.into_os_string().into_string().ok()
}

/// Makes the one at `target` hold `layout`, whose `files` are opened, and nothing else. The guest has the one before until the other
/// is whole.
///
/// # Errors
/// What the kernel says; then the guest keeps what it had.
pub fn replace(target: &Path, generation: &str, layout: &Layout, files: &[OwnedFd]) -> Result<()> {
    let writable = Writable::of(target)?;
    // Of a daemon that died over it.
    writable.remove(target, generation)?;
    let made = writable.fill(generation, layout).and_then(|()| {
        let own = target.join(generation);
        for (path, entry) in layout.entries() {
            if let Entry::File(index, ..) = entry {
                let file = files.get(*index).ok_or_else(|| failed("a file of the driver was not opened"))?;
                Detached::clone_of_one(file.as_fd())?.read_only()?.attach(&own.join(path))?;
            }
        }
        writable.turn_to(generation)
    });
    if made.is_err() {
        let _ = writable.remove(target, generation);
        return made;
    }
    writable.remove_all_but(target, Some(generation))
}

/// Makes the one at `target` hold nothing.
///
/// # Errors
/// What the kernel says.
pub fn clear(target: &Path) -> Result<()> {
    Writable::of(target)?.remove_all_but(target, None)
}

/// The tmpfs, for whoever writes it.
struct Writable {
    _mount: Detached,
    root: PathBuf,
}

impl Writable {
    fn of(target: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(target, flags, Mode::empty())
            .map_err(|errno| Error::system(format!("open {}", target.display()), errno))?;
        let mount = Detached::clone_of_one(opened.as_fd())?.writable()?;
        let root = path_of(&mount.root().as_raw_fd());
        Ok(Self { _mount: mount, root })
    }

    /// Directories, links, and files to mount on.
    fn fill(&self, generation: &str, layout: &Layout) -> Result<()> {
        let own = self.root.join(generation);
        let make = |path: &Path, entry: &Entry| -> io::Result<()> {
            let path = own.join(path);
            fs::create_dir_all(path.parent().unwrap_or(&own))?;
            match entry {
                Entry::File(..) => File::create_new(&path).map(drop),
                Entry::Link(to) => symlink(to, &path),
            }
        };
        layout
            .entries()
            .try_for_each(|(path, entry)| make(path, entry))
            .map_err(|error| Error::system("make the names of the graphics driver", error))
    }

    fn turn_to(&self, generation: &str) -> Result<()> {
        let (new, current) = (self.root.join(".new"), self.root.join(CURRENT));
        let _ = fs::remove_file(&new);
        symlink(generation, &new)
            .and_then(|()| fs::rename(&new, &current))
            .map_err(|error| Error::system("turn to another graphics driver", error))
    }

    fn remove_all_but(&self, target: &Path, generation: Option<&str>) -> Result<()> {
        let system = |error| Error::system("look for earlier graphics drivers", error);
        if generation.is_none() {
            let _ = fs::remove_file(self.root.join(CURRENT));
        }
        for entry in fs::read_dir(&self.root).map_err(system)? {
            let name = entry.map_err(system)?.file_name();
            let name = name.to_string_lossy();
            if name != CURRENT && Some(name.as_ref()) != generation {
                self.remove(target, &name)?;
            }
        }
        Ok(())
    }

    /// Takes away the mounts of a generation, here and in guests, and its names.
    fn remove(&self, target: &Path, generation: &str) -> Result<()> {
        let own = target.join(generation);
        mounts::detach_below(&own)?;
        match fs::remove_dir_all(self.root.join(generation)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::system(format!("remove {}", own.display()), error))
            }
            _ => Ok(()),
        }
    }
}
