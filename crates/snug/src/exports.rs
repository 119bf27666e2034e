//! What the host has of this user's containers: where his index and his links are.

pub mod placing;

use std::env;
use std::io;

use snug_exports::{Exports, Links};

use crate::env_vars;

/// The directory of commands in a home, which distributions have on their users' PATH.
const BIN: &str = ".local/bin";

/// This user's index.
///
/// # Errors
/// He has no home.
pub fn of_user() -> io::Result<Exports> {
    snug_exports::directory(env_vars::non_empty(env_vars::XDG_DATA_HOME), env::home_dir()).map(Exports::new)
}

/// The links of the commands in this user's index.
///
/// # Errors
/// He has no home.
pub fn links(exports: &Exports) -> io::Result<Links> {
    let home = env::home_dir().filter(|home| home.is_absolute());
    let home = home.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no home directory"))?;
    Ok(Links::new(home.join(BIN), exports.directory()))
}
