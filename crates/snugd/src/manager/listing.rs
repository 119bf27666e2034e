//! `List`, `Get`, `Log`.

use std::sync::Arc;

use snug_core::config::Config;
use snug_core::grant::{Grant, GrantSet, Network};
use snug_core::name::Uid;
use snug_core::paths::Paths;
use zbus::Variant;

use super::{named, target, unnamed, whose};
use crate::bus::call::{Answer, Call};
use crate::container::console;
use crate::container::lookup::{self, Found, missing};
use crate::container::network;
use crate::container::record::{self, Kind};
use crate::container::view::{self, View};
use crate::daemon::Daemon;
use crate::error::{Error, invalid};
use crate::host::{devices, mirror, owner};

/// `List`.
///
/// # Errors
/// Whatever the call is refused with.
pub async fn list(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    let mut options = unnamed(call)?;
    let size = options.flag("size")?;
    let uid = whose(daemon, call, &mut options).await?;
    options.finish()?;
    let config = daemon.config().await?;
    let found = lookup::list_full(daemon.incus(), &config, uid).await?;
    let views: Vec<View> = found.iter().map(|found| view::of(found, size)).collect();
    call.answer(&views)
}

/// `Get`.
///
/// # Errors
/// Whatever the call is refused with.
pub async fn get(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    let (name, mut options) = named(call)?;
    let uid = target(daemon, call, &mut options).await?;
    let size = options.flag("size")?;
    options.finish()?;
    let config = daemon.config().await?;
    let found = lookup::find_full(daemon.incus(), &config, uid, &name).await?;
    let found = found.ok_or_else(|| missing(&name))?;
    let mut view = view::of(&found, size);
    let running = view::state(&found) == "running";
    let hello = if running { daemon.probe(uid, &name).await } else { None };
    let fault = fault(daemon, found.clone()).await?;
    view.insert("network-fault", Variant::from(fault));
    view.insert("agent", Variant::from(hello.map(|hello| hello.version).unwrap_or_default()));
    let waiting = match &found.spec {
        Some(spec) => waiting(uid, spec.grants.clone(), daemon.paths().clone(), config).await?,
        None => Vec::new(),
    };
    view.insert("waiting", Variant::from(waiting));
    call.answer(&view)
}

/// Why the network of a container that runs does not work, and what mends it: lines, none where nothing is known to be wrong.
async fn fault(daemon: &Daemon, found: Found) -> crate::error::Result<Vec<String>> {
    let paths = daemon.paths().clone();
    let fault = tokio::task::spawn_blocking(move || network::fault(&paths, &found)).await??;
    Ok(fault.map(|fault| [vec![fault.text], fault.hints].concat()).unwrap_or_default())
}

/// Those of `grants` that wait for something of the host.
async fn waiting(
    uid: Uid,
    grants: GrantSet,
    paths: Paths,
    config: Config,
) -> crate::error::Result<Vec<String>> {
    tokio::task::spawn_blocking(move || {
        let mut all = match owner::find(uid) {
            Ok(owner) => devices::waiting(owner.credentials, &grants)?,
            // Nothing starts of an owner who has lost his account.
            Err(_) => Vec::new(),
        };
        if grants.network() == Network::Mirror && mirror::pasta(&paths, &config).is_none() {
            all.push(Grant::Network(Network::Mirror).to_string());
        }
        Ok(all)
    })
    .await?
}

/// `Log`.
///
/// # Errors
/// Whatever the call is refused with.
pub async fn log(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    let (name, mut options) = named(call)?;
    let uid = target(daemon, call, &mut options).await?;
    let what = options.string("what")?.unwrap_or_else(|| "console".to_owned());
    options.finish()?;
    let config = daemon.config().await?;
    let found = lookup::find(daemon.incus(), &config, uid, &name).await?;
    let found = found.ok_or_else(|| missing(&name))?;
    let text = match what.as_str() {
        "job" => {
            let paths = daemon.paths().clone();
            tokio::task::spawn_blocking(move || record::read(&paths, uid, &name, Kind::Jobs))
                .await
                .map_err(Error::from)??
        }
        "console" => {
            let incus = daemon.incus().project(config.project(uid));
            let running = found.instance.status_code.is_running();
            console::read(&incus, daemon.paths(), uid, &name, running).await?.kept
        }
        other => {
            return Err(invalid(format!("there is no log '{other}'")).hint("there are: console, job").into());
        }
    };
    call.answer(&text)
}

/// Everything of `uid` with its object path.
///
/// # Errors
/// What Incus says.
pub async fn views(daemon: &Daemon, uid: Uid) -> crate::error::Result<Vec<View>> {
    let config = daemon.config().await?;
    let found = lookup::list_full(daemon.incus(), &config, Some(uid)).await?;
    Ok(found.iter().map(|found| view::of(found, false)).collect())
}
