//! The keys that a file may have, and their types.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::image::Protocol;

use super::PromptHint;

/// All keys; `*` stands for any name.
pub(super) const KEYS: [&str; 22] = [
    "default_container",
    "default_image",
    "default_preset",
    "project_template",
    "bridge",
    "pasta",
    "pool",
    "idle_seconds",
    "max_containers",
    "max_snapshots",
    "snapshot_days",
    "prompt_hint",
    "private",
    "remotes.*.url",
    "remotes.*.protocol",
    "remotes.*.certificate",
    "short_names.*",
    "presets.*.text",
    "presets.*.grants",
    "presets.*.requires",
    "settings.*",
    "hints.*",
];

/// Those that a user's file does not set.
pub(super) const SYSTEMS: [&str; 8] = [
    "project_template",
    "bridge",
    "pasta",
    "pool",
    "idle_seconds",
    "max_containers",
    "max_snapshots",
    "snapshot_days",
];

/// Whether a dotted key, or one below which others are, is in the list.
pub(super) fn is_known(path: &[String], is_table: bool) -> bool {
    KEYS.iter().any(|key| {
        let parts: Vec<&str> = key.split('.').collect();
        let fits = parts.iter().zip(path).all(|(part, word)| *part == "*" || part == word);
        fits && if is_table { path.len() < parts.len() } else { path.len() == parts.len() }
    })
}

/// Words that could stand at a place, to find what was meant.
pub(super) fn words_at(path: &[String]) -> Vec<&'static str> {
    let depth = path.len().saturating_sub(1);
    let words = KEYS.iter().filter_map(|key| {
        let parts: Vec<&str> = key.split('.').collect();
        let above = parts.iter().zip(&path[..depth]).all(|(part, word)| *part == "*" || part == word);
        (above && depth < parts.len()).then(|| parts[depth]).filter(|word| *word != "*")
    });
    words.collect()
}

/// One file, or all merged: types only.
#[derive(Debug, Deserialize)]
pub(super) struct Raw {
    pub(super) default_container: Option<String>,
    pub(super) default_image: Option<String>,
    pub(super) default_preset: Option<String>,
    pub(super) project_template: Option<String>,
    pub(super) bridge: Option<String>,
    pub(super) pasta: Option<PathBuf>,
    pub(super) pool: Option<String>,
    pub(super) idle_seconds: Option<u32>,
    pub(super) max_containers: Option<u32>,
    pub(super) max_snapshots: Option<u32>,
    pub(super) snapshot_days: Option<u32>,
    pub(super) prompt_hint: Option<PromptHint>,
    pub(super) private: Option<Vec<String>>,
    #[serde(default)]
    pub(super) remotes: BTreeMap<String, RawRemote>,
    #[serde(default)]
    pub(super) short_names: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) presets: BTreeMap<String, RawPreset>,
    #[serde(default)]
    pub(super) settings: BTreeMap<String, toml::Value>,
    #[serde(default)]
    pub(super) hints: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawRemote {
    pub(super) url: Option<String>,
    pub(super) protocol: Option<Protocol>,
    pub(super) certificate: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawPreset {
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) grants: Vec<String>,
    #[serde(default)]
    pub(super) requires: Vec<String>,
}
