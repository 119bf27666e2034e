//! What the scripts of the table write.

use std::path::PathBuf;

use super::{MAX_OUTPUT, lines};

/// The largest of numbers a line: seconds since 1970.
pub fn newest(output: &[u8]) -> Option<u64> {
    lines(output).filter_map(|line| std::str::from_utf8(line).ok()?.trim().parse().ok()).max()
}

/// Paths that end in NUL.
pub fn paths(output: &[u8]) -> Vec<PathBuf> {
    pieces(output).filter_map(super::path).take(super::MAX_ITEMS).collect()
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
            assert!(paths(&output).iter().all(|path| path.is_absolute()));
        }
        assert_eq!(newest(b"-1\n99999999999999999999999\nx\n"), None);
        assert_eq!(newest(b"12\n15\n3\n"), Some(15));
        assert_eq!(pairs(b"/a\0/b\0c\0/d\0/e\0"), [("/a".into(), "/b".into())]);
    }
}
