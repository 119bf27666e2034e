//! For whom an image exists, and what he calls it.

use incus_client::Image;
use snug_core::spec::{OWNER_KEY, OwnerTag};

/// For whom images exist: those of all, and his own. For root all do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer(OwnerTag);

impl Viewer {
    /// The user of that tag.
    #[must_use]
    pub fn new(tag: OwnerTag) -> Self {
        Self(tag)
    }

    /// Whose view it is.
    #[must_use]
    pub fn tag(&self) -> &OwnerTag {
        &self.0
    }

    /// Whether all images exist for him.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.uid.0 == 0
    }

    /// His part of an alias: of his name what an alias may hold, the rest as `%` and hexadecimal digits.
    fn prefix(&self) -> String {
        let mut prefix = format!("{}-", self.0.uid);
        for byte in self.0.name.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => prefix.push(byte.into()),
                _ => prefix.push_str(&format!("%{byte:02x}")),
            }
        }
        prefix
    }

    /// His own alias for `name`.
    #[must_use]
    pub fn alias(&self, name: &str) -> String {
        format!("snug-{}/{name}", self.prefix())
    }

    /// What he calls an alias of his own.
    #[must_use]
    pub fn own<'a>(&self, alias: &'a str) -> Option<&'a str> {
        split_alias(alias).and_then(|(owner, name)| (owner == self.prefix()).then_some(name))
    }

    /// Whether he imported it.
    #[must_use]
    pub fn imported(&self, image: &Image) -> bool {
        image.properties.get(OWNER_KEY).is_some_and(|owner| *owner == self.0.to_string())
    }

    /// Whether the image exists for him.
    #[must_use]
    pub fn sees(&self, image: &Image) -> bool {
        self.is_root()
            || !image.properties.contains_key(OWNER_KEY)
            || self.imported(image)
            || image.aliases.iter().any(|alias| self.own(&alias.name).is_some())
    }

    /// What he calls the image; aliases of others are left out.
    #[must_use]
    pub fn names(&self, image: &Image) -> Vec<String> {
        let name = |alias: &str| match (self.own(alias), split_alias(alias)) {
            (Some(name), _) => Some(name.to_owned()),
            (None, Some(_)) if !self.is_root() => None,
            (None, _) => Some(alias.to_owned()),
        };
        image.aliases.iter().filter_map(|alias| name(&alias.name)).collect()
    }
}

/// A user's part of an alias and the rest; `None` for an alias that is no user's own.
#[must_use]
pub fn split_alias(alias: &str) -> Option<(&str, &str)> {
    let (owner, name) = alias.strip_prefix("snug-")?.split_once('/')?;
    owner.starts_with(|c: char| c.is_ascii_digit()).then_some((owner, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use incus_client::ImageAlias;

    fn viewer(tag: &str) -> Viewer {
        Viewer::new(tag.parse().unwrap())
    }

    fn image(owner: Option<&str>, aliases: &[&str]) -> Image {
        let mut image: Image = serde_json::from_str("{\"fingerprint\":\"abc\"}").unwrap();
        image.aliases = aliases.iter().map(|name| ImageAlias::new(*name)).collect();
        if let Some(tag) = owner {
            image.properties.insert(OWNER_KEY.into(), tag.to_owned());
        }
        image
    }

    #[test]
    fn an_imported_image_does_not_exist_for_others_nor_for_who_gets_the_uid_later() {
        let (anna, root) = (viewer("1000:anna"), viewer("0:root"));
        let mine = image(Some("1000:anna"), &[&anna.alias("work")]);
        assert!(anna.sees(&mine) && root.sees(&mine));
        assert_eq!(anna.names(&mine), ["work"]);
        for other in ["1001:anna", "1000:bert", "1000:anna-", "100:0-anna"].map(viewer) {
            assert!(!other.sees(&mine) && other.names(&mine).is_empty(), "{other:?}");
        }
    }

    #[test]
    fn a_shared_image_exists_for_all_and_others_names_are_hidden() {
        let (anna, bert) = (viewer("1000:anna"), viewer("1001:bert"));
        let shared = image(None, &["debian/13", &anna.alias("deb"), "snug-tools/1"]);
        assert!(bert.sees(&shared));
        assert_eq!(bert.names(&shared), ["debian/13", "snug-tools/1"]);
        assert_eq!(anna.names(&shared), ["debian/13", "deb", "snug-tools/1"]);
    }

    #[test]
    fn a_name_of_a_directory_service_stays_within_its_part_of_the_alias() {
        let odd = viewer("1000:EX\\a/b c");
        assert_eq!(odd.alias("x/y"), "snug-1000-EX%5ca%2fb%20c/x/y");
        assert_eq!(odd.own("snug-1000-EX%5ca%2fb%20c/x/y"), Some("x/y"));
    }
}
