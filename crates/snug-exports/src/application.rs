//! An application of a container that the host's menus have, too: its id, and the files that it has on the host.
//!
//! Its entry is `applications/snug.CONTAINER.ID.desktop` in the user's data directory. That name is no other application's: one of the
//! container's own name would stand before the host's of that name, with all that the host opens by it. Windows are found by the entry's
//! `StartupWMClass` instead, which desktops look at before they look at names of files.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use snug_core::name::ContainerName;
use snug_core::text::escape;
use thiserror::Error;

use crate::command::CommandName;

/// The directory of entries in the user's data directory.
pub const ENTRIES: &str = "applications";
/// The theme that all others fall back on, in the user's data directory.
pub const THEME: &str = "icons/hicolor";
/// What all names of files begin with.
const PREFIX: &str = "snug";
/// Bytes of an id: with the names of container and directory it is one of a file.
const LONGEST_ID: usize = 120;
/// Digits of a digest.
const DIGITS: usize = 32;
/// The longest file name in bytes (`NAME_MAX`, limits.h).
const LONGEST_NAME: usize = 255;

/// What is no application.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unfit {
    /// The id.
    #[error("'{0}' is no id of an application: its entry's file name without .desktop")]
    Id(String),
    /// The index has been written by somebody else.
    #[error("'{0}' is no file of an exported application")]
    File(String),
}

/// The id of an application: the name of its entry, one plain part of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApplicationId(String);

impl ApplicationId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Of an id, an icon's name, a size.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._+@-".contains(c)
}

impl FromStr for ApplicationId {
    type Err = Unfit;

    /// Also with `.desktop` behind it.
    fn from_str(text: &str) -> Result<Self, Unfit> {
        let id = text.strip_suffix(".desktop").unwrap_or(text);
        let is_fit = (1..=LONGEST_ID).contains(&id.len())
            && id.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && !id.contains("..")
            && !id.ends_with('.')
            && id.chars().all(is_plain);
        if is_fit { Ok(Self(id.to_owned())) } else { Err(Unfit::Id(escape(text).into_owned())) }
    }
}

impl TryFrom<String> for ApplicationId {
    type Error = Unfit;

    fn try_from(text: String) -> Result<Self, Unfit> {
        text.parse()
    }
}

impl From<ApplicationId> for String {
    fn from(id: ApplicationId) -> Self {
        id.0
    }
}

impl fmt::Display for ApplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Of which container an application is, and which: the names of all that it has on the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationName {
    /// Whose.
    pub container: ContainerName,
    /// Which.
    pub id: ApplicationId,
}

impl ApplicationName {
    /// From the name of its link: no container's name has a dot.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (container, id) = name.strip_prefix(PREFIX)?.strip_prefix('.')?.split_once('.')?;
        Some(Self {
            container: container.parse().ok()?,
            id: id.parse().ok().filter(|it: &ApplicationId| it.as_str() == id)?,
        })
    }

    /// The name of its link, and of its first icon.
    #[must_use]
    pub fn stem(&self) -> String {
        format!("{PREFIX}.{}.{}", self.container, self.id)
    }

    /// The name of another icon of it: no id has two dots in a row.
    #[must_use]
    pub fn icon(&self, name: &str) -> String {
        format!("{}..{name}", self.stem())
    }

    /// The link by which its entry runs it.
    ///
    /// # Errors
    /// None: ids and containers are shorter than names of files.
    pub fn link(&self) -> Result<CommandName, crate::command::Unfit> {
        self.stem().parse()
    }

    /// Where its entry is, in the user's data directory.
    #[must_use]
    pub fn entry(&self) -> String {
        format!("{ENTRIES}/{}.desktop", self.stem())
    }

    /// Whether a file of the user's data directory can be one of this application's.
    fn is_own(&self, place: &str) -> bool {
        if place == self.entry() {
            return true;
        }
        let below = place.strip_prefix(THEME).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
        let parts: Vec<&str> = below.split('/').collect();
        let [size, "apps", file] = parts[..] else { return false };
        let is_name = |name: &str| !name.starts_with('.') && !name.is_empty() && name.chars().all(is_plain);
        let after = file.strip_prefix(&self.stem()).unwrap_or_default();
        is_name(size) && is_name(file) && file.len() <= LONGEST_NAME && after.starts_with(['.', '-'])
    }
}

/// An application of a container that the host has, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Application {
    /// Whose.
    pub container: ContainerName,
    /// Which.
    pub id: ApplicationId,
    /// Where its entry is in the container.
    pub path: String,
    /// Where it is to run in the container; without one where it is called, or at home.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The package that it is of; without one none has it, or nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// That package's version when the entry was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its files in the user's data directory, and the digests of what Snug has written there.
    pub files: BTreeMap<String, String>,
    /// Digests of what they had before, while they are being written.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub replaces: BTreeMap<String, String>,
}

/// An application as the index has it: another program, or somebody's hand, may have written it.
#[derive(Deserialize)]
struct Written {
    container: ContainerName,
    id: ApplicationId,
    path: String,
    directory: Option<String>,
    package: Option<String>,
    version: Option<String>,
    files: BTreeMap<String, String>,
    #[serde(default)]
    replaces: BTreeMap<String, String>,
}

