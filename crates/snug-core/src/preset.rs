//! Presets: named lists of grants, and how a request becomes the grants of one container.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::error::{Explain, Kind};
use crate::grant::{Grant, GrantError, GrantSet, Home};
use crate::text;

/// The built-in presets; the lowest layer of the configuration.
pub const BUILT_IN: &str = include_str!("presets.toml");

/// A named list of grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: String,
    /// What it is for, for help.
    pub text: String,
    /// All that it is meant to have, also what this version cannot do yet.
    pub grants: GrantSet,
    /// Those without which it would not be what its name says.
    pub requires: GrantSet,
}

/// All presets by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Presets(pub BTreeMap<String, Preset>);

/// What was asked for when a container is made.
#[derive(Debug, Clone, Default)]
pub struct GrantRequest {
    /// Name of the preset.
    pub preset: String,
    /// Grants on top.
    pub grants: GrantSet,
    /// Words to leave out.
    pub without: Vec<String>,
    /// The configuration's islands, for a shared home.
    pub islands: Vec<String>,
}

/// The grants of a container to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Name of the preset.
    pub preset: String,
    /// What it gets.
    pub grants: GrantSet,
    /// What its preset has and this version cannot do: not given, and not given later by itself.
    pub waiting: Vec<Grant>,
}

impl Presets {
    /// One by name.
    ///
    /// # Errors
    /// [`PresetError::Unknown`].
    pub fn get(&self, name: &str) -> Result<&Preset, PresetError> {
        self.0.get(name).ok_or_else(|| PresetError::Unknown {
            preset: name.to_owned(),
            nearest: text::nearest(name, self.0.keys().map(String::as_str)).map(str::to_owned),
            known: self.working(),
        })
    }

    /// Names of those that this version can be true to.
    fn working(&self) -> Vec<String> {
        let works = |preset: &&Preset| {
            preset.requires.part().1.is_empty() && needing_administrator(&preset.grants.part().1).is_none()
        };
        self.0.values().filter(works).map(|preset| preset.name.clone()).collect()
    }

    /// Those of the words to be left out that leave nothing out: the preset has no such grant.
    ///
    /// # Errors
    /// No such preset; a word that is no grant.
    pub fn without_effect<'a>(&self, request: &'a GrantRequest) -> Result<Vec<&'a str>, PresetError> {
        let mut has = self.get(&request.preset)?.grants.clone();
        if has.home() == Home::Shared {
            has.extend(request.islands.iter().map(|path| Grant::Private(path.into())));
        }
        let mut out = Vec::new();
        for word in &request.without {
            if !has.clone().remove(word)? {
                out.push(word.as_str());
            }
        }
        Ok(out)
    }

    /// Works out the grants of a container: the preset's, less and more what was asked for.
    ///
    /// # Errors
    /// No such preset; one that this version cannot be true to; a grant asked for that it cannot do.
    pub fn resolve(&self, request: &GrantRequest) -> Result<Resolved, PresetError> {
        let preset = self.get(&request.preset)?;
        request.grants.check_supported()?;
        let missing = preset.requires.part().1;
        if let Some(grant) = missing.into_iter().next() {
            return Err(PresetError::Unsupported {
                preset: preset.name.clone(),
                grant: Box::new(grant),
                known: self.working(),
            });
        }
        let mut wanted = preset.grants.clone();
        for word in &request.without {
            wanted.remove(word)?;
        }
        for word in &request.without {
            let asked = word.parse().ok().filter(|grant| request.grants.contains(grant));
            if let Some(grant) = asked {
                return Err(PresetError::Both(Box::new(grant)));
            }
        }
        wanted.extend(request.grants.clone());
        if wanted.home() == Home::Shared && !request.without.iter().any(|word| word == "private") {
            let islands = request.islands.iter().map(|path| Grant::Private(path.into()));
            let left_out = |island: &Grant| request.without.iter().any(|word| Grant::stored(word) == *island);
            wanted.extend(islands.filter(|island| !left_out(island)));
        }
        let (grants, waiting) = wanted.part();
        // What else is to come a container does well without; one without the host's root is not what was wanted.
        if let Some(grant) = needing_administrator(&waiting) {
            return Err(PresetError::Unsupported {
                preset: preset.name.clone(),
                grant: Box::new(grant.clone()),
                known: self.working(),
            });
        }
        Ok(Resolved { preset: preset.name.clone(), grants, waiting })
    }
}

fn needing_administrator(grants: &[Grant]) -> Option<&Grant> {
    grants.iter().find(|grant| grant.needs_administrator())
}

/// A preset that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PresetError {
    /// No such preset.
    #[error("there is no preset '{}'", text::shown(preset))]
    Unknown {
        /// What was given.
        preset: String,
        /// What was probably meant.
        nearest: Option<String>,
        /// Those that can be used.
        known: Vec<String>,
    },
    /// This version lacks what makes the preset.
    #[error(
        "the preset '{preset}' does not exist in this version of Snug: it needs the grant '{grant}', which comes with a later one"
    )]
    Unsupported {
        /// Which.
        preset: String,
        /// What is missing.
        grant: Box<Grant>,
        /// Those that can be used.
        known: Vec<String>,
    },
    /// A grant that was asked for and left out.
    #[error("the grant '{0}' is asked for and left out")]
    Both(Box<Grant>),
    /// A grant that was asked for or left out.
    #[error(transparent)]
    Grant(#[from] GrantError),
}

