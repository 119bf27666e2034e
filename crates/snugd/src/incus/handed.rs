//! Files that callers name for an image.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, fstatfs, openat2};
use rustix::io::Errno;
use snug_core::text;

use crate::error::{Error, ErrorKind, Result, invalid};
use crate::host::credentials::{Credentials, with};
use crate::host::space;

/// Files without holes to speak of may be this large.
const HOLE: u64 = 1 << 20;
/// So much of the host's disk is kept free.
pub const RESERVE: u64 = 1 << 30;

/// A file that a caller named, opened with his rights: a plain file, not one of a file system of his own.
#[derive(Debug)]
pub struct Handed(OwnedFd);

impl Handed {
    /// Opens the file at `path` as the caller, whose `credentials` are given. Blocks, perhaps for long: the way there may lead
    /// through a file system of his own.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`].
    pub fn open(credentials: Credentials, path: PathBuf) -> Result<Self> {
        with(credentials, move || open_local(&path))?
    }

    /// A file of the daemon's own.
    #[must_use]
    pub fn own(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// The descriptor.
    #[must_use]
    pub fn into_descriptor(self) -> OwnedFd {
        self.0
    }

    /// A path by which it can be opened again, as long as this exists.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_fd().as_raw_fd()).into()
    }

    /// Incus copies it to its own disk, holes and all, and unpacks it there: a file of 100 GB that is one hole costs its
    /// owner nothing. `free` is what that disk has, in bytes. The answer is how much of it may be read: its owner can make
    /// it longer at any time.
    ///
    /// # Errors
    /// [`ErrorKind::ImageBroken`], [`ErrorKind::NoSpace`].
    pub fn check_room(&self, name: &str, free: u64) -> Result<u64> {
        let status = fstat(&self.0).map_err(|errno| Error::system(format!("look at '{name}'"), errno))?;
        let size = u64::try_from(status.st_size).unwrap_or(u64::MAX);
        let is_hole = u64::try_from(status.st_blocks).unwrap_or(0).saturating_mul(512) < size / 16;
        if is_hole && size > HOLE {
            return Err(Error::new(ErrorKind::ImageBroken, format!("the file for '{name}' is mostly holes"))
                .hint("a root file system is a squashfs image or a tar archive"));
        }
        if size.saturating_mul(2).saturating_add(RESERVE) > free {
            return Err(Error::new(
                ErrorKind::NoSpace,
                format!("no room for '{name}': it has {} MiB", size >> 20),
            )
            .hint("Incus keeps a copy and unpacks it: it takes twice its size"));
        }
        Ok(size)
    }

    /// Incus takes in anything as a root file system and finds out what it is when a container is made of it.
    ///
    /// # Errors
    /// [`ErrorKind::ImageBroken`].
    pub fn check_kind(&self, name: &str) -> Result<()> {
        let mut head = [0; 512];
        let count = rustix::io::pread(&self.0, &mut head, 0)
            .map_err(|errno| Error::system(format!("read '{name}'"), errno))?;
        if is_archive(&head[..count]) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::ImageBroken, format!("the file for '{name}' is broken or no archive"))
            .hint("a root file system is a squashfs image or a tar archive: plain, gzip, bzip2, xz, lzma or zstd"))
    }
}

/// A descriptor of the file at `path` as the calling thread may read it. No link of the kernel's own is followed: those of
/// `/proc/self/fd` are files of the daemon.
fn open_local(path: &Path) -> Result<Handed> {
    let shown = text::shown(&path.to_string_lossy());
    if !path.is_absolute() {
        return Err(invalid(format!("{shown} is no absolute path")));
    }
    let cannot = |errno: Errno| invalid(format!("{shown} cannot be read: {errno}"));
    // Opened to be looked at alone: to open a fifo or a device would do something already.
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let seen = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS).map_err(cannot)?;
    if FileType::from_raw_mode(fstat(&seen).map_err(cannot)?.st_mode) != FileType::RegularFile {
        return Err(invalid(format!("{shown} must be a plain file")));
    }
    if !space::is_own(&fstatfs(&seen).map_err(cannot)?) {
        return Err(invalid(format!("{shown} lies on a file system that may keep its reader waiting"))
            .hint("copy it to a local disk first: /tmp, /var/tmp or a home on one"));
    }
    // What was looked at is what is opened.
    let same = format!("/proc/self/fd/{}", seen.as_raw_fd());
    rustix::fs::open(same, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map(Handed).map_err(cannot)
}

/// Whether a file that begins so may be a root file system: the kinds that Incus unpacks (`shared/archive`, 6.0.4).
fn is_archive(head: &[u8]) -> bool {
    let magics: [&[u8]; 6] = [b"hsqs", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x5d\0\0", b"\x28\xb5\x2f\xfd"];
    magics.iter().any(|magic| head.starts_with(magic)) || head.get(257..262) == Some(b"ustar")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_incus_cannot_unpack_is_told_from_what_it_can() {
        let mut tar = vec![b'x'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for good in [&tar[..], b"hsqs....", b"\x1f\x8b\x08", b"\xfd7zXZ\0..", b"\x28\xb5\x2f\xfd"] {
            assert!(is_archive(good), "{good:?}");
        }
        for bad in [&b""[..], b"#!/bin/sh", b"PK\x03\x04", &[b'x'; 512]] {
            assert!(!is_archive(bad), "{bad:?}");
        }
    }

    #[test]
    fn only_a_plain_file_of_this_machine_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let own = std::fs::File::open("/etc/passwd").unwrap();
        let own = PathBuf::from(format!("/proc/self/fd/{}", own.as_raw_fd()));
        for (path, reason) in [
            (Path::new("etc/passwd"), "absolute"),
            (Path::new("/nonexistent"), "cannot be read"),
            (Path::new("/etc"), "plain file"),
            (&fifo, "plain file"),
            (Path::new("/proc/version"), "keep its reader waiting"),
            (&own, "cannot be read"),
        ] {
            let error = open_local(path).unwrap_err();
            assert!(error.kind == ErrorKind::InvalidArgument && error.message.contains(reason), "{error}");
        }
        let file = directory.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("file", &link).unwrap();
        assert!(open_local(&file).is_ok() && open_local(&link).is_ok());
    }

    #[test]
    fn a_file_of_holes_is_no_image_and_one_must_fit() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100 << 30).unwrap();
        let rootfs = Handed::own(file.into());
        assert_eq!(rootfs.check_room("x", u64::MAX).unwrap_err().kind, ErrorKind::ImageBroken);
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &[1; 4096]).unwrap();
        let rootfs = Handed::own(file.into());
        assert!(rootfs.check_room("x", RESERVE + 8192).is_ok());
        assert_eq!(rootfs.check_room("x", RESERVE).unwrap_err().kind, ErrorKind::NoSpace);
    }
}
