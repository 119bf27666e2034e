//! Directories below one root that are entered component by component, without ever following a link.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, linkat, mkdirat, openat, renameat, statat, unlinkat};
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

/// A directory stays where a file or a link is wanted: that fails.
fn check_no_directory(directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) if FileType::from_raw_mode(there.st_mode) == FileType::Directory => {
            Err(Errno::ISDIR.into())
        }
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes away what stands where something new will be.
pub fn make_way(directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
    check_no_directory(directory, name)?;
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A file that takes its name, and the place of what has it, when it is whole. On a file system without nameless files
/// (`O_TMPFILE` of open(2)) it has it at once.
pub struct NewFile<'a> {
    /// To be written.
    pub file: File,
    directory: &'a OwnedFd,
    name: &'a OsStr,
    is_nameless: bool,
}

impl<'a> NewFile<'a> {
    /// Nothing is followed or replaced yet.
    pub fn create(directory: &'a OwnedFd, name: &'a OsStr) -> io::Result<Self> {
        check_no_directory(directory, name)?;
        let mode = Mode::RUSR | Mode::WUSR;
        let nameless = openat(directory, ".", OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC, mode);
        let is_nameless = nameless.is_ok();
        let file = match nameless {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
                make_way(directory, name)?;
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                openat(directory, name, flags, mode)
            }
            opened => opened,
        };
        Ok(Self { file: file?.into(), directory, name, is_nameless })
    }

    /// It is whole.
    pub fn appear(self) -> io::Result<()> {
        if !self.is_nameless {
            return Ok(());
        }
        // A new name cannot take another's place, a rename can.
        let temporary = format!(".snug-cp-{}", std::process::id());
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        linkat(CWD, own, self.directory, &temporary, AtFlags::SYMLINK_FOLLOW)?;
        let renamed = renameat(self.directory, &temporary, self.directory, self.name);
        if renamed.is_err() {
            let _ = unlinkat(self.directory, &temporary, AtFlags::empty());
        }
        Ok(renamed?)
    }
}
