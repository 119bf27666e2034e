//! Takes Snug out of its containers, so that they start without it: a container whose `lxc.init.cmd` names a file that
//! is gone does not start (design, section 6, rule 11).

use std::fmt::Write;

use incus_client::{Client, InstancePut, StateChange};
use snug_core::spec::OWNER_KEY;

use crate::configuration;
use crate::container::lookup::{self, Found};
use crate::daemon::Places;
use crate::error::{Error, ErrorKind, Result};
use crate::host::{mounts, rundir};

/// Where Incus keeps what it knows of its containers, below its directory; made at its first start.
const DATABASE: &str = "database";

/// Detaches every container of every user, unmounts, and answers what was done, one line each.
///
/// # Errors
/// When Incus cannot be asked, or something stays attached; what could be done is done.
pub async fn all(places: &Places) -> Result<String> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::new(ErrorKind::NotAuthorized, "only root may detach containers"));
    }
    let paths = places.paths.clone();
    let config = tokio::task::spawn_blocking(move || configuration::load(&paths)).await??;
    let incus = match &places.incus_socket {
        Some(socket) => Client::connect(socket),
        None => Client::discover().unwrap_or_else(|_| Client::connect(places.incus_dir.join("unix.socket"))),
    };
    let mut text = String::new();
    let mut failed = Vec::new();
    // Also those whose owner has no account any more: theirs would not start either.
    let listed = lookup::all(&incus, &config).await;
    let found = match listed {
        Ok(found) => found,
        // An Incus that never ran here has no container: nothing to detach.
        Err(error) if error.kind == ErrorKind::NoIncus && !places.incus_dir.join(DATABASE).exists() => {
            let _ = writeln!(text, "there is no Incus here, and so no container");
            Vec::new()
        }
        // One that only does not run has them still: neither they nor their run directories may be lost.
        Err(error) => {
            return Err(error.hint("nothing was changed: containers can be detached only while Incus runs"));
        }
    };
    for container in &found {
        match detach(&incus.project(&container.instance.project), container).await {
            Ok(()) => {
                let _ = writeln!(text, "detached {} of {}", container.name, container.owner.name);
            }
            Err(error) => failed.push(format!("{} of {}: {error}", container.name, container.owner.name)),
        }
    }
    let run = places.paths.run();
    let (unmounted, stale) = tokio::task::spawn_blocking({
        let paths = places.paths.clone();
        move || -> Result<_> {
            let targets = mounts::below(&run)?;
            for target in &targets {
                mounts::detach(target)?;
            }
            let left = rundir::stale(&paths, &std::collections::BTreeSet::new())?;
            for (uid, name) in &left {
                rundir::remove(&paths, *uid, name)?;
            }
            Ok((targets, left))
        }
    })
    .await??;
    for target in unmounted {
        let _ = writeln!(text, "unmounted {}", target.display());
    }
    for (uid, name) in stale {
        let _ = writeln!(text, "removed the run directory of {name} of uid {uid}");
    }
    if failed.is_empty() {
        return Ok(text);
    }
    Err(Error::new(ErrorKind::Failed, format!("{text}not detached: {}", failed.join("; "))))
}

async fn detach(incus: &Client, container: &Found) -> Result<()> {
    let name = container.name.as_str();
    if container.instance.status_code != incus_client::StatusCode::Stopped {
        let stop = StateChange::stop().force(true);
        incus.instances().set_state(name, &stop).await?.wait().await?;
    }
    incus.instances().update(name, without_snug).await?;
    Ok(())
}

/// Only what needs Snug's files goes; owner and spec stay, so that a later installation knows its containers again.
fn without_snug(put: &mut InstancePut) {
    put.config.remove("raw.lxc");
    put.devices.retain(|name, _| !(name.starts_with("snug-") || name == "home"));
    debug_assert!(put.config.contains_key(OWNER_KEY));
}
