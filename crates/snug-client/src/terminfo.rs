//! The caller's terminfo entry, for guests that lack it.

use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use snug_wire::small_file;

/// Compiled entries are at most 32 KiB (`MAX_ENTRY_SIZE2`, ncurses).
const LONGEST: u64 = 32 << 10;

/// Name and compiled entry of `$TERM`, where the caller has them. terminfo(5) names the places.
#[must_use]
pub fn entry() -> Option<(Vec<u8>, Vec<u8>)> {
    let name = env::var_os("TERM")?.into_vec();
    let first = *name.first()?;
    if !name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'/') || first == b'.' {
        return None;
    }
    let mut places: Vec<PathBuf> = Vec::new();
    places.extend(env::var_os("TERMINFO").map(PathBuf::from));
    places.extend(env::var_os("HOME").map(|home| Path::new(&home).join(".terminfo")));
    if let Some(list) = env::var_os("TERMINFO_DIRS") {
        places.extend(env::split_paths(&list).filter(|place| !place.as_os_str().is_empty()));
    }
    places.extend(
        ["/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo", "/usr/lib/terminfo"].map(PathBuf::from),
    );
    let letter = [first];
    let hexadecimal = format!("{first:x}");
    let folders = [OsStr::from_bytes(&letter), OsStr::new(&hexadecimal)];
    for place in places {
        for folder in folders {
            let path = place.join(folder).join(OsStr::from_bytes(&name));
            if let Ok(entry) = small_file::read(&path, LONGEST) {
                return Some((name, entry));
            }
        }
    }
    None
}
