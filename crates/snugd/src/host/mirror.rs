//! Whether this host's network can be mirrored in a container (`network=mirror`).

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use snug_core::config::Config;
use snug_core::paths::Paths;

/// The program that does it, where what it takes is installed. Blocks, for files.
#[must_use]
pub fn pasta(paths: &Paths, config: &Config) -> Option<PathBuf> {
    config.pasta.clone().filter(|pasta| may_run(pasta) && has_hook(paths))
}

/// Whether what LXC is to start on the host can be: for a mirrored network, and for a look at that of a container behind the bridge.
/// Blocks, for files.
#[must_use]
pub fn has_hook(paths: &Paths) -> bool {
    may_run(&paths.hook())
}

fn may_run(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}
