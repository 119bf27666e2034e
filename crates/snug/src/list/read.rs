//! A list's text, checked before anything is done: all that is wrong with it, each with its line.

use std::collections::BTreeMap;
use std::ops::Range;

use snug_core::Explain;
use snug_core::config::Config;
use snug_core::grant::GrantSet;
use snug_core::image::ImageRef;
use snug_core::name::ContainerName;
use snug_core::preset::PresetError;
use snug_core::setting::{Setting, SettingKey};
use snug_core::text::{nearest, shown};
use snug_exports::{ApplicationId, Socket, Wanted};
use snug_packages::error::Error;
use snug_packages::manager::{MANAGERS, Manager};
use toml_edit::{Document, Item, Key, TableLike, Value};

use super::grants::{self, Differences};
use super::step::Obstacle;
use super::{
    APPS, CONTAINER, EXPORTS, Entry, GRANTS, IMAGE, KEYS, List, PACKAGES, PRESET, SETTINGS, SOCKETS, name_of,
    write,
};
use crate::packages::words::is_called_as_file;

/// Words of one list: thousands of packages are more than anybody asks for.
const MOST_WORDS: usize = 10_000;
/// What servers call images of distributions, by their package managers.
const DISTRIBUTIONS: [(&str, &[&str]); 5] = [
    ("apt", &["debian", "ubuntu", "devuan", "kali", "mint"]),
    ("dnf", &["fedora", "centos", "almalinux", "rockylinux", "oracle"]),
    ("zypper", &["opensuse"]),
    ("pacman", &["archlinux"]),
    ("apk", &["alpine"]),
];

/// Something that is wrong with a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where, counted from 1.
    pub line: usize,
    /// What.
    pub text: String,
    /// What to do.
    pub hints: Vec<String>,
}

/// Reads a list.
///
/// # Errors
/// All that is wrong with it, in the order of the lines; one at least.
pub fn read(text: &str, config: &Config) -> Result<List, Vec<Mistake>> {
    let mut reader = Reader { text, config, mistakes: Vec::new() };
    let list = match Document::parse(text) {
        Ok(document) => reader.list(&document),
        Err(error) => {
            let hint = r#"a list is TOML, for example: packages = ["jq", "ripgrep"]"#.to_owned();
            reader.mistake(error.span(), error.message().to_owned(), vec![hint]);
            List::default()
        }
    };
    let mut mistakes = reader.mistakes;
    if mistakes.is_empty() {
        return Ok(list);
    }
    mistakes.sort_by_key(|mistake| mistake.line);
    Err(mistakes)
}

