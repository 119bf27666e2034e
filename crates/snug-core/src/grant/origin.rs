//! Where each grant of a container comes from, and whether it is in force: what `snug grants` shows.

use std::path::Path;

use super::{Grant, GrantSet, Support};
use crate::preset::Preset;

/// Who gave a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The preset that the container was made with.
    Preset,
    /// The list of islands in the configuration.
    Configuration,
    /// Whoever made the container.
    Asked,
    /// Nothing tells: the preset that the container was made with is no longer there.
    Unknown,
}

/// Whether a grant is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The container has it while it runs.
    Given,
    /// The container has it, and the host has nothing that it could share now: hardware that is not plugged in.
    Waiting,
    /// The preset has it and the container has not: it was left out, or the container is older than the preset's grant.
    Off,
    /// It comes with a later version of Snug.
    Later,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which grant.
    pub grant: Grant,
    /// Who gave it.
    pub origin: Origin,
    /// Whether it is in force.
    pub standing: Standing,
}

impl Line {
    /// What the grant gives, for people; nothing for one of a newer version.
    #[must_use]
    pub fn text(&self) -> &'static str {
        self.grant.row().map_or("", |row| row.text)
    }
}

/// The grants that a container has, in its own order, and then those of its preset that it has not. They are compared with
/// what preset and configuration say today: `preset` is missing where the configuration no longer knows it; `islands` are the
/// configuration's; `waiting` are those that the host has nothing for.
#[must_use]
pub fn lines(given: &GrantSet, waiting: &GrantSet, preset: Option<&Preset>, islands: &[String]) -> Vec<Line> {
    let of_preset = preset.map(|preset| &preset.grants);
    // What the preset gives so far, with stand-ins for what comes later.
    let (now, _) = of_preset.map(GrantSet::part).unwrap_or_default();
    let origin = |grant: &Grant| match grant {
        _ if now.contains(grant) => Origin::Preset,
        Grant::Private(path) if islands.iter().any(|island| Path::new(island) == path) => {
            Origin::Configuration
        }
        _ if of_preset.is_none() => Origin::Unknown,
        _ => Origin::Asked,
    };
    // One that stands in for what comes later takes nothing's place.
    let replaces = |grant: &Grant, wanted: &Grant| {
        wanted.slot().is_some() && grant.slot() == wanted.slot() && wanted.stand_in().as_ref() != Some(grant)
    };
    let has = |wanted: &Grant| given.contains(wanted) || given.iter().any(|grant| replaces(grant, wanted));
    let own = given.iter().map(|grant| Line {
        grant: grant.clone(),
        origin: origin(grant),
        standing: match grant.support() {
            Support::Now if waiting.contains(grant) => Standing::Waiting,
            Support::Now => Standing::Given,
            Support::Later { .. } | Support::Unknown => Standing::Later,
        },
    });
    let missing = of_preset.into_iter().flatten().filter(|grant| !has(grant)).map(|grant| Line {
        grant: grant.clone(),
        origin: Origin::Preset,
        standing: if grant.support() == Support::Now { Standing::Off } else { Standing::Later },
    });
    own.chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn shown(given: &[&str], preset: &str) -> Vec<String> {
        let config = Config::built_in();
        let given = GrantSet::parse(given).unwrap();
        let waiting = GrantSet::parse(["gpu"]).unwrap();
        lines(&given, &waiting, config.presets.get(preset).ok(), &[".config/systemd/user".to_owned()])
            .iter()
            .map(|line| format!("{} {:?} {:?}", line.grant, line.origin, line.standing))
            .collect()
    }

    #[test]
    fn each_grant_is_shown_with_who_gave_it_and_what_the_preset_lacks_after_it() {
        let given =
            ["home", "gpu", "nesting", "network=mirror", "private=.config/systemd/user", "private=.x"];
        assert_eq!(
            shown(&given, "integrated"),
            [
                "home Preset Given",
                "gpu Preset Waiting",
                "nesting Preset Given",
                "network=mirror Preset Given",
                "private=.config/systemd/user Configuration Given",
                "private=.x Asked Given",
                "places Preset Off",
                "session Preset Off",
                "devices Preset Off",
                "host-exec Preset Off",
                "host-open Preset Off",
            ]
        );
    }

    #[test]
    fn what_replaces_a_presets_grant_was_asked_for_and_the_replaced_one_is_not_off() {
        assert_eq!(
            shown(&["home", "network=none", "nesting"], "isolated"),
            ["home Asked Given", "network=none Asked Given", "nesting Preset Given"]
        );
        assert!(!shown(&["network=none"], "integrated").concat().contains("mirror"));
    }

    #[test]
    fn a_preset_that_is_gone_explains_nothing() {
        assert_eq!(shown(&["nesting"], "of-yesterday"), ["nesting Unknown Given"]);
    }
}
