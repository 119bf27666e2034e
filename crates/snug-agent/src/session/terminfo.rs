//! The caller's terminal type, brought along where the guest does not know it.

use std::fs;
use std::path::PathBuf;

use crate::places::Guest;
use snug_exec::system::Entry;

/// What a compiled entry starts with (term(5)): the old format and the one with 32-bit numbers.
const MAGIC: [[u8; 2]; 2] = [[0x1a, 0x01], [0x1e, 0x02]];
/// Longest entry that ncurses reads.
const MAX_ENTRY: usize = 32 << 10;

/// The path of an entry below a terminfo directory; `None` for what is no terminal's name.
fn place(name: &[u8]) -> Option<PathBuf> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._".contains(byte);
    if name.is_empty() || name.len() > 64 || !name[0].is_ascii_alphanumeric() || !name.iter().all(allowed) {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?;
    Some(PathBuf::from(&name[..1]).join(name))
}

/// Writes the entry where nobody has one.
pub fn bring(guest: &Guest, user: &Entry, name: &[u8], entry: &[u8]) {
    let Some(place) = place(name) else { return };
    if entry.len() > MAX_ENTRY || !MAGIC.iter().any(|magic| entry.starts_with(magic)) {
        return;
    }
    let home = String::from_utf8_lossy(&user.home);
    let known = ["/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo", "/usr/lib/terminfo"]
        .into_iter()
        .map(PathBuf::from)
        .chain([PathBuf::from(&*home).join(".terminfo")])
        .any(|directory| guest.path(directory).join(&place).exists());
    if known {
        return;
    }
    let path = guest.path("/etc/terminfo").join(place);
    let Some(directory) = path.parent() else { return };
    if fs::create_dir_all(directory).is_ok() {
        let _ = crate::files::replace(&path, entry, 0o644);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn only_names_of_terminals_become_paths() {
        assert_eq!(place(b"xterm-256color").as_deref(), Some(Path::new("x/xterm-256color")));
        for name in [&b""[..], b"../x", b"x/../../etc/passwd", b".x", b"-x", b"x\0", b"\xff", &[b'x'; 65]] {
            assert_eq!(place(name), None, "{name:?}");
        }
    }

    #[test]
    fn an_entry_is_written_once_and_only_if_it_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        let user = crate::users::parse_entry(b"a:x:1:1::/home/a:/bin/sh").unwrap();
        bring(&guest, &user, b"foo", b"not compiled");
        assert!(!guest.path("/etc/terminfo/f/foo").exists());
        bring(&guest, &user, b"foo", b"\x1a\x01rest");
        bring(&guest, &user, b"foo", b"\x1a\x01other");
        assert_eq!(fs::read(guest.path("/etc/terminfo/f/foo")).unwrap(), b"\x1a\x01rest");
    }
}
