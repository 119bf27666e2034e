//! What of several specifications counts. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::complaint::Complaint;
use super::specification::{Edits, Link, Mount, Specification};

/// Files of one host, and links.
pub const MOST: usize = 512;

/// A specification, and where it comes from.
#[derive(Debug)]
pub struct Sourced {
    /// Its file.
    pub file: PathBuf,
    /// The directory's place among the others: a later one wins.
    pub rank: usize,
    /// What it says.
    pub specification: Specification,
}

/// All files and links that there are for any device, each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Files.
    pub mounts: Vec<Mount>,
    /// Links.
    pub links: Vec<Link>,
}

/// A device that several specifications have is that of the last directory; where this has it twice it is none (SPEC.md, "CDI JSON
/// Specification"; Podman refuses such a one). What a specification has for all of its devices counts as long as one of them does:
/// so one of an earlier driver in `/etc/cdi` has no say beside the present one in `/run/cdi`.
pub fn select(all: Vec<Sourced>, complaints: &mut Vec<Complaint>) -> Selection {
    let winners = winners(&all, complaints);
    let (mut mounts, mut links) = (Bounded::new("files"), Bounded::new("links"));
    let mut take = |edits: Edits| {
        edits.mounts.into_iter().for_each(|mount| mounts.take(mount.guest.clone(), mount));
        edits.links.into_iter().for_each(|link| links.take(link.clone(), link));
    };
    for (index, sourced) in all.into_iter().enumerate() {
        let devices = sourced.specification.devices.into_iter();
        let own: Vec<Edits> =
            devices.filter(|(name, _)| winners.get(name) == Some(&index)).map(|(_, edits)| edits).collect();
        if !own.is_empty() {
            take(sourced.specification.edits);
            own.into_iter().for_each(&mut take);
        }
    }
    Selection { mounts: mounts.finish(complaints), links: links.finish(complaints) }
}

/// The first [`MOST`] of what has different keys.
struct Bounded<K, T> {
    /// What they are, in a sentence.
    what: &'static str,
    seen: BTreeSet<K>,
    taken: Vec<T>,
}

impl<K: Ord, T> Bounded<K, T> {
    fn new(what: &'static str) -> Self {
        Self { what, seen: BTreeSet::new(), taken: Vec::new() }
    }

    fn take(&mut self, key: K, one: T) {
        if self.seen.insert(key) && self.taken.len() < MOST {
            self.taken.push(one);
        }
    }

    fn finish(self, complaints: &mut Vec<Complaint>) -> Vec<T> {
        let left_out = self.seen.len() - self.taken.len();
        if left_out > 0 {
            let what = self.what;
            let text = format!("the graphics driver has more than {MOST} {what}: {left_out} are left out");
            complaints.push(text.into());
        }
        self.taken
    }
}

/// Which specification each device is of, by its place in `all`.
fn winners(all: &[Sourced], complaints: &mut Vec<Complaint>) -> BTreeMap<String, usize> {
    let mut of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, sourced) in all.iter().enumerate() {
        for name in sourced.specification.devices.keys() {
            let holders = of.entry(name).or_default();
            holders.retain(|other| all[*other].rank >= sourced.rank);
            if holders.iter().all(|other| all[*other].rank <= sourced.rank) {
                holders.push(index);
            }
        }
    }
    let mut out = BTreeMap::new();
    let mut told = BTreeSet::new();
    for (name, holders) in of {
        match holders[..] {
            [one] => drop(out.insert(name.to_owned(), one)),
            [one, other, ..] if told.insert((one, other)) => {
                let [one, other] = [one, other].map(|index| all[index].file.display());
                let name = name.escape_debug();
                let text = format!("{one} and {other} both have the device '{name}': neither is taken");
                complaints.push(text.into());
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sourced(file: &str, rank: usize, devices: &[&str], mounts: &[&str]) -> Sourced {
        let edits = |mounts: &[&str]| {
            let mount = |path: &&str| Mount { host: path.into(), guest: path.into() };
            Edits { mounts: mounts.iter().map(mount).collect(), links: Vec::new() }
        };
        let device = |name: &&str| ((*name).to_owned(), edits(&[&format!("/of/{file}/{name}")]));
        Sourced {
            file: file.into(),
            rank,
            specification: Specification {
                devices: devices.iter().map(device).collect(),
                edits: edits(mounts),
            },
        }
    }

    fn selected(all: Vec<Sourced>) -> (Vec<String>, Vec<String>) {
        let mut complaints = Vec::new();
        let mounts = select(all, &mut complaints).mounts;
        let complaints = complaints.into_iter().map(|one| one.text).collect();
        (mounts.iter().map(|mount| mount.guest.display().to_string()).collect(), complaints)
    }

    #[test]
    fn a_device_is_that_of_the_last_directory_and_brings_what_its_specification_has() {
        let old = || sourced("old", 0, &["0", "all"], &["/lib/550"]);
        let new = || sourced("new", 1, &["0", "all"], &["/lib/560"]);
        for all in [vec![old(), new()], vec![new(), old()]] {
            let (mounts, complaints) = selected(all);
            assert_eq!(mounts, ["/lib/560", "/of/new/0", "/of/new/all"]);
            assert!(complaints.is_empty());
        }
        let other = sourced("other", 0, &["1"], &["/lib/other"]);
        let (mounts, _) = selected(vec![other, new()]);
        assert_eq!(mounts, ["/lib/other", "/of/other/1", "/lib/560", "/of/new/0", "/of/new/all"]);
        assert!(selected(vec![sourced("none", 0, &[], &["/lib/550"])]).0.is_empty());
    }

    #[test]
    fn a_device_that_a_directory_has_twice_is_none() {
        let twice = || vec![sourced("a", 1, &["0"], &["/a"]), sourced("b", 1, &["0", "1"], &["/b"])];
        let (mounts, complaints) = selected(twice());
        assert_eq!(mounts, ["/b", "/of/b/1"]);
        assert_eq!(complaints, ["a and b both have the device '0': neither is taken"]);
        let with_another = twice().into_iter().chain([sourced("c", 2, &["0"], &["/c"])]).collect();
        let (mounts, complaints) = selected(with_another);
        assert_eq!((mounts.len(), complaints.len()), (4, 0), "{mounts:?}");
    }

    #[test]
    fn a_place_is_taken_once_and_there_are_so_many() {
        // One more is the device's own.
        let many: Vec<String> = (0..600).map(|n| format!("/lib/{}", n % 590)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let (mounts, complaints) = selected(vec![sourced("many", 0, &["0"], &many)]);
        assert_eq!(mounts.len(), MOST);
        assert_eq!(complaints, ["the graphics driver has more than 512 files: 79 are left out"]);
    }

    #[test]
    fn a_link_is_taken_once_and_there_are_so_many() {
        let with = |count: usize| {
            let mut one = sourced("many", 0, &["0"], &[]);
            let link = |n| Link { at: format!("/lib/{}", n % count).into(), to: "/lib/a".into() };
            one.specification.edits.links = (0..600).map(link).collect();
            let mut complaints = Vec::new();
            let links = select(vec![one], &mut complaints).links.len();
            (links, complaints.into_iter().map(|one| one.text).collect::<Vec<_>>())
        };
        assert_eq!(with(MOST), (MOST, Vec::new()));
        let (links, complaints) = with(590);
        assert_eq!(links, MOST);
        assert_eq!(complaints, ["the graphics driver has more than 512 links: 78 are left out"]);
    }
}
