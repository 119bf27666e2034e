//! Holding a command back until the guest's early boot is done.

use std::time::{Duration, Instant};

use snug_exec::control::Order;
use snug_exec::session::{Event, Session};
use snug_wire::message::{Exec, FromAgent, ToAgent};

use super::Context;

/// When a person is told what the command waits for.
const TELL_AFTER: Duration = Duration::from_secs(3);
/// A guest whose early boot takes longer is stuck, perhaps in its emergency shell: the command may be what repairs it.
const WAIT_FOR_BOOT: Duration = Duration::from_secs(60);

/// Waits; whether the command is to run then. If not, its client knows why, or is gone.
pub fn wait(context: &mut Context, session: &mut Session, exec: &Exec) -> bool {
    let begun = Instant::now();
    let mut told = false;
    while !(exec.early || context.settled && context.environment.is_some()) {
        if session.server_gone {
            // Nobody will tell us any more; the environment is then the default one.
            break;
        }
        let deadline = begun + if told { WAIT_FOR_BOOT } else { TELL_AFTER };
        match session.wait(Some(deadline)) {
            Event::ClientGone | Event::Terminate | Event::Order(Order::HangUp { .. }) => return false,
            Event::Order(order) => context.heed(&order),
            Event::Message(ToAgent::Signal(signal)) if ends_by_default(signal) => {
                session.tell(&FromAgent::Killed { signal, core: false }, &[]);
                return false;
            }
            Event::Deadline if told => {
                tell(session, "the container has not finished starting; going on all the same");
                break;
            }
            Event::Deadline => {
                told = true;
                tell(session, "waiting for the container to finish starting (--early does not wait)");
            }
            Event::Message(_) | Event::Child => {}
        }
    }
    true
}

fn tell(session: &mut Session, text: &str) {
    session.tell(&FromAgent::Notice(text.into()), &[]);
}

/// Whether a program that does nothing about this signal ends by it.
fn ends_by_default(number: u8) -> bool {
    !matches!(
        i32::from(number),
        libc::SIGCHLD
            | libc::SIGCONT
            | libc::SIGURG
            | libc::SIGWINCH
            | libc::SIGTSTP
            | libc::SIGTTIN
            | libc::SIGTTOU
    )
}
