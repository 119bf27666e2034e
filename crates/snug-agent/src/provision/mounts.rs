//! Mounting.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change,
};
use snug_wire::provision::Account;

use crate::places::Guest;

/// Mounts a tmpfs on /run, as every init would; one that finds it mounted leaves it, with what is written there now.
pub fn mount_run(guest: &Guest) -> io::Result<()> {
    let run = guest.path("/run");
    if !run.is_dir() {
        let _ = fs::remove_file(&run);
        fs::create_dir_all(&run)?;
    }
    if fs::metadata(&run)?.dev() != fs::metadata(guest.path("/"))?.dev() {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::STRICTATIME;
    Ok(mount("tmpfs", &run, "tmpfs", flags, Some(c"mode=0755,size=20%,nr_inodes=800k"))?)
}

/// Mounts the owner's runtime directory, as logind would.
pub fn mount_runtime_directory(path: &Path, owner: &Account) -> io::Result<()> {
    let options = format!("mode=0700,uid={},gid={},size=10%,nr_inodes=400k", owner.uid, owner.gid);
    let options = CString::new(options).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(mount("tmpfs", path, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(options.as_c_str()))?)
}

/// Mounts one directory over another with everything below it; what is mounted there later comes, too.
pub fn bind_all(source: &Path, target: &Path) -> io::Result<()> {
    Ok(mount_bind_recursive(source, target)?)
}

/// Mounts one directory over another, for this guest alone.
pub fn bind(source: &Path, target: &Path) -> io::Result<()> {
    mount_bind(source, target)?;
    // The descriptor that `target` may go through still means what lies below; the path leads to the new mount.
    let path = fs::read_link(target).unwrap_or_else(|_| target.into());
    Ok(mount_change(path, MountPropagationFlags::PRIVATE)?)
}
