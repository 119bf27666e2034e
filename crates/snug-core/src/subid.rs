//! `/etc/subuid` and `/etc/subgid` (subuid(5)): what root needs in them for an owner's containers.
//!
//! Incus (6.0.4) takes the *first* range of `root` with at least 65,536 ids as the base of all containers, and allows
//! `raw.idmap` for an id that root has in any other range. A file with only short ranges stops every container of the
//! host, which is why both lines are written in one text.

use std::fmt;

use thiserror::Error;

use crate::error::{Explain, Kind};

/// Least length of a range that Incus looks at.
const INCUS_LEAST: u64 = 65_536;
/// Least length that is left alone: room for nine isolated containers of 1,000,000 ids each.
const KEEP_LEAST: u64 = 10_000_000;
/// Where a base range starts if nothing is in the way.
const BASE_START: u64 = 1_000_000;
/// Lengths of a new base range, the first that fits.
const BASE_COUNTS: [u64; 4] = [1_000_000_000, 500_000_000, 100_000_000, KEEP_LEAST];

/// Ids from `start` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First id.
    pub start: u32,
    /// How many.
    pub count: u32,
}

impl Range {
    /// Whether an id is one of these.
    #[must_use]
    pub fn contains(self, id: u32) -> bool {
        id >= self.start && u64::from(id) < self.end()
    }

    /// The id after the last.
    fn end(self) -> u64 {
        u64::from(self.start) + u64::from(self.count)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end().saturating_sub(1))
    }
}

/// The ranges of everybody, by name (or number) as the file has it, in its order; lines that cannot be read are left out.
#[must_use]
pub fn ranges(text: &str) -> Vec<(&str, Range)> {
    text.lines().filter_map(line_range).collect()
}

/// The ranges of one name, in the file's order.
#[must_use]
pub fn ranges_of(text: &str, name: &str) -> Vec<Range> {
    ranges(text).into_iter().filter(|(who, _)| *who == name).map(|(_, range)| range).collect()
}

