//! Whether this host's network can be mirrored in a container (`network=mirror`).

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use snug_core::config::Config;
use snug_core::paths::Paths;

/// The program that does it, where what it takes is installed. Blocks, for files.
#[must_use]
pub fn pasta(paths: &Paths, config: &Config) -> Option<PathBuf> {
    let may_run = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    config.pasta.clone().filter(|pasta| may_run(pasta) && may_run(&paths.hook()))
}
