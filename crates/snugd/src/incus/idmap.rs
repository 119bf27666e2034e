//! Ranges of host ids, one for each container.
//!
//! Incus could pick them itself (`security.idmap.isolated`), but it does so anew at each start: the lowest range that is
//! free then (measured with 6.0.4). The daemon must know before the start who the guest's root will be, so it picks
//! one when the container is made and keeps to it.

use incus_client::{Client, Config, ListOptions};
use snug_core::instance::IDMAP_SIZE;
use snug_core::subid::Range;

use crate::error::Result;

/// Ids at the beginning of root's range that Incus gives to containers without a range of their own.
const SHARED: u32 = 65_536;

/// The lowest range in `root` that touches none of `taken`.
#[must_use]
pub fn free_base(root: Range, taken: &[(u32, u32)]) -> Option<u32> {
    let end = u64::from(root.start) + u64::from(root.count);
    let mut base = u64::from(root.start) + u64::from(SHARED);
    while base + u64::from(IDMAP_SIZE) <= end {
        let last = base + u64::from(IDMAP_SIZE);
        let touching = taken
            .iter()
            .map(|(start, count)| (u64::from(*start), u64::from(*start) + u64::from(*count)))
            .filter(|(start, stop)| *start < last && base < *stop)
            .map(|(_, stop)| stop)
            .max();
        match touching {
            None => return u32::try_from(base).ok(),
            // On the grid, so that no gap too small for a range is left.
            Some(stop) => {
                let first = u64::from(root.start) + u64::from(SHARED);
                base = first + (stop - first).next_multiple_of(u64::from(IDMAP_SIZE));
            }
        }
    }
    None
}

/// Ranges that instances of anybody have.
///
/// # Errors
/// What Incus says.
pub async fn taken(client: &Client) -> Result<Vec<(u32, u32)>> {
    let all = ListOptions { all_projects: true, ..ListOptions::default() };
    Ok(client
        .instances()
        .list(&all)
        .await?
        .iter()
        .flat_map(|instance| ranges(&instance.expanded_config))
        .collect())
}

/// Both what was asked for and what it has now: they differ between a change and the next start.
fn ranges(config: &Config) -> Vec<(u32, u32)> {
    let number = |key: &str| config.get(key).and_then(|text| text.parse::<u32>().ok());
    let count = number("security.idmap.size").unwrap_or(SHARED);
    if config.get("security.idmap.isolated").is_none_or(|value| value != "true") {
        return Vec::new();
    }
    ["security.idmap.base", "volatile.idmap.base"]
        .into_iter()
        .filter_map(|key| Some((number(key)?, count)))
        .filter(|(base, _)| *base > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Range = Range { start: 1_000_000, count: 3_100_000 };

    #[test]
    fn ranges_do_not_touch_and_end_with_roots() {
        let first = free_base(ROOT, &[]).unwrap();
        assert_eq!(first, 1_065_536);
        let second = free_base(ROOT, &[(first, IDMAP_SIZE)]).unwrap();
        assert_eq!(second, 2_065_536);
        let third = free_base(ROOT, &[(first, IDMAP_SIZE), (second, IDMAP_SIZE)]).unwrap();
        assert_eq!(free_base(ROOT, &[(first, IDMAP_SIZE), (second, IDMAP_SIZE), (third, IDMAP_SIZE)]), None);
    }

    #[test]
    fn a_small_range_of_somebody_else_is_avoided_as_a_whole() {
        assert_eq!(free_base(ROOT, &[(1_500_000, 65_536)]), Some(2_065_536));
    }
}