struct Reader<'a> {
    text: &'a str,
    config: &'a Config,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn mistake(&mut self, at: Option<Range<usize>>, text: String, hints: Vec<String>) {
        let start = at.map_or(0, |span| span.start.min(self.text.len()));
        let line = 1 + self.text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count();
        self.mistakes.push(Mistake { line, text, hints });
    }

    fn explained(&mut self, at: Option<Range<usize>>, error: &(impl Explain + std::fmt::Display)) {
        self.mistake(at, error.to_string(), error.hints());
    }

    fn unknown_key(&mut self, key: &Key, known: &[&'static str]) {
        let hints = match nearest(key.get(), known.iter().copied()) {
            Some(near) => vec![format!("did you mean '{near}'?")],
            None => vec![
                format!("there are: {}", known.join(", ")),
                "a list that a newer Snug wrote may have more: it needs that one".to_owned(),
            ],
        };
        self.mistake(key.span(), format!("there is no key '{}' here", shown(key.get())), hints);
    }

    /// A key that is no [`CONTAINER`]: perhaps a container's name.
    fn unknown_table(&mut self, key: &Key, item: &Item) {
        let is_near = nearest(key.get(), [CONTAINER]).is_some();
        match key.get().parse::<ContainerName>() {
            Ok(name) if item.is_table_like() && !is_near => {
                let hint = format!("a container is [container.{name}]");
                self.mistake(key.span(), format!("there is no table '{name}' in a list"), vec![hint]);
            }
            _ => self.unknown_key(key, &[CONTAINER]),
        }
    }

    fn list(&mut self, document: &Document<&str>) -> List {
        let mut list = List::default();
        for (key, item) in entries(document.as_table()) {
            if key.get() != CONTAINER {
                self.unknown_table(key, item);
                continue;
            }
            let Some(containers) = item.as_table_like() else {
                let text = "what containers are to be is said in tables: [container.NAME]".to_owned();
                self.mistake(key.span(), text, Vec::new());
                continue;
            };
            for (name, item) in entries(containers) {
                match (name.get().parse::<ContainerName>(), item.as_table_like()) {
                    (Err(error), _) => self.explained(name.span(), &error),
                    (Ok(container), None) => {
                        let text = format!(
                            "what '{container}' is to be is said in a table: [container.{container}]"
                        );
                        self.mistake(name.span(), text, Vec::new());
                    }
                    (Ok(container), Some(table)) => {
                        let entry = self.entry(&container, name, table);
                        list.containers.insert(container, entry);
                    }
                }
            }
        }
        list
    }

    fn entry(&mut self, container: &ContainerName, name: &Key, table: &dyn TableLike) -> Entry {
        let mut entry = Entry { preset: self.config.default_preset.clone(), ..Entry::default() };
        let mut differences = Differences::default();
        let (mut image, mut at_grants, mut packages) = (None, name.span(), None);
        for (key, item) in entries(table) {
            match key.get() {
                IMAGE => {
                    entry.has_image = true;
                    image = self.word(key, item).and_then(|(span, word)| self.image(span, &word));
                }
                PRESET => {
                    entry.has_grants = true;
                    at_grants = key.span();
                    if let Some((_, word)) = self.word(key, item) {
                        entry.preset = word;
                    }
                }
                GRANTS => {
                    entry.has_grants = true;
                    at_grants = key.span();
                    differences = self.differences(key, item);
                }
                PACKAGES => packages = Some((key, item)),
                EXPORTS => entry.exports = Some(self.exports(key, item)),
                APPS => entry.apps = Some(self.apps(key, item)),
                SOCKETS => entry.sockets = Some(self.sockets(key, item, container)),
                SETTINGS => entry.settings = Some(self.settings(key, item)),
                _ => self.unknown_key(key, &KEYS),
            }
        }
        match grants::resolve(self.config, &entry.preset, &differences) {
            Ok(grants) => entry.grants = grants,
            // One that is there may have it from the time when there was one.
            Err(error @ PresetError::Unknown { .. }) => match GrantSet::parse(&differences.added) {
                Ok(grants) => {
                    entry.unknown_preset = Some(self.unknown_preset(container, &error, &grants));
                    entry.grants = grants;
                }
                Err(error) => self.explained(at_grants, &error),
            },
            Err(error) => self.explained(at_grants, &error),
        }
        entry.image = match image {
            Some(image) => image,
            None if entry.has_image => String::new(),
            None => match self.config.images.parse(&self.config.default_image) {
                Ok(image) => image.to_string(),
                Err(error) => {
                    self.explained(name.span(), &error);
                    String::new()
                }
            },
        };
        // Where the list says no image, one that is there may be of any.
        let manager = manager_of(&entry.image).filter(|_| entry.has_image);
        entry.packages = packages.map(|(key, item)| self.packages(key, item, manager));
        (entry.added, entry.left_out) = (differences.added, differences.left_out);
        entry
    }

    /// What keeps a container of it from being made, and what to write instead.
    fn unknown_preset(&self, container: &ContainerName, error: &PresetError, grants: &GrantSet) -> Obstacle {
        let mut hints = error.hints();
        if grants.iter().next().is_some() {
            let preset = &self.config.default_preset;
            let words = grants::differences(self.config, preset, grants).words();
            hints.push(format!(
                "the same grants has {PRESET} = {} with {GRANTS} = {}",
                write::quoted(preset),
                write::array(&words)
            ));
        }
        let text = format!("'{container}' cannot be made as the list says: {error}");
        Obstacle { container: container.clone(), text, hints }
    }

    fn image(&mut self, at: Option<Range<usize>>, word: &str) -> Option<String> {
        match self.config.images.parse(word) {
            Ok(ImageRef::File(_)) => {
                let text = "a file is no image of a list: it is another one on another machine".to_owned();
                let hint =
                    "`snug image import` makes an image of it, which is named by `local:ALIAS`".to_owned();
                self.mistake(at, text, vec![hint]);
                None
            }
            Ok(image) => Some(image.to_string()),
            Err(error) => {
                self.explained(at, &error);
                None
            }
        }
    }

    /// Each by its sign; whether they can be together is found with the preset.
    fn differences(&mut self, key: &Key, item: &Item) -> Differences {
        let mut differences = Differences::default();
        for (span, word) in self.words(key, item) {
            let (into, grant) = match (word.strip_prefix('+'), word.strip_prefix('-')) {
                (Some(grant), _) => (&mut differences.added, grant),
                (_, Some(grant)) => (&mut differences.left_out, grant),
                _ => {
                    let text = format!("'{}' does not say whether it is added or left out", shown(&word));
                    let hint = format!("'+{0}' adds it to the preset's, '-{0}' leaves it out", shown(&word));
                    self.mistake(span, text, vec![hint]);
                    continue;
                }
            };
            let checked = match word.starts_with('+') {
                true => GrantSet::parse([grant]).map(drop),
                false => GrantSet::new().remove(grant).map(drop),
            };
            match checked {
                Ok(()) => into.push(grant.to_owned()),
                Err(error) => self.explained(span, &error),
            }
        }
        differences
    }

    /// Which package manager it will be is not known, `manager` but likely: what one of them could be told may go on.
    fn packages(&mut self, key: &Key, item: &Item, manager: Option<&Manager>) -> Vec<String> {
        let mut packages: Vec<String> = Vec::new();
        for (span, word) in self.words(key, item) {
            let fits = MANAGERS.iter().any(|manager| manager.request(&word).is_ok());
            if word.contains('/') || is_called_as_file(&word) {
                let hint = "`snug install FILE` installs it; a list is of what repositories have".to_owned();
                self.mistake(
                    span,
                    format!("'{}' is a file, and no package's name", shown(&word)),
                    vec![hint],
                );
            } else if fits {
                match packages.iter().find(|there| name_of(there) == name_of(&word)) {
                    None => packages.push(word),
                    Some(there) if *there == word => {}
                    Some(there) => {
                        let hint = format!("either '{there}' or '{word}'");
                        let text = format!("'{word}' is there a second time, otherwise");
                        self.mistake(span, text, vec![hint]);
                    }
                }
            } else {
                let (text, hint) = unfit(&word, manager);
                self.mistake(span, text, hint.into_iter().collect());
            }
        }
        packages
    }

    fn exports(&mut self, key: &Key, item: &Item) -> Vec<Wanted> {
        let mut exports: Vec<Wanted> = Vec::new();
        for (span, word) in self.words(key, item) {
            match Wanted::parse(&word) {
                Ok(wanted) if exports.iter().any(|other| other.name == wanted.name && *other != wanted) => {
                    let text = format!("{} would be two commands of this container on the host", wanted.name);
                    let hint = format!("'{}=NAME' gives one another name", shown(&wanted.word));
                    self.mistake(span, text, vec![hint]);
                }
                Ok(wanted) if exports.contains(&wanted) => {}
                Ok(wanted) => exports.push(wanted),
                Err(error) => {
                    let hint = "for example 'rg', 'fdfind=fd', '/opt/x/bin/tool=t'".to_owned();
                    self.mistake(span, error.to_string(), vec![hint]);
                }
            }
        }
        exports
    }

    fn apps(&mut self, key: &Key, item: &Item) -> Vec<ApplicationId> {
        let mut apps: Vec<ApplicationId> = Vec::new();
        for (span, word) in self.words(key, item) {
            match word.parse::<ApplicationId>() {
                Ok(id) if apps.contains(&id) => {}
                Ok(id) => apps.push(id),
                Err(error) => {
                    self.mistake(
                        span,
                        error.to_string(),
                        vec!["for example 'org.gnome.Calculator'".to_owned()],
                    );
                }
            }
        }
        apps
    }

    fn sockets(&mut self, key: &Key, item: &Item, container: &ContainerName) -> Vec<Socket> {
        let mut sockets: Vec<Socket> = Vec::new();
        for (span, word) in self.words(key, item) {
            match Socket::parse(container.clone(), &word) {
                Ok(socket)
                    if sockets
                        .iter()
                        .any(|other| (other.path == socket.path) != (other.name == socket.name)) =>
                {
                    let text = format!("'{}' is there a second time, otherwise", shown(&word));
                    self.mistake(
                        span,
                        text,
                        vec!["a socket has one name on the host, and a name one socket".to_owned()],
                    );
                }
                Ok(socket) if sockets.contains(&socket) => {}
                Ok(socket) => sockets.push(socket),
                Err(error) => {
                    self.mistake(span, error.to_string(), vec!["for example '/run/docker.sock'".to_owned()]);
                }
            }
        }
        sockets
    }

    fn settings(&mut self, key: &Key, item: &Item) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        let Some(table) = item.as_table_like() else {
            let text = "settings are a table: [container.NAME.settings]".to_owned();
            self.mistake(key.span(), text, Vec::new());
            return settings;
        };
        for (key, item) in entries(table) {
            let value = match item.as_value() {
                Some(Value::String(text)) => Some(text.value().clone()),
                Some(Value::Integer(number)) => Some(number.value().to_string()),
                // What is no value of this setting it says itself.
                Some(Value::Float(number)) => Some(number.value().to_string()),
                Some(Value::Boolean(is_so)) => Some(is_so.value().to_string()),
                _ => None,
            };
            let Some(value) = value else {
                let text = format!("the value of '{}' is neither text nor a number", shown(key.get()));
                let takes = key.get().parse::<SettingKey>().ok();
                let hint = takes.map(|setting| format!("'{setting}' takes {}", setting.values()));
                self.mistake(key.span(), text, hint.into_iter().collect());
                continue;
            };
            match Setting::from_pair(key.get(), &value) {
                Ok(setting) => {
                    settings.insert(setting.key().to_string(), setting.value());
                }
                Err(error) => self.explained(key.span(), &error),
            }
        }
        settings
    }

    fn word(&mut self, key: &Key, item: &Item) -> Option<(Option<Range<usize>>, String)> {
        match item.as_value() {
            Some(Value::String(text)) => Some((text.span(), text.value().clone())),
            _ => {
                let hint = format!("text is in quotes: {} = \"…\"", key.get());
                self.mistake(key.span(), format!("the value of '{}' is no text", key.get()), vec![hint]);
                None
            }
        }
    }

    fn words(&mut self, key: &Key, item: &Item) -> Vec<(Option<Range<usize>>, String)> {
        let Some(array) = item.as_array() else {
            let text = format!("the value of '{0}' is no list: {0} = [\"…\"]", key.get());
            self.mistake(key.span(), text, Vec::new());
            return Vec::new();
        };
        if array.len() > MOST_WORDS {
            self.mistake(key.span(), format!("'{}' has more than {MOST_WORDS} words", key.get()), Vec::new());
            return Vec::new();
        }
        let mut words = Vec::new();
        for value in array {
            match value {
                Value::String(text) => words.push((text.span(), text.value().clone())),
                other => {
                    let hint = format!("text is in quotes: {} = [\"…\"]", key.get());
                    self.mistake(
                        other.span(),
                        format!("something in '{}' is no text", key.get()),
                        vec![hint],
                    );
                }
            }
        }
        words
    }
}

