//! Layers: a text and where it comes from; merging them key by key.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use toml::{Table, Value};

use super::schema::{self, Raw};
use super::{Config, ConfigError, PresetMap, Remotes, Warning};
use crate::error::Explain;
use crate::grant::{Grant, GrantError, GrantSet};
use crate::image::{ImageTable, Protocol, Remote, is_remote_name};
use crate::preset::{Preset, Presets};
use crate::setting::{Setting, Settings};
use crate::text;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Compiled in.
    BuiltIn,
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(&'static str),
    /// The command line.
    Flags,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flags => f.write_str("command line"),
        }
    }
}

/// One text of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Where it comes from.
    pub source: Source,
    /// TOML.
    pub text: String,
}

impl Layer {
    /// A text that is TOML already.
    #[must_use]
    pub fn new(source: Source, text: &str) -> Self {
        Self { source, text: text.to_owned() }
    }

    /// A file's text.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>, text: &str) -> Self {
        Self::new(Source::File(path.into()), text)
    }

    /// Single keys of the environment or of flags: `("default_container", "dev")`. A number becomes one where the key
    /// takes a number.
    #[must_use]
    pub fn pairs<'a>(source: Source, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut table = Table::new();
        for (key, value) in pairs {
            let is_number =
                matches!(key, "idle_seconds" | "max_containers" | "max_snapshots" | "snapshot_days");
            let number = is_number.then(|| value.parse().ok()).flatten();
            table.insert(
                key.to_owned(),
                number.map_or_else(|| Value::String(value.to_owned()), Value::Integer),
            );
        }
        Self { source, text: table.to_string() }
    }
}

/// Layers merged so far.
#[derive(Debug, Default)]
pub(super) struct Merged {
    table: Table,
    origins: BTreeMap<String, Source>,
    warnings: Vec<Warning>,
}

impl Merged {
    pub(super) fn add(&mut self, layer: &Layer) -> Result<(), ConfigError> {
        let at = |error: toml::de::Error| located(&layer.source, &layer.text, &error);
        let table: Table = toml::from_str(&layer.text).map_err(at)?;
        // Wrong types are found per file, where line and column are known.
        toml::from_str::<Raw>(&layer.text).map_err(at)?;
        let mut into = std::mem::take(&mut self.table);
        self.merge(&mut into, table, &mut Vec::new(), &layer.source);
        self.table = into;
        Ok(())
    }

    fn merge(&mut self, into: &mut Table, from: Table, path: &mut Vec<String>, source: &Source) {
        for (key, value) in from {
            path.push(key.clone());
            if !schema::is_known(path, value.is_table()) {
                let nearest = text::nearest(&key, schema::words_at(path)).map(str::to_owned);
                self.warnings.push(Warning { source: source.clone(), key: path.join("."), nearest });
            } else if let Value::Table(table) = value {
                let below = into.entry(key).or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(below) = below {
                    self.merge(below, table, path, source);
                }
            } else {
                self.origins.insert(path.join("."), source.clone());
                into.insert(key, value);
            }
            path.pop();
        }
    }

