//! Points in time as Incus writes them (RFC 3339).

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time, kept as Incus sent it (RFC 3339).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(String);

impl Timestamp {
    /// Wraps an RFC 3339 text; it is not checked.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as Incus sent it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this stands for "never": empty, or at or before the epoch (Go's zero time is the year 1).
    pub fn is_never(&self) -> bool {
        self.unix_seconds().is_none_or(|seconds| seconds <= 0)
    }

    /// Seconds since the epoch; `None` when the text is no RFC 3339 time.
    pub fn unix_seconds(&self) -> Option<i64> {
        parse(&self.0).map(|(seconds, _)| seconds)
    }

    /// The same as system time; `None` for "never" or for a text that is no RFC 3339 time.
    pub fn system_time(&self) -> Option<SystemTime> {
        let (seconds, nanoseconds) = parse(&self.0)?;
        if seconds <= 0 {
            return None;
        }
        Some(UNIX_EPOCH + Duration::new(u64::try_from(seconds).ok()?, nanoseconds))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `YYYY-MM-DDTHH:MM:SS[.fraction](Z|±HH:MM)` to seconds and nanoseconds.
fn parse(text: &str) -> Option<(i64, u32)> {
    if !text.is_ascii() || text.len() < 20 {
        return None;
    }
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let (fraction, zone) = split_fraction(&text[19..])?;
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let sign = match zone.get(..1)? {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let hours: i64 = zone.get(1..3)?.parse().ok()?;
            let minutes: i64 = zone.get(4..6)?.parse().ok()?;
            sign * (hours * 3600 + minutes * 60)
        }
    };
    let seconds = days_from_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some((seconds, fraction))
}

/// Splits `.123456Z` into nanoseconds and the zone.
fn split_fraction(rest: &str) -> Option<(u32, &str)> {
    let Some(digits) = rest.strip_prefix('.') else { return Some((0, rest)) };
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    let nanoseconds: u32 = format!("{:0<9.9}", &digits[..end]).parse().ok()?;
    Some((nanoseconds, &digits[end..]))
}

/// Days between 1970-01-01 and a date of the proleptic Gregorian calendar.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March put the leap day last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn rfc_3339_texts_become_seconds() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2021-03-23T20:00:00-04:00", 1_616_544_000),
            ("2021-03-22T20:39:00.575185384-04:00", 1_616_459_940),
            ("2024-02-29T12:00:00+01:00", 1_709_204_400),
        ] {
            assert_eq!(Timestamp::new(text).unix_seconds(), Some(seconds), "{text}");
        }
    }

    #[test]
    fn gos_zero_time_and_the_epoch_mean_never() {
        for text in ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "", "soon", "2021-03-23T20:00:00?"] {
            assert!(Timestamp::new(text).is_never(), "{text}");
            assert!(Timestamp::new(text).system_time().is_none(), "{text}");
        }
        assert!(!Timestamp::new("2026-11-23T01:00:00.5Z").is_never());
    }
}
