//! What is kept of each container's past, bounded: the logs of ended jobs in `STATE/log/UID/NAME.log`, and its console in
//! `NAME.console`, since a read of Incus' console log takes what was read away (measured with 6.0.4). What goes with the container is
//! found and removed here: that of [`super::occasions`] and [`super::present`] too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
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
    let now = Timestamp::now();
    let text: String = lines.iter().map(|line| format!("{now:.0} {verb}: {line}\n")).collect();
    append_text(paths, uid, name, Kind::Jobs, &text).map(drop)
}

/// Adds text as it is; what is too old goes. Answers all that is kept. Blocks.
///
/// # Errors
/// What the system says.
pub fn append_text(paths: &Paths, uid: Uid, name: &ContainerName, kind: Kind, more: &str) -> Result<String> {
    change(paths, uid, name, kind, |text| text.push_str(more))
}

/// The same, unless it is there already.
///
/// # Errors
/// What the system says.
pub fn append_new(paths: &Paths, uid: Uid, name: &ContainerName, kind: Kind, more: &str) -> Result<String> {
    change(paths, uid, name, kind, |text| {
        if !text.contains(more) {
            text.push_str(more);
        }
    })
}

fn change(
    paths: &Paths,
    uid: Uid,
    name: &ContainerName,
    kind: Kind,
    change: impl FnOnce(&mut String),
) -> Result<String> {
    let path = path(paths, uid, name, kind);
    // What one adds must not be lost to another who has read before.
    let _one = ADDING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = file::read_or_empty(&path)?;
    let before = text.len();
    change(&mut text);
    if text.len() == before {
        return Ok(text);
    }
    let directory = paths.state.join("log");
    rundir::directory(&paths.state, 0o755)?;
    rundir::directory(&directory, 0o700)?;
    rundir::directory(&directory.join(uid.to_string()), 0o700)?;
    let over = text.len().saturating_sub(KEPT);
    let cut = match over {
        0 => 0,
        _ => text.bytes().skip(over).position(|byte| byte == b'\n').map_or(text.len(), |at| over + at + 1),
    };
    text.drain(..cut);
    file::replace(&path, text.as_bytes(), 0o600)?;
    Ok(text)
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
    let logs = [Kind::Jobs, Kind::Console].map(|kind| path(paths, uid, name, kind));
    for path in logs.into_iter().chain([paths.occasions_file(uid, name), paths.present_file(uid, name)]) {
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
    let mut found = BTreeSet::new();
    for directory in [paths.state.join("log"), paths.undo()] {
        files_of(&directory, |uid, name, _| found.extend([(uid, name)]))?;
    }
    Ok(found)
}

/// Tells of each file `UID/NAME.EXTENSION` in the directory. Blocks.
///
/// # Errors
/// What the system says.
pub fn files_of(directory: &Path, mut tell: impl FnMut(Uid, ContainerName, &str)) -> Result<()> {
    for owner in file::names_in(directory)? {
        let Ok(uid) = owner.parse().map(Uid) else { continue };
        for file in file::names_in(&directory.join(&owner))? {
            if let Some((name, extension)) = file.rsplit_once('.')
                && let Ok(name) = name.parse()
            {
                tell(uid, name, extension);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for _ in 0..2 {
            assert_eq!(append_new(&paths, Uid(8), &name, Kind::Console, "y").unwrap(), "xy");
        }
        let all = [(Uid(7), name.clone()), (Uid(8), name.clone())];
        assert_eq!(kept(&paths).unwrap(), BTreeSet::from(all));
        forget(&paths, Uid(8), &name).unwrap();
        forget(&paths, Uid(8), &name).unwrap();
        assert_eq!(kept(&paths).unwrap(), BTreeSet::from([(Uid(7), name)]));
    }
}
