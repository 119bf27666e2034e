//! One connection of a client, in a process of its own: what goes wrong here harms nobody else.
//!
//! | module | what |
//! |---|---|
//! | [`system`] | the guest as a system that commands run on |
//! | [`boot`] | holding a command back until the guest has booted |
//! | [`environment`] | what a command's environment is made of |
//! | [`terminfo`] | the caller's terminal type |
//! | [`hangup`] | hanging up every command |
//! | [`host`] | commands of the host: who offers a connection, and who asks for one |
//! | [`greeting`] | the first words to a client, and who may go on |

mod boot;
pub mod environment;
pub mod greeting;
mod hangup;
mod host;
mod prompt;
mod system;
mod terminfo;

pub use self::hangup::terminate_commands;

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use snug_exec::cgroup::{Group, Tree};
use snug_exec::command;
use snug_exec::control::{self, Order, Request};
use snug_exec::environment::split;
use snug_exec::session::{Session, Wanted, attach, become_session};
use snug_exec::sys::door::Door;
use snug_exec::sys::process::Shared;
use snug_exec::sys::{memory, process, signal};
use snug_wire::message::{FailureKind, FromAgent, ToAgent};
use snug_wire::provision::{Followed, Provision};

use crate::console;
use crate::places::{Guest, Places};
use crate::provision::{self, certificates, driver, gpg, host_places};
use crate::server;

/// How long a client may take to ask for something.
const REQUEST: Duration = Duration::from_secs(60);

/// What the server knows when it forks a session.
pub struct Context {
    /// The agent's directories.
    pub places: Places,
    /// The guest's files.
    pub guest: Guest,
    /// Whom the agent serves; without it only root is served.
    pub provision: Option<Provision>,
    /// Control groups, where the guest has them.
    pub tree: Option<Tree>,
    /// Early boot is done.
    pub settled: bool,
    /// The guest's login environment, when it is known.
    pub environment: Option<Vec<Vec<u8>>>,
    /// `RLIMIT_NOFILE` as the server found it.
    pub descriptor_limit: Option<(u64, u64)>,
    /// The number of everybody who has none in this user namespace.
    pub overflow_uid: u32,
    /// `container` as LXC gave it.
    pub container: Vec<u8>,
    /// Somebody on the host offers a connection; the server's word for its sessions.
    pub offered: Shared<bool>,
}

impl Context {
    fn trusted(&self) -> bool {
        self.provision.as_ref().is_some_and(|provision| provision.trusted)
    }

    /// Puts what had to wait for the guest's early boot, which is done, into the guest.
    pub fn finish_provisioning(&self) {
        let Some(provision) = &self.provision else { return };
        let is_late = fs::read_to_string(self.places.boot()).is_ok_and(|boot| boot == server::BY_OPENRC);
        if is_late && let Err(error) = host_places::make_late(&self.guest, provision) {
            console::say(format_args!("the host's places: {error}"));
        }
        if let Err(error) = provision::session::find_displays(&self.guest, provision) {
            console::say(format_args!("displays: {error}"));
        }
        if let Err(error) = certificates::update(&self.guest, &self.places) {
            console::say(format_args!("certificates: {error}"));
        }
        if let Err(error) = driver::update(&self.guest, &self.places, driver::AT_START) {
            console::say(format_args!("graphics driver: {error}"));
        }
    }

    /// Puts what the guest's programs have taken the place of, while the host had nothing there, back before a command.
    fn renew_session(&self) {
        if let Some(provision) = &self.provision
            && let Err(error) = gpg::find_agent_again(&self.guest, provision)
        {
            console::say(format_args!("gpg-agent: {error}"));
        }
    }

    /// Takes what the server has to tell.
    pub fn heed(&mut self, order: &Order) {
        match order {
            Order::Settled => self.settled = true,
            Order::Environment => {
                let text = fs::read(self.places.environment()).unwrap_or_default();
                self.environment = Some(split(&text));
            }
            Order::HangUp { .. } | Order::Taken | Order::Unknown | Order::AllGone => {}
        }
    }
}

/// Where a session's client comes from.
pub enum Origin {
    /// It is there.
    Client(OwnedFd),
    /// This is the spare session: it does all that needs no client, and then accepts the next one itself.
    Listener(OwnedFd),
}

/// Serves one connection, in a process just forked from the server.
pub fn run(context: &mut Context, origin: Origin, control: OwnedFd) -> ! {
    let _ = serve(context, origin, control);
    process::exit(0)
}

