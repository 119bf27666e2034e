//! What the services of guests leave in the host's `/tmp`, which integrated guests have as their own, when they are killed
//! (`PrivateTmp=` of systemd.exec(5)).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Doing, Result};

/// The first id that no account of the host has: from here on they are guests' (subuid(5), and Incus' own ranges).
const FIRST_OF_GUESTS: u32 = 65536;

/// Their directories.
pub fn of_guests() -> Vec<PathBuf> {
    let entries = ["/tmp", "/var/tmp"].map(fs::read_dir).into_iter().flatten().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"systemd-private-"))
        .filter(|entry| {
            entry.metadata().is_ok_and(|status| status.is_dir() && status.uid() >= FIRST_OF_GUESTS)
        })
        .map(|entry| entry.path())
        .collect()
}

/// Removes them; nothing runs that could want them.
pub fn remove() -> Vec<String> {
    let removed = |path: &Path| -> Result<()> {
        fs::remove_dir_all(path).doing(|| format!("removing {}", path.display()))
    };
    of_guests().iter().filter_map(|path| removed(path).err()).map(|error| error.to_string()).collect()
}
