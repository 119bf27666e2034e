//! Grants: the named holes in a container. One table says all about their words; sets of them know what excludes what.

mod nodes;
pub mod origin;
mod parse;
mod set;
mod table;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::error::{Explain, Kind};
use crate::text;

pub use nodes::Nodes;
pub use set::{GrantSet, MOST};
pub use table::{Admin, Row, Support, Trust, ValueKind, row, table};

/// Directories of the host that the grant `places` shares.
pub const PLACES: [&str; 6] = ["/mnt", "/media", "/run/media", "/srv", "/tmp", "/var/tmp"];

/// Longest grant, in bytes.
const LONGEST: usize = 8192;

/// Whose home the container has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Home {
    /// The owner's.
    Shared,
    /// One on the container's disk.
    Private,
    /// A directory of the host in its place.
    At(PathBuf),
}

/// The container's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// The host's addresses and ports by pasta.
    Mirror,
    /// Behind a bridge of Incus.
    Nat,
    /// The host's own network namespace.
    Host,
    /// Loopback only.
    None,
}

impl Network {
    /// The word after `network=`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Nat => "nat",
            Self::Host => "host",
            Self::None => "none",
        }
    }
}

/// One hole. Written `word` or `word=value`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Grant {
    /// `home`, `home=private`, `home=PATH`
    Home(Home),
    /// `private=PATH`: an island in a shared home, absolute or relative to the home.
    Private(PathBuf),
    /// `path=SRC[:DST][:ro]`
    Path {
        /// On the host; absolute, or `.` in a preset.
        source: PathBuf,
        /// In the guest, where it differs.
        target: Option<PathBuf>,
        /// Not writable.
        readonly: bool,
    },
    /// `places`
    Places,
    /// `host[:ro]`
    Host {
        /// Not writable.
        readonly: bool,
    },
    /// `session`
    Session,
    /// `wayland`
    Wayland,
    /// `x11`
    X11,
    /// `audio`
    Audio,
    /// `session-bus`
    SessionBus,
    /// `ssh-agent`
    SshAgent,
    /// `gpg-agent`
    GpgAgent,
    /// `gpu`
    Gpu,
    /// `input`
    Input,
    /// `kvm`
    Kvm,
    /// `device=/dev/x`
    Device(PathBuf),
    /// `usb=VID:PID`
    Usb {
        /// Vendor.
        vendor: u16,
        /// Product.
        product: u16,
    },
    /// `devices`
    Devices,
    /// `groups`
    Groups,
    /// `network=…`
    Network(Network),
    /// `nesting`
    Nesting,
    /// `host-exec[=cmd,…]`; an empty list is every command.
    HostExec(Vec<String>),
    /// `host-open`
    HostOpen,
    /// `privileged`
    Privileged,
    /// A grant of a newer version in a stored spec: kept, without effect.
    Unknown(String),
}

impl Grant {
    /// The word before `=` or `:`.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Home(_) => "home",
            Self::Private(_) => "private",
            Self::Path { .. } => "path",
            Self::Places => "places",
            Self::Host { .. } => "host",
            Self::Session => "session",
            Self::Wayland => "wayland",
            Self::X11 => "x11",
            Self::Audio => "audio",
            Self::SessionBus => "session-bus",
            Self::SshAgent => "ssh-agent",
            Self::GpgAgent => "gpg-agent",
            Self::Gpu => "gpu",
            Self::Input => "input",
            Self::Kvm => "kvm",
            Self::Device(_) => "device",
            Self::Usb { .. } => "usb",
            Self::Devices => "devices",
            Self::Groups => "groups",
            Self::Network(_) => "network",
            Self::Nesting => "nesting",
            Self::HostExec(_) => "host-exec",
            Self::HostOpen => "host-open",
            Self::Privileged => "privileged",
            Self::Unknown(text) => text.split(['=', ':']).next().unwrap_or(text),
        }
    }

    /// Its row of the table; `None` for an unknown one.
    #[must_use]
    pub fn row(&self) -> Option<&'static Row> {
        let value = match self {
            Self::Unknown(_) => return None,
            Self::Home(Home::Private) => Some("private"),
            Self::Home(Home::At(_)) => Some("PATH"),
            Self::Network(network) => Some(network.word()),
            _ => None,
        };
        table().iter().find(|row| row.word == self.word() && row.variant == value)
    }

    /// Whether this version of Snug carries it out.
    #[must_use]
    pub fn support(&self) -> Support {
        self.row().map_or(Support::Unknown, |row| row.support)
    }

    /// What a preset that has it gives in its place, as long as this version does not carry it out.
    #[must_use]
    pub fn stand_in(&self) -> Option<Self> {
        match self.support() {
            Support::Later { instead } => instead.map(Self::stored),
            Support::Now | Support::Unknown => None,
        }
    }

    /// Whether it makes the container its owner (design, principle 1). `touches_home` says whether a path is in the owner's home.
    #[must_use]
    pub fn is_trusting(&self, touches_home: impl Fn(&Path) -> bool) -> bool {
        match self.row().map_or(Trust::No, |row| row.trust) {
            Trust::No => false,
            Trust::Yes => true,
            Trust::IfWritableHome => match self {
                Self::Path { source, readonly, .. } => !readonly && touches_home(source),
                Self::Home(Home::At(path)) => touches_home(path),
                _ => false,
            },
        }
    }

    /// Whether an administrator has to agree whoever asks. Paths and nodes that the owner cannot reach need one too
    /// ([`Admin::IfUnreachable`]); only the daemon can find that out.
    #[must_use]
    pub fn needs_administrator(&self) -> bool {
        match self.row().map_or(Admin::No, |row| row.admin) {
            Admin::Yes => true,
            Admin::IfWritable => matches!(self, Self::Host { readonly: false }),
            Admin::No | Admin::IfUnreachable => false,
        }
    }

    /// Grants of one slot exclude each other: a later one replaces an earlier one.
    #[must_use]
    pub(crate) fn slot(&self) -> Option<&str> {
        match self {
            Self::Home(_) | Self::Network(_) | Self::Host { .. } | Self::HostExec(_) => Some(self.word()),
            _ => None,
        }
    }

    /// Reads a stored grant: what is not understood is kept as [`Grant::Unknown`].
    #[must_use]
    pub fn stored(text: &str) -> Self {
        text.parse().unwrap_or_else(|_| Self::Unknown(text.to_owned()))
    }
}

