//! Hanging up every command of the guest, before it stops.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};
use snug_wire::message::FromAgent;

use super::Context;
use snug_exec::cgroup::Tree;
use snug_exec::control::{self, Order, Request};
use snug_exec::session::Session;
use snug_exec::sys::timespec;

/// What `cgroup.events` says of a group with a process in it or below (cgroup-v2.rst of the kernel).
const POPULATED: &[u8] = b"populated 1";
/// How long the kernel may take to bury what was killed.
const BURIAL: Duration = Duration::from_secs(2);

/// Hangs up every session, ends what they left behind, kills what is left after the grace; answers when all is gone.
pub fn all(context: &Context, session: &mut Session, grace: u32) {
    let _ = control::send(session.control.as_fd(), &Request::HangUpAll { grace }, &[]);
    if let Some(tree) = &context.tree {
        signal_commands(tree, &[Signal::HUP, Signal::CONT]);
    }
    let mut all_gone = false;
    let begun = Instant::now();
    let grace = Duration::from_millis(grace.into());
    let mut gone = wait_until_gone(context, session, &mut all_gone, begun + grace / 2);
    if !gone {
        // Who does not listen to a hang-up (nohup) may listen to this; asked for at once, it would end those that are
        // still busy with what they do at a hang-up.
        if let Some(tree) = &context.tree {
            signal_commands(tree, &[Signal::TERM, Signal::CONT]);
        }
        gone = wait_until_gone(context, session, &mut all_gone, begun + grace);
    }
    if !gone {
        if let Some(tree) = &context.tree {
            let _ = tree.kill_commands();
        }
        wait_until_gone(context, session, &mut all_gone, Instant::now() + BURIAL);
    }
    if let Some(tree) = &context.tree {
        tree.sweep(None);
    }
    session.tell(&FromAgent::Done, &[]);
}

/// What detached itself from its command survived the hang-up of its client; it shall not survive the guest.
pub fn terminate_commands(tree: &Tree) {
    signal_commands(tree, &[Signal::HUP, Signal::TERM, Signal::CONT]);
}

fn signal_commands(tree: &Tree, signals: &[Signal]) {
    for pid in tree.processes().into_iter().filter_map(Pid::from_raw) {
        for signal in signals {
            let _ = kill_process(pid, *signal);
        }
    }
}

fn wait_until_gone(context: &Context, session: &Session, all_gone: &mut bool, end: Instant) -> bool {
    let events = context.tree.as_ref().and_then(|tree| tree.events().ok());
    loop {
        // One read both tells and arms the next PRI event (kernfs): nothing can come between.
        let populated = events.as_ref().is_some_and(|events| {
            let mut text = [0; 64];
            let count = rustix::io::pread(events, &mut text, 0).unwrap_or(0);
            text[..count].windows(POPULATED.len()).any(|part| part == POPULATED)
        });
        if *all_gone && !populated {
            return true;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let timeout = timespec(left);
        let mut polled = Vec::new();
        if !*all_gone {
            polled.push(PollFd::new(&session.control, PollFlags::IN));
        }
        if let Some(events) = &events {
            polled.push(PollFd::new(events, PollFlags::PRI));
        }
        let _ = poll(&mut polled, Some(&timeout));
        if !*all_gone && !polled[0].revents().is_empty() {
            *all_gone = matches!(
                control::receive::<Order>(session.control.as_fd()),
                Ok(None | Some((Order::AllGone, _))) | Err(_)
            );
        }
    }
}
