//! What is kept of each container's past, bounded: the logs of ended jobs in `STATE/log/UID/NAME.log`, and its console in
//! `NAME.console`, since a read of Incus' console log takes what was read away (measured with 6.0.4).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use snug_core::name::{ContainerName, Uid};
use snug_core::paths::Paths;

use crate::error::{Error, Result};
use crate::host::{file, rundir};

/// Bytes that are kept of one container's log.
const KEPT: usize = 128 << 10;

static ADDING: Mutex<()> = Mutex::new(());

/// Which past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of Snug's own jobs.
    Jobs,
    /// Of the guest's console.
    Console,
}

/// The file.
#[must_use]
pub fn path(paths: &Paths, uid: Uid, name: &ContainerName, kind: Kind) -> PathBuf {
    let extension = match kind {
        Kind::Jobs => "log",
        Kind::Console => "console",
    };
    paths.state.join("log").join(uid.to_string()).join(format!("{name}.{extension}"))
}

/// Adds the lines of a job; what is too old goes. Blocks.
///
/// # Errors
/// What the system says.
pub fn append(paths: &Paths, uid: Uid, name: &ContainerName, verb: &str, lines: &[String]) -> Result<()> {
    let now = utc(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    let text: String = lines.iter().map(|line| format!("{now} {verb}: {line}\n")).collect();
    append_text(paths, uid, name, Kind::Jobs, &text)
}

/// Adds text as it is; what is too old goes. Blocks.
///
/// # Errors
/// What the system says.
pub fn append_text(paths: &Paths, uid: Uid, name: &ContainerName, kind: Kind, more: &str) -> Result<()> {
    let path = path(paths, uid, name, kind);
    let directory = paths.state.join("log");
    rundir::directory(&paths.state, 0o755)?;
    rundir::directory(&directory, 0o700)?;
    rundir::directory(&directory.join(uid.to_string()), 0o700)?;
    // What one adds must not be lost to another who has read before.
    let _one = ADDING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = file::read_or_empty(&path)?;
    text.push_str(more);
    let over = text.len().saturating_sub(KEPT);
    let cut = match over {
        0 => 0,
        _ => text.bytes().skip(over).position(|byte| byte == b'\n').map_or(text.len(), |at| over + at + 1),
    };
    file::replace(&path, &text.as_bytes()[cut..], 0o600)
}

/// Reads it. Blocks.
///
/// # Errors
/// What the system says.
pub fn read(paths: &Paths, uid: Uid, name: &ContainerName, kind: Kind) -> Result<String> {
    file::read_or_empty(&path(paths, uid, name, kind))
}

/// Removes what is kept of a container; that there is nothing is what was wanted. Blocks.
///
/// # Errors
/// What the system says.
pub fn forget(paths: &Paths, uid: Uid, name: &ContainerName) -> Result<()> {
    for kind in [Kind::Jobs, Kind::Console] {
        let path = path(paths, uid, name, kind);
        file::remove_if_there(&path)
            .map_err(|error| Error::system(format!("remove {}", path.display()), error))?;
    }
    Ok(())
}

/// The containers of which something is kept. Blocks.
///
/// # Errors
/// What the system says.
pub fn kept(paths: &Paths) -> Result<BTreeSet<(Uid, ContainerName)>> {
    let directory = paths.state.join("log");
    let mut found = BTreeSet::new();
    for owner in file::names_in(&directory)? {
        let Ok(uid) = owner.parse().map(Uid) else { continue };
        for name in file::names_in(&directory.join(&owner))? {
            found.extend(name.rsplit_once('.').and_then(|(name, _)| Some((uid, name.parse().ok()?))));
        }
    }
    Ok(found)
}

/// `2026-11-23T01:02:03Z` (civil-from-days of Howard Hinnant).
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_the_calendar_has_them() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_795_395_723), "2026-11-23T01:02:03Z");
    }

    #[test]
    fn a_log_grows_to_its_bound_and_begins_with_a_whole_line() {
        let base = tempfile::tempdir().unwrap();
        let paths = Paths::below(base.path());
        let name = "dev".parse().unwrap();
        for _ in 0..3 {
            append(&paths, Uid(7), &name, "Start", &vec!["x".repeat(1000); 60]).unwrap();
        }
        let text = read(&paths, Uid(7), &name, Kind::Jobs).unwrap();
        assert!(text.len() <= KEPT && text.starts_with("20"), "{}", text.len());
        append_text(&paths, Uid(8), &name, Kind::Console, "x").unwrap();
        let all = [(Uid(7), name.clone()), (Uid(8), name.clone())];
        assert_eq!(kept(&paths).unwrap(), BTreeSet::from(all));
        forget(&paths, Uid(8), &name).unwrap();
        forget(&paths, Uid(8), &name).unwrap();
        assert_eq!(kept(&paths).unwrap(), BTreeSet::from([(Uid(7), name)]));
    }
}
