//! Snapshots that a container goes back to: their names, what each was taken before, which of them go, and what a storage
//! pool can do. Those that a person made with `incus snapshot` have other names and are nobody's business here.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::error::{Explain, Kind};
use crate::text;

/// The most that an [`Occasion`] has, in characters.
pub const MOST_WORDS: usize = 120;

const DAY: u64 = 86_400;
const PREFIX: &str = "snug-";
/// What an [`Occasion`] begins with until what it speaks of has been done.
const UNFINISHED: &str = "unfinished ";

/// A snapshot's name: `snug-20260717T101502Z`, and `-2` behind it for the second of that second. It says by itself when it
/// was taken, in UTC, whatever Incus knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotName(String);

impl SnapshotName {
    /// A name for one that is taken now (seconds since 1970), which none of `taken` has.
    #[must_use]
    pub fn new<'a>(now: u64, taken: impl IntoIterator<Item = &'a str>) -> Self {
        let (date, time) = civil(now);
        let first = format!(
            "{PREFIX}{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            date.0, date.1, date.2, time.0, time.1, time.2
        );
        let taken: Vec<&str> = taken.into_iter().collect();
        let mut name = first.clone();
        let mut number = 1_u32;
        while taken.contains(&name.as_str()) {
            number += 1;
            name = format!("{first}-{number}");
        }
        Self(name)
    }

    /// As Incus has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When it was taken, in seconds since 1970.
    #[must_use]
    pub fn time(&self) -> u64 {
        self.order().0
    }

    /// By this they follow each other: when it was taken, and which one of that second it is.
    fn order(&self) -> (u64, u32) {
        parse(&self.0).unwrap_or_default()
    }

    /// The same as RFC 3339 has it: `2026-07-17T10:15:02Z`.
    #[must_use]
    pub fn timestamp(&self) -> String {
        let (date, time) = civil(self.time());
        format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", date.0, date.1, date.2, time.0, time.1, time.2)
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for SnapshotName {
    type Err = SnapshotError;

    fn from_str(name: &str) -> Result<Self, SnapshotError> {
        parse(name).map(|_| Self(name.to_owned())).ok_or_else(|| SnapshotError::Name(name.to_owned()))
    }
}

impl TryFrom<String> for SnapshotName {
    type Error = SnapshotError;

    fn try_from(name: String) -> Result<Self, SnapshotError> {
        name.parse()
    }
}

impl From<SnapshotName> for String {
    fn from(name: SnapshotName) -> Self {
        name.0
    }
}

/// The time in a name of ours, and the number behind it. Only the one spelling that [`SnapshotName::new`] makes is ours.
fn parse(name: &str) -> Option<(u64, u32)> {
    let rest = name.strip_prefix(PREFIX)?;
    let (time, number) = rest.split_at_checked(16)?;
    let digits = |range: std::ops::Range<usize>| {
        let part = time.get(range)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u64>().ok())?
    };
    if time.get(8..9)? != "T" || time.get(15..)? != "Z" {
        return None;
    }
    let number = match number.strip_prefix('-') {
        Some(number) => {
            number.parse::<u32>().ok().filter(|parsed| *parsed > 1 && parsed.to_string() == number)?
        }
        None if number.is_empty() => 1,
        None => return None,
    };
    let days = days_from_civil(digits(0..4)?, digits(4..6)?, digits(6..8)?)?;
    let (hour, minute, second) = (digits(9..11)?, digits(11..13)?, digits(13..15)?);
    let seconds = days * DAY + hour * 3600 + minute * 60 + second;
    (hour < 24 && minute < 60 && second < 60).then_some((seconds, number))
}

/// Date and time of day in UTC.
fn civil(seconds: u64) -> ((u64, u64, u64), (u64, u64, u64)) {
    // Howard Hinnant's `civil_from_days`: years begin in March, so that the leap day is a year's last.
    let (days, rest) = (seconds / DAY + 719_468, seconds % DAY);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    ((year, month, day), (rest / 3600, rest / 60 % 60, rest % 60))
}

/// Days since 1970; `None` for what is no date.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let years = year - u64::from(month <= 2);
    let (era, year_of_era) = (years / 400, years % 400);
    let day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * shifted + 2) / 5 + day - 1;
    let days = era * 146_097 + day_of_era - 719_468;
    (civil(days * DAY).0 == (year, month, day)).then_some(days)
}

/// What a snapshot was taken before: `install ripgrep`. One line of plain text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Occasion(String);

impl Occasion {
    /// As it was given; empty where nobody said anything.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What going back to a snapshot of this occasion is: the undo of an undo does the thing again.
    #[must_use]
    pub fn undone(&self) -> Self {
        let Self(done) = self.finished();
        let words = match (done.strip_prefix("undo of "), done.strip_prefix("redo of ")) {
            (Some(what), _) => format!("redo of {what}"),
            (_, Some(what)) => format!("undo of {what}"),
            _ if done.is_empty() => "undo".to_owned(),
            _ => format!("undo of {done}"),
        };
        Self(text::shorten(&words, MOST_WORDS - 1).into_owned())
    }

