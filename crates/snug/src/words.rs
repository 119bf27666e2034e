//! Sizes and ages in words.

use std::time::SystemTime;

use jiff::Timestamp;

/// A size as people say it: `1.4 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    // Shown with one digit after the point: the loss above 2^53 cannot be seen.
    #[expect(clippy::cast_precision_loss, reason = "for showing only")]
    let mut value = bytes as f64;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// How long ago an RFC 3339 time was: `3 hours ago`. Empty for what is no time, or the year 1 (Incus' "never").
pub fn age(time: &str, now: SystemTime) -> String {
    let then = time.parse::<Timestamp>().ok().filter(|then| *then > Timestamp::UNIX_EPOCH);
    let Some(then) = then.and_then(|then| SystemTime::try_from(then).ok()) else { return String::new() };
    let seconds = now.duration_since(then).map_or(0, |since| since.as_secs());
    let (count, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        86_400..2_592_000 => (seconds / 86_400, "day"),
        2_592_000..31_536_000 => (seconds / 2_592_000, "month"),
        _ => (seconds / 31_536_000, "year"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

/// The present time, RFC 3339 to the second.
pub fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `1 container`, `2 containers`.
pub fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sizes_have_the_unit_that_reads_best() {
        for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_503_238_553, "1.4 GiB")] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size(1_048_575), "1.0 MiB");
    }

    #[test]
    fn ages_are_of_the_largest_unit() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_856_000); // 2025-11-23T00:00:00Z
        for (time, text) in [
            ("2025-11-23T00:00:00Z", "just now"),
            ("2025-11-22T23:58:59.123456789Z", "1 minute ago"),
            ("2025-11-22T22:00:00+02:00", "4 hours ago"),
            ("2025-11-20T00:00:00Z", "3 days ago"),
            ("2024-02-29T00:00:00Z", "1 year ago"),
            ("0001-01-01T00:00:00Z", ""),
            ("", ""),
            ("yesterday", ""),
        ] {
            assert_eq!(age(time, now), text, "{time}");
        }
    }
}
