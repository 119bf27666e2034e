//! Containers, images and checks as the daemon describes them. Keys that are not known are ignored: names ending in 1
//! only grow.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use zbus::{OwnedVariant, Variant};

use super::proxy::OwnedDict;

/// A container. Its JSON shape is documented in `docs/reference/json.md`; fields are only ever added.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Number of its owner.
    pub owner: u32,
    /// Name of its owner.
    pub owner_name: String,
    /// `container`.
    pub kind: String,
    /// `running`, `stopped` and so on.
    pub state: String,
    /// Where in its life it is.
    pub phase: String,
    /// What it was made from.
    pub image: String,
    /// What it was made as.
    pub preset: String,
    /// The holes in it.
    pub grants: Vec<String>,
    /// Limits and the like.
    pub settings: BTreeMap<String, String>,
    /// It is its owner.
    pub trusted: bool,
    /// It has no user namespace.
    pub privileged: bool,
    /// It goes when its client does.
    pub temporary: bool,
    /// When it was made, RFC 3339.
    pub created: String,
    /// When it was used last, RFC 3339.
    pub last_start: String,
    /// Its first process on the host; 0 when stopped.
    pub pid: u32,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Version of its agent; only in `info`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Grants that the host has nothing for now; only in `info` and `grants`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Vec<String>>,
    /// Why its network does not work, and what mends it; only in `info`, empty where nothing is known to be wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_fault: Option<Vec<String>>,
    /// Bytes on disk; only with `--size`, and where the storage pool tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// How many snapshots it has.
    pub snapshots: u32,
}

impl Container {
    /// Whether commands can run in it at once.
    pub fn is_running(&self) -> bool {
        self.state == "running"
    }
}

impl From<OwnedDict> for Container {
    fn from(all: OwnedDict) -> Self {
        let text = |key| text_of(&all, key).unwrap_or_default();
        let switch = |key| all.get(key).and_then(|value| bool::try_from(value).ok()).unwrap_or_default();
        let number = |key| number_of(&all, key).unwrap_or_default();
        let small = |key| u32::try_from(number(key)).unwrap_or(u32::MAX);
        Self {
            name: text("name"),
            owner: small("owner"),
            owner_name: text("owner-name"),
            kind: text("kind"),
            state: text("state"),
            phase: text("phase"),
            image: text("image"),
            preset: text("preset"),
            grants: texts_of(&all, "grants"),
            settings: map_of(&all, "settings"),
            trusted: switch("trusted"),
            privileged: switch("privileged"),
            temporary: switch("temporary"),
            created: text("created"),
            last_start: text("last-start"),
            pid: small("pid"),
            addresses: texts_of(&all, "addresses"),
            agent: text_of(&all, "agent"),
            waiting: all.contains_key("waiting").then(|| texts_of(&all, "waiting")),
            network_fault: all.contains_key("network-fault").then(|| texts_of(&all, "network-fault")),
            size: number_of(&all, "size"),
            snapshots: small("snapshots"),
        }
    }
}

/// An image.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Image {
    /// What `-i` takes.
    pub reference: String,
    /// What it is.
    pub description: String,
    /// Its hash.
    pub fingerprint: String,
    /// `x86_64` and so on.
    pub architecture: String,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Whether it is on this machine.
    pub cached: bool,
    /// When it was made, RFC 3339.
    pub created: String,
}

impl From<OwnedDict> for Image {
    fn from(all: OwnedDict) -> Self {
        let text = |key| text_of(&all, key).unwrap_or_default();
        Self {
            reference: text("reference"),
            description: text("description"),
            fingerprint: text("fingerprint"),
            architecture: text("architecture"),
            size: number_of(&all, "size"),
            cached: all.get("cached").and_then(|value| bool::try_from(value).ok()).unwrap_or_default(),
            created: text("created"),
        }
    }
}

/// One thing that the doctor looked at.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Check {
    /// A word for it.
    pub check: String,
    /// `ok`, `notice`, `warning` or `error`.
    pub status: String,
    /// What was found.
    pub text: String,
    /// What to do; may be empty.
    pub hint: String,
    /// Of a device: the node, below `/dev`, that only the container can be asked for; may be empty.
    #[serde(skip)]
    pub node: String,
}

