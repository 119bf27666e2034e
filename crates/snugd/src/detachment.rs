//! Takes Snug out of its containers, so that they start without it: a container whose `lxc.init.cmd` names a file that
//! is gone does not start (design, section 6, rule 11).

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use futures_util::StreamExt;
use incus_client::{Client, InstancePut, StateChange};
use snug_core::name::{ContainerName, Uid};
use snug_core::paths::Paths;
use snug_core::spec::OWNER_KEY;

use crate::configuration;
use crate::container::lookup::{self, Found};
use crate::container::present::{self, Present};
use crate::daemon::Places;
use crate::error::{Error, ErrorKind, Result};
use crate::host::mount_table::Table;
use crate::host::{mounts, routing_rules, rundir, service_leftovers};
use crate::incus::{idmap, quirks, work_ended};
use crate::lock;

/// Where distributions put it.
const PROGRAMS: [&str; 5] = [
    "/usr/libexec/incus/incusd",
    "/usr/lib/incus/incusd",
    "/usr/bin/incusd",
    "/usr/sbin/incusd",
    "/opt/incus/bin/incusd",
];
/// Where Incus keeps what it knows of its containers, below its directory; made at its first start.
const DATABASE: &str = "database";

/// Containers that are stopped side by side: one that does not end takes half a minute.
const AT_ONCE: usize = 8;

/// Detaches every container of every user, unmounts, and answers what was done, one line each.
///
/// # Errors
/// When Incus cannot be asked, or something stays attached; what could be done is done.
pub async fn all(places: &Places) -> Result<String> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::new(ErrorKind::NotAuthorized, "only root may detach containers"));
    }
    // A daemon that works on the same containers ends first.
    let _lock = lock::take(places.paths.clone()).await?;
    let paths = places.paths.clone();
    let config = tokio::task::spawn_blocking(move || configuration::load(&paths)).await??;
    let incus = places.incus();
    let mut text = String::new();
    let mut failed = Vec::new();
    // Also those whose owner has no account any more: theirs would not start either.
    let listed = lookup::all(&incus, &config).await;
    let found = match listed {
        Ok(found) => found,
        // An Incus that never ran here has no container, and one that was removed starts none: nothing to detach.
        Err(error) if error.kind == ErrorKind::NoIncus && !may_start(places) => {
            let _ = writeln!(text, "there is no Incus here, and so no container that could start");
            Vec::new()
        }
        // One that only does not run has them still: neither they nor their run directories may be lost.
        Err(error) => {
            return Err(error.hint("nothing was changed: containers can be detached only while Incus runs"));
        }
    };
    // Their directories stay: Incus looks at the sources of a container's devices with every change of it.
    let mut attached = BTreeSet::new();
    let detached = found.iter().map(|container| {
        let incus = incus.project(&container.instance.project);
        let paths = &places.paths;
        async move { (container, detach(&incus, paths, container).await) }
    });
    let mut detached = futures_util::stream::iter(detached).buffered(AT_ONCE);
    while let Some((container, ended)) = detached.next().await {
        match ended {
            Ok(()) => {
                let _ = writeln!(text, "detached {} of {}", container.name, container.owner.name);
            }
            Err(error) => {
                failed.push(format!("{} of {}: {error}", container.name, container.owner.name));
                attached.insert((container.owner.uid, container.name.clone()));
            }
        }
    }
    // One that is attached may run.
    if attached.is_empty() {
        match tokio::task::spawn_blocking(routing_rules::remove_all).await? {
            Ok(0) => {}
            Ok(_) => text.push_str("removed the rule of routing of the bridge\n"),
            Err(error) => failed.push(error.to_string()),
        }
    }
    let paths = places.paths.clone();
    let (done, left) = tokio::task::spawn_blocking(move || clear(&paths, &attached)).await?;
    text.push_str(&done);
    failed.extend(left);
    if failed.is_empty() {
        return Ok(text);
    }
    Err(Error::new(ErrorKind::Failed, format!("{text}not detached: {}", failed.join("; "))))
}

