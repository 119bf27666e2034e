//! Image references as people type them, the remotes they name, and the table of short names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::error::{Explain, Kind};
use crate::name::ContainerName;
use crate::text;

/// The remote that stands for the host's own images.
pub const LOCAL: &str = "local";

/// Longest reference, in bytes.
const LONGEST: usize = 4096;

/// A whole fingerprint has 64 digits; Incus takes unambiguous beginnings, of which 12 are safe to tell from a word.
const FINGERPRINT_DIGITS: std::ops::RangeInclusive<usize> = 12..=64;

/// How to speak to a remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// A static image server.
    Simplestreams,
    /// Another Incus.
    Incus,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Simplestreams => "simplestreams",
            Self::Incus => "incus",
        })
    }
}

/// Where images come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The word before the colon.
    pub name: String,
    /// Address, `https://…`.
    pub url: String,
    /// How to speak to it.
    pub protocol: Protocol,
    /// File with the certificate (PEM) of a server that no public authority vouches for; only that one is trusted then.
    pub certificate: Option<PathBuf>,
}

/// Which image: checked, short names resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ImageRef {
    /// `images:debian/13`
    Remote {
        /// Name of a remote of the configuration.
        remote: String,
        /// The image's alias there.
        alias: String,
    },
    /// `local:ALIAS`: an image that this host's Incus has.
    Local(String),
    /// The beginning of the fingerprint of such an image, at least 12 digits.
    Fingerprint(String),
    /// `file:PATH`: an archive on the host.
    File(PathBuf),
}

impl ImageRef {
    /// A container's name made from the image: `images:debian/13` → `debian-13`.
    #[must_use]
    pub fn container_name(&self) -> Option<ContainerName> {
        match self {
            Self::Remote { alias, .. } | Self::Local(alias) => ContainerName::suggest(alias),
            Self::Fingerprint(digits) => {
                ContainerName::suggest(&format!("image-{}", &digits[..12.min(digits.len())]))
            }
            Self::File(path) => {
                let name = path.file_name()?.to_string_lossy();
                ContainerName::suggest(
                    name.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(&name),
                )
            }
        }
    }

    /// Whether it has to come over a network unless Incus has it already.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::Remote { .. })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote { remote, alias } => write!(f, "{remote}:{alias}"),
            Self::Local(alias) => write!(f, "{LOCAL}:{alias}"),
            Self::Fingerprint(digits) => f.write_str(digits),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl FromStr for ImageRef {
    type Err = ImageError;

    /// Reads the full spelling that [`fmt::Display`] writes: any remote name, no short names.
    fn from_str(given: &str) -> Result<Self, ImageError> {
        check_text(given)?;
        if let Some((remote, alias)) = given.split_once(':') {
            return match remote {
                "file" if alias.is_empty() => Err(malformed(given, "the path is missing")),
                "file" => Ok(Self::File(alias.into())),
                "" => Err(malformed(given, "the remote's name is missing")),
                _ => {
                    check_alias(given, alias)?;
                    if remote == LOCAL {
                        Ok(Self::Local(alias.to_owned()))
                    } else if is_remote_name(remote) {
                        Ok(Self::Remote { remote: remote.to_owned(), alias: alias.to_owned() })
                    } else {
                        Err(malformed(given, "what stands before ':' is no name of a remote"))
                    }
                }
            };
        }
        if is_fingerprint(given) {
            return Ok(Self::Fingerprint(given.to_owned()));
        }
        Err(ImageError::Unknown { reference: given.to_owned(), nearest: None })
    }
}

impl TryFrom<String> for ImageRef {
    type Error = ImageError;

    fn try_from(text: String) -> Result<Self, ImageError> {
        text.parse()
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> Self {
        image.to_string()
    }
}

/// What the configuration says about images: remotes by name, and short names.
///
/// A short name stands for a reference; a part in braces is the version that `NAME:VERSION` replaces:
/// `debian = "images:debian/{13}"`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageTable {
    /// Remotes by name.
    pub remotes: BTreeMap<String, Remote>,
    /// References by short name.
    pub short_names: BTreeMap<String, String>,
}

impl ImageTable {
    /// The server of an image; `None` for one that is no server's, or whose server is not configured any more.
    #[must_use]
    pub fn remote_of(&self, image: &ImageRef) -> Option<&Remote> {
        match image {
            ImageRef::Remote { remote, .. } => self.remotes.get(remote),
            _ => None,
        }
    }

