//! Options of a call (`a{sv}`): typed, and refused by name when the daemon does not know one.

use std::collections::{BTreeMap, HashMap};

use zbus::OwnedVariant;

use crate::error::{Error, Result, invalid};

/// The options of one call; each is taken once, what is left at [`Options::finish`] is unknown.
#[derive(Debug, Default)]
pub struct Options(HashMap<String, OwnedVariant>);

impl From<HashMap<String, OwnedVariant>> for Options {
    fn from(map: HashMap<String, OwnedVariant>) -> Self {
        Self(map)
    }
}

fn wrong(key: &str, wanted: &str) -> Error {
    invalid(format!("option '{key}' must be of type '{wanted}'"))
}

macro_rules! taker {
    ($(#[$meta:meta])* $name:ident, $type:ty, $signature:literal) => {
        $(#[$meta])*
        ///
        /// # Errors
        /// [`crate::error::ErrorKind::InvalidArgument`] when it has another type.
        pub fn $name(&mut self, key: &str) -> Result<Option<$type>> {
            self.0
                .remove(key)
                .map(|value| <$type>::try_from(value).map_err(|_| wrong(key, $signature)))
                .transpose()
        }
    };
}

impl Options {
    taker!(/// Takes a string.
        string, String, "s");
    taker!(/// Takes a number.
        number, u32, "u");
    taker!(/// Takes a list of strings.
        list, Vec<String>, "as");
    taker!(/// Takes a map of strings.
        map, BTreeMap<String, String>, "a{ss}");

    /// Takes a flag, `false` when it is not there.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::InvalidArgument`] when it has another type.
    pub fn flag(&mut self, key: &str) -> Result<bool> {
        Ok(self.maybe_flag(key)?.unwrap_or(false))
    }

    taker!(/// Takes a flag that may be absent.
        maybe_flag, bool, "b");

    /// Fails when an option is left that nobody took.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::InvalidArgument`] with the names.
    pub fn finish(self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut names: Vec<_> = self.0.into_keys().collect();
        names.sort();
        Err(invalid(format!("unknown option '{}'", names.join("', '")))
            .hint("the client may be newer than the daemon: restart snugd, or update it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::Variant;

    fn options(pairs: Vec<(&str, Variant<'static>)>) -> Options {
        Options(pairs.into_iter().map(|(k, v)| (k.to_owned(), v.try_into().unwrap())).collect())
    }

    #[test]
    fn an_unknown_option_is_refused_by_its_name() {
        let mut all = options(vec![("force", Variant::from(true)), ("colour", Variant::from("red"))]);
        assert!(all.flag("force").unwrap());
        let error = all.finish().unwrap_err();
        assert!(error.message.contains("'colour'"), "{error}");
    }

    #[test]
    fn a_wrong_type_names_the_option_and_the_type() {
        let error = options(vec![("force", Variant::from("yes"))]).flag("force").unwrap_err();
        assert_eq!(error.message, "option 'force' must be of type 'b'");
    }

    #[test]
    fn lists_and_maps_arrive() {
        let mut all = options(vec![
            ("grants", Variant::from(vec!["home".to_owned()])),
            ("settings", Variant::from(HashMap::from([("cpu".to_owned(), "2".to_owned())]))),
        ]);
        assert_eq!(all.list("grants").unwrap().unwrap(), ["home"]);
        assert_eq!(all.map("settings").unwrap().unwrap()["cpu"], "2");
        assert!(all.finish().is_ok());
    }
}
