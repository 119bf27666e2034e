//! `a{sv}`: options travel by name, so that names can be added.

use std::collections::HashMap;

use zbus::Variant;

use super::proxy::Dict;

/// The options of one call.
#[derive(Default)]
pub struct Options {
    entries: Vec<(&'static str, Variant<'static>)>,
}

impl Options {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// A switch; left out when off, which is every switch's default.
    #[must_use]
    pub fn switch(self, key: &'static str, on: bool) -> Self {
        if on { self.with(key, Variant::from(true)) } else { self }
    }

    /// A switch whose default is on.
    #[must_use]
    pub fn off(self, key: &'static str, off: bool) -> Self {
        if off { self.with(key, Variant::from(false)) } else { self }
    }

    /// A text; left out when there is none.
    #[must_use]
    pub fn text(self, key: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(key, Variant::from(value.to_owned())),
            None => self,
        }
    }

    /// A number; left out when there is none.
    #[must_use]
    pub fn number(self, key: &'static str, value: Option<u32>) -> Self {
        match value {
            Some(value) => self.with(key, Variant::from(value)),
            None => self,
        }
    }

    /// A list of texts; left out when it is empty.
    #[must_use]
    pub fn list(self, key: &'static str, values: &[String]) -> Self {
        if values.is_empty() { self } else { self.with(key, Variant::from(values.to_vec())) }
    }

    /// Texts, also when there are none: that is what is meant then.
    #[must_use]
    pub fn exactly(self, key: &'static str, values: &[String]) -> Self {
        self.with(key, Variant::from(values.to_vec()))
    }

    /// Texts by name; left out when there are none.
    #[must_use]
    pub fn map(self, key: &'static str, values: &[(String, String)]) -> Self {
        if values.is_empty() {
            return self;
        }
        let values: HashMap<String, String> = values.iter().cloned().collect();
        self.with(key, Variant::from(values))
    }

    fn with(mut self, key: &'static str, value: Variant<'static>) -> Self {
        self.entries.push((key, value));
        self
    }

    /// As the proxies take it.
    pub fn borrowed(&self) -> Dict<'_> {
        self.entries.iter().map(|(key, value)| (*key, value)).collect()
    }
}
