//! What the services of guests leave in the host's `/tmp`, which integrated guests have as their own, when they are killed
//! (`PrivateTmp=` of systemd.exec(5)).

use std::fs;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Doing, Result};

const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];
/// How systemd names such a directory: `systemd-private-BOOT-UNIT-RANDOM`.
const SERVICE_DIRECTORY: &str = "systemd-private-";

/// Their directories: those that belong to the ids that root gives to guests (subuid(5)).
pub fn of_guests() -> Vec<PathBuf> {
    let ranges = ranges_of_root(&fs::read_to_string("/etc/subuid").unwrap_or_default());
    let is_theirs = |entry: &fs::DirEntry| {
        entry.metadata().is_ok_and(|status| {
            status.is_dir() && ranges.iter().any(|range| range.contains(&u64::from(status.uid())))
        })
    };
    let entries = TEMPORARY.map(fs::read_dir).into_iter().flatten().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(SERVICE_DIRECTORY.as_bytes()))
        .filter(is_theirs)
        .map(|entry| entry.path())
        .collect()
}

fn ranges_of_root(subuid: &str) -> Vec<Range<u64>> {
    let range = |line: &str| {
        let mut fields = line.split(':');
        let is_roots = ["root", "0"].contains(&fields.next()?);
        let (first, count): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        // A range of one id is an account's own number.
        (is_roots && count > 1).then_some(first..first + count)
    };
    subuid.lines().filter_map(range).collect()
}

/// Removes them; nothing runs that could want them.
pub fn remove() -> Vec<String> {
    let removed = |path: &Path| -> Result<()> {
        fs::remove_dir_all(path).doing(|| format!("removing {}", path.display()))
    };
    of_guests().iter().filter_map(|path| removed(path).err()).map(|error| error.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_guests_are_those_of_roots_ranges() {
        let text = "root:1000000:65536\nanna:100000:65536\nroot:1000:1\n0:5:10\n#root:1:9\nroot:x:1\n";
        assert_eq!(ranges_of_root(text), [1_000_000..1_065_536, 5..15]);
    }
}
