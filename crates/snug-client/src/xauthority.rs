//! The file with the cookies of X displays (Xau in xorg's libXau): big-endian records of a family, an address, a display's
//! number, a protocol's name and its data, each but the family with its length before it.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use snug_wire::small_file;

use crate::host_service::is_own;

/// A display of this machine, by its host name as address.
const FAMILY_LOCAL: u16 = 256;
/// Any machine.
const FAMILY_WILD: u16 = 65535;

/// No file of cookies is larger: one entry for each display of each machine that was ever logged in to.
const LONGEST: u64 = 1 << 20;

struct Entry<'a> {
    family: u16,
    number: &'a [u8],
    name: &'a [u8],
    data: &'a [u8],
}

/// The number in `:0`, `:0.1` or `unix:0`: a display whose socket is a file of this machine.
#[must_use]
pub fn local_display(display: &OsStr) -> Option<&[u8]> {
    let bytes = display.as_bytes();
    let rest = bytes.strip_prefix(b"unix").unwrap_or(bytes).strip_prefix(b":")?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    let is_whole = end > 0 && matches!(rest.get(end), None | Some(b'.'));
    is_whole.then_some(&rest[..end])
}

/// Writes the cookies of a display that `file` has for this machine into `directory`, for machines of any name: a container
/// has another. Answers the new file; none where there is no cookie, or no room.
#[must_use]
pub fn for_other_machines(file: &Path, number: &[u8], directory: &Path) -> Option<PathBuf> {
    let text = small_file::read(file, LONGEST).ok()?;
    let cookies = wild(&text, number);
    if cookies.is_empty() {
        return None;
    }
    let path = directory.join(format!("xauthority-{}", String::from_utf8_lossy(number)));
    // Whoever else may write it could give the guest's programs another cookie, or none.
    if !is_own(directory) {
        let _ = DirBuilder::new().mode(0o700).create(directory);
        if !is_own(directory) {
            return None;
        }
    }
    if fs::read(&path).is_ok_and(|present| present == cookies) {
        return Some(path);
    }
    // Of this process alone: another client may do the same now.
    let temporary = path.with_extension(std::process::id().to_string());
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let written = options.open(&temporary).and_then(|mut file| file.write_all(&cookies));
    let replaced = written.and_then(|()| fs::rename(&temporary, &path));
    if replaced.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    replaced.ok().map(|()| path)
}

fn wild(mut text: &[u8], number: &[u8]) -> Vec<u8> {
    let mut cookies = Vec::new();
    while let Some(entry) = next(&mut text) {
        let is_local = [FAMILY_LOCAL, FAMILY_WILD].contains(&entry.family);
        if is_local && (entry.number.is_empty() || entry.number == number) {
            cookies.extend(FAMILY_WILD.to_be_bytes());
            for field in [b"", number, entry.name, entry.data] {
                // It was read with such a length.
                cookies.extend(u16::try_from(field.len()).unwrap_or_default().to_be_bytes());
                cookies.extend_from_slice(field);
            }
        }
    }
    cookies
}

/// Takes one entry off the front; none at the end, or where it is cut off.
fn next<'a>(text: &mut &'a [u8]) -> Option<Entry<'a>> {
    let (family, mut rest) = text.split_first_chunk()?;
    let mut field = || {
        let (length, after) = rest.split_first_chunk()?;
        let (field, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
        rest = after;
        Some(field)
    };
    let (_address, number, name, data) = (field()?, field()?, field()?, field()?);
    *text = rest;
    Some(Entry { family: u16::from_be_bytes(*family), number, name, data })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn entry(family: u16, fields: [&[u8]; 4]) -> Vec<u8> {
        let mut text = family.to_be_bytes().to_vec();
        for field in fields {
            text.extend(u16::try_from(field.len()).unwrap().to_be_bytes());
            text.extend_from_slice(field);
        }
        text
    }

    #[test]
    fn displays_of_this_machine_have_a_number() {
        let number = |text: &'static str| local_display(OsStr::new(text)).map(<[u8]>::to_vec);
        assert_eq!(number(":0"), Some(b"0".to_vec()));
        assert_eq!(number("unix:12.1"), Some(b"12".to_vec()));
        for other in ["", ":", "far:0", "localhost:10.0", ":x", ":1x", "/tmp/x:0"] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    #[test]
    fn cookies_of_the_display_count_on_any_machine_and_others_stay() {
        let base = tempfile::tempdir().unwrap();
        let (file, own) = (base.path().join("own"), base.path().join("snug"));
        let wanted = entry(FAMILY_WILD, [b"", b"1", b"MIT-MAGIC-COOKIE-1", b"\x01\x02"]);
        let mut text = entry(FAMILY_LOCAL, [b"laptop", b"0", b"MIT-MAGIC-COOKIE-1", b"zero"]);
        text.extend(entry(0, [b"\x7f\0\0\x01", b"1", b"MIT-MAGIC-COOKIE-1", b"tcp"]));
        text.extend(entry(FAMILY_LOCAL, [b"laptop", b"1", b"MIT-MAGIC-COOKIE-1", b"\x01\x02"]));
        text.extend_from_slice(b"\x01\0\0\xffcut off");
        fs::write(&file, text).unwrap();
        for _ in 0..2 {
            let made = for_other_machines(&file, b"1", &own).unwrap();
            assert_eq!(fs::read(&made).unwrap(), wanted);
            assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(&own).unwrap().count(), 1);
        assert!(for_other_machines(&file, b"7", &own).is_none());
        fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(for_other_machines(&file, b"1", &own).is_none(), "anybody may write there");
        assert!(for_other_machines(&base.path().join("none"), b"1", &own).is_none());
    }
}
