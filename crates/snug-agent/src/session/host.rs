//! Commands of the host: who offers a connection, and who asks for one (`snug_wire::host`).

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use snug_exec::control::{self, Order, Request};
use snug_exec::session::{Event, Session};
use snug_wire::message::{FailureKind, FromAgent, Wish};

use super::Context;

/// How long somebody on the host may take to offer a connection: the owner's session may be starting just now.
const OFFER: Duration = Duration::from_secs(5);
/// The same for a bus, which can be had in another way: the next offer follows on the last one within milliseconds.
const BUS_OFFER: Duration = Duration::from_secs(1);

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
    let granted = provision.is_some_and(|provision| match wish {
        Wish::Command => provision.host_exec,
        Wish::Open => provision.host_open,
        Wish::Bus => provision.session,
    });
    if !granted {
        let text = format!("this container does not have the grant `{}`", wish.grant());
        return refuse(session, FailureKind::Denied, &text);
    }
    if control::send(session.control.as_fd(), &Request::Dial, &[]).is_err() {
        return;
    }
    let patience = if wish == Wish::Bus { BUS_OFFER } else { OFFER };
    let deadline = Some(Instant::now() + patience);
    loop {
        match session.wait(deadline) {
            Event::Order(Order::Taken) => break,
            // An offer that comes now is not for somebody who has gone.
            Event::ClientGone | Event::Terminate | Event::Order(Order::HangUp { .. }) => return,
            Event::Deadline => {
                let text = "nobody there carries out commands: no session of the container's owner serves it";
                return refuse(session, FailureKind::Other, text);
            }
            Event::Order(_) | Event::Message(_) | Event::Child => {}
        }
    }
    if let Some(connection) = session.ordered.pop() {
        session.tell(&FromAgent::Dialled, &[connection.as_fd()]);
    }
}

fn refuse(session: &mut Session, kind: FailureKind, text: &str) {
    session.tell(&FromAgent::Failed { kind, text: text.into() }, &[]);
}