impl TryFrom<Written> for Application {
    type Error = Unfit;

    fn try_from(written: Written) -> Result<Self, Unfit> {
        let Written { container, id, path, directory, package, version, files, replaces } = written;
        let name = ApplicationName { container, id };
        let is_digest =
            |digest: &str| digest.len() == DIGITS && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let strange =
            files.iter().chain(&replaces).find(|(place, digest)| !name.is_own(place) || !is_digest(digest));
        match strange {
            Some((place, _)) => Err(Unfit::File(escape(place).into_owned())),
            None => Ok(Self {
                container: name.container,
                id: name.id,
                path,
                directory,
                package,
                version,
                files,
                replaces,
            }),
        }
    }
}

impl Application {
    /// Its names.
    #[must_use]
    pub fn name(&self) -> ApplicationName {
        ApplicationName { container: self.container.clone(), id: self.id.clone() }
    }

    /// Whether it is this one.
    #[must_use]
    pub fn is(&self, name: &ApplicationName) -> bool {
        self.container == name.container && self.id == name.id
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn name() -> ApplicationName {
        ApplicationName { container: "dev".parse().unwrap(), id: "org.x.Tool".parse().unwrap() }
    }

    #[test]
    fn an_id_is_one_plain_part_of_a_path() {
        for good in ["gimp", "org.gimp.GIMP", "kde4-kate", "notepad++", "_x", "7zip", &"x".repeat(120)] {
            assert_eq!(good.parse::<ApplicationId>().unwrap().as_str(), good);
        }
        assert_eq!("gimp.desktop".parse::<ApplicationId>().unwrap().as_str(), "gimp");
        for bad in [
            "",
            ".",
            "..",
            "-x",
            ".x",
            "a/b",
            "../x",
            "a..b",
            "a.",
            "a b",
            "a\nb",
            "ä",
            "$x",
            "a=b",
            "%f",
            ".desktop",
            &"x".repeat(121),
        ] {
            assert!(matches!(bad.parse::<ApplicationId>(), Err(Unfit::Id(_))), "{bad:?}");
        }
    }

    #[test]
    fn names_tell_the_application() {
        assert_eq!(name().stem(), "snug.dev.org.x.Tool");
        assert_eq!(ApplicationName::parse("snug.dev.org.x.Tool"), Some(name()));
        assert_eq!(name().link().unwrap().as_str(), "snug.dev.org.x.Tool");
        for bad in [
            "",
            "snug",
            "snug.",
            "snug.dev",
            "snug.dev.",
            "dev.x",
            "snug.DEV.x",
            "snug.dev.a..b",
            "snug.dev.x.desktop",
        ] {
            assert_eq!(ApplicationName::parse(bad), None, "{bad}");
        }
        let longest = ApplicationName {
            container: "x".repeat(63).parse().unwrap(),
            id: "y".repeat(120).parse().unwrap(),
        };
        assert!(longest.entry().len() < 255 && longest.link().is_ok());
    }

    #[test]
    fn nothing_else_in_the_index_is_a_file_of_it() {
        let of = |place: &str, digest: &str| {
            serde_json::from_value::<Application>(
                json!({"container": "dev", "id": "org.x.Tool", "path": "/x", "files": {place: digest}}),
            )
        };
        let digest = "0123456789abcdef0123456789abcdef";
        for good in [
            "applications/snug.dev.org.x.Tool.desktop",
            "icons/hicolor/48x48/apps/snug.dev.org.x.Tool.png",
            "icons/hicolor/32x32@2/apps/snug.dev.org.x.Tool..new.svg",
            "icons/hicolor/symbolic/apps/snug.dev.org.x.Tool-symbolic.svg",
        ] {
            assert!(of(good, digest).is_ok(), "{good}");
            assert!(of(good, "x").is_err() && of(good, "").is_err());
        }
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "applications/firefox.desktop",
            "applications/snug.web.org.x.Tool.desktop",
            "applications/../snug.dev.org.x.Tool.desktop",
            "icons/hicolor/../apps/snug.dev.org.x.Tool.png",
            "icons/hicolor/48x48/apps/../../snug.dev.org.x.Tool.png",
            "icons/hicolor/48x48/apps/firefox.png",
            "icons/hicolor/48x48/apps/snug.dev.org.x.Tool",
            "icons/hicolor/48x48/apps/snug.dev.org.x.Tooling.png",
            "icons/hicolor/48x48/mimetypes/snug.dev.org.x.Tool.png",
        ] {
            assert!(of(bad, digest).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn an_id_never_leaves_its_directory(text in "[a-z./\\-_ \\\\\n]{0,20}") {
            if let Ok(id) = text.parse::<ApplicationId>() {
                let name = ApplicationName { id, ..name() };
                let parts: Vec<_> = std::path::Path::new(&name.entry()).components().map(|part| part.as_os_str().to_owned()).collect();
                prop_assert_eq!(parts.len(), 2);
                prop_assert_eq!(ApplicationName::parse(&name.stem()), Some(name));
            }
        }
    }
}