    pub(super) fn finish(mut self) -> Result<Config, ConfigError> {
        let raw: Raw = Value::Table(self.table.clone())
            .try_into()
            .map_err(|error: toml::de::Error| located(&Source::BuiltIn, "", &error))?;
        let presets = self.presets(&raw)?;
        let text = |key: &str, value: &Option<String>| {
            let value = value.clone().unwrap_or_default();
            if value.is_empty() { Err(self.value(key, "it is empty")) } else { Ok(value) }
        };
        let name = text("default_container", &raw.default_container)?;
        let default_container = name.parse().map_err(|error| self.wrong("default_container", &error))?;
        let project_template = text("project_template", &raw.project_template)?;
        if project_template.matches("{uid}").count() != 1
            || !is_remote_name(&project_template.replace("{uid}", "0"))
        {
            return Err(
                self.value("project_template", "it must hold {uid} once, beside letters, digits and dashes")
            );
        }
        let bridge = text("bridge", &raw.bridge)?;
        // IFNAMSIZ less the final zero.
        if bridge.len() > 15 || !is_remote_name(&bridge) {
            return Err(self.value("bridge", "an interface has up to 15 letters, digits and dashes"));
        }
        let pasta = raw.pasta.clone().filter(|path| !path.as_os_str().is_empty());
        // It becomes a word of a shell's line, in the container's configuration.
        let is_plain = |path: &PathBuf| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+-".contains(&byte);
            path.is_absolute() && path.as_os_str().as_encoded_bytes().iter().all(|byte| is_plain(*byte))
        };
        if !pasta.as_ref().is_none_or(is_plain) {
            return Err(self.value("pasta", "it is no whole path of letters, digits and ._+-"));
        }
        let config = Config {
            default_container,
            default_image: text("default_image", &raw.default_image)?,
            default_preset: text("default_preset", &raw.default_preset)?,
            project_template,
            bridge,
            pasta,
            pool: raw.pool.clone().filter(|pool| !pool.is_empty()),
            idle_seconds: raw.idle_seconds.unwrap_or(60),
            max_containers: raw.max_containers.unwrap_or(64),
            max_snapshots: raw.max_snapshots.unwrap_or(10),
            snapshot_days: raw.snapshot_days.unwrap_or(30),
            prompt_hint: raw.prompt_hint.unwrap_or_default(),
            private: self.private(&raw)?,
            images: self.images(&raw)?,
            presets: Presets(presets),
            settings: self.settings(&raw)?,
            hints: raw.hints,
            origins: BTreeMap::new(),
            warnings: Vec::new(),
        };
        if let Err(error) = config.presets.get(&config.default_preset) {
            return Err(self.wrong("default_preset", &error));
        }
        Ok(Config { origins: self.origins, warnings: self.warnings, ..config })
    }

    fn private(&self, raw: &Raw) -> Result<Vec<String>, ConfigError> {
        let paths = raw.private.iter().flatten();
        paths
            .map(|path| match format!("private={path}").parse() {
                // As the containers' specs have it.
                Ok(Grant::Private(path)) => Ok(path.to_string_lossy().into_owned()),
                Ok(other) => Err(self.value("private", &format!("{other} is no island"))),
                Err(error) => Err(self.wrong("private", &error)),
            })
            .collect()
    }

    fn images(&self, raw: &Raw) -> Result<ImageTable, ConfigError> {
        let mut remotes = Remotes::new();
        for (name, remote) in &raw.remotes {
            let key = |last: &str| format!("remotes.{name}.{last}");
            if !is_remote_name(name) || ["local", "file", "docker", "oci"].contains(&name.as_str()) {
                return Err(self.value(&key("url"), "a remote cannot have this name"));
            }
            let url = remote.url.clone().unwrap_or_default();
            if !url.starts_with("https://") {
                return Err(self.value(&key("url"), "an image server's address starts with https://"));
            }
            let protocol = remote.protocol.unwrap_or(Protocol::Simplestreams);
            // An empty path takes a weaker layer's away.
            let certificate = remote.certificate.clone().filter(|path| !path.as_os_str().is_empty());
            if certificate.as_ref().is_some_and(|path| !path.is_absolute()) {
                return Err(self.value(&key("certificate"), "a certificate is given by its whole path"));
            }
            remotes.insert(name.clone(), Remote { name: name.clone(), url, protocol, certificate });
        }
        // An empty value takes a short name away.
        let short_names = raw.short_names.iter().filter(|(_, full)| !full.is_empty());
        let short_names = short_names.map(|(name, full)| (name.clone(), full.clone())).collect();
        let table = ImageTable { remotes, short_names };
        for name in table.short_names.keys() {
            if let Err(error) = table.parse(name) {
                return Err(self.wrong(&format!("short_names.{name}"), &error));
            }
        }
        Ok(table)
    }

    fn presets(&mut self, raw: &Raw) -> Result<PresetMap, ConfigError> {
        let mut presets = PresetMap::new();
        for (name, preset) in &raw.presets {
            let text = preset.text.clone().unwrap_or_default();
            let grants = self.grants(&format!("presets.{name}.grants"), &preset.grants)?;
            let requires = self.grants(&format!("presets.{name}.requires"), &preset.requires)?;
            presets.insert(name.clone(), Preset { name: name.clone(), text, grants, requires });
        }
        Ok(presets)
    }

    /// A word that this version has never heard of is kept and waits, so that a file of a newer version survives a
    /// roll-back of the host.
    fn grants(&mut self, key: &str, words: &[String]) -> Result<GrantSet, ConfigError> {
        let mut grants = Vec::new();
        for word in words {
            match word.parse() {
                Ok(grant) => grants.push(grant),
                Err(GrantError::Unknown { nearest, .. }) => {
                    let nearest = nearest.map(str::to_owned);
                    let source = self.source(key);
                    self.warnings.push(Warning { source, key: format!("{key}: {word}"), nearest });
                    grants.push(Grant::stored(word));
                }
                Err(error) => return Err(self.wrong(key, &error)),
            }
        }
        GrantSet::from_request(grants).map_err(|error| self.wrong(key, &error))
    }

    fn settings(&self, raw: &Raw) -> Result<Settings, ConfigError> {
        let mut settings = Settings::new();
        for (key, value) in &raw.settings {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Integer(number) => number.to_string(),
                _ => return Err(self.value(&format!("settings.{key}"), "it is neither a text nor a number")),
            };
            let setting = Setting::from_pair(key, &value);
            settings.set(&setting.map_err(|error| self.wrong(&format!("settings.{key}"), &error))?);
        }
        Ok(settings)
    }

    fn value(&self, key: &str, problem: &str) -> ConfigError {
        ConfigError::Value {
            origin: self.source(key),
            key: key.to_owned(),
            problem: problem.to_owned(),
            hints: Vec::new(),
        }
    }

    fn wrong(&self, key: &str, error: &impl Explain) -> ConfigError {
        let (problem, hints) = (error.to_string(), error.hints());
        ConfigError::Value { origin: self.source(key), key: key.to_owned(), problem, hints }
    }

    fn source(&self, key: &str) -> Source {
        self.origins.get(key).cloned().unwrap_or(Source::BuiltIn)
    }
}

/// A parser's error with its place in the text; with the key alone where the text is no one's but [`Layer::pairs`]'.
fn located(source: &Source, toml: &str, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start.min(toml.len()));
    let before = toml.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    if let (Source::Variable(_) | Source::Flags, Some((key, _))) =
        (source, toml[line_start..].split_once(" = "))
    {
        return ConfigError::Value {
            origin: source.clone(),
            key: key.to_owned(),
            problem: text::shown(error.message()),
            hints: Vec::new(),
        };
    }
    ConfigError::Toml {
        origin: source.clone(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        problem: error.message().to_owned(),
    }
}
