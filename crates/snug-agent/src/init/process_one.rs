//! Process 1 of a guest whose image has no init: buries the dead, keeps the server alive, stops when it is told to.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use rustix::system::RebootCommand;

use crate::console;
use snug_exec::sys::signal::{self, Signals};
use snug_exec::sys::timespec;

/// How long processes may take to end, as long as a command that was hung up.
const GRACE: Duration = Duration::from_secs(2);
/// A server that lived shorter would only be started again for ever.
const LIFETIME: Duration = Duration::from_secs(1);

/// Stays until the guest is to stop. LXC sends `SIGPWR`, or `SIGRTMIN+3` to a process 1 that blocks it, busybox's
/// `halt` and `poweroff` one of `SIGUSR1` and `SIGUSR2`; `SIGINT` means to start again.
pub fn stay(server: Option<Pid>, start_server: impl Fn() -> Option<Pid>) {
    signal::block_all();
    signal::expect_children();
    let halt = [libc::SIGPWR, libc::SIGRTMIN() + 3, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2];
    let watched: Vec<i32> = halt.into_iter().chain([libc::SIGINT, libc::SIGCHLD]).collect();
    let (mut server, mut started) = (server, Instant::now());
    loop {
        match signal::wait_for(&watched) {
            libc::SIGCHLD => {
                if bury(server) {
                    server = if started.elapsed() > LIFETIME { start_server() } else { None };
                    started = Instant::now();
                }
            }
            libc::SIGINT => {
                end_all();
                // In a guest this ends process 1 in a way that LXC understands (pid_namespaces(7)).
                let _ = rustix::system::reboot(RebootCommand::Restart);
                return;
            }
            _ => {
                end_all();
                return;
            }
        }
    }
}

/// Buries whoever is dead; whether the server is among them.
fn bury(server: Option<Pid>) -> bool {
    let mut found = false;
    while let Ok(Some((pid, _))) = wait(WaitOptions::NOHANG) {
        found |= Some(pid) == server;
    }
    found
}

fn end_all() {
    tell_all(&[Signal::HUP, Signal::TERM, Signal::CONT]);
    let end = Instant::now() + GRACE;
    let Ok(children) = Signals::new(&[libc::SIGCHLD]) else { return tell_all(&[Signal::KILL]) };
    loop {
        while children.next().is_some() {}
        // Everything of the guest becomes our child before it is gone.
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            console::say("some processes did not end by themselves");
            return tell_all(&[Signal::KILL]);
        }
        let timeout = timespec(left);
        let _ = poll(&mut [PollFd::new(&children, PollFlags::IN)], Some(&timeout));
    }
}

/// Signals every process of the guest but this one.
fn tell_all(signals: &[Signal]) {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers: Vec<i32> = processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid > 1)
        .collect();
    for pid in numbers.into_iter().filter_map(Pid::from_raw) {
        for signal in signals {
            let _ = kill_process(pid, *signal);
        }
    }
}
