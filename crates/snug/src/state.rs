//! The user's state: what is kept from one call to the next, and is neither configuration nor what the host has of containers.

use std::env;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::env_vars;

/// A directory of it (XDG Base Directory Specification, `XDG_STATE_HOME`), for him alone; made where it is missing.
///
/// # Errors
/// He has no home, or it cannot be made.
pub fn directory(name: &str) -> io::Result<PathBuf> {
    let state = env_vars::non_empty(env_vars::XDG_STATE_HOME);
    let directory =
        snug_exports::base_directory(state, env::home_dir(), ".local/state")?.join("snug").join(name);
    DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    Ok(directory)
}

/// A file to be locked (flock(2)), with what is in it; made where it is missing. A pipe in its place waits for nobody, and a link leads
/// nowhere.
///
/// # Errors
/// What the system says.
pub fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY)
        .open(path)
}
