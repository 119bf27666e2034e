//! What dead daemons and dead clients left: found by the phase in Incus, finished or undone.

use std::collections::BTreeSet;
use std::sync::Arc;

use snug_core::config::Config;
use snug_core::name::{ContainerName, Uid};
use snug_core::paths::Paths;
use snug_core::plan::{Recovery, State, plan_recovery, plan_remove};
use snug_core::spec::{Phase, TEMPORARY_KEY, TemporaryTag};

use super::Work;
use crate::agent;
use crate::container::lookup::{self, Found};
use crate::container::{present, record};
use crate::daemon::Daemon;
use crate::error::{Error, Result};
use crate::host::mount_table::Table;
use crate::host::{owner, rundir};
use crate::incus::{network, work_ended};
use crate::temporary;

impl Work {
    /// What is, after anything that an earlier daemon left in the middle was finished or undone.
    ///
    /// # Errors
    /// What Incus says.
    pub async fn settled(&self) -> Result<State> {
        let state = self.discover().await?;
        let (recovery, plan) = plan_recovery(&state);
        if plan.is_empty() {
            // A daemon that died between the two may have told clients something else.
            if let Some(container) = &state.container {
                self.tell_clients(container.phase).await;
            }
            return Ok(state);
        }
        // Incus may still be at what the dead daemon asked for.
        work_ended(&self.incus(), self.name.as_str()).await?;
        let state = self.discover().await?;
        let (_, plan) = plan_recovery(&state);
        let words = match recovery {
            Recovery::Undone => "undoing",
            Recovery::Finished => "finishing",
            Recovery::Orphaned => "removing",
            Recovery::Untouched => "looking after",
        };
        self.stage(format!("{words} what an interrupted job left of {}", self.name));
        tracing::info!(uid = self.uid().0, container = %self.name, ?recovery, "recovery");
        self.carry_out(&plan).await.map_err(super::executor::interrupted)?;
        self.discover().await
    }
}

/// Whether an earlier daemon was at work on it; of one whose disk was going back the phase may be the snapshot's.
fn is_unsettled(found: &Found, restoring: &BTreeSet<(Uid, ContainerName)>) -> bool {
    found.phase != Phase::Ready || restoring.contains(&(found.owner.uid, found.name.clone()))
}

fn temporary_tag(found: &Found) -> Option<TemporaryTag> {
    found.instance.config.get(TEMPORARY_KEY)?.parse().ok()
}

/// Looks after what earlier daemons left. Containers are reserved before this returns, so that calls for them wait
/// until they are whole; the work itself goes on beside the others'.
pub async fn begin(daemon: &Arc<Daemon>) {
    if let Err(error) = begin_with(daemon).await {
        // Each job looks again before it begins.
        tracing::warn!("cannot look after what an earlier daemon left: {error}");
    }
}

async fn begin_with(daemon: &Arc<Daemon>) -> Result<()> {
    let config = daemon.config().await?;
    let every = lookup::all(daemon.incus(), &config).await?;
    keep_apart(daemon, &every).await;
    let (paths, all) = (daemon.paths().clone(), every.clone());
    let (own, restoring) = tokio::task::spawn_blocking(move || {
        let restoring = present::all(&paths).unwrap_or_else(|error| {
            tracing::warn!("whose disks were going back is not known, so each is looked at: {error}");
            all.iter().map(|found| (found.owner.uid, found.name.clone())).collect()
        });
        (turn_strangers_away(&paths, all), restoring)
    })
    .await?;
    for found in &own {
        let (uid, name) = (found.owner.uid, found.name.clone());
        if is_unsettled(found, &restoring) {
            let turn = daemon.jobs().reserve((uid.0, name.to_string())).await;
            let (daemon, active) = (daemon.clone(), daemon.jobs().begin());
            tokio::spawn(async move {
                let _turn = (turn, active);
                if let Err(error) = recover(&daemon, uid, &name).await {
                    tracing::warn!(uid = uid.0, container = %name, "not recovered: {error}");
                }
            });
        } else if let Some(tag) = temporary_tag(found) {
            temporary::watch(daemon, uid, name, tag);
        }
    }
    sweep(daemon, &config, &every, None, false).await.map(|_| ())
}

/// Keeps those apart that run behind a bridge: an earlier version may have started them, and whoever changes the rules of routing takes
/// Snug's away.
pub async fn keep_apart(daemon: &Daemon, all: &[Found]) {
    let running = all.iter().filter(|found| found.instance.status_code.is_running());
    let bridges: BTreeSet<&String> =
        running.filter_map(|found| found.instance.devices.get("eth0")?.get("network")).collect();
    for bridge in bridges {
        if let Err(error) = network::separate(daemon.incus(), bridge).await {
            tracing::warn!("containers behind '{bridge}' may reach each other through the host: {error}");
        }
    }
}

