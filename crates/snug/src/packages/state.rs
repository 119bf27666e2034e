//! Where what belongs to the packages of containers is kept: a directory of the user's state.

use std::env;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use snug_core::name::ContainerName;

use crate::env_vars;

/// A container's file of this kind (`log`, `lock`), in a directory that is made where it is missing.
///
/// # Errors
/// The user has no home; the directory cannot be made.
pub fn file(container: &ContainerName, kind: &str) -> io::Result<PathBuf> {
    let state = env_vars::non_empty(env_vars::XDG_STATE_HOME);
    let directory =
        snug_exports::base_directory(state, env::home_dir(), ".local/state")?.join("snug/packages");
    DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    Ok(directory.join(format!("{container}.{kind}")))
}
