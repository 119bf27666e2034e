//! Free space of a file system.

use std::path::Path;

use rustix::fs::StatFs;

use crate::error::{Error, Result};

/// `BTRFS_SUPER_MAGIC` (statfs(2)).
const BTRFS: u64 = 0x9123_683E;
/// File systems of a disk of this machine or its memory (statfs(2), `include/uapi/linux/magic.h`; zfs of OpenZFS).
const LOCAL: [u64; 15] = [
    BTRFS,
    0xEF53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x0102_1994, // tmpfs
    0xF2F5_2010, // f2fs
    0xCA45_1A4E, // bcachefs
    0x2FC1_2FC1, // zfs
    0x7371_7368, // squashfs
    0xE0F5_E1E2, // erofs
    0x4D44,      // vfat
    0x2011_BAB0, // exfat
    0x7366_746E, // ntfs3
    0x9660,      // iso9660
    0x1501_3346, // udf
    0x8584_58F6, // ramfs
];

/// What a file system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that root can still write.
    pub free: u64,
    /// All of it.
    pub total: u64,
    /// Whether it is btrfs.
    pub btrfs: bool,
}

/// Of the file system that holds `path`.
///
/// # Errors
/// What the system says.
pub fn of(path: &Path) -> Result<Space> {
    let status = rustix::fs::statfs(path)
        .map_err(|errno| Error::system(format!("ask for the free space of {}", path.display()), errno))?;
    let block = u64::try_from(status.f_bsize).unwrap_or(4096);
    Ok(Space {
        free: status.f_bfree.saturating_mul(block),
        total: status.f_blocks.saturating_mul(block),
        btrfs: kind(&status) == BTRFS,
    })
}

/// The magic number of a file system.
#[must_use]
pub fn kind(status: &StatFs) -> u64 {
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        reason = "the type differs between architectures"
    )]
    let kind = status.f_type as u64;
    kind & 0xFFFF_FFFF
}

/// Whether the kernel alone answers for a file system. FUSE asks a process, perhaps of the file's owner, an overlay
/// may lie over that (he may mount one in a user namespace of his own), and a network a server: each may keep whoever reads
/// waiting for ever.
#[must_use]
pub fn is_own(status: &StatFs) -> bool {
    LOCAL.contains(&kind(status))
}