fn serve(context: &mut Context, origin: Origin, control: OwnedFd) -> Result<(), Errno> {
    let (waits, source) = match origin {
        Origin::Client(client) => (false, client),
        Origin::Listener(listener) => (true, listener),
    };
    let (source, control, signals) = become_session(source, control)?;
    // A session has one command, so its number names the group.
    let number = rustix::process::getpid().as_raw_nonzero().get().cast_unsigned();
    let mut group = context.tree.as_ref().and_then(|tree| tree.command(number).ok());
    let client = if waits { await_client(context, &signals, control.as_fd(), source) } else { Some(source) };
    let unsaid = if waits { vec![greeting::hello(context)] } else { Vec::new() };
    let result = match client {
        Some(client) => converse(context, client, control, signals, unsaid, &mut group),
        None => Ok(()),
    };
    give_back(&mut group);
    result
}

/// Removes the control group of a session that starts no command.
fn give_back(group: &mut Option<Group>) {
    if let Some(group) = group.take() {
        group.remove();
    }
}

/// The spare session's wait; `None` when the server ends, or the guest.
fn await_client(
    context: &mut Context,
    signals: &signal::Signals,
    control: BorrowedFd<'_>,
    listener: OwnedFd,
) -> Option<OwnedFd> {
    memory::warm();
    let mut door = Door::new(listener);
    loop {
        let mut polled = [
            PollFd::new(signals, PollFlags::IN),
            PollFd::from_borrowed_fd(control, PollFlags::IN),
            PollFd::new(&door, PollFlags::IN),
        ];
        match poll(&mut polled, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return None,
        }
        let ready = polled.map(|fd| !fd.revents().is_empty());
        if ready[0] && signals.next() == Some(libc::SIGTERM) {
            return None;
        }
        if ready[1] {
            context.heed(&control::receive(control).ok()??.0);
        }
        if ready[2] {
            let Some(client) = door.accept() else { continue };
            if let Some(client) = greeting::admit(context, client) {
                // A server that has just died is none of the client's business.
                let _ = control::send(control, &Request::Accepted, &[]);
                return Some(client);
            }
        }
    }
}

fn converse(
    context: &mut Context,
    connection: OwnedFd,
    control: OwnedFd,
    signals: signal::Signals,
    unsaid: Vec<FromAgent>,
    group: &mut Option<Group>,
) -> Result<(), Errno> {
    let mut session = Session::new(connection, control, signals, context.trusted(), unsaid);
    let wanted = session.wanted(REQUEST, &mut |order| context.heed(order));
    if let Some(Wanted::Command(exec, handed)) = wanted {
        if boot::wait(context, &mut session, &exec) {
            context.renew_session();
            command::run(context, &mut session, *exec, handed, group.take());
        }
        return Ok(());
    }
    give_back(group);
    match wanted {
        Some(Wanted::Stream(token, stream)) => return attach(session, token, stream),
        Some(Wanted::Other(ToAgent::HangUpAll { grace })) => hangup::all(context, &mut session, grace),
        Some(Wanted::Other(ToAgent::Follow(followed))) => follow(context, &mut session, &followed),
        Some(Wanted::Other(ToAgent::Offer)) => host::offer(session),
        Some(Wanted::Other(ToAgent::Dial(wish))) => host::dial(context, &mut session, wish),
        Some(Wanted::Other(_) | Wanted::Command(..)) | None => {}
    }
    Ok(())
}

/// Takes over what has changed on the host; answers what of it failed.
fn follow(context: &Context, session: &mut Session, followed: &Followed) {
    let mut steps = provision::follow(&context.guest, &context.places, followed);
    if let Some(provision) = &context.provision {
        steps.push(("gpg-agent", gpg::find_agent_again(&context.guest, provision)));
    }
    if context.settled {
        steps.push(("certificates", certificates::update(&context.guest, &context.places)));
        steps.push(("graphics driver", driver::update(&context.guest, &context.places, driver::LATER)));
    }
    let failed: Vec<String> = steps
        .into_iter()
        .filter_map(|(step, result)| result.err().map(|error| format!("{step}: {error}")))
        .collect();
    let answer = match failed[..] {
        [] => FromAgent::Done,
        _ => FromAgent::Failed { kind: FailureKind::Other, text: failed.join("; ").into() },
    };
    session.tell(&answer, &[]);
}
