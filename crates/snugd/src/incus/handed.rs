//! Files that callers hand over.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, fstatfs};

use crate::error::{Error, ErrorKind, Result, invalid};
use crate::host::space;

/// Files without holes to speak of may be this large.
const HOLE: u64 = 1 << 20;
/// So much of the host's disk is kept free.
pub const RESERVE: u64 = 1 << 30;

/// A file that a caller handed over, checked: readable for him, a plain file, not one of a file system of his own.
///
/// The daemon opens it again as root through `/proc/self/fd`; a descriptor opened with `O_PATH` or for writing only
/// would let him read what he may not.
#[derive(Debug)]
pub struct Handed(OwnedFd);

impl Handed {
    /// Checks a descriptor. Blocks, perhaps for long: whoever made the file may have made its file system.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`].
    pub fn new(descriptor: OwnedFd, what: &str) -> Result<Self> {
        let system = |errno| Error::system(format!("look at {what}"), errno);
        let flags = fcntl_getfl(&descriptor).map_err(system)?;
        if flags.contains(OFlags::PATH) || flags & OFlags::ACCMODE == OFlags::WRONLY {
            return Err(invalid(format!("{what} must be opened for reading")));
        }
        let status = fstat(&descriptor).map_err(system)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(invalid(format!("{what} must be a plain file")));
        }
        if !space::is_own(&fstatfs(&descriptor).map_err(system)?) {
            return Err(invalid(format!("{what} lies on a file system that may keep its reader waiting"))
                .hint("copy it to a local disk first: /tmp, /var/tmp or a home on one"));
        }
        Ok(Self(descriptor))
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
    fn a_descriptor_that_grants_no_reading_is_refused() {
        let path = rustix::fs::open("/etc/passwd", OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
        assert_eq!(Handed::new(path, "rootfs").unwrap_err().kind, ErrorKind::InvalidArgument);
        let directory = rustix::fs::open("/etc", OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
        assert_eq!(Handed::new(directory, "rootfs").unwrap_err().kind, ErrorKind::InvalidArgument);
        let file = rustix::fs::open("/etc/passwd", OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
        assert!(Handed::new(file, "rootfs").is_ok());
    }

    #[test]
    fn a_file_of_holes_is_no_image_and_one_must_fit() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100 << 30).unwrap();
        let rootfs = Handed::new(file.into(), "rootfs").unwrap();
        assert_eq!(rootfs.check_room("x", u64::MAX).unwrap_err().kind, ErrorKind::ImageBroken);
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &[1; 4096]).unwrap();
        let rootfs = Handed::new(file.into(), "rootfs").unwrap();
        assert!(rootfs.check_room("x", RESERVE + 8192).is_ok());
        assert_eq!(rootfs.check_room("x", RESERVE).unwrap_err().kind, ErrorKind::NoSpace);
    }
}