    /// Reads what a person typed.
    ///
    /// # Errors
    /// [`ImageError`], with hints that name what works.
    pub fn parse(&self, given: &str) -> Result<ImageRef, ImageError> {
        check_text(given)?;
        if given.starts_with("file:") {
            return given.parse();
        }
        if let Some(rest) = oci_image(given) {
            return Err(ImageError::Oci { reference: given.to_owned(), instead: self.instead_of_oci(rest) });
        }
        if given.starts_with(['/', '.', '~']) {
            return Err(ImageError::Path(given.to_owned()));
        }
        let remote = given.split_once(':').map(|(remote, _)| remote);
        if remote.is_some_and(|name| name.is_empty() || name == LOCAL || self.remotes.contains_key(name)) {
            return given.parse();
        }
        if let Some(image) = self.short_name(given) {
            return image;
        }
        if is_fingerprint(given) {
            return Ok(ImageRef::Fingerprint(given.to_owned()));
        }
        if let Some((remote, rest)) = given.split_once(':') {
            return Err(self.unknown_remote(given, remote, rest));
        }
        let word = given.split('/').next().unwrap_or(given);
        let nearest = text::nearest(word, self.short_names.keys().map(String::as_str)).map(str::to_owned);
        Err(ImageError::Unknown { reference: given.to_owned(), nearest })
    }

    /// A short name or `NAME:VERSION` or `NAME/VERSION`; `None` when the word is not in the table.
    fn short_name(&self, given: &str) -> Option<Result<ImageRef, ImageError>> {
        let (word, version) = match given.split_once([':', '/']) {
            Some((word, version)) => (word, Some(version)),
            None => (given, None),
        };
        let template = self.short_names.get(word)?;
        Some(match (expand(template, version), version) {
            (None, _) => Err(malformed(given, "this name has no versions")),
            (_, Some("")) => Err(malformed(given, "the version is missing")),
            (Some(full), _) => full.parse().and_then(|image| self.check_remote(given, image)),
        })
    }

    /// A short name may stand for a remote that nobody configured.
    fn check_remote(&self, given: &str, image: ImageRef) -> Result<ImageRef, ImageError> {
        match &image {
            ImageRef::Remote { remote, .. } if !self.remotes.contains_key(remote) => {
                Err(self.unknown_remote(given, remote, ""))
            }
            _ => Ok(image),
        }
    }

