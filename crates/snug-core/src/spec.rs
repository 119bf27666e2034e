//! What Incus keeps of a container under `user.snug.*`: spec, owner, phase, temporary mark.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::error::{Explain, Kind};
use crate::grant::GrantSet;
use crate::image::ImageRef;
use crate::name::Uid;
use crate::setting::Settings;
use crate::text;

/// Key of the [`OwnerTag`].
pub const OWNER_KEY: &str = "user.snug.owner";
/// Key of the [`Spec`].
pub const SPEC_KEY: &str = "user.snug.spec";
/// Key of the [`Phase`].
pub const PHASE_KEY: &str = "user.snug.phase";
/// Key of the [`TemporaryTag`].
pub const TEMPORARY_KEY: &str = "user.snug.temporary";

/// The version of the spec that this crate writes.
pub const VERSION: u32 = 1;

/// What kind of instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum InstanceKind {
    /// A system container.
    #[default]
    Container,
    /// A virtual machine: known, and refused until it can be done.
    VirtualMachine,
    /// Something of a newer version.
    Other(String),
}

impl From<String> for InstanceKind {
    fn from(word: String) -> Self {
        match word.as_str() {
            "container" => Self::Container,
            "virtual-machine" => Self::VirtualMachine,
            _ => Self::Other(word),
        }
    }
}

impl From<InstanceKind> for String {
    fn from(kind: InstanceKind) -> Self {
        kind.to_string()
    }
}

impl fmt::Display for InstanceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "container",
            Self::VirtualMachine => "virtual-machine",
            Self::Other(word) => word,
        })
    }
}

/// What a container is to be. Tolerant: keys that this version does not know are kept, missing ones have defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Version of the writer.
    #[serde(default = "first_version")]
    pub version: u32,
    /// What kind of instance.
    #[serde(default)]
    pub kind: InstanceKind,
    /// The image that it was made from, in its full spelling.
    #[serde(default)]
    pub image: String,
    /// The preset that it was made with.
    #[serde(default)]
    pub preset: String,
    /// Its grants; the preset's included.
    #[serde(default)]
    pub grants: GrantSet,
    /// Its settings.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
    /// Keys of a newer version.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

fn first_version() -> u32 {
    VERSION
}

impl Spec {
    /// A new container's.
    #[must_use]
    pub fn new(image: &ImageRef, preset: &str, grants: GrantSet, settings: Settings) -> Self {
        Self {
            version: VERSION,
            kind: InstanceKind::Container,
            image: image.to_string(),
            preset: preset.to_owned(),
            grants,
            settings,
            rest: BTreeMap::new(),
        }
    }

    /// Reads `user.snug.spec`.
    ///
    /// # Errors
    /// Text that is no JSON object, or whose known keys hold something else than they should.
    pub fn parse(json: &str) -> Result<Self, SpecError> {
        serde_json::from_str(json).map_err(|error| SpecError::Json(error.to_string()))
    }

    /// Writes `user.snug.spec`: one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and maps with string keys only: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether a newer version of Snug wrote it.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        self.version > VERSION
    }
}

/// Whose a container is: uid *and* name, so that a reused uid inherits nothing. Written `UID:NAME`; the name may hold
/// colons and backslashes (directory services).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerTag {
    /// User id.
    pub uid: Uid,
    /// Login name.
    pub name: String,
}

impl fmt::Display for OwnerTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.name)
    }
}

impl FromStr for OwnerTag {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let tag = text
            .split_once(':')
            .and_then(|(uid, name)| Some(Self { uid: Uid(number(uid)?), name: name.to_owned() }));
        tag.filter(|tag| !tag.name.is_empty())
            .ok_or_else(|| SpecError::Tag { key: OWNER_KEY, value: text.to_owned() })
    }
}

/// A decimal number in its one spelling: no sign, no leading zero.
fn number<N: FromStr + ToString>(digits: &str) -> Option<N> {
    digits.parse::<N>().ok().filter(|number| number.to_string() == digits)
}

/// Where a daemon was when it died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It is being made.
    Creating,
    /// Nothing is under way.
    Ready,
    /// It is being started.
    Starting,
    /// It is being stopped.
    Stopping,
    /// It is being removed.
    Removing,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Creating, Self::Ready, Self::Starting, Self::Stopping, Self::Removing];

    /// The stored word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Removing => "removing",
        }
    }

    /// Whether what runs of it is being ended.
    #[must_use]
    pub const fn ends(self) -> bool {
        matches!(self, Self::Stopping | Self::Removing)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Phase {
    type Err = SpecError;

    fn from_str(word: &str) -> Result<Self, SpecError> {
        let phase = Self::ALL.into_iter().find(|phase| phase.word() == word);
        phase.ok_or_else(|| SpecError::Tag { key: PHASE_KEY, value: word.to_owned() })
    }
}

/// The client of `run --rm`: a process id and its start time (field 22 of proc_pid_stat(5)), so that a reused id is
/// somebody else. Written `PID:STARTTIME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TemporaryTag {
    /// Process id on the host.
    pub pid: u32,
    /// Clock ticks from the host's boot to its start.
    pub start_time: u64,
}

