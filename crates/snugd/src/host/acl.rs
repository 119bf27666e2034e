//! A POSIX access control list that lets one user pass a directory of root's (`acl(5)`; format:
//! `include/uapi/linux/posix_acl_xattr.h`).

use std::os::fd::BorrowedFd;

use rustix::fs::XattrFlags;

use crate::error::{Error, ErrorKind, Result};

const NAME: &str = "system.posix_acl_access";
const VERSION: u32 = 2;
const NO_ID: u32 = u32::MAX;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// The list `u::rwx u:UID:x g::- m::x o::-`.
#[must_use]
pub fn passable_by(uid: u32) -> Vec<u8> {
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, permissions, id) in
        [(USER_OBJ, 7u16, NO_ID), (USER, 1, uid), (GROUP_OBJ, 0, NO_ID), (MASK, 1, NO_ID), (OTHER, 0, NO_ID)]
    {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&permissions.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    value
}

/// Lets `uid`, and nobody else but root, pass the directory.
///
/// # Errors
/// [`ErrorKind::Unsupported`] where the file system knows no lists.
pub fn let_pass(directory: BorrowedFd<'_>, uid: u32) -> Result<()> {
    rustix::fs::fsetxattr(directory, NAME, &passable_by(uid), XattrFlags::empty()).map_err(
        |errno| match errno {
            rustix::io::Errno::OPNOTSUPP => Error::new(
                ErrorKind::Unsupported,
                "the file system of Snug's state directory has no access control lists",
            )
            .hint("mount it with 'acl', or put the state directory on ext4, xfs or btrfs"),
            other => Error::system("set the access control list of a run directory", other),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_as_the_kernel_reads_it() {
        let value = passable_by(1000);
        assert_eq!(value.len(), 4 + 5 * 8);
        assert_eq!(&value[12..20], &[2, 0, 1, 0, 0xe8, 3, 0, 0]);
    }
}