/// Closes the way to containers whose owner's uid has somebody else now: they may be running, and the way in knows the uid
/// alone. Answers the others; one whose account cannot be looked up is left alone. Blocks.
fn turn_strangers_away(paths: &Paths, all: Vec<Found>) -> Vec<Found> {
    let mut own = Vec::with_capacity(all.len());
    for found in all {
        let (uid, name) = (found.owner.uid, &found.name);
        match owner::name_of(uid.0) {
            Ok(Some(current)) if current == found.owner.name => own.push(found),
            Ok(Some(current)) => {
                tracing::warn!("uid {uid} is {current}'s now: '{name}' of {} is closed", found.owner.name);
                if let Err(error) = rundir::close(paths, uid, name) {
                    tracing::error!("not closed: {error}");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!("{error}"),
        }
    }
    own
}

/// Finishes or undoes what is left of one container; its queue must be held.
///
/// # Errors
/// What Incus says.
pub async fn recover(daemon: &Arc<Daemon>, uid: Uid, name: &ContainerName) -> Result<()> {
    let work = Work::new(daemon, uid, name.clone(), None).await?;
    let state = work.settled().await?;
    match state.container {
        None => {
            work.remove_directory().await?;
            daemon.announce(&work.config, uid, name, "removed").await;
        }
        Some(container) => {
            if let Some(tag) = container.temporary {
                temporary::watch(daemon, uid, name.clone(), tag);
            }
            daemon.announce(&work.config, uid, name, "changed").await;
        }
    }
    Ok(())
}

/// Removes a temporary container whose client is gone, unless it is another one by now.
///
/// # Errors
/// What Incus says.
pub async fn remove_orphan(
    daemon: &Arc<Daemon>,
    uid: Uid,
    name: &ContainerName,
    tag: TemporaryTag,
) -> Result<()> {
    let _turn = daemon.jobs().reserve((uid.0, name.to_string())).await;
    let work = Work::new(daemon, uid, name.clone(), None).await?;
    let state = work.discover().await?;
    if state.container.as_ref().is_none_or(|container| container.temporary != Some(tag)) {
        return Ok(());
    }
    work.carry_out(&plan_remove(&state, true)?).await?;
    daemon.announce(&work.config, uid, name, "removed").await;
    Ok(())
}

/// Removes run directories, of `whose` or of everybody, whose container does not exist. Answers what it removed, or would.
///
/// # Errors
/// What the system says.
pub async fn sweep(
    daemon: &Arc<Daemon>,
    config: &Config,
    all: &[Found],
    whose: Option<Uid>,
    dry_run: bool,
) -> Result<Vec<String>> {
    let paths = daemon.paths().clone();
    let existing: BTreeSet<(Uid, ContainerName)> =
        all.iter().map(|found| (found.owner.uid, found.name.clone())).collect();
    let (stale, records) = tokio::task::spawn_blocking(move || -> Result<_> {
        let mut records = record::kept(&paths)?;
        records.retain(|key| !existing.contains(key));
        Ok((rundir::stale(&paths, &existing)?, records))
    })
    .await??;
    let mut removed = Vec::new();
    for (uid, name) in stale.into_iter().filter(|(uid, _)| whose.is_none_or(|whose| whose == *uid)) {
        let directory = daemon.paths().container_dir(uid, &name);
        // A guest that answers there is somebody's work, whatever Incus calls it.
        if agent::probe(daemon.paths().agent_socket(uid, &name)).await.is_some() {
            tracing::warn!(
                "{}: an agent answers there, but no container of Snug's is known",
                directory.display()
            );
            continue;
        }
        let sentence = format!("remove the directory {}", directory.display());
        // A job may be about to make it just now.
        let _turn = if dry_run { None } else { Some(daemon.jobs().reserve((uid.0, name.to_string())).await) };
        if exists(daemon, config, uid, &name).await? {
            continue;
        }
        if dry_run {
            removed.push(sentence);
            continue;
        }
        let paths = daemon.paths().clone();
        match tokio::task::spawn_blocking(move || rundir::remove(&paths, uid, &name)).await? {
            Ok(()) => removed.push(sentence),
            Err(error) => tracing::warn!("{}: {error}", directory.display()),
        }
    }
    if !dry_run {
        forget_records(daemon, config, records, whose).await?;
    }
    Ok(removed)
}

/// Removes what is kept of containers that do not exist any more.
async fn forget_records(
    daemon: &Arc<Daemon>,
    config: &Config,
    records: BTreeSet<(Uid, ContainerName)>,
    whose: Option<Uid>,
) -> Result<()> {
    for (uid, name) in records.into_iter().filter(|(uid, _)| whose.is_none_or(|whose| whose == *uid)) {
        let _turn = daemon.jobs().reserve((uid.0, name.to_string())).await;
        if !exists(daemon, config, uid, &name).await? {
            let paths = daemon.paths().clone();
            tokio::task::spawn_blocking(move || record::forget(&paths, uid, &name)).await??;
        }
    }
    Ok(())
}

async fn exists(daemon: &Arc<Daemon>, config: &Config, uid: Uid, name: &ContainerName) -> Result<bool> {
    match daemon.incus().project(config.project(uid)).instances().exists(name.as_str()).await {
        Ok(exists) => Ok(exists),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(Error::from(error)),
    }
}

/// Mounts of stopped containers that nothing needs, for `Doctor`.
///
/// # Errors
/// When the mount table cannot be read.
pub fn stale_mounts(daemon: &Daemon, all: &[Found]) -> Result<Vec<std::path::PathBuf>> {
    let run = daemon.paths().run();
    let existing: Vec<_> =
        all.iter().map(|found| daemon.paths().container_dir(found.owner.uid, &found.name)).collect();
    let mut stale = Table::read()?.below(&run);
    stale.retain(|target| !existing.iter().any(|directory| target.starts_with(directory)));
    Ok(stale)
}
