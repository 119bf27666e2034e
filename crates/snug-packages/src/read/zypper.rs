//! zypper(8) with `--xmlout`. Of its XML the elements `solvable` and `update` are read, which have all in their attributes.

use super::{MAX_ITEMS, MAX_LINE, MAX_OUTPUT, each_once, text, version};
use crate::answer::{Change, ChangeKind, Found, Meaning};
use crate::name::PackageName;

/// `zypper search`: `<solvable name="…" summary="…" kind="package"/>`, with `--details` `edition="…"` in place of the summary.
pub fn found(output: &[u8]) -> Vec<Found> {
    let one = |element: Element<'_>| {
        let is_package =
            element.tag == b"solvable" && element.value("kind").is_none_or(|kind| kind == b"package");
        let name = PackageName::read(&element.value("name")?)?;
        let field = |key| element.value(key);
        is_package.then(|| Found {
            name,
            version: field("edition").and_then(|edition| version(&edition)),
            summary: field("summary").and_then(|summary| text(&summary)),
        })
    };
    each_once(elements(output).filter_map(one))
}

/// `zypper install --dry-run`: without an error, `<message type="error">`, of which one says that nobody provides the word.
pub fn meaning(output: &[u8]) -> Meaning {
    let mut any = false;
    let is_error = |element: Element<'_>| {
        any |= element.tag == b"stream";
        element.tag == b"message" && element.value("type").is_some_and(|kind| kind == b"error")
    };
    let refused = elements(output).any(is_error);
    Meaning { is_taken: any && !refused, choices: Vec::new() }
}

/// `zypper list-updates`: `<update kind="package" name="…" edition="…" edition-old="…">`.
pub fn updates(output: &[u8]) -> Vec<Change> {
    let updates = elements(output).filter(|e| e.tag == b"update");
    updates
        .filter(|e| e.value("kind").is_none_or(|k| k == b"package"))
        .filter_map(|e| change(&e, ChangeKind::Upgrade))
        .take(MAX_ITEMS)
        .collect()
}

/// `zypper remove --dry-run`: the solvables in `<to-remove>`; those in `<to-upgrade>` and `<to-install>` too.
pub fn changes(output: &[u8]) -> Vec<Change> {
    let mut kind = None;
    let mut changes = Vec::new();
    for element in elements(output) {
        match element.tag {
            b"to-remove" => kind = Some(ChangeKind::Remove),
            b"to-upgrade" | b"to-downgrade" | b"to-change-arch" | b"to-reinstall" => {
                kind = Some(ChangeKind::Upgrade)
            }
            b"to-install" => kind = Some(ChangeKind::Install),
            b"/install-summary" => kind = None,
            b"solvable" if changes.len() < MAX_ITEMS => {
                changes.extend(kind.and_then(|kind| change(&element, kind)))
            }
            _ => {}
        }
    }
    changes
}

fn change(element: &Element<'_>, kind: ChangeKind) -> Option<Change> {
    let name = PackageName::read(&element.value("name")?)?;
    let edition = |key| element.value(key).and_then(|edition| version(&edition));
    let (mut from, mut to) = (edition("edition-old"), edition("edition"));
    if kind == ChangeKind::Remove {
        (from, to) = (to, None);
    }
    Some(Change { kind, name, from, to })
}

/// A tag and what follows it up to its `>`.
struct Element<'a> {
    tag: &'a [u8],
    attributes: &'a [u8],
}

impl Element<'_> {
    fn value(&self, key: &str) -> Option<Vec<u8>> {
        let mut rest = self.attributes;
        loop {
            rest = rest.trim_ascii_start();
            let equals = rest.iter().position(|&byte| byte == b'=')?;
            let name = rest[..equals].trim_ascii();
            let (&quote, after) = rest[equals + 1..].trim_ascii_start().split_first()?;
            if quote != b'"' && quote != b'\'' {
                return None;
            }
            let end = after.iter().position(|&byte| byte == quote)?;
            if name == key.as_bytes() {
                return Some(unescape(&after[..end]));
            }
            rest = &after[end + 1..];
        }
    }
}

