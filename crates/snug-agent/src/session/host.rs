//! Commands of the host: who offers a connection, and who asks for one (`snug_wire::host`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use snug_exec::control::{self, Order, Request};
use snug_exec::session::Session;
use snug_wire::message::{FailureKind, FromAgent};
use snug_wire::socket::wait;

use super::Context;

/// How long somebody on the host may take to offer a connection: the owner's session may be starting just now.
const OFFER: Duration = Duration::from_secs(5);

/// Leaves the client's connection with the server, until somebody dials.
pub fn offer(session: Session) {
    let (connection, early) = session.connection.into_raw();
    // Who has more to say than the offer does not speak this protocol.
    if early.is_empty() {
        // A server that has gone takes no offers; the connection ends with this process.
        let _ = control::send(session.control.as_fd(), &Request::Offer, &[connection.as_fd()]);
    }
}

/// Gives the client an offered connection.
pub fn dial(context: &Context, session: &mut Session) {
    let granted = context.provision.as_ref().is_some_and(|owner| owner.host_exec || owner.host_open);
    if !granted {
        let text = "this container has no access to the host: it needs the grant `host-exec` or `host-open`";
        return refuse(session, FailureKind::Denied, text);
    }
    match await_offer(session.control.as_fd()) {
        Some(connection) => {
            session.tell(&FromAgent::Dialled, &[connection.as_fd()]);
        }
        None => refuse(
            session,
            FailureKind::Other,
            "nobody on the host carries out commands: no session of the container's owner serves it",
        ),
    }
}

fn await_offer(server: BorrowedFd<'_>) -> Option<OwnedFd> {
    control::send(server, &Request::Dial, &[]).ok()?;
    let deadline = Some(Instant::now() + OFFER);
    loop {
        wait(server, PollFlags::IN, deadline).ok()?;
        // Whatever else the server tells is not for who only dials.
        if let (Order::Taken, fds) = control::receive(server).ok()?? {
            return fds.into_iter().next();
        }
    }
}

fn refuse(session: &mut Session, kind: FailureKind, text: &str) {
    session.tell(&FromAgent::Failed { kind, text: text.into() }, &[]);
}
