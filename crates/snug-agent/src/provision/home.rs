//! The owner's home directory in the guest: the host's, under both of its spellings, or one of its own.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use snug_wire::provision::{Account, Provision};

use crate::places::Guest;

/// Makes `path` the owner's.
pub fn give(path: &Path, owner: &Account, mode: u32) -> io::Result<()> {
    chown(path, Some(owner.uid), Some(owner.gid))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// The home as the guest's account shall name it: the owner's spelling where that leads to his home, or can be made to.
pub fn path(guest: &Guest, provision: &Provision) -> PathBuf {
    let Account { home, home_real, .. } = &provision.owner;
    let spelled = guest.path(home);
    if home == home_real || same_directory(&spelled, &guest.path(home_real)) || may_become_link(&spelled) {
        home.clone()
    } else {
        home_real.clone()
    }
}

/// Whether two paths lead to one directory.
pub fn same_directory(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => one.dev() == other.dev() && one.ino() == other.ino(),
        _ => false,
    }
}

/// Nothing there, a link of ours that points elsewhere now, or an empty directory of the image.
fn may_become_link(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Err(_) => true,
        Ok(status) if status.is_symlink() => true,
        Ok(_) => fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()),
    }
}

/// Makes the home.
pub fn make(guest: &Guest, provision: &Provision) -> io::Result<()> {
    let owner = &provision.owner;
    if !provision.home_shared {
        make_private(guest, owner)?;
    }
    owner.homes().filter(|home| **home != owner.home_real).try_for_each(|home| make_link(guest, owner, home))
}

/// Another spelling: `/home/anna` where the home lies at `/var/home/anna`.
fn make_link(guest: &Guest, owner: &Account, spelling: &Path) -> io::Result<()> {
    let (link, target) = (guest.path(spelling), guest.path(&owner.home_real));
    if same_directory(&link, &target) || !may_become_link(&link) {
        return Ok(());
    }
    if let Some(parent) = link.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::symlink_metadata(&link) {
        Ok(status) if status.is_dir() => fs::remove_dir(&link)?,
        Ok(_) => fs::remove_file(&link)?,
        Err(_) => {}
    }
    symlink(&owner.home_real, &link)
}

/// A home on the guest's own disk, filled once from /etc/skel.
fn make_private(guest: &Guest, owner: &Account) -> io::Result<()> {
    let home = guest.path(&owner.home_real);
    if let Ok(status) = fs::symlink_metadata(&home) {
        // One that the image made for the account that was taken over.
        return if status.uid() == owner.uid { Ok(()) } else { give_all(&home, status.uid(), owner) };
    }
    if let Some(parent) = home.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::DirBuilder::new().mode(0o700).create(&home)?;
    copy_skeleton(&guest.path("/etc/skel"), &home, owner)?;
    give(&home, owner, 0o700)
}

fn copy_skeleton(from: &Path, to: &Path, owner: &Account) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            fs::create_dir(&target)?;
            copy_skeleton(&entry.path(), &target, owner)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
        }
        lchown(&target, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(())
}

/// What belonged to `old` is the owner's now; links are not followed.
fn give_all(path: &Path, old: u32, owner: &Account) -> io::Result<()> {
    let status = fs::symlink_metadata(path)?;
    if status.uid() == old {
        lchown(path, Some(owner.uid), Some(owner.gid))?;
    }
    if status.is_dir() {
        for entry in fs::read_dir(path)? {
            give_all(&entry?.path(), old, owner)?;
        }
    }
    Ok(())
}

/// `path` as a relative path below the home, if it is one.
pub fn relative(owner: &Account, path: &Path) -> Option<PathBuf> {
    if path.is_relative() {
        return Some(path.into());
    }
    owner
        .homes()
        .find_map(|home| path.strip_prefix(home).ok())
        .filter(|rest| !rest.as_os_str().as_bytes().is_empty())
        .map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::tests::provision;

    fn odd() -> Provision {
        let mut provision = provision();
        provision.owner.home_real = "/var/home/anna".into();
        let own = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        (provision.owner.uid, provision.owner.gid) = own;
        provision
    }

    #[test]
    fn a_home_behind_a_link_has_both_spellings() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        fs::create_dir_all(guest.path("/var/home/anna")).unwrap();
        for _ in 0..2 {
            assert_eq!(path(&guest, &odd()), Path::new("/home/anna"));
            make(&guest, &odd()).unwrap();
            assert_eq!(fs::read_link(guest.path("/home/anna")).unwrap(), Path::new("/var/home/anna"));
        }
    }

    #[test]
    fn a_home_that_the_account_spells_without_the_hosts_link_has_it_too() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        fs::create_dir_all(guest.path("/var/home/anna")).unwrap();
        let mut provision = odd();
        provision.owner.home = "/var/home/anna".into();
        provision.owner.home_also = Some("/home/anna".into());
        make(&guest, &provision).unwrap();
        assert_eq!(path(&guest, &provision), Path::new("/var/home/anna"));
        assert_eq!(fs::read_link(guest.path("/home/anna")).unwrap(), Path::new("/var/home/anna"));
        let below = relative(&provision.owner, Path::new("/home/anna/.config/x"));
        assert_eq!(below.as_deref(), Some(Path::new(".config/x")));
    }

    #[test]
    fn an_images_own_home_of_that_name_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        fs::create_dir_all(guest.path("/var/home/anna")).unwrap();
        fs::create_dir_all(guest.path("/home/anna/work")).unwrap();
        make(&guest, &odd()).unwrap();
        assert!(guest.path("/home/anna/work").is_dir());
        assert_eq!(path(&guest, &odd()), Path::new("/var/home/anna"));
    }

    #[test]
    fn a_private_home_is_filled_once() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        fs::create_dir_all(guest.path("/etc/skel/.config")).unwrap();
        fs::write(guest.path("/etc/skel/.bashrc"), "rc").unwrap();
        let provision = Provision { home_shared: false, ..odd() };
        make(&guest, &provision).unwrap();
        let home = guest.path("/var/home/anna");
        assert_eq!(fs::metadata(&home).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_to_string(guest.path("/var/home/anna/.bashrc")).unwrap(), "rc");
        fs::remove_file(guest.path("/var/home/anna/.bashrc")).unwrap();
        make(&guest, &provision).unwrap();
        assert!(!guest.path("/var/home/anna/.bashrc").exists());
    }

    #[test]
    fn paths_below_either_spelling_are_relative_to_the_home() {
        let owner = odd().owner;
        for path in [".config/x", "/home/anna/.config/x", "/var/home/anna/.config/x"] {
            assert_eq!(relative(&owner, Path::new(path)).as_deref(), Some(Path::new(".config/x")));
        }
        for path in ["/home/anna", "/home/annabel/x", "/srv"] {
            assert_eq!(relative(&owner, Path::new(path)), None, "{path}");
        }
    }
}