impl fmt::Display for TemporaryTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.pid, self.start_time)
    }
}

impl FromStr for TemporaryTag {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let tag = text
            .split_once(':')
            .and_then(|(pid, start)| Some(Self { pid: number(pid)?, start_time: number(start)? }))
            .filter(|tag| tag.pid > 0);
        tag.ok_or_else(|| SpecError::Tag { key: TEMPORARY_KEY, value: text.to_owned() })
    }
}

/// Something under `user.snug.*` that cannot be read: somebody else than Snug wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The spec.
    #[error("{SPEC_KEY} cannot be read: {_0}")]
    Json(String),
    /// Another key.
    #[error("{key} cannot be read: '{}'", text::shown(value))]
    Tag {
        /// Which.
        key: &'static str,
        /// What it holds.
        value: String,
    },
}

impl Explain for SpecError {
    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn hints(&self) -> Vec<String> {
        vec!["`incus config show` shows what is stored; Snug alone should write it".to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_newer_spec_is_read_and_loses_nothing() {
        let json = r#"{"version":7,"kind":"unikernel","image":"images:debian/13","preset":"integrated","grants":["home","teleport=moon","network=nat"],"settings":{"cpu":"2","warp":"9"},"follows":{"deep":[1,2.5,null]},"zeta":true}"#;
        let spec = Spec::parse(json).unwrap();
        assert!(spec.is_newer());
        assert_eq!(spec.kind, InstanceKind::Other("unikernel".into()));
        assert!(spec.grants.iter().any(|grant| grant.to_string() == "teleport=moon"));
        assert_eq!(
            serde_json::from_str::<Value>(&spec.to_json()).unwrap(),
            serde_json::from_str::<Value>(json).unwrap()
        );
    }

    #[test]
    fn an_empty_spec_has_defaults_and_a_broken_one_is_an_error() {
        let spec = Spec::parse("{}").unwrap();
        assert_eq!((spec.version, spec.kind, spec.grants.is_empty()), (1, InstanceKind::Container, true));
        for bad in ["", "[]", "null", r#"{"grants":5}"#, r#"{"version":"x"}"#] {
            assert!(Spec::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_owners_name_may_hold_colons_and_backslashes() {
        for (text, uid, name) in [
            ("1000:anna", 1000, "anna"),
            (r"70001:EXAMPLE\bert", 70001, r"EXAMPLE\bert"),
            ("5:a:b:", 5, "a:b:"),
        ] {
            let tag: OwnerTag = text.parse().unwrap();
            assert_eq!((tag.uid, tag.name.as_str()), (Uid(uid), name));
            assert_eq!(tag.to_string(), text);
        }
        for bad in ["", "1000", "1000:", ":anna", "+1000:anna", "01000:anna", "anna:1000", "4294967296:x"] {
            assert!(bad.parse::<OwnerTag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn phases_and_temporary_marks_are_read_back() {
        for phase in Phase::ALL {
            assert_eq!(phase.to_string().parse(), Ok(phase));
        }
        let tag = TemporaryTag { pid: 42, start_time: 123_456 };
        assert_eq!("42:123456".parse(), Ok(tag));
        for bad in ["0:1", "42", "42:", "-1:5", "42:1:2"] {
            assert!(bad.parse::<TemporaryTag>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = (Spec::parse(&text), text.parse::<Phase>());
            if let Ok(tag) = text.parse::<OwnerTag>() {
                prop_assert_eq!(tag.to_string(), text.clone());
            }
            if let Ok(tag) = text.parse::<TemporaryTag>() {
                prop_assert_eq!(tag.to_string(), text);
            }
        }

        #[test]
        fn tags_are_identities(uid in any::<u32>(), name in ".+", pid in 1u32.., start_time in any::<u64>()) {
            let owner = OwnerTag { uid: Uid(uid), name };
            prop_assert_eq!(owner.to_string().parse::<OwnerTag>(), Ok(owner));
            let tag = TemporaryTag { pid, start_time };
            prop_assert_eq!(tag.to_string().parse::<TemporaryTag>(), Ok(tag));
        }

        #[test]
        fn specs_are_identities(image in "[a-z:/]{0,9}", words in prop::collection::vec("[a-z=/.:]{0,12}", 0..5)) {
            let grants: Vec<String> = words;
            let json = serde_json::json!({ "image": image, "grants": grants }).to_string();
            let spec = Spec::parse(&json).unwrap();
            prop_assert_eq!(Spec::parse(&spec.to_json()).unwrap(), spec);
        }
    }
}
