//! The first words to a client, and who may go on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use snug_wire::message::{FailureKind, FromAgent, OLDEST_PROTOCOL, PROTOCOL};
use snug_wire::socket::{Connection, Descriptors};

use super::Context;
use snug_exec::sys::peer;

/// What every client hears first.
pub fn hello(context: &Context) -> FromAgent {
    FromAgent::Hello {
        protocol: PROTOCOL,
        oldest: OLDEST_PROTOCOL,
        version: env!("CARGO_PKG_VERSION").into(),
        settled: context.settled,
        offered: context.offered.get(),
    }
}

/// Greets whoever connected; `None` when nothing more is to be said to him.
pub fn greet(context: &Context, client: OwnedFd) -> Option<OwnedFd> {
    let client = admit(context, client)?;
    let mut connection = Connection::new(client, Descriptors::Refuse);
    // An empty socket takes it at once; a client that is gone already is its own affair.
    connection.send(&hello(context), &[], Some(Instant::now())).ok()?;
    Some(connection.into_raw().0)
}

/// Lets those pass who may ask, who are then to be greeted; the others are told why not.
pub fn admit(context: &Context, client: OwnedFd) -> Option<OwnedFd> {
    if may_ask(context, client.as_fd()) {
        return Some(client);
    }
    let text = b"only programs of the container's owner and of its root may use the agent".to_vec();
    let refusal = FromAgent::Failed { kind: FailureKind::User, text };
    // An empty socket takes both messages at once.
    let now = Some(Instant::now());
    let mut connection = Connection::new(client, Descriptors::Refuse);
    let _ = connection.send_all(&[hello(context), refusal], &[], now);
    None
}

/// The owner and the guest's root; who has no number in this guest (every other user of the host, its root included)
/// shows as the overflow user, and a guest's own user of that number is nobody either.
fn may_ask(context: &Context, client: BorrowedFd<'_>) -> bool {
    let Ok(uid) = peer::uid(client) else { return false };
    let owner = context.provision.as_ref().map(|provision| provision.owner.uid);
    uid == 0 || (Some(uid) == owner && uid != context.overflow_uid)
}