impl From<String> for Grant {
    fn from(text: String) -> Self {
        Self::stored(&text)
    }
}

impl From<Grant> for String {
    fn from(grant: Grant) -> Self {
        grant.to_string()
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(given: &str) -> Result<Self, GrantError> {
        if given.len() > LONGEST || given.chars().any(text::is_unsafe) {
            return Err(GrantError::Text(given.chars().take(80).collect()));
        }
        let (word, value) = match given.split_once('=') {
            Some((word, value)) => (word, Some(value)),
            None => match given {
                "host:ro" => ("host", Some("ro")),
                _ => (given, None),
            },
        };
        let Some(row) = row(word) else {
            let nearest = text::nearest(word, table().iter().map(|row| row.word));
            return Err(GrantError::Unknown { word: word.to_owned(), nearest });
        };
        parse::parse_value(row, value, given.contains('=')).map_err(|problem| GrantError::Value {
            word: row.word,
            value: value.unwrap_or_default().to_owned(),
            problem,
            kind: row.value,
        })
    }
}

struct Escaped<'a>(&'a Path);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string_lossy().replace('\\', "\\\\").replace(':', "\\:"))
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word();
        match self {
            Self::Unknown(text) => f.write_str(text),
            Self::Home(Home::Private) => write!(f, "{word}=private"),
            Self::Home(Home::At(path)) | Self::Private(path) | Self::Device(path) => {
                write!(f, "{word}={}", path.display())
            }
            Self::Path { source, target, readonly } => {
                write!(f, "{word}={}", Escaped(source))?;
                if let Some(target) = target {
                    write!(f, ":{}", Escaped(target))?;
                }
                f.write_str(if *readonly { ":ro" } else { "" })
            }
            Self::Host { readonly: true } => write!(f, "{word}:ro"),
            Self::Usb { vendor, product } => write!(f, "{word}={vendor:04x}:{product:04x}"),
            Self::Network(network) => write!(f, "{word}={}", network.word()),
            Self::HostExec(commands) if !commands.is_empty() => write!(f, "{word}={}", commands.join(",")),
            _ => f.write_str(word),
        }
    }
}

/// A grant that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GrantError {
    /// Control characters, or far too long.
    #[error("'{}' is not a grant: it is too long or holds control characters", text::shown(_0))]
    Text(String),
    /// No such word.
    #[error("there is no grant '{}'", text::shown(word))]
    Unknown {
        /// What was given.
        word: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// A value that the word does not take.
    #[error("the grant '{word}' cannot be '{}': {problem}", text::shown(value))]
    Value {
        /// Which grant.
        word: &'static str,
        /// What was given after it.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
        /// What it takes.
        kind: ValueKind,
    },
    /// More than can be asked for at once.
    #[error("more than {most} grants")]
    TooMany {
        /// The bound.
        most: usize,
    },
    /// Two that exclude each other.
    #[error("'{first}' and '{second}' exclude each other")]
    Conflict {
        /// The one.
        first: Box<Grant>,
        /// The other.
        second: Box<Grant>,
    },
    /// This version cannot do it.
    #[error("the grant '{grant}' does not exist in this version of Snug: {reason}")]
    Unsupported {
        /// What was asked for.
        grant: Box<Grant>,
        /// Why not.
        reason: &'static str,
        /// What works in its place.
        instead: Option<&'static str>,
    },
}

impl Explain for GrantError {
    fn kind(&self) -> Kind {
        Kind::User
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Text(_) | Self::TooMany { .. } => Vec::new(),
            Self::Unknown { nearest: Some(near), .. } => vec![format!("did you mean '{near}'?")],
            Self::Unknown { .. } => {
                let now = table().iter().filter(|row| row.support == Support::Now);
                let mut words: Vec<_> = now.map(|row| row.word).collect();
                words.dedup();
                vec![format!("there are: {}", words.join(", "))]
            }
            Self::Value { word, kind, .. } => vec![format!("it is written {word}{}", kind.syntax())],
            Self::Conflict { .. } => vec!["give one of them".to_owned()],
            Self::Unsupported { instead, .. } => {
                instead.iter().map(|instead| format!("'{instead}' works")).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests;
