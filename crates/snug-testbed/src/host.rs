//! The machine that the bed stands on.

use std::fmt;
use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};

/// Who starts the services of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Services {
    /// systemd is process 1: the host's own units are used.
    Systemd,
    /// Nobody: the bed starts the daemons itself.
    Bed,
}

/// Finds out who starts services here (the test that `sd_booted(3)` makes).
pub fn services() -> Services {
    if Path::new("/run/systemd/system").is_dir() { Services::Systemd } else { Services::Bed }
}

/// Fails unless the caller is root.
pub fn require_root(what: &str) -> Result<()> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(Error::NotRoot(what.to_owned())) }
}

/// This boot of the machine; a state file of another boot says nothing about processes and mounts.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Tells the person at the terminal what is being done. Goes to stderr; a closed stderr is no failure.
pub fn say(line: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "testbed: {line}");
}
