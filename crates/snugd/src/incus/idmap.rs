//! Ranges of host ids, one for each container.
//!
//! Incus could pick them itself (`security.idmap.isolated`), but it does so anew at each start: the lowest range that is
//! free then (measured with 6.0.4). The daemon must know before the start who the guest's root will be, so it picks
//! one when the container is made and keeps to it.
//!
//! A range that was once given stays its owner's, also when the container is gone: what its root has left behind in a shared
//! home (a file with the set-user-ID bit among it) belongs to an id of that range, and would else be another user's root.
//! The owner's project remembers them.

use incus_client::{Client, Config, ListOptions};
use snug_core::instance::IDMAP_SIZE;
use snug_core::subid::Range;

use crate::error::{Result, failed};
use crate::host::service_leftovers::Ids;

/// Key of a project: first ids of the ranges that were given to its owner's containers, separated by spaces.
const GIVEN_KEY: &str = "user.snug.id-bases";

/// Ids at the beginning of root's range that Incus gives to containers without a range of their own.
const SHARED: u32 = 65_536;

/// The lowest range in `root` that touches none of `taken`.
#[must_use]
pub fn free_base(root: Range, taken: &[(u32, u32)]) -> Option<u32> {
    let end = end_of((root.start, root.count));
    let mut base = u64::from(root.start) + u64::from(SHARED);
    while base + u64::from(IDMAP_SIZE) <= end {
        let touching = taken.iter().copied().filter(|range| touches(base, *range)).map(end_of).max();
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

/// The id after the last of a range of first id and count.
fn end_of((start, count): (u32, u32)) -> u64 {
    u64::from(start) + u64::from(count)
}

/// Whether a container's range that begins at `base` shares an id with `range`.
fn touches(base: u64, range: (u32, u32)) -> bool {
    u64::from(range.0) < base + u64::from(IDMAP_SIZE) && base < end_of(range)
}

/// Who has or had which ranges.
#[derive(Debug, Default)]
pub struct Taken {
    /// Ranges that instances of anybody have now.
    pub now: Vec<(u32, u32)>,
    /// First ids of ranges that were given to this owner.
    pub own: Vec<u32>,
    /// Ranges that were given to others.
    pub others: Vec<(u32, u32)>,
}

impl Taken {
    /// The range for one more container of the owner: one that was his before, else the lowest that was nobody's.
    #[must_use]
    pub fn pick(mut self, root: Range, reserved: impl IntoIterator<Item = u32>) -> Option<u32> {
        self.now.extend(reserved.into_iter().map(|base| (base, IDMAP_SIZE)));
        let end = end_of((root.start, root.count));
        let is_free = |base: u32| {
            let first = u64::from(base);
            base >= root.start
                && first + u64::from(IDMAP_SIZE) <= end
                && !self.now.iter().any(|range| touches(first, *range))
        };
        self.own.iter().copied().find(|base| is_free(*base)).or_else(|| {
            let own = self.own.iter().map(|base| (*base, IDMAP_SIZE));
            let all: Vec<_> = self.now.iter().chain(&self.others).copied().chain(own).collect();
            free_base(root, &all)
        })
    }
}

/// Ranges that instances of anybody have, and that projects remember; `own` is the owner's project.
///
/// # Errors
/// What Incus says.
pub async fn taken(client: &Client, own: &str) -> Result<Taken> {
    let all = ListOptions { all_projects: true, ..ListOptions::default() };
    let instances = client.instances();
    let projects = client.projects();
    let (instances, projects) = tokio::try_join!(instances.list(&all), projects.list())?;
    let mut taken = Taken {
        now: instances.iter().flat_map(|instance| ranges(&instance.expanded_config)).collect(),
        ..Taken::default()
    };
    for project in projects {
        let given = given(&project.put.config);
        if project.name == own {
            taken.own = given;
        } else {
            taken.others.extend(given.into_iter().map(|base| (base, IDMAP_SIZE)));
        }
    }
    Ok(taken)
}

fn given(config: &Config) -> Vec<u32> {
    let words = config.get(GIVEN_KEY).map(String::as_str).unwrap_or_default().split(' ');
    words.filter_map(|word| word.parse().ok()).collect()
}

/// Remembers that a range was given to the owner of `project`, before anything runs with it.
///
/// # Errors
/// What Incus says.
pub async fn remember(client: &Client, project: &str, base: u32) -> Result<()> {
    let projects = client.projects();
    loop {
        let (found, etag) = projects.get(project).await?;
        let mut given = given(&found.put.config);
        if given.contains(&base) {
            return Ok(());
        }
        given.push(base);
        let words: Vec<String> = given.iter().map(u32::to_string).collect();
        let mut put = found.put;
        put.config.insert(GIVEN_KEY.to_owned(), words.join(" "));
        match projects.put(project, &put, Some(&etag)).await {
            // Another container of his was quicker.
            Err(error) if error.is_precondition_failed() => {}
            other => return Ok(other?),
        }
    }
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

/// Keys of an instance's configuration: the map that it ran with last, and the one of its next start.
const MAPS: [&str; 2] = ["volatile.last_state.idmap", "volatile.idmap.next"];

/// The host's uid and gid of the guest's root: where the map that the next start uses puts 0.
///
/// # Errors
/// When Incus has not said so in the instance's configuration.
pub fn guest_root(config: &Config) -> Result<(u32, u32)> {
    if config.get("security.privileged").is_some_and(|value| value == "true") {
        return Ok((0, 0));
    }
    let zero = |kind: &str| MAPS.iter().rev().find_map(|map| root_in(&entries_of(config, map), kind));
    match (zero("Isuid"), zero("Isgid")) {
        (Some(uid), Some(gid)) => Ok((uid, gid)),
        _ => Err(failed("Incus does not say which ids the container gets (volatile.idmap.next)")),
    }
}

/// The host's uids of the guest, as they were and as they will be: with a user namespace, so its root is never 0.
#[must_use]
pub fn guest_ids(config: &Config) -> Ids {
    let mut ids = Ids::default();
    for map in MAPS {
        let entries = entries_of(config, map);
        ids.roots.extend(root_in(&entries, "Isuid").filter(|uid| *uid != 0));
        ids.all.extend(entries.iter().filter(|entry| is(entry, "Isuid")).filter_map(|entry| {
            let first = number(entry, "Hostid").filter(|first| *first != 0)?;
            Some(first..first.saturating_add(number(entry, "Maprange")?))
        }));
    }
    ids
}

/// Where a map puts the uid (`Isuid`) or gid (`Isgid`) 0.
fn root_in(entries: &[serde_json::Value], kind: &str) -> Option<u32> {
    let entry = entries.iter().find(|entry| is(entry, kind) && number(entry, "Nsid") == Some(0))?;
    number(entry, "Hostid")
}

fn entries_of(config: &Config, map: &str) -> Vec<serde_json::Value> {
    config.get(map).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn is(entry: &serde_json::Value, kind: &str) -> bool {
    entry.get(kind).and_then(serde_json::Value::as_bool) == Some(true)
}

fn number(entry: &serde_json::Value, field: &str) -> Option<u32> {
    entry.get(field)?.as_u64().and_then(|number| u32::try_from(number).ok())
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
    fn a_range_that_was_given_stays_its_owners() {
        let (first, second) = (1_065_536, 2_065_536);
        let of = |own: &[u32], others: &[u32], now: &[u32]| Taken {
            now: now.iter().map(|base| (*base, IDMAP_SIZE)).collect(),
            own: own.to_vec(),
            others: others.iter().map(|base| (*base, IDMAP_SIZE)).collect(),
        };
        assert_eq!(of(&[], &[first], &[]).pick(ROOT, []), Some(second));
        assert_eq!(of(&[second], &[], &[]).pick(ROOT, []), Some(second));
        assert_eq!(of(&[second], &[], &[second]).pick(ROOT, []), Some(first));
        assert_eq!(of(&[second], &[], &[]).pick(ROOT, [second]), Some(first));
        assert_eq!(of(&[], &[first, second, second + IDMAP_SIZE], &[]).pick(ROOT, []), None);
        // Of a range of root's that was given up since.
        assert_eq!(of(&[5], &[], &[]).pick(ROOT, []), Some(first));
    }

    #[test]
    fn a_small_range_of_somebody_else_is_avoided_as_a_whole() {
        assert_eq!(free_base(ROOT, &[(1_500_000, 65_536)]), Some(2_065_536));
    }

    #[test]
    fn the_guests_root_is_where_the_next_map_puts_it() {
        let map = r#"[{"Isuid":true,"Isgid":false,"Hostid":1065536,"Nsid":0,"Maprange":1000},
            {"Isuid":true,"Isgid":false,"Hostid":1000,"Nsid":1000,"Maprange":1},
            {"Isuid":false,"Isgid":true,"Hostid":1065537,"Nsid":0,"Maprange":1000}]"#;
        let config = [("volatile.idmap.next".to_owned(), map.to_owned())].into();
        assert_eq!(guest_root(&config).unwrap(), (1_065_536, 1_065_537));
        assert!(guest_root(&Config::new()).is_err());
        let ids = Ids { roots: vec![1_065_536], all: vec![1_065_536..1_066_536, 1000..1001] };
        assert_eq!(guest_ids(&config), ids);
        assert_eq!(guest_ids(&Config::new()), Ids::default());
    }
}
