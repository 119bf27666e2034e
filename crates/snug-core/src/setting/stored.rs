//! A container's settings as its spec holds them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Autostart, Setting, SettingKey};

/// A container's settings as they are stored. Keys of a newer version are kept and not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets or replaces one.
    pub fn set(&mut self, setting: &Setting) {
        self.0.insert(setting.key().word().to_owned(), setting.value());
    }

    /// Takes one away.
    pub fn unset(&mut self, key: SettingKey) {
        self.0.remove(key.word());
    }

    /// One of them; `None` also when the stored value is not understood.
    #[must_use]
    pub fn get(&self, key: SettingKey) -> Option<Setting> {
        Setting::new(key, self.0.get(key.word())?).ok()
    }

    /// When it starts by itself.
    #[must_use]
    pub fn autostart(&self) -> Autostart {
        match self.get(SettingKey::Autostart) {
            Some(Setting::Autostart(when)) => when,
            _ => Autostart::No,
        }
    }

    /// All of them, stored words as they are.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `limits.*` of Incus' configuration.
    #[must_use]
    pub fn incus_config(&self) -> BTreeMap<String, String> {
        let pair = |key: SettingKey| Some((key.incus_key()?.to_owned(), self.get(key)?.value()));
        SettingKey::ALL.into_iter().filter_map(pair).collect()
    }

    /// `size` of the root disk device.
    #[must_use]
    pub fn root_size(&self) -> Option<String> {
        self.get(SettingKey::Disk).map(|disk| disk.value())
    }
}

impl<'a> FromIterator<&'a Setting> for Settings {
    fn from_iter<I: IntoIterator<Item = &'a Setting>>(settings: I) -> Self {
        let mut all = Self::default();
        settings.into_iter().for_each(|setting| all.set(setting));
        all
    }
}
