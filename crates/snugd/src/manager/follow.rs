//! `FollowHost`: what has changed on the host, told to the guests that run.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use snug_core::name::Uid;

use super::{unnamed, whose};
use crate::bus::call::{Answer, Call};
use crate::container::lookup::{self, Found};
use crate::daemon::Daemon;
use crate::error::{Error, ErrorKind, Result};
use crate::work::{Work, cleanup};

/// `FollowHost`. Answers a sentence for each container that could not be told.
///
/// # Errors
/// Whatever the call is refused with.
pub async fn call(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    let mut options = unnamed(call)?;
    let uid = whose(daemon, call, &mut options).await?;
    options.finish()?;
    let failures = all(daemon, uid).await?;
    call.answer(&failures)
}

async fn all(daemon: &Arc<Daemon>, uid: Option<Uid>) -> Result<Vec<String>> {
    let config = daemon.config().await?;
    let containers = match uid {
        Some(uid) => lookup::list(daemon.incus(), &config, uid).await?,
        None => lookup::all(daemon.incus(), &config).await?,
    };
    // What changes the host's names may be a VPN, which brings rules of routing of its own.
    if uid.is_none() {
        cleanup::keep_apart(daemon, &containers).await;
    }
    let told = containers.iter().map(|found| async move {
        let failure = one(daemon, found).await.err()?;
        tracing::warn!(uid = found.owner.uid.0, container = %found.name, "does not follow the host: {failure}");
        Some(format!("'{}' of uid {}: {failure}", found.name, found.owner.uid))
    });
    Ok(join_all(told).await.into_iter().flatten().collect())
}

/// How long one may be busy with something else: it holds up what the others are told.
const TURN: Duration = Duration::from_secs(2);

/// One that is being started is told when it runs: it may have been told what was before.
async fn one(daemon: &Arc<Daemon>, found: &Found) -> Result<(), Error> {
    let (uid, name) = (found.owner.uid, found.name.clone());
    let turn = tokio::time::timeout(TURN, daemon.jobs().reserve((uid.0, name.to_string()))).await;
    let _turn = turn.map_err(|_| Error::new(ErrorKind::Busy, format!("'{name}' is busy")))?;
    Work::new(daemon, uid, name, None).await?.follow().await
}
