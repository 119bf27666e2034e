//! A guest that means harm holds no client whose user wants it gone: signals, keys and a closed terminal count, whatever
//! the guest says, or does not read.
#![cfg(feature = "real-stack")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test's name is its documentation; its helpers are tests, too"
)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::Duration;

use common::hostile::{Hostile, hello, until_gone};
use common::{NO_INIT, fresh, fresh_with};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};
use snug_testbed::process::Process;
use snug_testbed::{Bed, Container, Pty};
use snug_wire::message::{FromAgent, Stdio as Stream, ToAgent};
use snug_wire::socket::{Connection, Descriptors};

/// A container that is not trusted.
fn isolated<'a>(bed: &'a Bed, name: &str) -> Container<'a> {
    fresh_with(bed, "tester", name, NO_INIT, &["--preset", "isolated"])
}

/// Begins what is asked for, joins its streams, and gives the connection that asked.
fn begin(stream: UnixStream) -> Option<Connection> {
    let mut connection = Connection::new(stream.into(), Descriptors::Accept);
    let _ = connection.send(&hello(), &[], None);
    match connection.receive::<ToAgent>(None) {
        Ok(Some(ToAgent::Exec(exec))) => {
            if exec.terminal.is_some() || exec.stdio.contains(&Stream::Relayed) {
                let _ = connection.send(&FromAgent::Streams { token: [0; 16] }, &[], None);
            }
            let _ = connection.send(&FromAgent::Started { pid: 1 }, &[], None);
            Some(connection)
        }
        Ok(Some(ToAgent::Attach { .. })) => {
            until_gone(&connection);
            None
        }
        _ => None,
    }
}

/// Its command will never end.
fn endless(stream: UnixStream) {
    let Some(mut connection) = begin(stream) else { return };
    while connection.receive::<ToAgent>(None).is_ok_and(|message| message.is_some()) {}
}

/// Its command has stopped, it says, thousands of times and whenever it is to go on.
fn stopping(stream: UnixStream) {
    let Some(mut connection) = begin(stream) else { return };
    let stopped = FromAgent::Stopped(20);
    let _ = connection.send_all(&vec![stopped.clone(); 3000], &[], None);
    while let Ok(Some(message)) = connection.receive::<ToAgent>(None) {
        if matches!(message, ToAgent::Resume) {
            let _ = connection.send(&stopped, &[], None);
        }
    }
}

/// It has something to tell, without end, and reads nothing.
fn talking(stream: UnixStream) {
    let Some(mut connection) = begin(stream) else { return };
    let notices = vec![FromAgent::Notice(vec![b'x'; 1000]); 100];
    while connection.send_all(&notices, &[], None).is_ok() {}
}

/// It reads nothing more.
fn deaf(stream: UnixStream) {
    let Some(connection) = begin(stream) else { return };
    // The client's end of it is what is waited for.
    let _ = poll(&mut [PollFd::new(&connection, PollFlags::empty())], None);
}

fn without_streams(dev: &Container<'_>) -> Child {
    let run = dev.snug(["run", "-w", "/", "true"]);
    let client = run.spawn(Stdio::null(), Stdio::null(), Stdio::null()).unwrap();
    // It waits for its command.
    std::thread::sleep(Duration::from_secs(1));
    client
}

/// Of which signal a client ends in time, if it does. It is gone afterwards.
fn ends_of(mut client: Child, patience: u64) -> Option<i32> {
    let there = Process::now(client.id().cast_signed());
    let in_time = there.is_none_or(|it| it.wait_end(Duration::from_secs(patience)));
    let _ = client.kill();
    let ended = client.wait().unwrap();
    in_time.then(|| ended.signal()).flatten()
}

/// Tries each case at the same time: most of it is waiting for a deadline.
fn side_by_side<T: Sync>(cases: &[T], attempt: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| attempt(case));
        }
    });
}

/// Whether a client on a terminal ends in time.
fn is_ended_by(pty: &mut Pty, ending: impl FnOnce(&mut Pty)) -> bool {
    let client = Process::now(pty.pid());
    ending(pty);
    client.is_none_or(|it| it.wait_end(Duration::from_secs(16)))
}

#[test]
fn ctrl_c_ends_a_client_whose_request_nobody_takes() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "held-deaf", NO_INIT);
    let evil = Hostile::take_place(&bed, &dev);
    let listener = UnixListener::bind(&evil.socket).unwrap();
    fs::set_permissions(&evil.socket, Permissions::from_mode(0o666)).unwrap();
    // More than a socket holds, and nobody reads: the client waits in the middle of it.
    let line = "exec snug run -c held-deaf -w / true $(seq 60000)";
    let shell = bed.as_user("tester", ["bash", "-c", line]);
    let mut pty = shell.on_pty().unwrap();
    let (stream, _) = listener.accept().unwrap();
    pty.write("\x03").unwrap();
    pty.ends_with(130);
    drop((stream, listener));
}

