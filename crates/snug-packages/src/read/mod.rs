//! The readers of what the programs write. A guest's root decides what that is: lengths are bounded, names are checked, and what looks
//! like no answer is left out; none of it can fail.
//!
//! | module | whose output |
//! |---|---|
//! | [`columns`] | any program that was given a format |
//! | [`commands`] | whatever lists all commands of all packages |
//! | [`debian`] | apt-get, apt-cache, dpkg-query |
//! | [`rpm`] | rpm, dnf, dnf5 |
//! | [`zypper`] | zypper with `--xmlout` |
//! | [`pacman`] | pacman |
//! | [`apk`] | apk |
//! | [`guest`] | the scripts of the table |

pub mod apk;
pub mod columns;
pub mod commands;
pub mod debian;
pub mod guest;
pub mod pacman;
pub mod rpm;
pub mod zypper;

use std::collections::BTreeMap;

use crate::answer::Found;

/// How much of an output is read. `apt-cache search a` of Debian 13 writes 3 MiB; the list of files of a package that is 100 times the
/// largest there would fit.
pub const MAX_OUTPUT: usize = 32 << 20;
/// How long a line may be: a path and something around it.
pub const MAX_LINE: usize = 8 << 10;
/// How many things an answer may have.
pub const MAX_ITEMS: usize = 500_000;
/// How long a version or a summary may be.
const MAX_TEXT: usize = 300;

/// The lines of an output, without those that are too long.
pub(crate) fn lines(output: &[u8]) -> impl Iterator<Item = &[u8]> {
    output[..output.len().min(MAX_OUTPUT)]
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty() && line.len() <= MAX_LINE)
}

/// A guest's text, for people: at most `longest` characters, and no control or formatting characters, by which it could write elsewhere
/// on a terminal or show something in another order.
pub fn printable(text: &[u8], longest: usize) -> String {
    // No more than can be shown: a character has at most four bytes.
    let text = &text[..text.len().min(longest.saturating_mul(4))];
    let shown = |character: char| match character {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}'
        | '\u{ad}' => '\u{fffd}',
        character if character.is_control() => '\u{fffd}',
        character => character,
    };
    String::from_utf8_lossy(text).chars().take(longest).map(shown).collect()
}

/// A version or a summary; `None` for an empty one.
pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    let text = printable(bytes.trim_ascii(), MAX_TEXT);
    (!text.is_empty()).then_some(text)
}

/// A version: without spaces, and without characters that are not shown.
pub(crate) fn version(bytes: &[u8]) -> Option<String> {
    let plain = (1..=MAX_TEXT).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    plain.then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// A path: a guest's file names are any bytes, but none that breaks a line or a terminal is the name of a command or a page.
pub(crate) fn path(bytes: &[u8]) -> Option<std::path::PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let fits = bytes.starts_with(b"/") && bytes.len() < 4096 && !bytes.iter().any(u8::is_ascii_control);
    fits.then(|| std::path::PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

/// Each package once, in the order in which they came: the last version, and the first summary that there is.
pub(crate) fn each_once(found: impl Iterator<Item = Found>) -> Vec<Found> {
    let mut places = BTreeMap::new();
    let mut all: Vec<Found> = Vec::new();
    for one in found.take(MAX_ITEMS) {
        match places.get(&one.name) {
            Some(&place) => {
                let known: &mut Found = &mut all[place];
                known.version = one.version.or(known.version.take());
                known.summary = known.summary.take().or(one.summary);
            }
            None => {
                places.insert(one.name.clone(), all.len());
                all.push(one);
            }
        }
    }
    all
}

/// What every reader gets in its tests besides what real programs wrote.
#[cfg(test)]
pub(crate) fn hostile() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        &b""[..],
        b"\n\n\n",
        b"\0",
        b"\0\n\0\0\n",
        b"\xff\xfe\n\xc3(\n",
        b"\x1b]0;x\x07\x1b[2J\n\x1b[31mx \x1b[0m1\n",
        b"\t\t\t\n \n   \n\t",
        b"-x\t1\n--help 1\n../../x\t1\n/etc/passwd\t1\n",
        b"<solvable name=\"",
        b"<solvable name=\"&#0;&#x1b;\" edition=\"1\"/><solvable name='&amp;&;&x' /><solvable><solvable",
        b"Inst \nInst x\nRemv [\nInst x [ (\nInst ] )\n",
        b"a/b 1 \n  \na/b\n/ \n",
        b"-> ->\n(1/ Upgrading x (1 -> \n(1/1) Upgrading x ()\n",
        b":\n: :\nDepends On      :\nDepends On\n",
        b"diverted by x to: /y\nlocally diverted to: \n",
        b"Removing:\n x\n  \n",
        b"x-\nx--\n-r1\nx-1-r\n",
        b"Candidate: 1\n  Candidate: 1\n",
    ]
    .iter()
    .map(|bytes| bytes.to_vec())
    .collect();
    all.push(vec![b'x'; 3 << 20]);
    all.push(b"x y\n".repeat(100_000));
    all.push(b"<solvable name=\"".repeat(50_000));
    all.push([b"x ".repeat(1 << 20), b"\n".to_vec()].concat());
    all.push((0..=255).cycle().take(1 << 16).collect());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_guests_writes_elsewhere_on_a_terminal() {
        let text = printable(b"a\x1b[31mb\x07\xc2\x9b\0\r\xff\xe2\x80\xae\tc", 100);
        assert_eq!(text, "a\u{fffd}[31mb\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd} c");
        assert_eq!(printable(&vec![b'x'; 1 << 20], 10).len(), 10);
        assert_eq!(printable("é".repeat(20).as_bytes(), 5), "ééééé");
        assert_eq!(super::text(b" \t "), None);
        assert_eq!(version(b"1 2"), None);
        assert_eq!(path(b"/a\n"), None);
    }

    #[test]
    fn long_lines_are_left_out() {
        let long = [b"a\n".to_vec(), vec![b'x'; MAX_LINE + 1], b"\nb\r\n".to_vec()].concat();
        assert_eq!(lines(&long).collect::<Vec<_>>(), [b"a", b"b"]);
    }
}
