//! `Doctor`: the networks that containers can have, and those that they have.

use std::sync::Arc;

use snug_core::name::Uid;

use super::{Check, Status};
use crate::container::lookup;
use crate::daemon::Daemon;
use crate::error::{Error, Result};
use crate::host::{mirror, rundir};

/// Whether containers can have the host's network.
pub async fn mirror(daemon: &Daemon) -> Check {
    let config = match daemon.config().await {
        Ok(config) => config,
        Err(error) => return Check::failed("network", &error),
    };
    let Some(wanted) = config.pasta.clone() else {
        return Check::new(
            "network",
            Status::Notice,
            "network=mirror is switched off: it is network=nat here",
        );
    };
    let paths = daemon.paths().clone();
    match tokio::task::spawn_blocking(move || mirror::pasta(&paths, &config)).await {
        Ok(Some(pasta)) => {
            let text =
                format!("containers can have the host's network (network=mirror), by {}", pasta.display());
            Check::new("network", Status::Ok, text)
        }
        Ok(None) => {
            let text = format!("network=mirror is network=nat here: {} is not installed", wanted.display());
            Check::new("network", Status::Notice, text).hint("install the package passt")
        }
        Err(error) => Check::failed("network", &Error::from(error)),
    }
}

/// Whether the host's firewall is in the way of what runs of `uid`'s: a check for each that is cut off, or one for all. What was found when
/// they started, and has not been mended since.
pub async fn containers(daemon: &Arc<Daemon>, uid: Uid) -> Vec<Check> {
    const NAME: &str = "containers-network";
    match faults(daemon, uid).await {
        Ok(faults) if faults.is_empty() => {
            vec![Check::new(
                NAME,
                Status::Ok,
                "no container of yours that runs is cut off by the host's firewall",
            )]
        }
        Ok(faults) => faults
            .into_iter()
            .map(|(name, text, hint)| Check::new(NAME, Status::Warning, format!("{name}: {text}")).hint(hint))
            .collect(),
        // Told by the check of Incus already.
        Err(error) => vec![Check::new(NAME, Status::Notice, format!("not looked at: {error}"))],
    }
}

/// Each with its name, what is the matter, and what mends it, a line each.
async fn faults(daemon: &Arc<Daemon>, uid: Uid) -> Result<Vec<(String, String, String)>> {
    let config = daemon.config().await?;
    let all = lookup::list(daemon.incus(), &config, uid).await?;
    let paths = daemon.paths().clone();
    let look = move || {
        let running = all.into_iter().filter(|found| found.instance.status_code.is_running());
        let mut faults = Vec::new();
        for found in running {
            if let Some(fault) = rundir::network_fault(&paths, uid, &found.name)? {
                faults.push((found.name.to_string(), fault.text, fault.hints.join("\n")));
            }
        }
        Ok(faults)
    };
    tokio::task::spawn_blocking(look).await?
}