    fn unknown_remote(&self, given: &str, remote: &str, rest: &str) -> ImageError {
        let known: Vec<&str> = self.remotes.keys().map(String::as_str).chain([LOCAL, "file"]).collect();
        let names = self.short_names.keys().map(String::as_str).filter(|_| !rest.is_empty());
        let nearest = text::nearest(remote, known.iter().copied().chain(names));
        ImageError::UnknownRemote {
            reference: given.to_owned(),
            remote: remote.to_owned(),
            nearest: nearest.filter(|_| !rest.is_empty()).map(|near| format!("{near}:{rest}")),
            remotes: known.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    /// The nearest thing that works in place of an OCI image: `docker.io/library/debian:13` → `debian:13`.
    fn instead_of_oci(&self, rest: &str) -> Option<String> {
        let last = rest.rsplit('/').next()?;
        let (word, version) = last.split_once([':', '@']).unwrap_or((last, "latest"));
        let template = self.short_names.get(word)?;
        let versioned = version != "latest" && last.contains(':') && !last.contains('@');
        let spelled = if versioned && expand(template, Some(version)).is_some() {
            format!("{word}:{version}")
        } else {
            word.to_owned()
        };
        self.parse(&spelled).is_ok().then_some(spelled)
    }
}

/// Puts a version into a template: `images:debian/{13}` and `12` give `images:debian/12`.
fn expand(template: &str, version: Option<&str>) -> Option<String> {
    match (
        template.split_once('{').and_then(|(a, rest)| rest.split_once('}').map(|(b, c)| (a, b, c))),
        version,
    ) {
        (Some((before, default, after)), version) => {
            Some(format!("{before}{}{after}", version.unwrap_or(default)))
        }
        (None, None) => Some(template.to_owned()),
        (None, Some(_)) => None,
    }
}

/// What follows the registry, when the reference is one of Docker's or Podman's.
fn oci_image(given: &str) -> Option<&str> {
    for scheme in ["docker://", "oci://", "docker:", "oci:"] {
        if let Some(rest) = given.strip_prefix(scheme) {
            return Some(rest);
        }
    }
    let (host, rest) = given.split_once('/')?;
    let registry = host.contains('.') && !host.contains("..") && !host.starts_with('.') && !rest.is_empty();
    (registry || host == "localhost" || host.starts_with("localhost:")).then_some(rest)
}

fn is_fingerprint(given: &str) -> bool {
    FINGERPRINT_DIGITS.contains(&given.len())
        && given.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

pub(crate) fn is_remote_name(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn check_text(given: &str) -> Result<(), ImageError> {
    match given {
        "" => Err(malformed(given, "it is empty")),
        _ if given.len() > LONGEST => Err(malformed(given, "it is too long")),
        _ if given.chars().any(text::is_unsafe) => Err(malformed(given, "it holds control characters")),
        _ => Ok(()),
    }
}

fn check_alias(given: &str, alias: &str) -> Result<(), ImageError> {
    if alias.is_empty() {
        return Err(malformed(given, "the image's name is missing"));
    }
    if let Some(bad) = alias.chars().find(|c| c.is_whitespace() || matches!(c, '?' | '#' | '%' | '\\')) {
        return Err(malformed(given, &format!("'{bad}' is not allowed in an image's name")));
    }
    if alias.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(malformed(given, "a part between slashes is empty or dots only"));
    }
    Ok(())
}

fn malformed(reference: &str, problem: &str) -> ImageError {
    ImageError::Malformed { reference: reference.to_owned(), problem: problem.to_owned() }
}

/// A reference that names no image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// It cannot be read.
    #[error("'{}' is not an image reference: {problem}", text::shown(reference))]
    Malformed {
        /// What was given.
        reference: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No short name.
    #[error("no image is known as '{}'", text::shown(reference))]
    Unknown {
        /// What was given.
        reference: String,
        /// A short name that is spelled nearly so.
        nearest: Option<String>,
    },
    /// No such remote.
    #[error("no remote is called '{}' (in '{}')", text::shown(remote), text::shown(reference))]
    UnknownRemote {
        /// What was given.
        reference: String,
        /// The word before the colon.
        remote: String,
        /// What was probably meant.
        nearest: Option<String>,
        /// The remotes that there are.
        remotes: Vec<String>,
    },
    /// A path without `file:`.
    #[error("'{}' looks like a path, not like an image", text::shown(_0))]
    Path(String),
    /// An image of a container registry.
    #[error(
        "'{}' is an OCI image of a registry; Snug's containers are made from system images",
        text::shown(reference)
    )]
    Oci {
        /// What was given.
        reference: String,
        /// The short name that gives the same distribution.
        instead: Option<String>,
    },
}

impl Explain for ImageError {
    fn kind(&self) -> Kind {
        Kind::User
    }

    fn hints(&self) -> Vec<String> {
        let spellings =
            "an image is spelled debian, fedora:43, images:debian/13, local:ALIAS or file:PATH".to_owned();
        match self {
            Self::Malformed { .. } => vec![spellings],
            Self::Unknown { nearest: Some(near), .. } => vec![format!("did you mean '{near}'?"), spellings],
            Self::Unknown { reference, nearest: None } => {
                let reference = text::shown(reference);
                vec![
                    format!(
                        "an image of this host is spelled local:{reference}, one of a server images:{reference}"
                    ),
                    "`snug image list` shows the images of this host".to_owned(),
                ]
            }
            Self::UnknownRemote { nearest, remotes, .. } => {
                let mut hints: Vec<_> =
                    nearest.iter().map(|near| format!("did you mean '{}'?", text::shown(near))).collect();
                hints.push(format!("there are: {}", remotes.join(", ")));
                hints.push(
                    "a table [remotes.NAME] with url and protocol in the configuration adds one".to_owned(),
                );
                hints
            }
            Self::Path(path) => vec![format!("an archive is given as file:{}", text::shown(path))],
            Self::Oci { instead, .. } => {
                let mut hints: Vec<_> = instead.iter().map(|name| format!("'{name}' works")).collect();
                hints.push(
                    "run the image inside a container: `snug run podman run …` (preset with nesting)"
                        .to_owned(),
                );
                hints.push(spellings);
                hints
            }
        }
    }
}

#[cfg(test)]
mod tests;