impl From<OwnedDict> for Check {
    fn from(all: OwnedDict) -> Self {
        let text = |key| text_of(&all, key).unwrap_or_default();
        Self {
            check: text("check"),
            status: text("status"),
            text: text("text"),
            hint: text("hint"),
            node: text("node"),
        }
    }
}

/// A port of a container.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Port {
    /// Whose.
    pub container: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Where it is bound, in the container as on the host.
    pub address: String,
    /// Its number.
    pub port: u16,
    /// Whether the host has it: `open`, `taken`, `not-permitted` or `failed`.
    pub state: String,
    /// Why it has not; empty for one that is open.
    pub text: String,
    /// The processes that have it open, by their numbers in the container.
    pub pids: Vec<u32>,
    /// What they call themselves.
    pub process: String,
}

impl From<OwnedDict> for Port {
    fn from(all: OwnedDict) -> Self {
        let text = |key| text_of(&all, key).unwrap_or_default();
        Self {
            container: text("container"),
            protocol: text("protocol"),
            address: text("address"),
            port: number_of(&all, "port").and_then(|port| port.try_into().ok()).unwrap_or(0),
            state: text("state"),
            text: text("text"),
            pids: numbers_of(&all, "pids"),
            process: text("process"),
        }
    }
}

/// A snapshot that a container can go back to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// When it was taken, RFC 3339.
    pub taken: String,
    /// What came after it; empty when not known.
    pub before: String,
}

impl From<OwnedDict> for Snapshot {
    fn from(all: OwnedDict) -> Self {
        let text = |key| text_of(&all, key).unwrap_or_default();
        Self { name: text("name"), taken: text("taken"), before: text("before") }
    }
}

/// A text of a dictionary.
pub fn text_of(all: &HashMap<String, OwnedVariant>, key: &str) -> Option<String> {
    let value: &Variant<'_> = all.get(key)?;
    as_text(value)
}

/// A list of texts; empty when it is something else.
pub fn texts_of(all: &HashMap<String, OwnedVariant>, key: &str) -> Vec<String> {
    match all.get(key).map(|value| &**value) {
        Some(Variant::Array(array)) => array.inner().iter().filter_map(as_text).collect(),
        _ => Vec::new(),
    }
}

fn as_text(value: &Variant<'_>) -> Option<String> {
    match value {
        Variant::Str(text) => Some(text.to_string()),
        Variant::Variant(inner) => as_text(inner),
        _ => None,
    }
}

fn map_of(all: &HashMap<String, OwnedVariant>, key: &str) -> BTreeMap<String, String> {
    match all.get(key).map(|value| &**value) {
        Some(Variant::Dict(dict)) => {
            dict.iter().filter_map(|(key, value)| Some((as_text(key)?, as_text(value)?))).collect()
        }
        _ => BTreeMap::new(),
    }
}

fn numbers_of(all: &HashMap<String, OwnedVariant>, key: &str) -> Vec<u32> {
    match all.get(key).map(|value| &**value) {
        Some(Variant::Array(array)) => array
            .inner()
            .iter()
            .filter_map(|value| match value {
                Variant::U32(number) => Some(*number),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn number_of(all: &HashMap<String, OwnedVariant>, key: &str) -> Option<u64> {
    match &**all.get(key)? {
        Variant::U8(number) => Some(u64::from(*number)),
        Variant::U16(number) => Some(u64::from(*number)),
        Variant::U32(number) => Some(u64::from(*number)),
        Variant::U64(number) => Some(*number),
        Variant::I32(number) => u64::try_from(*number).ok(),
        Variant::I64(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_of_another_type_is_empty() {
        let mut all = OwnedDict::new();
        let owned = |value: Variant<'_>| OwnedVariant::try_from(value).unwrap();
        all.insert("name".into(), owned(Variant::from("dev")));
        all.insert("state".into(), owned(Variant::from(7_u32)));
        all.insert("size".into(), owned(Variant::from(4096_u64)));
        all.insert("grants".into(), owned(Variant::from(vec!["home", "nesting"])));
        all.insert("new-key".into(), owned(Variant::from(true)));
        let container = Container::from(all);
        assert_eq!((container.name.as_str(), container.state.as_str()), ("dev", ""));
        assert_eq!(container.grants, ["home", "nesting"]);
        assert_eq!((container.size, container.agent), (Some(4096), None));
    }
}
