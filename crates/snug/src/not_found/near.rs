//! Commands of the host that were probably meant: two letters swapped, or in longer words one wrong, missing or too many. Shorter words are
//! near to everything.

use std::ffi::OsStr;
use std::fs;
use std::time::{Duration, Instant};

use snug_exports::search;

/// Entries of directories that are looked at: a few times what a large host has.
const MOST: usize = 50_000;
/// Directories of a PATH may be far away: what was not seen by then was not meant.
const PATIENCE: Duration = Duration::from_millis(30);
/// From so many letters on one may be wrong.
const LONG: usize = 5;
/// From so many letters on two may be swapped.
const SHORT: usize = 3;

/// Whether that was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Slip {
    Swap,
    Letter,
}

/// The command of this PATH that was meant; `surely` means that only swapped letters are a reason.
pub fn on_path(path: &OsStr, word: &str, surely: bool) -> Option<String> {
    let end = Instant::now() + PATIENCE;
    let mut best: Option<(Slip, String)> = None;
    let directories = std::env::split_paths(path).filter(|directory| directory.is_absolute());
    let entries = directories.flat_map(|directory| fs::read_dir(directory).into_iter().flatten());
    for entry in entries.take(MOST).take_while(|_| Instant::now() < end).flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Some(slip) = slip(word, &name).filter(|slip| !surely || *slip == Slip::Swap) else { continue };
        let is_better = best.as_ref().is_none_or(|(known, _)| slip < *known);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        if is_better && name.bytes().all(plain) && search::is_command(&entry.path()) {
            best = Some((slip, name));
        }
    }
    best.map(|(_, name)| name)
}

fn slip(word: &str, name: &str) -> Option<Slip> {
    let (short, long) = if word.len() < name.len() { (word, name) } else { (name, word) };
    let (short, long) = (short.as_bytes(), long.as_bytes());
    if long.len() - short.len() > 1 {
        return None;
    }
    let begin = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    let end = short[begin..].iter().rev().zip(long[begin..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (short, rest) = (&short[begin..short.len() - end], &long[begin..long.len() - end]);
    match (short, rest) {
        ([a, b], [c, d]) if a == d && b == c && word.len() >= SHORT => Some(Slip::Swap),
        ([_], [_]) | ([], [_]) if word.len() >= LONG => Some(Slip::Letter),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_slip_of_the_fingers_is_one_edit_and_short_words_are_near_to_nothing() {
        for (word, name, wanted) in [
            ("gti", "git", Some(Slip::Swap)),
            ("pyhton3", "python3", Some(Slip::Swap)),
            ("systemclt", "systemctl", Some(Slip::Swap)),
            ("journalct", "journalctl", Some(Slip::Letter)),
            ("journalctll", "journalctl", Some(Slip::Letter)),
            ("jpurnalctl", "journalctl", Some(Slip::Letter)),
            ("rg", "gr", None),
            ("rg", "rm", None),
            ("grep", "rep", None),
            ("git", "git", None),
            ("ripgrep", "grep", None),
            ("abcd", "badc", None),
        ] {
            assert_eq!(slip(word, name), wanted, "{word} {name}");
        }
    }

    #[test]
    fn only_what_can_be_executed_was_meant() {
        let directory = tempfile::tempdir().unwrap();
        let make = |name: &str, mode| {
            let file = directory.path().join(name);
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        };
        make("git", 0o755);
        make("journalctl", 0o755);
        make("plain-file", 0o644);
        make("evil\x1bx", 0o755);
        let near = |word, surely| on_path(directory.path().as_os_str(), word, surely);
        assert_eq!(near("gti", true).as_deref(), Some("git"));
        assert_eq!(near("journalct", false).as_deref(), Some("journalctl"));
        assert_eq!(near("journalct", true), None);
        assert_eq!(near("plain-fiel", false), None);
        assert_eq!(near("evilx\x1b", false), None);
        assert_eq!(on_path("relative:".as_ref(), "gti", false), None);
    }
}
