//! Text of strangers made harmless for a terminal, and the nearest word to one that was not understood.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character may change how a terminal shows what comes after it: C0, DEL, C1, bidirectional controls,
/// line and paragraph separators, zero-width characters and tags.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Makes untrusted text visible on one line: newlines are escaped too.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_unless(text, |_| false)
}

/// Makes untrusted text of several lines visible: newlines and tabs stay.
#[must_use]
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_unless(text, |c| matches!(c, '\n' | '\t'))
}

/// As [`escape`] for bytes that may not be UTF-8: such bytes become `\xNN`.
#[must_use]
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&escape(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

fn escape_unless(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|c| is_unsafe(c) && !keep(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if !is_unsafe(c) || keep(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x1b' => out.push_str("\\e"),
            c if u32::from(c) < 0x100 => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    Cow::Owned(out)
}

/// Shortens a text to `limit` characters, with `…` where something was cut off; for showing what was typed.
#[must_use]
pub fn shorten(text: &str, limit: usize) -> Cow<'_, str> {
    match text.char_indices().nth(limit) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// What was typed, fit for an error message: escaped, and no longer than a line.
#[must_use]
pub fn shown(text: &str) -> String {
    escape(&shorten(text, 80)).into_owned()
}

/// The candidate that was probably meant: at most a third of the word's letters differ (one at least, three at most).
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    let letters = word.chars().count();
    if letters == 0 || letters > LONGEST {
        return None;
    }
    let limit = (letters / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(letters) <= limit)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits between two words, a swap of neighbours counting as one (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let mut cost = (previous[j] + usize::from(a[i] != b[j])).min(previous[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_become_visible() {
        for (text, shown) in [
            ("plain äöü 漢字", "plain äöü 漢字"),
            ("\x1b]0;title\x07", "\\e]0;title\\x07"),
            ("a\u{9b}31m", "a\\x9b31m"),
            ("evil\u{202e}txt", "evil\\u{202e}txt"),
            ("two\nlines\r", "two\\nlines\\r"),
        ] {
            assert_eq!(escape(text), shown);
        }
        assert_eq!(escape_lines("a\tb\nc\x1b"), "a\tb\nc\\e");
        assert_eq!(escape_bytes(b"ok\xff\x1b"), "ok\\xff\\e");
    }

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let words = ["home", "host", "network", "session", "gpu"];
        assert_eq!(nearest("hme", words), Some("home"));
        assert_eq!(nearest("hsot", words), Some("host"));
        assert_eq!(nearest("netwrok", words), Some("network"));
        assert_eq!(nearest("sesion", words), Some("session"));
        assert_eq!(nearest("zebra", words), None);
        assert_eq!(nearest("", words), None);
    }

    proptest! {
        #[test]
        fn escaped_text_holds_nothing_unsafe(text in any::<String>(), bytes in any::<Vec<u8>>()) {
            prop_assert!(!escape(&text).chars().any(is_unsafe));
            prop_assert!(!escape_bytes(&bytes).chars().any(is_unsafe));
        }

        #[test]
        fn nearest_never_panics(word in any::<String>(), other in any::<String>()) {
            let _ = nearest(&word, [other.as_str()]);
        }
    }
}
