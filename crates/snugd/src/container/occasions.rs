//! What each of Snug's snapshots was taken before, in `STATE/undo/UID/NAME.json`. Incus has no place for it: what it keeps with a
//! snapshot is the instance's configuration of that moment, and a key that is set for it is there for whoever takes one next.
//! Words for a person alone: where they are lost, nothing else is.

use std::collections::BTreeMap;

use snug_core::name::{ContainerName, Uid};
use snug_core::paths::Paths;
use snug_core::snapshot::{Occasion, SnapshotName};

use crate::error::{Error, Result};
use crate::host::{file, rundir};

/// By the snapshot's name.
pub type Occasions = BTreeMap<SnapshotName, Occasion>;

/// Reads them; none where there are none, or where they cannot be understood. Blocks.
///
/// # Errors
/// What the system says.
pub fn read(paths: &Paths, uid: Uid, name: &ContainerName) -> Result<Occasions> {
    let text = file::read_or_empty(&paths.occasions_file(uid, name))?;
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

/// Adds one, and forgets those of snapshots that are not in `existing`. Blocks.
///
/// # Errors
/// What the system says.
pub fn add(
    paths: &Paths,
    uid: Uid,
    name: &ContainerName,
    snapshot: &SnapshotName,
    before: &Occasion,
    existing: &[String],
) -> Result<()> {
    let mut all = read(paths, uid, name)?;
    all.retain(|known, _| existing.iter().any(|name| name == known.as_str()));
    all.insert(snapshot.clone(), before.clone());
    write(paths, uid, name, &all)
}

/// Notes that what this one was taken before has been done. Blocks.
///
/// # Errors
/// What the system says.
pub fn finish(paths: &Paths, uid: Uid, name: &ContainerName, snapshot: &SnapshotName) -> Result<()> {
    let mut all = read(paths, uid, name)?;
    match all.get_mut(snapshot) {
        Some(before) if before.is_unfinished() => *before = before.finished(),
        _ => return Ok(()),
    }
    write(paths, uid, name, &all)
}

fn write(paths: &Paths, uid: Uid, name: &ContainerName, all: &Occasions) -> Result<()> {
    directory(paths, uid)?;
    let text = serde_json::to_vec(all)
        .map_err(|error| crate::error::failed(format!("write down the snapshots of '{name}': {error}")))?;
    file::replace(&paths.occasions_file(uid, name), &text, 0o600)
}

/// Makes the directory of an owner's, so that it outlives a crash. Blocks.
///
/// # Errors
/// What the system says.
pub fn directory(paths: &Paths, uid: Uid) -> Result<()> {
    let own = paths.undo().join(uid.to_string());
    rundir::directory(&paths.state, 0o755)?;
    rundir::directory(&paths.undo(), 0o700)?;
    rundir::directory(&own, 0o700)?;
    for made in [paths.undo(), own] {
        file::sync_parent(&made);
    }
    Ok::<_, Error>(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_snapshots_were_taken_before_is_kept_as_long_as_they_are() {
        let base = tempfile::tempdir().unwrap();
        let (paths, name) = (Paths::below(base.path()), "dev".parse().unwrap());
        let snapshot = |day| SnapshotName::new(day * 86_400, []);
        assert!(read(&paths, Uid(7), &name).unwrap().is_empty());
        let add = |day: u64, existing: &[u64]| {
            let existing: Vec<String> = existing.iter().map(|day| snapshot(*day).to_string()).collect();
            let before = format!("install {day}").parse().unwrap();
            add(&paths, Uid(7), &name, &snapshot(day), &before, &existing).unwrap();
        };
        add(1, &[]);
        add(2, &[1]);
        let all = read(&paths, Uid(7), &name).unwrap();
        assert_eq!(all.keys().collect::<Vec<_>>(), [&snapshot(1), &snapshot(2)]);
        assert_eq!(all[&snapshot(2)].as_str(), "install 2");
        // One is for what will perhaps not be done.
        let all_but_done = || read(&paths, Uid(7), &name).unwrap().values().any(Occasion::is_unfinished);
        let unfinished = "undo of install".parse::<Occasion>().unwrap().unfinished();
        super::add(&paths, Uid(7), &name, &snapshot(2), &unfinished, &[snapshot(1).to_string()]).unwrap();
        finish(&paths, Uid(7), &name, &snapshot(1)).unwrap();
        assert!(all_but_done());
        finish(&paths, Uid(7), &name, &snapshot(2)).unwrap();
        finish(&paths, Uid(7), &name, &snapshot(3)).unwrap();
        assert!(!all_but_done());
        assert_eq!(read(&paths, Uid(7), &name).unwrap()[&snapshot(2)].as_str(), "undo of install");
        // The first has been deleted, by whomever.
        add(3, &[2]);
        assert_eq!(read(&paths, Uid(7), &name).unwrap().len(), 2);
        // Words that somebody has spoiled are no words, and keep nobody from going back.
        std::fs::write(paths.occasions_file(Uid(7), &name), "{\"x").unwrap();
        assert!(read(&paths, Uid(7), &name).unwrap().is_empty());
    }
}
