//! Commands of the host: who offers a connection, and who asks for one (`snug_wire::host`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use snug_exec::control::{self, Order, Request};
use snug_exec::session::Session;
use snug_wire::message::{FailureKind, FromAgent, Wish};
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

/// Gives the client an offered connection. Whether what it wishes is granted the other end knows best; here it is said before
/// anything is asked for that cannot be (an untrusted container's program hands nothing over).
pub fn dial(context: &Context, session: &mut Session, wish: Wish) {
    let provision = context.provision.as_ref();
    let (granted, grant) = match wish {
        Wish::Command => (provision.is_some_and(|provision| provision.host_exec), "host-exec"),
        Wish::Open => (provision.is_some_and(|provision| provision.host_open), "host-open"),
    };
    if !granted {
        let text = format!("this container does not have the grant `{grant}`");
        return refuse(session, FailureKind::Denied, &text);
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
