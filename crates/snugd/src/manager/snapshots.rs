//! `TakeSnapshot`, `Undo`, `Snapshots`: of the caller's own containers alone, whoever he is.

use std::collections::HashMap;
use std::sync::Arc;

use snug_core::name::Uid;
use snug_core::snapshot::Snapshot;
use zbus::Variant;

use super::change::Change;
use super::{finish, named, start, stop_request};
use crate::bus::call::{Answer, Call};
use crate::bus::polkit::{Action, authorise};
use crate::daemon::Daemon;
use crate::error::Result;
use crate::work::Work;

/// Whose containers these methods are about: nobody goes back in another one's name.
async fn own(daemon: &Daemon, call: &Call) -> Result<Uid> {
    authorise(daemon.bus(), call.caller.subject(), Action::Use, &HashMap::new()).await?;
    Ok(Uid(call.caller.uid))
}

/// `TakeSnapshot`.
///
/// # Errors
/// Whatever the call is refused with.
pub async fn take(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    let (name, mut options) = named(call)?;
    let uid = own(daemon, call).await?;
    let before = options.string("before")?.unwrap_or_default().parse().map_err(crate::error::Error::from)?;
    let dry_run = finish(options)?;
    start(daemon, call, uid, name, Change::TakeSnapshot { before }, dry_run)
}

/// `Undo`.
///
/// # Errors
/// Whatever the call is refused with.
pub async fn undo(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    let (name, mut options) = named(call)?;
    let uid = own(daemon, call).await?;
    let to = options.string("to")?.map(|to| to.parse()).transpose().map_err(crate::error::Error::from)?;
    let keep_present = options.maybe_flag("keep")?.unwrap_or(true);
    let stop = stop_request(&mut options)?;
    let dry_run = finish(options)?;
    start(daemon, call, uid, name, Change::Undo { to, stop, keep_present }, dry_run)
}

/// `Snapshots`: the newest first.
///
/// # Errors
/// Whatever the call is refused with.
pub async fn list(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    let (name, options) = named(call)?;
    let uid = own(daemon, call).await?;
    options.finish()?;
    let work = Work::new(daemon, uid, name, None).await?;
    let snapshots = work.snapshots().await?;
    let views: Vec<HashMap<&str, Variant<'_>>> = snapshots.all.iter().rev().filter_map(view).collect();
    call.answer(&views)
}

/// What a client sees of one; nothing of those that are not Snug's.
fn view(snapshot: &Snapshot) -> Option<HashMap<&'static str, Variant<'_>>> {
    match snapshot {
        Snapshot::Own { name, before, .. } => Some(HashMap::from([
            ("name", Variant::from(name.as_str())),
            ("taken", Variant::from(name.timestamp())),
            ("before", Variant::from(before.as_str())),
        ])),
        Snapshot::Foreign(_) => None,
    }
}
