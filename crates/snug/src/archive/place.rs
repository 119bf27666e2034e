//! Directories below one root that are entered component by component, without ever following a link.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;

/// The directory that everything is below.
pub struct Root {
    directory: OwnedFd,
}

impl Root {
    /// Everything is below this directory.
    pub fn new(directory: OwnedFd) -> Self {
        Self { directory }
    }

    /// The directory of these components, made where it is missing. A link or a file on the way is an error.
    pub fn directory(&self, components: &[OsString]) -> io::Result<OwnedFd> {
        let mut here = self.directory.try_clone()?;
        for name in components {
            here = match enter(&here, name) {
                Err(Errno::NOENT) => {
                    match mkdirat(
                        &here,
                        name.as_os_str(),
                        Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH,
                    ) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    enter(&here, name)?
                }
                entered => entered?,
            };
        }
        Ok(here)
    }
}

fn enter(directory: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    openat(
        directory,
        name,
        OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY,
        Mode::empty(),
    )
}

/// Takes away what stands where something new will be. A directory is left, so that the new thing fails there.
pub fn make_way(directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(there) if FileType::from_raw_mode(there.st_mode) == FileType::Directory => {
            Err(Errno::ISDIR.into())
        }
        Ok(_) => unlinkat(directory, name, AtFlags::empty()).map_err(io::Error::from),
    }
}