    /// The same while it is not known whether it will be done: who wants to undo the last change does not mean this one.
    #[must_use]
    pub fn unfinished(&self) -> Self {
        Self(text::shorten(&format!("{UNFINISHED}{}", self.0), MOST_WORDS - 1).into_owned())
    }

    /// Whether it was begun and not brought to its end, as far as is known.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.0.starts_with(UNFINISHED)
    }

    /// The same when it has been done.
    #[must_use]
    pub fn finished(&self) -> Self {
        Self(self.0.strip_prefix(UNFINISHED).unwrap_or(&self.0).to_owned())
    }
}

impl fmt::Display for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Occasion {
    type Err = SnapshotError;

    fn from_str(words: &str) -> Result<Self, SnapshotError> {
        let words = words.trim();
        if words.chars().any(text::is_unsafe) || words.chars().count() > MOST_WORDS {
            return Err(SnapshotError::Words(words.to_owned()));
        }
        Ok(Self(words.to_owned()))
    }
}

impl TryFrom<String> for Occasion {
    type Error = SnapshotError;

    fn try_from(words: String) -> Result<Self, SnapshotError> {
        words.parse()
    }
}

impl From<Occasion> for String {
    fn from(occasion: Occasion) -> Self {
        occasion.0
    }
}

/// A snapshot of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snapshot {
    /// One of Snug's.
    Own {
        /// Its name.
        name: SnapshotName,
        /// What it was taken before, where that is known.
        before: Occasion,
        /// With its configuration Incus would start the instance by itself, which a restore gives it for a moment.
        starts: bool,
    },
    /// A person's, or another program's, by its name.
    Foreign(String),
}

impl Snapshot {
    /// Its name in Incus.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Own { name, .. } => name.as_str(),
            Self::Foreign(name) => name,
        }
    }

    /// Its name, if it is one of Snug's.
    #[must_use]
    pub fn own(&self) -> Option<&SnapshotName> {
        match self {
            Self::Own { name, .. } => Some(name),
            Self::Foreign(_) => None,
        }
    }
}

/// Puts Snug's own into the order of their names: a clock that went back makes Incus say of a later one that it was taken earlier, and a
/// name is never earlier than the one before it. Others keep their places.
pub fn put_in_order(all: &mut [Snapshot]) {
    let places: Vec<usize> = (0..all.len()).filter(|at| all[*at].own().is_some()).collect();
    let mut own: Vec<Snapshot> = places.iter().map(|at| all[*at].clone()).collect();
    own.sort_by_key(|snapshot| snapshot.own().map(SnapshotName::order));
    for (at, snapshot) in places.into_iter().zip(own) {
        all[at] = snapshot;
    }
}

/// What a storage pool makes of snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// It would copy the whole disk each time: Snug takes none there.
    None,
    /// They share what has not changed, and each can be gone back to.
    Each,
    /// The same, but going back to one costs all that are newer.
    Latest,
}

impl Ability {
    /// Of a pool with this driver and this configuration of Incus'.
    #[must_use]
    pub fn of(driver: &str, config: &BTreeMap<String, String>) -> Self {
        // On unless it is switched off; what Incus takes for "no" (`IsFalse`).
        let thin = config
            .get("lvm.use_thinpool")
            .is_none_or(|value| !["false", "0", "no", "off"].contains(&value.to_lowercase().as_str()));
        match driver {
            "btrfs" => Self::Each,
            "zfs" => Self::Latest,
            "lvm" if thin => Self::Each,
            _ => Self::None,
        }
    }
}

/// How many snapshots of a container are kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// So many at most.
    pub most: usize,
    /// So many days at most.
    pub days: u32,
}

/// Which of Snug's own (the oldest first, as Incus lists them) go: those beyond the number and those beyond the age. The newest
/// always stays, and so does `spared`.
#[must_use]
pub fn outdated(
    own: &[SnapshotName],
    now: u64,
    keep: Keep,
    spared: Option<&SnapshotName>,
) -> Vec<SnapshotName> {
    let Some((_, older)) = own.split_last() else { return Vec::new() };
    let beyond = own.len().saturating_sub(keep.most.max(1));
    let oldest = now.saturating_sub(u64::from(keep.days) * DAY);
    let goes = |at: usize, name: &SnapshotName| (at < beyond || name.time() < oldest) && Some(name) != spared;
    older.iter().enumerate().filter(|(at, name)| goes(*at, name)).map(|(_, name)| name.clone()).collect()
}

/// A word about a snapshot that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// No name of Snug's.
    #[error("'{}' is no snapshot of Snug's", text::shown(_0))]
    Name(String),
    /// More than a line.
    #[error(
        "'{}' says what a snapshot is taken before: one line of at most {MOST_WORDS} characters",
        text::shown(_0)
    )]
    Words(String),
}

impl Explain for SnapshotError {
    fn kind(&self) -> Kind {
        Kind::User
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Name(_) => vec!["`snug undo --list` shows those there are".to_owned()],
            Self::Words(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
