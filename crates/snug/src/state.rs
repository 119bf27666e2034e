//! The user's state: what is kept from one call to the next, and is neither configuration nor what the host has of containers.

use std::env;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

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
