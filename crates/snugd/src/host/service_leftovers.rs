//! What the services of a guest that was killed have left in the host's `/tmp` and `/var/tmp`, which were the guest's.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, StatxAttributes, StatxFlags, statx};
use snug_wire::provision::{SERVICE_DIRECTORY, TEMPORARY};

use super::mounts;
use crate::error::{Error, Result};

/// The directories there of a guest whose root has one of these `uids` on the host, which are no other guest's. Blocks.
///
/// # Errors
/// When a directory cannot be read.
pub fn of(uids: &[u32]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for directory in TEMPORARY.map(Path::new) {
        of_one(directory, uids, &mut found)?;
    }
    Ok(found)
}

fn of_one(directory: &Path, uids: &[u32], found: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |error| Error::system(format!("read {}", directory.display()), error);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().as_encoded_bytes().starts_with(SERVICE_DIRECTORY.as_bytes())
            && is_of(&entry.path(), uids)
        {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// Asks the kernel alone (`AT_STATX_DONT_SYNC`): under such a name a user may have mounted a file system that never answers.
/// One that is gone is nobody's.
fn is_of(path: &Path, uids: &[u32]) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
    statx(rustix::fs::CWD, path, flags, StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::UID).is_ok_and(
        |status| {
            FileType::from_raw_mode(status.stx_mode.into()) == FileType::Directory
                && uids.contains(&status.stx_uid)
                && !status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
        },
    )
}

/// Removes them, by descriptors and through no link. One that something is mounted in stays. Blocks, for as long as there are
/// files. Goes on after an error and answers the first.
///
/// # Errors
/// What the system says.
pub fn remove(paths: &[PathBuf]) -> Result<()> {
    let mut all = Ok(());
    for path in paths {
        all = all.and(remove_one(path));
    }
    all
}

fn remove_one(path: &Path) -> Result<()> {
    if !mounts::below(path)?.is_empty() {
        return Err(crate::error::failed(format!("something is mounted in {}", path.display())));
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::system(format!("remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

#[cfg(all(test, feature = "root-tests"))]
mod tests {
    use std::os::unix::fs::{lchown, symlink};

    use super::*;

    #[test]
    fn a_guests_are_found_and_removed_with_what_its_other_users_have_in_them() {
        let base = tempfile::tempdir().unwrap();
        let (ours, other) = (3_765_536, 3_765_537);
        let make = |name: &str, uid: u32| {
            let path = base.path().join(name);
            fs::create_dir(&path).unwrap();
            lchown(&path, Some(uid), Some(uid)).unwrap();
            path
        };
        let kept = [make("systemd-private-other", other), make("something-else", ours)];
        let link = base.path().join("systemd-private-link");
        symlink(&kept[1], &link).unwrap();
        lchown(&link, Some(ours), Some(ours)).unwrap();
        let gone = make("systemd-private-ours", ours);
        let inner = gone.join("tmp");
        fs::create_dir_all(inner.join("of-a-service")).unwrap();
        fs::write(inner.join("of-a-service/file"), "").unwrap();
        symlink(&kept[0], inner.join("link")).unwrap();
        for path in [&inner.join("of-a-service"), &inner.join("of-a-service/file")] {
            lchown(path, Some(ours + 33), Some(ours + 33)).unwrap();
        }
        let mut found = Vec::new();
        of_one(base.path(), &[ours], &mut found).unwrap();
        assert_eq!(found, [gone.as_path()]);
        for _ in 0..2 {
            remove(&found).unwrap();
        }
        assert!(!gone.exists() && kept.iter().all(|path| path.exists()) && link.is_symlink());
    }

    #[test]
    fn what_somebody_mounted_under_such_a_name_is_not_looked_at() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("systemd-private-mounted");
        fs::create_dir(&path).unwrap();
        let options = Some(c"size=4k,mode=700");
        rustix::mount::mount("snug-test", &path, "tmpfs", rustix::mount::MountFlags::empty(), options)
            .unwrap();
        let (seen, removed) = (is_of(&path, &[0]), remove_one(&path));
        mounts::detach(&path).unwrap();
        assert!(!seen && removed.is_err());
        assert!(is_of(&path, &[0]));
    }
}
