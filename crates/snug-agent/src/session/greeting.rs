//! The first words to a client, and who may go on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use snug_wire::message::{FailureKind, FromAgent, OLDEST_PROTOCOL, PROTOCOL};
use snug_wire::socket::{Connection, Descriptors};

use super::Context;
use crate::sys::peer;

/// Greets whoever connected; `None` when nothing more is to be said to him.
pub fn greet(context: &Context, client: OwnedFd) -> Option<OwnedFd> {
    let allowed = may_ask(context, client.as_fd());
    let mut connection = Connection::new(client, Descriptors::Refuse);
    let hello = FromAgent::Hello {
        protocol: PROTOCOL,
        oldest: OLDEST_PROTOCOL,
        version: env!("CARGO_PKG_VERSION").into(),
        settled: context.settled,
    };
    // An empty socket takes both messages at once; a client that is gone already is its own affair.
    let now = Some(Instant::now());
    connection.send(&hello, &[], now).ok()?;
    if !allowed {
        let text = b"only the container's owner and its root may use the agent".to_vec();
        let _ = connection.send(&FromAgent::Failed { kind: FailureKind::Denied, text }, &[], now);
        return None;
    }
    Some(connection.into_raw().0)
}

/// The owner and the guest's root; who has no number in this guest (every other user of the host, its root included)
/// shows as the overflow user, and a guest's own user of that number is nobody either.
fn may_ask(context: &Context, client: BorrowedFd<'_>) -> bool {
    let Ok(uid) = peer::uid(client) else { return false };
    let owner = context.provision.as_ref().map(|provision| provision.owner.uid);
    uid == 0 || (Some(uid) == owner && uid != context.overflow_uid)
}
