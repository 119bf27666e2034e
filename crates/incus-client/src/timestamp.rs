//! Points in time as Incus writes them (RFC 3339).

use std::fmt;
use std::time::SystemTime;

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

    /// Whether this stands for "never": empty, no RFC 3339 text, or at or before the epoch (Go's zero time is the year 1).
    pub fn is_never(&self) -> bool {
        self.system_time().is_none()
    }

    /// The same as system time; `None` for "never".
    pub fn system_time(&self) -> Option<SystemTime> {
        let time: jiff::Timestamp = self.0.parse().ok()?;
        if time > jiff::Timestamp::UNIX_EPOCH { time.try_into().ok() } else { None }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::Timestamp;

    #[test]
    fn rfc_3339_texts_become_points_in_time() {
        for (text, seconds, nanoseconds) in [
            ("1970-01-01T00:00:01Z", 1, 0),
            ("2021-03-23T20:00:00-04:00", 1_616_544_000, 0),
            ("2021-03-22T20:39:00.575185384-04:00", 1_616_459_940, 575_185_384),
            ("2024-02-29T12:00:00+01:00", 1_709_204_400, 0),
        ] {
            let expected = UNIX_EPOCH + Duration::new(seconds, nanoseconds);
            assert_eq!(Timestamp::new(text).system_time(), Some(expected), "{text}");
        }
    }

    #[test]
    fn gos_zero_time_and_the_epoch_mean_never() {
        for text in ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "", "soon", "2021-03-23T20:00:00?"] {
            assert!(Timestamp::new(text).is_never(), "{text}");
        }
        assert!(!Timestamp::new("2026-11-23T01:00:00.5Z").is_never());
    }
}
