//! What a container's grants have besides its preset's, and lack of them.

use snug_core::config::Config;
use snug_core::grant::{Grant, GrantSet};
use snug_core::preset::{GrantRequest, PresetError};

/// What is added and left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// `kvm`
    pub added: Vec<String>,
    /// `gpu`
    pub left_out: Vec<String>,
}

impl Differences {
    /// `+kvm`, `-gpu`, in the order of their words.
    pub fn words(&self) -> Vec<String> {
        let sorted = |sign: &str, words: &[String]| {
            let mut words: Vec<String> = words.iter().map(|word| format!("{sign}{word}")).collect();
            words.sort();
            words
        };
        [sorted("+", &self.added), sorted("-", &self.left_out)].concat()
    }
}

/// The grants that a container gets by a preset and what differs from it.
///
/// # Errors
/// No such preset; words that are no grants, or that this version cannot give.
pub fn resolve(config: &Config, preset: &str, differences: &Differences) -> Result<GrantSet, PresetError> {
    let request = GrantRequest {
        preset: preset.to_owned(),
        grants: GrantSet::parse(&differences.added)?,
        without: differences.left_out.clone(),
        islands: config.private.clone(),
    };
    Ok(config.presets.resolve(&request)?.grants)
}

/// What these grants have besides those of the preset, and lack of them. Of a preset that is not known all are added.
pub fn differences(config: &Config, preset: &str, actual: &GrantSet) -> Differences {
    let words_without = |all: &GrantSet, others: &GrantSet| {
        all.iter().filter(|grant| !others.contains(grant)).map(Grant::to_string).collect()
    };
    let Ok(expected) = resolve(config, preset, &Differences::default()) else {
        return Differences { added: actual.words(), left_out: Vec::new() };
    };
    let mut differences = Differences { added: words_without(actual, &expected), left_out: Vec::new() };
    // One that takes another's place (`network=nat`) leaves that out by itself.
    if let Ok(with) = resolve(config, preset, &differences) {
        differences.left_out = words_without(&with, actual);
    }
    // What goes with another one (islands with the home that they are in) need not be said.
    for at in (0..differences.left_out.len()).rev() {
        let mut less = differences.clone();
        less.left_out.remove(at);
        if resolve(config, preset, &less).is_ok_and(|grants| is_same(&grants, actual)) {
            differences = less;
        }
    }
    differences
}

/// Whether both are the same, in whatever order.
pub fn is_same(one: &GrantSet, other: &GrantSet) -> bool {
    one.iter().all(|grant| other.contains(grant)) && other.iter().all(|grant| one.contains(grant))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round(preset: &str, added: &[&str], left_out: &[&str]) -> (GrantSet, Differences) {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let config = Config::built_in();
        let asked = Differences { added: owned(added), left_out: owned(left_out) };
        let actual = resolve(&config, preset, &asked).unwrap();
        let found = differences(&config, preset, &actual);
        assert!(is_same(&resolve(&config, preset, &found).unwrap(), &actual), "{found:?}");
        (actual, found)
    }

    #[test]
    fn only_what_differs_is_said() {
        for (preset, added, left_out, words) in [
            ("integrated", &[][..], &[][..], &[][..]),
            ("integrated", &["kvm"], &["gpu"], &["+kvm", "-gpu"]),
            ("integrated", &["network=nat"], &[], &["+network=nat"]),
            ("integrated", &["network=nat"], &["network"], &["+network=nat"]),
            ("integrated", &["home=private"], &[], &["+home=private"]),
            ("integrated", &[], &["home"], &["-home"]),
            ("integrated", &["host-exec=git"], &[], &["+host-exec=git"]),
            ("isolated", &["kvm", "gpu"], &["nesting"], &["+gpu", "+kvm", "-nesting"]),
        ] {
            assert_eq!(round(preset, added, left_out).1.words(), words, "{preset} {added:?} {left_out:?}");
        }
        let all =
            differences(&Config::built_in(), "of-yesterday", &GrantSet::parse(["gpu", "home"]).unwrap());
        assert_eq!(all.words(), ["+gpu", "+home"]);
    }

    proptest! {
        #[test]
        fn what_differs_makes_the_same_again(
            preset in prop::sample::select(vec!["integrated", "isolated"]),
            added in prop::sample::subsequence(vec!["kvm", "network=nat", "private=.x", "home", "nesting"], 0..5),
            left_out in prop::sample::subsequence(vec!["gpu", "session", "host-open", "places"], 0..4),
        ) {
            round(preset, &added, &left_out);
        }
    }
}