/// Whether there is an Incus with containers that could start some day: it has run, and its program is there.
fn may_start(places: &Places) -> bool {
    places.incus_dir.join(DATABASE).exists() && PROGRAMS.iter().any(|program| Path::new(program).exists())
}

/// Unmounts and removes all but what belongs to `attached`. Answers what was done, a line each, and what was not.
fn clear(paths: &Paths, attached: &BTreeSet<(Uid, ContainerName)>) -> (String, Vec<String>) {
    let (mut done, mut failed) = (String::new(), Vec::new());
    let kept: Vec<_> = attached.iter().map(|(uid, name)| paths.container_dir(*uid, name)).collect();
    let targets = Table::read().map(|table| table.below(&paths.run())).unwrap_or_else(|error| {
        failed.push(error.to_string());
        Vec::new()
    });
    for target in targets.iter().filter(|target| !kept.iter().any(|directory| target.starts_with(directory)))
    {
        match mounts::detach(target) {
            Ok(()) => drop(writeln!(done, "unmounted {}", target.display())),
            Err(error) => failed.push(error.to_string()),
        }
    }
    match rundir::stale(paths, attached) {
        Ok(stale) => {
            for (uid, name) in stale {
                match rundir::remove(paths, uid, &name) {
                    Ok(()) => drop(writeln!(done, "removed the run directory of {name} of uid {uid}")),
                    Err(error) => failed.push(error.to_string()),
                }
            }
        }
        Err(error) => failed.push(error.to_string()),
    }
    (done, failed)
}

async fn detach(incus: &Client, paths: &Paths, container: &Found) -> Result<()> {
    let name = container.name.as_str();
    if container.instance.status_code != incus_client::StatusCode::Stopped {
        let stop =
            async |change: StateChange| {
                let stopped =
                    async { incus.instances().set_state(name, &change).await?.wait().await.map(drop) }.await;
                // It may have ended while others were waited for.
                stopped.or_else(|error| {
                    if quirks::is_already_stopped(&error.to_string()) { Ok(()) } else { Err(error) }
                })
            };
        // Its init may end what it runs; what does not end is ended.
        if stop(StateChange::stop().timeout_seconds(30)).await.is_err() {
            stop(StateChange::stop().force(true)).await?;
        }
    }
    let ids = idmap::guest_ids(&container.instance.config);
    let clear = move || service_leftovers::remove(&service_leftovers::of(&ids)?, &ids);
    if let Err(error) = tokio::task::spawn_blocking(clear).await? {
        // It starts without Snug all the same.
        tracing::warn!(container = name, "{error}");
    }
    // A daemon died while the disk went back: what Incus says of it is the snapshot's, and nobody would put it right any more.
    let (own, uid, key) = (paths.clone(), container.owner.uid, container.name.clone());
    let kept = tokio::task::spawn_blocking(move || present::read(&own, uid, &key)).await??;
    let put = |put: &mut InstancePut, over: fn(&Present, &InstancePut) -> InstancePut| {
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_of(&put.config)) {
            *put = over(kept, put);
        }
        without_snug(put);
    };
    if kept.is_some() {
        work_ended(incus, name).await?;
    }
    let updated = incus.instances().update(name, |current| put(current, Present::over)).await;
    // Some disks do not become as small as they are to be.
    if let Err(error) = updated
        && (kept.is_none()
            || incus
                .instances()
                .update(name, |current| put(current, Present::over_with_its_limit))
                .await
                .is_err())
    {
        return Err(error.into());
    }
    let (own, key) = (paths.clone(), container.name.clone());
    tokio::task::spawn_blocking(move || present::forget(&own, uid, &key)).await?
}

/// Only what needs Snug's files goes; owner and spec stay, so that a later installation knows its containers again.
fn without_snug(put: &mut InstancePut) {
    put.config.remove("raw.lxc");
    put.devices.retain(|name, _| !(name.starts_with("snug-") || name == "home"));
    debug_assert!(put.config.contains_key(OWNER_KEY));
}
