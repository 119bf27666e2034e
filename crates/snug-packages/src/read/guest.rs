//! What the scripts of the table write.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{MAX_ITEMS, MAX_OUTPUT, lines};
use crate::answer::Asked;
use crate::name::PackageName;

/// The largest of numbers a line: seconds since 1970.
pub fn newest(output: &[u8]) -> Option<u64> {
    lines(output).filter_map(|line| std::str::from_utf8(line).ok()?.trim().parse().ok()).max()
}

/// Names of packages, one a line, that somebody has asked for, and lines `SECONDS NAME` of when packages were installed; of several times of one
/// the first.
pub fn asked_for(output: &[u8]) -> Vec<Asked> {
    let (mut names, mut times) = (BTreeSet::new(), BTreeMap::new());
    for line in lines(output) {
        if let Some(at) = line.iter().position(|&byte| byte == b' ') {
            let seconds = std::str::from_utf8(&line[..at]).ok().and_then(|text| text.parse::<u64>().ok());
            if let (Some(seconds), Some(name)) = (seconds, PackageName::read(&line[at + 1..])) {
                times
                    .entry(name)
                    .and_modify(|first: &mut u64| *first = seconds.min(*first))
                    .or_insert(seconds);
            }
        } else if names.len() < MAX_ITEMS {
            names.extend(PackageName::read(line));
        }
    }
    let asked = |name: PackageName| Asked { since: times.get(&name).copied(), name };
    names.into_iter().map(asked).collect()
}

/// Paths that end in NUL.
pub fn paths(output: &[u8]) -> Vec<PathBuf> {
    pieces(output).filter_map(super::path).take(MAX_ITEMS).collect()
}

/// Pairs of pieces that end in NUL.
pub fn pairs(output: &[u8]) -> Vec<(PathBuf, PathBuf)> {
    let mut pieces = pieces(output);
    let pairs = std::iter::from_fn(|| Some((pieces.next()?, pieces.next()?)));
    pairs
        .filter_map(|(first, second)| Some((super::path(first)?, super::path(second)?)))
        .take(10_000)
        .collect()
}

fn pieces(output: &[u8]) -> impl Iterator<Item = &[u8]> {
    output[..output.len().min(MAX_OUTPUT)].split(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::hostile;

    #[test]
    fn nothing_that_a_guest_writes_is_too_much() {
        for output in hostile() {
            newest(&output);
            pairs(&output);
            assert!(asked_for(&output).iter().all(|asked| !asked.name.as_str().starts_with('-')));
            assert!(paths(&output).iter().all(|path| path.is_absolute()));
        }
        assert!(asked_for(b"-x\n a\n1 b\n\x1b[2J\n").is_empty());
        assert_eq!(newest(b"-1\n99999999999999999999999\nx\n"), None);
        assert_eq!(newest(b"12\n15\n3\n"), Some(15));
        assert_eq!(pairs(b"/a\0/b\0c\0/d\0/e\0"), [("/a".into(), "/b".into())]);
    }

    #[test]
    fn what_was_asked_for_has_the_time_of_its_first_installation() {
        let read =
            asked_for(b"ripgrep\nbase-files\nripgrep\n12 base-files\n30 libc6\n20 libc6\n99x ripgrep\n");
        let shown: Vec<_> = read.iter().map(|asked| (asked.name.as_str(), asked.since)).collect();
        assert_eq!(shown, [("base-files", Some(12)), ("ripgrep", None)]);
    }
}
