//! Free space of a file system.

use std::path::Path;

use crate::error::{Error, Result};

/// `BTRFS_SUPER_MAGIC` (statfs(2)).
const BTRFS: u64 = 0x9123_683E;

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
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        reason = "the type differs between architectures"
    )]
    let kind = status.f_type as u64 & 0xFFFF_FFFF;
    Ok(Space {
        free: status.f_bfree.saturating_mul(block),
        total: status.f_blocks.saturating_mul(block),
        btrfs: kind == BTRFS,
    })
}
