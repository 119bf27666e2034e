//! Settings: what takes away or tunes. Checked here, stored in the spec, given to Incus.

mod stored;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::error::{Explain, Kind};
use crate::text;

pub use stored::Settings;

/// Least memory with which a guest's init gets anywhere, in bytes.
const LEAST_MEMORY: u64 = 32 << 20;
/// Least root disk, in bytes.
const LEAST_DISK: u64 = 64 << 20;
/// Least number of processes with which a guest boots.
const LEAST_PROCESSES: u32 = 32;
/// Largest number of a processor that Incus would look at.
const LARGEST_CPU: u32 = 8192;

/// Which setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SettingKey {
    /// Processors.
    Cpu,
    /// Memory.
    Memory,
    /// Size of the root disk.
    Disk,
    /// Number of processes.
    Processes,
    /// When it starts by itself.
    Autostart,
}

impl SettingKey {
    /// All of them, in the order of listings.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Memory, Self::Disk, Self::Processes, Self::Autostart];

    /// The word that is typed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Processes => "processes",
            Self::Autostart => "autostart",
        }
    }

    /// The values it takes, for help.
    #[must_use]
    pub const fn values(self) -> &'static str {
        match self {
            Self::Cpu => "a number of processors (2), or which ones (0-3,5)",
            Self::Memory => "a size in whole numbers (4GiB, 512M), or a part of the host's (50%)",
            Self::Disk => "a size in whole numbers (20GiB)",
            Self::Processes => "a whole number (1000)",
            Self::Autostart => "no, login or boot",
        }
    }

    /// The controller of cgroup v2 that keeps it, where one does (Documentation/admin-guide/cgroup-v2.rst). Incus keeps a
    /// number of processors with `cpuset`, too (cmd/incusd/devices.go, 6.0.4).
    #[must_use]
    pub const fn controller(self) -> Option<&'static str> {
        match self {
            Self::Cpu => Some("cpuset"),
            Self::Memory => Some("memory"),
            Self::Processes => Some("pids"),
            Self::Disk | Self::Autostart => None,
        }
    }

    /// The key of Incus' configuration, where it is one.
    #[must_use]
    pub const fn incus_key(self) -> Option<&'static str> {
        match self {
            Self::Cpu => Some("limits.cpu"),
            Self::Memory => Some("limits.memory"),
            Self::Processes => Some("limits.processes"),
            Self::Disk | Self::Autostart => None,
        }
    }
}

impl fmt::Display for SettingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for SettingKey {
    type Err = SettingError;

    fn from_str(word: &str) -> Result<Self, SettingError> {
        Self::ALL.into_iter().find(|key| key.word() == word).ok_or_else(|| SettingError::UnknownKey {
            key: word.to_owned(),
            nearest: text::nearest(word, Self::ALL.map(Self::word)),
        })
    }
}

/// When a container starts without being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Autostart {
    /// When it is used.
    #[default]
    No,
    /// With its owner's first login.
    Login,
    /// With the host.
    Boot,
}

impl fmt::Display for Autostart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "no",
            Self::Login => "login",
            Self::Boot => "boot",
        })
    }
}

/// A number of bytes. Written with the largest binary unit that divides it: `4GiB`, `1536MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = ();

    /// `4GiB`, `4G`, `4g` (all binary), `4GB` (decimal), `4096` (bytes).
    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = text[..digits].parse().map_err(|_| ())?;
        let unit = text[digits..].to_ascii_lowercase();
        let unit = unit.strip_prefix(' ').unwrap_or(&unit);
        let factor: u64 = match unit {
            "" | "b" => 1,
            "k" | "ki" | "kib" => 1 << 10,
            "m" | "mi" | "mib" => 1 << 20,
            "g" | "gi" | "gib" => 1 << 30,
            "t" | "ti" | "tib" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(()),
        };
        // Incus keeps sizes in an i64.
        number.checked_mul(factor).filter(|bytes| *bytes <= i64::MAX as u64).map(Self).ok_or(())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 > 0 && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// Processors: how many, or which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cpu {
    /// So many, moved about by Incus.
    Count(u32),
    /// Exactly these ranges, first and last.
    Set(Vec<(u32, u32)>),
}

impl Cpu {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(count) = text.parse::<u32>() {
            return (1..=LARGEST_CPU).contains(&count).then_some(Self::Count(count));
        }
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
            if first > last || last > LARGEST_CPU || ranges.len() > 255 {
                return None;
            }
            ranges.push((first, last));
        }
        Some(Self::Set(ranges))
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            // A single processor must keep its dash: "3" alone would be a count.
            Self::Set(ranges) => ranges.iter().enumerate().try_for_each(|(i, (first, last))| {
                write!(f, "{}{first}-{last}", if i == 0 { "" } else { "," })
            }),
        }
    }
}

