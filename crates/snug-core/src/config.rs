//! The configuration, merged per key from its layers: built-in < vendor < system < user < environment < flags.
//! The caller reads the files; a layer is a text and where it comes from.

mod layer;
mod schema;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use thiserror::Error;

use crate::error::{Explain, Kind};
use crate::image::{ImageTable, Remote};
use crate::name::{ContainerName, Uid};
use crate::preset::{Preset, Presets};
use crate::setting::Settings;
use crate::snapshot::Keep;
use crate::text;

pub use layer::{Layer, Source};

/// The built-in configuration: the lowest layer.
pub const BUILT_IN: &str = include_str!("defaults.toml");

/// The merged configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The container of commands that name none.
    pub default_container: ContainerName,
    /// What it is made from, as a person would type it; read it with [`ImageTable::parse`].
    pub default_image: String,
    /// The preset of new containers.
    pub default_preset: String,
    /// Name of an owner's Incus project, with `{uid}`; use [`Config::project`].
    pub project_template: String,
    /// The bridge of `network=nat`.
    pub bridge: String,
    /// The program of `network=mirror`; `None` makes that `network=nat`.
    pub pasta: Option<PathBuf>,
    /// The storage pool, where one is prescribed.
    pub pool: Option<String>,
    /// How long the daemon stays on the bus without work.
    pub idle_seconds: u32,
    /// How many containers one user may have.
    pub max_containers: u32,
    /// How many of Snug's snapshots of one container are kept.
    pub max_snapshots: u32,
    /// For how many days.
    pub snapshot_days: u32,
    /// Whether a shell in a container shows which it is.
    pub prompt_hint: PromptHint,
    /// Islands in a shared home.
    pub private: Vec<String>,
    /// Remotes and short names of images.
    pub images: ImageTable,
    /// Presets by name.
    pub presets: Presets,
    /// Settings of new containers.
    pub settings: Settings,
    /// Hint texts of the vendor by the name of the situation: `no-incus` → how to get it on this system.
    pub hints: BTreeMap<String, String>,
    origins: BTreeMap<String, Source>,
    warnings: Vec<Warning>,
}

impl Config {
    /// Merges layers, the weakest first. The built-in ones are always below.
    ///
    /// # Errors
    /// TOML that cannot be read (with line and column), or a value that makes no sense (with its file and key).
    pub fn merge(layers: &[Layer]) -> Result<Self, ConfigError> {
        let built_in =
            [Layer::new(Source::BuiltIn, BUILT_IN), Layer::new(Source::BuiltIn, crate::preset::BUILT_IN)];
        let mut merged = layer::Merged::default();
        for layer in built_in.iter().chain(layers) {
            merged.add(layer)?;
        }
        merged.finish()
    }

    /// The built-in configuration alone.
    #[must_use]
    pub fn built_in() -> Self {
        Self::merge(&[]).expect("the built-in configuration is valid: a test reads it")
    }

    /// Where a key's value comes from: `default_image`, `remotes.images.url`.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&Source> {
        self.origins.get(key)
    }

    /// All keys that have a value, with where it comes from.
    pub fn origins(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.origins.iter().map(|(key, source)| (key.as_str(), source))
    }

    /// Whether a key is what the system says alone, because the daemon acts by it for all users.
    #[must_use]
    pub fn is_systems(key: &str) -> bool {
        schema::SYSTEMS.contains(&key)
    }

    /// What was left out.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The Incus project of an owner.
    #[must_use]
    pub fn project(&self, uid: Uid) -> String {
        self.project_template.replace("{uid}", &uid.to_string())
    }

    /// Which snapshots of a container are kept.
    #[must_use]
    pub fn keep_snapshots(&self) -> Keep {
        let most = usize::try_from(self.max_snapshots).unwrap_or(usize::MAX);
        Keep { most, days: self.snapshot_days }
    }

    /// The owner whose project this is.
    #[must_use]
    pub fn project_owner(&self, project: &str) -> Option<Uid> {
        let (before, after) = self.project_template.split_once("{uid}")?;
        let digits = project.strip_prefix(before)?.strip_suffix(after)?;
        digits.parse().ok().filter(|uid: &u32| uid.to_string() == digits).map(Uid)
    }
}

/// Whether the prompt of a shell says which container it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptHint {
    /// Unless it shows the host's name, which is the container's.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// Not by Snug.
    Never,
}

impl PromptHint {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// Something in a file that has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub source: Source,
    /// Which key.
    pub key: String,
    /// A key that is spelled nearly so.
    pub nearest: Option<String>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: '{}' is not known and has no effect", self.source, text::shown(&self.key))?;
        match &self.nearest {
            Some(near) => write!(f, "; did you mean '{near}'?"),
            None => Ok(()),
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not TOML, or a value of a wrong type.
    #[error("{origin}, line {line}, column {column}: {}", text::shown(problem))]
    Toml {
        /// Where.
        origin: Source,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What the parser says.
        problem: String,
    },
    /// A value that makes no sense.
    #[error("{origin}: '{key}': {problem}")]
    Value {
        /// Where.
        origin: Source,
        /// Which key.
        key: String,
        /// Why.
        problem: String,
        /// What would do.
        hints: Vec<String>,
    },
}

impl Explain for ConfigError {
    fn kind(&self) -> Kind {
        Kind::Config
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Toml { .. } => Vec::new(),
            Self::Value { hints, .. } => hints.clone(),
        }
    }
}

type Remotes = BTreeMap<String, Remote>;
type PresetMap = BTreeMap<String, Preset>;

#[cfg(test)]
mod tests;