/// All tags, in order. One that does not end within a line's length is none.
fn elements(output: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut rest = &output[..output.len().min(MAX_OUTPUT)];
    std::iter::from_fn(move || {
        loop {
            let start = rest.iter().position(|&byte| byte == b'<')?;
            rest = &rest[start + 1..];
            let Some(end) = end_of_tag(&rest[..rest.len().min(MAX_LINE)]) else { continue };
            let inside = &rest[..end];
            rest = &rest[end + 1..];
            let tag = inside.iter().position(|byte| byte.is_ascii_whitespace()).unwrap_or(inside.len());
            let tag_name = inside[..tag].strip_suffix(b"/").unwrap_or(&inside[..tag]);
            return Some(Element { tag: tag_name, attributes: &inside[tag..] });
        }
    })
}

/// Where its `>` is: quoted ones are text. A `<` within belongs to another tag.
fn end_of_tag(bytes: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, &byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            (_, b'<') => return None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

fn unescape(bytes: &[u8]) -> Vec<u8> {
    const ENTITIES: [(&[u8], u8); 5] =
        [(b"&amp;", b'&'), (b"&lt;", b'<'), (b"&gt;", b'>'), (b"&quot;", b'"'), (b"&apos;", b'\'')];
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        match ENTITIES.iter().find(|(entity, _)| rest.starts_with(entity)) {
            Some((entity, byte)) => {
                plain.push(*byte);
                rest = &rest[entity.len()..];
            }
            // Others stay as they are.
            None => {
                plain.push(first);
                rest = &rest[1..];
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::hostile;

    #[test]
    fn nothing_that_a_guest_writes_is_too_much() {
        for output in hostile() {
            found(&output);
            updates(&output);
            changes(&output);
        }
        let hostile = b"<solvable name=\"-x\"/><solvable name=\"&#120;\"/><solvable name=x/><solvable nam\"e\"=\"x\"/><solvable name=\"a<b\"/>";
        assert!(found(hostile).is_empty());
        assert!(changes(b"<solvable name=\"x\"/><to-remove><solvable name=\"a b\"/></install-summary><solvable name=\"y\"/>").is_empty());
    }

    #[test]
    fn what_zypper_finds() {
        // zypper 1.14.42
        let output = b"<?xml version='1.0'?>\n<stream>\n<message type=\"info\">Loading repository data...</message>\n\n<search-result version=\"0.0\">\n\
            <solvable-list>\n<solvable status=\"installed\" name=\"snugtool\" summary=\"A &quot;summary&quot; &amp; more &gt; all\" kind=\"package\"/>\n\
            <solvable status=\"not-installed\" name=\"pattern\" summary=\"x\" kind=\"pattern\"/>\n</solvable-list>\n</search-result>\n</stream>\n";
        let all = found(output);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].name.as_str(), "snugtool");
        assert_eq!(all[0].summary.as_deref(), Some("A \"summary\" & more > all"));
        let details = found(b"<solvable status=\"installed\" name=\"snugtool\" kind=\"package\" edition=\"1.0-1\" arch=\"noarch\" repository=\"bed\"/>");
        assert_eq!(details[0].version.as_deref(), Some("1.0-1"));
    }

    #[test]
    fn what_zypper_would_change() {
        let updates = updates(
            b"<update-list>\n<update kind=\"package\" name=\"snugtool\" edition=\"1.1-1\" arch=\"noarch\" edition-old=\"1.0-1\"><summary>s</summary>\
              <description>long</description><license/><source url=\"file:/repo/rpm2\" alias=\"bed\"/></update></update-list>",
        );
        assert_eq!((updates[0].from.as_deref(), updates[0].to.as_deref()), (Some("1.0-1"), Some("1.1-1")));
        let removed = changes(
            b"<install-summary download-size=\"0\" space-usage-diff=\"-83\" packages-to-change=\"2\">\n<to-remove>\n\
              <solvable type=\"package\" name=\"snuglib\" edition=\"1.0-1\" arch=\"noarch\" summary=\"s\">\n<description>long</description></solvable>\n\
              <solvable type=\"package\" name=\"snugmeta\" edition=\"1.0-1\" arch=\"noarch\" summary=\"s\">\n<description>long</description></solvable>\n\
              </to-remove>\n</install-summary>\n",
        );
        assert_eq!(removed.len(), 2);
        assert_eq!((removed[1].kind, removed[1].from.as_deref()), (ChangeKind::Remove, Some("1.0-1")));
    }
}