/// The package manager that an image's distribution has, where its name tells it.
fn manager_of(image: &str) -> Option<&'static Manager> {
    let (_, alias) = image.split_once(':')?;
    let distribution = alias.split('/').next()?;
    let (name, _) = DISTRIBUTIONS.iter().find(|(_, names)| names.contains(&distribution))?;
    MANAGERS.into_iter().find(|manager| manager.name == *name)
}

/// Why a word is none of a package's for that manager, or for any.
fn unfit(word: &str, manager: Option<&Manager>) -> (String, Option<String>) {
    if let Some(Err(error)) = manager.map(|manager| manager.request(word)) {
        return (error.to_string(), error.hint());
    }
    let reason = |error| match error {
        Error::Name { why, .. } => Some(("name", why)),
        Error::Version { why, .. } => Some(("version", why)),
        _ => None,
    };
    let errors = MANAGERS.iter().filter_map(|manager| manager.request(word).err());
    let reasons: Vec<_> = errors.filter_map(reason).collect();
    let word = shown(word);
    let hint = Some(
        "`snug search` finds names; a word is one name, perhaps with =VERSION, and no pattern".to_owned(),
    );
    match &reasons[..] {
        [(what, why), others @ ..] if others.iter().all(|other| other == &(*what, *why)) => {
            (format!("'{word}' is no {what} of a package: {why}"), hint)
        }
        _ => (format!("'{word}' is no package's name for any package manager"), hint),
    }
}

/// The keys of a table with their places.
fn entries(table: &dyn TableLike) -> impl Iterator<Item = (&Key, &Item)> {
    let names: Vec<&str> = table.iter().map(|(name, _)| name).collect();
    names.into_iter().filter_map(|name| table.get_key_value(name))
}

#[cfg(test)]
mod tests;