#[test]
fn a_client_whose_command_never_ends_obeys_its_signals() {
    let bed = Bed::require();
    let dev = isolated(&bed, "held-endless");
    let _evil = Hostile::answering(&bed, &dev, endless);
    side_by_side(&[vec![Signal::TERM], vec![Signal::HUP], vec![Signal::INT; 3]], |signals| {
        let client = without_streams(&dev);
        for signal in signals {
            kill_process(Pid::from_child(&client), *signal).unwrap();
            std::thread::sleep(Duration::from_millis(200));
        }
        assert_eq!(ends_of(client, 30), Some(signals[0].as_raw()));
    });
}

#[test]
fn a_guest_that_says_stop_does_not_keep_its_client_from_signals() {
    let bed = Bed::require();
    let dev = isolated(&bed, "held-stop");
    let _evil = Hostile::answering(&bed, &dev, stopping);
    let cases =
        [vec![Signal::TERM], vec![Signal::HUP], vec![Signal::INT; 3], vec![Signal::TSTP, Signal::TERM]];
    side_by_side(&cases, |signals| {
        let client = without_streams(&dev);
        let process = Pid::from_child(&client);
        let state = format!("/proc/{}/stat", client.id());
        let is_stopped = || fs::read_to_string(&state).unwrap().contains(") T ");
        assert!(!is_stopped(), "nobody asked for it");
        for signal in signals {
            kill_process(process, *signal).unwrap();
            std::thread::sleep(Duration::from_millis(200));
            // Who asks for it has it, once.
            assert_eq!(is_stopped(), *signal == Signal::TSTP);
            kill_process(process, Signal::CONT).unwrap();
        }
        let last = signals.last().map(|signal| signal.as_raw());
        assert_eq!(ends_of(client, 30), last, "{signals:?}");
    });
}

#[test]
fn a_guest_that_says_stop_or_talks_without_end_does_not_keep_a_terminal_from_closing() {
    let bed = Bed::require();
    let window: fn(&mut Pty) = Pty::close;
    // Nobody reads what the terminal shows meanwhile.
    let kill: fn(&mut Pty) = |pty| pty.signal(Signal::TERM).unwrap();
    for (name, behave) in [("held-window", stopping as fn(UnixStream)), ("held-talk", talking)] {
        let dev = isolated(&bed, name);
        let _evil = Hostile::answering(&bed, &dev, behave);
        side_by_side(&[(window, "closing"), (kill, "SIGTERM")], |(ending, how)| {
            let mut pty = dev.snug(["run", "-w", "/", "true"]).on_pty().unwrap();
            std::thread::sleep(Duration::from_secs(1));
            assert!(is_ended_by(&mut pty, ending), "{name}: {how}");
        });
    }
}

#[test]
fn a_guest_that_reads_no_signal_does_not_put_off_the_end_of_its_client() {
    let bed = Bed::require();
    let dev = isolated(&bed, "held-ears");
    let _evil = Hostile::answering(&bed, &dev, deaf);
    side_by_side(&[(vec![Signal::TERM], 13), (vec![Signal::INT; 3], 3)], |(signals, patience)| {
        let client = without_streams(&dev);
        let process = Pid::from_child(&client);
        for signal in std::iter::repeat_n(&Signal::USR1, 600).chain(signals) {
            kill_process(process, *signal).unwrap();
            // Two that wait are one.
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(ends_of(client, *patience), Some(signals[0].as_raw()), "{signals:?}");
    });
}

#[test]
fn a_terminal_that_nobody_reads_does_not_keep_a_client_from_signals() {
    let bed = Bed::require();
    for (preset, name) in [("integrated", "held-flood"), ("isolated", "held-flood-not")] {
        let dev = fresh_with(&bed, "tester", name, NO_INIT, &["--preset", preset]);
        let mut pty = dev.snug(["run", "-w", "/", "yes"]).on_pty().unwrap();
        pty.until("y\r\ny\r\n").unwrap();
        // Nobody reads from here on; the terminal is soon full.
        std::thread::sleep(Duration::from_secs(1));
        assert!(is_ended_by(&mut pty, |pty| pty.signal(Signal::TERM).unwrap()), "{preset}");
        pty.ends_with(128 + Signal::TERM.as_raw());
    }
}