impl Explain for PresetError {
    fn kind(&self) -> Kind {
        Kind::User
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Unknown { nearest: Some(near), .. } => vec![format!("did you mean '{near}'?")],
            Self::Unknown { known, .. } | Self::Unsupported { known, .. } => {
                vec![format!("there are: {}", known.join(", "))]
            }
            Self::Both(_) => {
                vec!["`--grant` adds one, `--no-grant` leaves one of the preset's out".to_owned()]
            }
            Self::Grant(error) => error.hints(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn resolve(preset: &str, grants: &[&str], without: &[&str]) -> Result<Resolved, PresetError> {
        let config = Config::built_in();
        config.presets.resolve(&GrantRequest {
            preset: preset.to_owned(),
            grants: GrantSet::parse(grants).unwrap(),
            without: without.iter().map(|word| (*word).to_owned()).collect(),
            islands: vec![".config/systemd/user".to_owned(), ".x".to_owned()],
        })
    }

    #[test]
    fn a_request_becomes_grants() {
        let islands = "private=.config/systemd/user private=.x";
        let hosts = "host-exec host-open";
        for (preset, grants, without, wanted) in [
            (
                "integrated",
                &[][..],
                &[][..],
                format!("home places session gpu devices nesting network=mirror {hosts} {islands}"),
            ),
            (
                "integrated",
                &["network=host", "host-exec=git"],
                &[],
                format!(
                    "home places session gpu devices nesting network=host host-exec=git host-open {islands}"
                ),
            ),
            (
                "integrated",
                &[],
                &["nesting", "private=.x", "host-exec"],
                "home places session gpu devices network=mirror host-open private=.config/systemd/user"
                    .into(),
            ),
            (
                "integrated",
                &["private=.y"],
                &["private"],
                format!("home places session gpu devices nesting network=mirror {hosts} private=.y"),
            ),
            (
                "integrated",
                &["home=private"],
                &[],
                format!("home=private places session gpu devices nesting network=mirror {hosts}"),
            ),
            (
                "integrated",
                &[],
                &["home"],
                format!("places session gpu devices nesting network=mirror {hosts}"),
            ),
            ("isolated", &[], &[], "home=private network=nat nesting".into()),
            ("isolated", &["home"], &[], format!("home network=nat nesting {islands}")),
        ] {
            let resolved = resolve(preset, grants, without).unwrap();
            assert_eq!(resolved.grants.words().join(" "), wanted, "{preset} {grants:?} {without:?}");
        }
    }

    #[test]
    fn what_a_preset_has_to_wait_for_is_named() {
        let preset = Preset {
            name: "mine".into(),
            text: String::new(),
            grants: GrantSet::parse(["home=/srv/x", "wayland", "gpu"]).unwrap(),
            requires: GrantSet::new(),
        };
        let request = GrantRequest { preset: "mine".into(), ..GrantRequest::default() };
        let resolved = Presets(BTreeMap::from([("mine".into(), preset)])).resolve(&request).unwrap();
        assert_eq!(resolved.grants.words(), ["home=private", "gpu"]);
        let waiting: Vec<String> = resolved.waiting.iter().map(Grant::to_string).collect();
        assert_eq!(waiting, ["home=/srv/x", "wayland"]);
    }

    #[test]
    fn a_preset_with_the_hosts_root_is_refused_until_it_can_be_had() {
        let grants = GrantSet::parse(["privileged", "home"]).unwrap();
        let preset = Preset { name: "mine".into(), text: String::new(), grants, requires: GrantSet::new() };
        let presets = Presets(BTreeMap::from([("mine".into(), preset)]));
        let request = GrantRequest { preset: "mine".into(), ..GrantRequest::default() };
        let error = presets.resolve(&request).unwrap_err();
        assert!(error.to_string().contains("it needs the grant 'privileged'"), "{error}");
        assert!(!error.hints().concat().contains("mine"), "{:?}", error.hints());
        let without = GrantRequest { without: vec!["privileged".into()], ..request };
        assert_eq!(presets.resolve(&without).unwrap().grants.words(), ["home"]);
    }

    #[test]
    fn what_is_asked_for_is_not_left_out_and_what_is_not_there_cannot_be() {
        for (grant, word) in [("kvm", "kvm"), ("network=nat", "network=nat"), ("home", "home")] {
            assert!(matches!(resolve("integrated", &[grant], &[word]), Err(PresetError::Both(_))), "{grant}");
        }
        // Another in its place.
        let replaced = resolve("integrated", &["network=nat", "home=private"], &["network", "home"]);
        assert_eq!(replaced.unwrap().grants.network(), crate::grant::Network::Nat);
        let config = Config::built_in();
        let request = GrantRequest {
            preset: "integrated".into(),
            without: ["kvm", "nesting", "private", "private=.y", "network=host"].map(str::to_owned).into(),
            islands: vec![".x".into()],
            ..GrantRequest::default()
        };
        assert_eq!(config.presets.without_effect(&request).unwrap(), ["kvm", "private=.y", "network=host"]);
    }

    #[test]
    fn presets_that_cannot_be_true_to_their_name_are_refused() {
        for preset in ["privileged", "project"] {
            assert!(matches!(resolve(preset, &[], &[]), Err(PresetError::Unsupported { .. })), "{preset}");
        }
        let error = resolve("isolate", &[], &[]).unwrap_err();
        assert_eq!(error.hints(), ["did you mean 'isolated'?"]);
        assert!(matches!(resolve("integrated", &["wayland"], &[]), Err(PresetError::Grant(_))));
    }
}
