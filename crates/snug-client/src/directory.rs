//! The caller's directory and its identity.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, fstat, openat, stat};
use snug_wire::message::Directory as WireDirectory;

use crate::request::{Directory, Error};

/// What is sent to the agent. The logical path (`$PWD`) is taken where it is the same directory as `.`, as
/// `pwd -L` does (POSIX), so that a directory reached through a link keeps its spelling.
///
/// # Errors
/// [`Error::NoDirectory`] when the current directory was removed or cannot be named.
pub fn to_wire(directory: &Directory) -> Result<WireDirectory, Error> {
    match directory {
        Directory::Home => Ok(WireDirectory::Home),
        Directory::Guest(path) => Ok(WireDirectory::Guest(path.as_os_str().as_bytes().to_vec())),
        Directory::Same { or_home } => {
            let no_directory = |errno: rustix::io::Errno| Error::NoDirectory(errno.into());
            let here = openat(CWD, ".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(no_directory)?;
            let here = fstat(&here).map_err(no_directory)?;
            let logical = std::env::var_os("PWD").filter(|pwd| {
                let plain =
                    pwd.as_bytes().split(|byte| *byte == b'/').all(|part| part != b"." && part != b"..");
                plain
                    && Path::new(pwd).is_absolute()
                    && stat(Path::new(pwd))
                        .is_ok_and(|there| there.st_dev == here.st_dev && there.st_ino == here.st_ino)
            });
            let path = match logical {
                Some(path) => path.into_vec(),
                None => std::env::current_dir().map_err(Error::NoDirectory)?.into_os_string().into_vec(),
            };
            Ok(WireDirectory::Same { path, device: here.st_dev, inode: here.st_ino, or_home: *or_home })
        }
    }
}