/// How much memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Bytes.
    Bytes(Size),
    /// Percent of the host's.
    Percent(u8),
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(size) => size.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// One setting with its checked value. Written as `key=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// `cpu=2`
    Cpu(Cpu),
    /// `memory=4GiB`
    Memory(Memory),
    /// `disk=20GiB`
    Disk(Size),
    /// `processes=1000`
    Processes(u32),
    /// `autostart=login`
    Autostart(Autostart),
}

impl Setting {
    /// Checks a value.
    ///
    /// # Errors
    /// A value that the key does not take.
    pub fn new(key: SettingKey, value: &str) -> Result<Self, SettingError> {
        let bad = |problem: &str| SettingError::Value {
            key,
            value: value.to_owned(),
            problem: if problem.is_empty() { String::new() } else { format!(": {problem}") },
        };
        let at_least = |size: Size, least: u64| {
            if size.0 < least { Err(bad(&format!("at least {} are needed", Size(least)))) } else { Ok(size) }
        };
        match key {
            SettingKey::Cpu => Cpu::parse(value).map(Self::Cpu).ok_or_else(|| bad("")),
            SettingKey::Memory => match value.strip_suffix('%') {
                Some(percent) => match percent.parse::<u8>() {
                    Ok(percent @ 1..=100) => Ok(Self::Memory(Memory::Percent(percent))),
                    _ => Err(bad("1% to 100% are possible")),
                },
                None => {
                    let size = at_least(value.parse().map_err(|()| bad(""))?, LEAST_MEMORY)?;
                    Ok(Self::Memory(Memory::Bytes(size)))
                }
            },
            SettingKey::Disk => Ok(Self::Disk(at_least(value.parse().map_err(|()| bad(""))?, LEAST_DISK)?)),
            SettingKey::Processes => match value.parse::<u32>() {
                Ok(count) if count >= LEAST_PROCESSES => Ok(Self::Processes(count)),
                Ok(_) => Err(bad(&format!("at least {LEAST_PROCESSES} are needed"))),
                Err(_) => Err(bad("")),
            },
            SettingKey::Autostart => match value {
                "no" => Ok(Self::Autostart(Autostart::No)),
                "login" => Ok(Self::Autostart(Autostart::Login)),
                "boot" => Ok(Self::Autostart(Autostart::Boot)),
                _ => Err(bad("")),
            },
        }
    }

    /// Checks a key and its value, as D-Bus brings them.
    ///
    /// # Errors
    /// An unknown key, or a value that the key does not take.
    pub fn from_pair(key: &str, value: &str) -> Result<Self, SettingError> {
        Self::new(key.parse()?, value)
    }

    /// Which one.
    #[must_use]
    pub fn key(&self) -> SettingKey {
        match self {
            Self::Cpu(_) => SettingKey::Cpu,
            Self::Memory(_) => SettingKey::Memory,
            Self::Disk(_) => SettingKey::Disk,
            Self::Processes(_) => SettingKey::Processes,
            Self::Autostart(_) => SettingKey::Autostart,
        }
    }

    /// The value in its one spelling; also Incus'.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::Cpu(cpu) => cpu.to_string(),
            Self::Memory(memory) => memory.to_string(),
            Self::Disk(size) => size.to_string(),
            Self::Processes(count) => count.to_string(),
            Self::Autostart(when) => when.to_string(),
        }
    }
}

impl FromStr for Setting {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        match text.split_once('=') {
            Some((key, value)) => Self::from_pair(key, value),
            None => Err(SettingError::NoValue(text.parse()?)),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key(), self.value())
    }
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SettingError {
    /// No such setting.
    #[error("there is no setting '{}'", text::shown(key))]
    UnknownKey {
        /// What was given.
        key: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// A key without a value.
    #[error("the setting '{_0}' needs a value")]
    NoValue(SettingKey),
    /// A value that the key does not take.
    #[error("'{}' is no value for '{key}'{problem}", text::shown(value))]
    Value {
        /// Which setting.
        key: SettingKey,
        /// What was given.
        value: String,
        /// Empty, or `: ` and the reason.
        problem: String,
    },
}

impl Explain for SettingError {
    fn kind(&self) -> Kind {
        Kind::User
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::UnknownKey { nearest: Some(near), .. } => vec![format!("did you mean '{near}'?")],
            Self::UnknownKey { .. } => {
                vec![format!("there are: {}", SettingKey::ALL.map(SettingKey::word).join(", "))]
            }
            Self::NoValue(key) | Self::Value { key, .. } => vec![format!("'{key}' takes {}", key.values())],
        }
    }
}

#[cfg(test)]
mod tests;
