//! What the daemon does to Incus.
//!
//! | module | what |
//! |---|---|
//! | [`handed`] | files that callers name for an image |
//! | [`idmap`] | ranges of host ids, one for each container |
//! | [`image`] | images of this host: resolved, imported, listed, removed |
//! | [`image_metadata`] | what an image says of itself |
//! | [`network`] | Snug's bridge, addresses on it |
//! | [`pool`] | the storage pool |
//! | [`project`] | a user's project |
//! | [`quirks`] | texts of Incus that must be read, with the versions they hold for |
//! | [`remote`] | image servers: what they have, images fetched from them |
//! | [`requirements`] | what Incus and its host must be able to do |
//! | [`viewer`] | for whom an image exists |

pub mod handed;
pub mod idmap;
pub mod image;
pub mod image_metadata;
pub mod network;
pub mod pool;
pub mod project;
pub mod quirks;
pub mod remote;
pub mod requirements;
pub mod viewer;

use std::future::Future;
use std::time::{Duration, Instant};

use incus_client::{Client, ErrorKind as IncusKind, UnavailableReason};

use crate::error::{Error, ErrorKind};

/// Waits until Incus has ended what it does to the instance `name` of the client's project. A command that somebody runs in it, or
/// its console, is none of that (class `websocket`, `operationClassWebsocket` in 6.0.4) and may never end.
///
/// # Errors
/// What Incus says.
pub async fn work_ended(incus: &Client, name: &str) -> incus_client::Result<()> {
    let suffix = format!("/instances/{name}");
    for info in incus.operations().await? {
        let names = |url: &String| url.split('?').next().is_some_and(|path| path.ends_with(&suffix));
        let is_meant = info.resources.values().flatten().any(names) && info.class != "websocket";
        if is_meant && !info.status_code.is_final() {
            tracing::info!(container = name, operation = info.description, "waiting for Incus");
            if let Ok(operation) = incus.operation(&info.id).await {
                let _ = operation.wait_end().await;
            }
        }
    }
    Ok(())
}

impl From<incus_client::Error> for Error {
    fn from(error: incus_client::Error) -> Self {
        let text = error.to_string();
        match error.kind() {
            IncusKind::Unavailable => unavailable(&text, error.unavailable_reason()),
            IncusKind::Unsupported => Self::new(ErrorKind::IncusTooOld, text)
                .hint("Snug needs Incus 6.0.4 or newer: update the package 'incus'"),
            IncusKind::Cancelled => Self::new(ErrorKind::Cancelled, text),
            IncusKind::Unknown => Self::new(ErrorKind::Interrupted, text)
                .hint("incusd was restarted or does not answer: see the journal of incus.service"),
            _ if quirks::is_full_quota(&text) => Self::new(ErrorKind::NoSpace, text)
                .hint("the container's own disk is full: remove something in it (snug enter), then give it more (snug set disk=…)"),
            _ if quirks::is_full_disk(&text) => Self::new(ErrorKind::NoSpace, text).hint(
                "free some space in the storage pool: `incus storage info` shows it, `snug rm` frees it",
            ),
            _ if quirks::has_no_ids(&text) => Self::new(ErrorKind::Failed, text).hint(
                "incusd reads /etc/subuid and /etc/subgid at its start: systemctl restart incus.service",
            ),
            _ if quirks::has_ended_meanwhile(&text) => Self::new(ErrorKind::Interrupted, text)
                .hint("the container was stopped at this moment: try again"),
            _ if quirks::is_going_down(&text) => Self::new(ErrorKind::NoIncus, text)
                .hint("Incus is being stopped: try again when it runs (systemctl start incus.service)"),
            _ => Self::new(ErrorKind::Failed, text),
        }
    }
}

fn unavailable(text: &str, reason: Option<UnavailableReason>) -> Error {
    let error = Error::new(ErrorKind::NoIncus, text);
    match reason {
        Some(UnavailableReason::Missing) => {
            error.hint("install Incus (the package 'incus'), or start it: systemctl start incus.service")
        }
        Some(UnavailableReason::PermissionDenied) => error.hint("snugd must run as root"),
        _ => error.hint("start it: systemctl start incus.service; its journal says why it does not answer"),
    }
}

/// How long Incus may be at work on an instance on its own account (cleaning up after a failed start takes it a second).
const BUSY: Duration = Duration::from_secs(20);
/// Its lock has no event and no operation; a tenth of a second is what its own work takes at least.
const BUSY_AGAIN: Duration = Duration::from_millis(100);

/// Tries again while Incus says that it is busy with the instance.
///
/// # Errors
/// What Incus says at last.
pub async fn patiently<T, F>(mut attempt: impl FnMut() -> F) -> incus_client::Result<T>
where
    F: Future<Output = incus_client::Result<T>>,
{
    let deadline = Instant::now() + BUSY;
    loop {
        match attempt().await {
            Err(error) if quirks::is_busy(&error.to_string()) && Instant::now() < deadline => {
                tokio::time::sleep(BUSY_AGAIN).await;
            }
            outcome => return outcome,
        }
    }
}