fn line_range(line: &str) -> Option<(&str, Range)> {
    let mut fields = line.split('#').next()?.trim().split(':');
    let (name, start, count) = (fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (fields.next().is_none() && !name.is_empty() && count > 0).then_some((name, Range { start, count }))
}

/// Root's base range: that from which Incus makes all containers, its first one of at least 65,536 ids.
#[must_use]
pub fn base(text: &str) -> Option<Range> {
    ranges_of(text, "root").into_iter().find(|range| u64::from(range.count) >= INCUS_LEAST)
}

/// The text that a file must have so that containers with an id range of their own and `id` mapped one to one can
/// start; `None` when it has it already. Comments and all other lines stay.
///
/// `highest` is the greatest id that exists here: 4,294,967,294, or less inside a user namespace (`/proc/self/uid_map`).
///
/// # Errors
/// The id lies in root's base range, or there is no room for one.
pub fn wanted(text: &str, id: u32, highest: u32) -> Result<Option<String>, SubidError> {
    let root = ranges_of(text, "root");
    let base = base(text);
    if let Some(range) = base.filter(|range| range.contains(id)) {
        return Err(SubidError::InsideBase { id, range });
    }
    let has_base = base.is_some_and(|range| u64::from(range.count) >= KEEP_LEAST);
    // Incus wants the id allowed by a range that is not the base.
    let has_id = root.iter().any(|range| range.contains(id));
    if has_base && has_id {
        return Ok(None);
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if !has_base {
        let line = format!("root:{}", base_range(text, id, highest)?);
        let first_of_root =
            lines.iter().position(|line| line_range(line).is_some_and(|(who, _)| who == "root"));
        lines.insert(first_of_root.unwrap_or(lines.len()), line);
    }
    if !has_id {
        lines.push(format!("root:{id}:1"));
    }
    lines.push(String::new());
    Ok(Some(lines.join("\n")))
}

/// `START:COUNT` of a range that touches nobody else's, nor the owner.
fn base_range(text: &str, id: u32, highest: u32) -> Result<String, SubidError> {
    let mut taken: Vec<(u64, u64)> =
        ranges(text).iter().map(|(_, r)| (u64::from(r.start), r.end())).collect();
    taken.push((u64::from(id), u64::from(id) + 1));
    taken.sort_unstable();
    for count in BASE_COUNTS {
        let mut start = BASE_START;
        for &(first, end) in &taken {
            if first < start + count && end > start {
                start = end.next_multiple_of(INCUS_LEAST);
            }
        }
        if start + count <= u64::from(highest) + 1 {
            return Ok(format!("{start}:{count}"));
        }
    }
    Err(SubidError::NoRoom { highest })
}

/// Subordinate ids that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SubidError {
    /// Incus refuses to map an id of root's main range ("Host ID is in the range of subids").
    #[error("id {id} lies in root's range {range} of subordinate ids, from which all containers are made")]
    InsideBase {
        /// The owner's id.
        id: u32,
        /// Root's range.
        range: Range,
    },
    /// Everything is given away.
    #[error("no {KEEP_LEAST} ids in a row are free below {highest} for containers")]
    NoRoom {
        /// The greatest id that exists.
        highest: u32,
    },
}

impl Explain for SubidError {
    fn kind(&self) -> Kind {
        Kind::Config
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::InsideBase { .. } => {
                "an administrator must move root's range in /etc/subuid and /etc/subgid away from the users' ids".into()
            }
            Self::NoRoom { .. } => "an administrator must make room in /etc/subuid and /etc/subgid".into(),
        }]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: u32 = u32::MAX - 1;

    #[test]
    fn a_file_gets_what_is_missing_and_keeps_the_rest() {
        for (text, wanted_text) in [
            ("", Some("root:1000000:1000000000\nroot:1000:1\n")),
            ("root:1000000:1000000000\nroot:1000:1\n", None),
            ("root:1000000:1000000000", Some("root:1000000:1000000000\nroot:1000:1\n")),
            ("root:1000:1\n", Some("root:1000000:1000000000\nroot:1000:1\n")),
            (
                "# mine\nanna:100000:65536\nroot:200000:65536 # short\n\nnonsense\n",
                Some(
                    "# mine\nanna:100000:65536\nroot:1000000:1000000000\nroot:200000:65536 # short\n\nnonsense\nroot:1000:1\n",
                ),
            ),
            ("anna:1000000:65536\n", Some("anna:1000000:65536\nroot:1114112:1000000000\nroot:1000:1\n")),
            ("root:10000000:65536000\n", Some("root:10000000:65536000\nroot:1000:1\n")),
        ] {
            assert_eq!(wanted(text, 1000, ALL).unwrap().as_deref(), wanted_text, "{text:?}");
        }
    }

    #[test]
    fn an_owner_inside_the_base_range_is_refused() {
        let error = wanted("root:1000000:1000000000\n", 1_500_000, ALL).unwrap_err();
        assert_eq!(
            error.to_string(),
            "id 1500000 lies in root's range 1000000-1000999999 of subordinate ids, from which all containers are made"
        );
        assert!(wanted("", 1_500_000, ALL).unwrap().unwrap().starts_with("root:1507328:1000000000\n"));
    }

    #[test]
    fn a_small_world_gets_a_small_range_or_none() {
        assert!(wanted("", 1000, 65_535_999).unwrap().unwrap().starts_with("root:1000000:10000000\n"));
        assert_eq!(wanted("", 1000, 65_535), Err(SubidError::NoRoom { highest: 65_535 }));
    }

    proptest! {
        #[test]
        fn what_is_wanted_is_enough_and_overlaps_nobody(
            others in prop::collection::vec((0u32..2_000_000_000, 1u32..2_000_000), 0..8), id in 1000u32..70_000
        ) {
            let text: String = others.iter().map(|(start, count)| format!("anna:{start}:{count}\n")).collect();
            if let Ok(Some(new)) = wanted(&text, id, ALL) {
                prop_assert_eq!(wanted(&new, id, ALL), Ok(None));
                prop_assert!(new.starts_with(&text));
                let base = ranges_of(&new, "root")[0];
                for other in ranges_of(&new, "anna") {
                    prop_assert!(u64::from(other.start) >= base.end() || u64::from(base.start) >= other.end());
                }
            }
        }

        #[test]
        fn nothing_panics_and_twice_is_once(text in any::<String>(), id in any::<u32>(), highest in any::<u32>()) {
            if let Ok(Some(new)) = wanted(&text, id, highest) {
                prop_assert_eq!(wanted(&new, id, highest), Ok(None));
            }
        }
    }
}
