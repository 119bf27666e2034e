//! A guest that means harm: whatever answers at its socket, the client ends with 125 in time, and the host is untouched.
#![cfg(feature = "real-stack")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test's name is its documentation; its helpers are tests, too"
)]

mod common;

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::hostile::{Hostile, hello, say, until_gone};
use common::{Finally, NO_INIT, answer, fresh, fresh_with, refused};
use snug_testbed::process::Process;
use snug_testbed::{Bed, Leaks};
use snug_wire::message::{FailureKind, FromAgent, ToAgent};
use snug_wire::socket::{Connection, Descriptors};

#[test]
fn an_agent_that_answers_garbage_is_left_with_125() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "evil-noise", NO_INIT);
    for (garbage, after_hello) in [
        (vec![0xff; 4096], false),
        (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), false),
        (vec![0, 0, 0, 0, 250], true),
        (vec![255, 255, 255, 127, 134], true),
        ((0..60_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect(), true),
    ] {
        let sent = garbage.clone();
        let _evil = Hostile::answering(&bed, &dev, move |stream| {
            let mut raw = stream.try_clone().unwrap();
            let first = [hello()];
            let connection = say(stream, if after_hello { &first } else { &[] }, &[]);
            let _ = raw.write_all(&sent);
            until_gone(&connection);
        });
        refused(dev.run(["true"]), 125, &["evil-noise", "hint: "]);
    }
}

#[test]
fn an_agent_that_greets_with_something_else_is_left_with_125() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "evil-greet", NO_INIT);
    for first in [FromAgent::Exited(0), FromAgent::Started { pid: 1 }, FromAgent::Done] {
        let _evil = Hostile::answering(&bed, &dev, move |stream| {
            until_gone(&say(stream, std::slice::from_ref(&first), &[]))
        });
        refused(dev.run(["true"]), 125, &["evil-greet"]);
    }
}

#[test]
fn an_agent_that_never_speaks_is_left_at_the_deadline() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "evil-mute", NO_INIT);
    let evil = Hostile::answering(&bed, &dev, |stream| until_gone(&say(stream, &[], &[])));
    refused(dev.run(["true"]).deadline(Duration::from_secs(60)), 125, &["evil-mute", "in time"]);
    assert!(evil.heard.load(Ordering::SeqCst) > 0);
}

/// Its command has begun, it says, before its streams are joined.
fn hasty(stream: UnixStream) {
    let mut connection = Connection::new(stream.into(), Descriptors::Accept);
    let _ = connection.send(&hello(), &[], None);
    // The request first: `Started` is no answer before it.
    while let Ok(Some(message)) = connection.receive::<ToAgent>(None) {
        if matches!(message, ToAgent::Exec(_)) {
            let _ = connection.send(&FromAgent::Started { pid: 1 }, &[], None);
        }
    }
}

#[test]
fn a_command_does_not_begin_before_its_streams_are_there() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "evil-early", NO_INIT, &["--preset", "isolated"]);
    let _evil = Hostile::answering(&bed, &dev, hasty);
    // With a terminal or pipes of its own it would be the guest that chose whether they can hang up.
    refused(
        dev.run(["true"]).deadline(Duration::from_secs(60)),
        125,
        &["evil-early", "message at this point"],
    );
    let mut pty = dev.snug(["run", "-w", "/", "true"]).deadline(Duration::from_secs(60)).on_pty().unwrap();
    pty.ends_with(125);
}

#[test]
fn a_socket_on_which_nobody_accepts_is_left_at_the_deadline() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "evil-full", NO_INIT);
    let evil = Hostile::take_place(&bed, &dev);
    let listener = UnixListener::bind(&evil.socket).unwrap();
    fs::set_permissions(&evil.socket, Permissions::from_mode(0o666)).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    // A backlog of 0 takes one: connect(2) of the next one waits.
    let filler = UnixStream::connect(&evil.socket).unwrap();
    refused(dev.run(["true"]).deadline(Duration::from_secs(60)), 125, &["evil-full"]);
    drop((filler, listener));
}

#[test]
fn an_agent_that_greets_and_then_stalls_or_floods_is_left_at_the_deadline() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "evil-stall", NO_INIT);
    let turn = Arc::new(AtomicUsize::new(0));
    let _evil = Hostile::answering(&bed, &dev, move |stream| {
        let turn = turn.fetch_add(1, Ordering::SeqCst);
        let mut connection = say(stream, &[hello()], &[]);
        match turn {
            // Takes the request and says nothing.
            0 => until_gone(&connection),
            // Stops its client, which no deadline would end then.
            1 => {
                let _ = connection.send(&FromAgent::Stopped(20), &[], None);
                until_gone(&connection);
            }
            // Notices without end, and nothing else.
            2 => while connection.send(&FromAgent::Notice(vec![b'x'; 30_000]), &[], None).is_ok() {},
            // Messages that mean nothing here, without end, and faster than they can be read one by one.
            _ => {
                let many = vec![FromAgent::Done; 10_000];
                while connection.send_all(&many, &[], None).is_ok() {}
            }
        }
    });
    // Side by side: each takes as long as the deadline.
    let mut clients = Vec::new();
    for _ in 0..4 {
        let null = Stdio::null;
        clients.push(dev.run(["true"]).spawn(null(), null(), Stdio::piped()).unwrap());
    }
    for client in clients {
        let process = Process::now(client.id().cast_signed());
        assert!(process.is_none_or(|it| it.wait_end(Duration::from_secs(60))), "a client is still there");
        let ended = client.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(125), "{}", String::from_utf8_lossy(&ended.stderr));
    }
}

#[test]
fn an_agent_that_does_not_read_the_request_is_left_at_the_deadline() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "evil-deaf", NO_INIT);
    let gate = Arc::new(AtomicBool::new(false));
    let (open, held) = (gate.clone(), Arc::new(std::sync::Mutex::new(Vec::new())));
    let _evil = Hostile::answering(&bed, &dev, move |stream| {
        // Kept open and never read.
        held.lock().unwrap().push(say(stream, &[hello()], &[]));
        open.store(true, Ordering::SeqCst);
    });
    let long = "x".repeat(100_000);
    let many: Vec<&str> = std::iter::repeat_n(long.as_str(), 15).collect();
    refused(dev.run(["echo"]).args(many).deadline(Duration::from_secs(60)), 125, &["evil-deaf"]);
    assert!(gate.load(Ordering::SeqCst));
}

#[test]
fn descriptors_that_a_guest_sends_are_refused() {
    let bed = Bed::require();
    for (preset, name) in [("integrated", "evil-fd"), ("isolated", "evil-fd-not")] {
        let dev = fresh_with(&bed, "tester", name, NO_INIT, &["--preset", preset]);
        // What is no terminal's master where one is announced; and far too many.
        for (message, count) in
            [(FromAgent::Pty, 1), (FromAgent::Pty, 250), (FromAgent::Notice(b"hi".to_vec()), 250)]
        {
            let _evil = Hostile::answering(&bed, &dev, move |stream| {
                let null = File::open("/dev/zero").unwrap();
                let fds: Vec<BorrowedFd<'_>> = std::iter::repeat_n(null.as_fd(), count).collect();
                let messages: Vec<FromAgent> =
                    std::iter::once(hello()).chain(std::iter::repeat_n(message.clone(), 4)).collect();
                // Then the connection ends: the command never was.
                drop(say(stream, &messages, &fds));
            });
            let ended = dev.snug(["run", "-w", "/", "true"]).run().unwrap();
            common::explains(&ended, 125, &[name]);
        }
    }
}

#[test]
fn a_relay_that_was_not_asked_for_hurts_nobody() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "evil-token", NO_INIT);
    let _evil = Hostile::answering(&bed, &dev, |stream| {
        let streams = FromAgent::Streams { token: [7; 16] };
        drop(say(stream, &[hello(), streams.clone(), streams], &[]));
    });
    refused(dev.run(["true"]), 125, &["evil-token"]);
}

#[test]
fn output_without_end_after_the_end_does_not_hold_the_terminal() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "evil-after", NO_INIT, &["--preset", "isolated"]);
    let (turn, attached) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let _evil = Hostile::answering(&bed, &dev, move |stream| {
        let mut raw = stream.try_clone().unwrap();
        let first = turn.fetch_add(1, Ordering::SeqCst) == 0;
        let mut connection = say(stream, &[hello()], &[]);
        let request = connection.receive::<ToAgent>(None);
        if first {
            assert!(matches!(request, Ok(Some(ToAgent::Exec(_)))));
            connection.send(&FromAgent::Streams { token: [7; 16] }, &[], None).unwrap();
            while !attached.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            let end = [FromAgent::Started { pid: 7 }, FromAgent::Exited(3)];
            connection.send_all(&end, &[], None).unwrap();
            until_gone(&connection);
        } else {
            attached.store(true, Ordering::SeqCst);
            while raw.write_all(&[b'x'; 4096]).is_ok() {}
        }
    });
    let shown = dev.snug(["run", "-w", "/", "true"]).on_pty().unwrap().ends_with(3);
    assert!(shown.len() < 4 << 20, "{}", shown.len());
}

#[test]
fn a_container_that_is_entered_through_the_daemon_is_never_connected_to() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "evil-entry", NO_INIT);
    let policy = bed.run_dir("tester", "evil-entry").join("policy");
    let before = fs::read_to_string(&policy).unwrap();
    let evil = Hostile::answering(&bed, &dev, |stream| drop(say(stream, &[hello()], &[])));
    for text in [before.replace("direct", "daemon"), before.replace("direct", "by some later way")] {
        assert_ne!(text, before);
        fs::write(&policy, text).unwrap();
        refused(dev.run(["true"]), 125, &["evil-entry", "privileged", "hint: "]);
    }
    assert_eq!(evil.heard.load(Ordering::SeqCst), 0);
}

#[test]
fn a_connection_that_ends_before_the_command_did_is_no_success() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "evil-leave", NO_INIT);
    let _evil = Hostile::answering(&bed, &dev, |stream| {
        drop(say(stream, &[hello(), FromAgent::Started { pid: 7 }], &[]));
    });
    refused(dev.run(["true"]), 125, &["evil-leave", "hint: "]);
}

#[test]
fn what_a_guest_says_cannot_steer_the_callers_terminal() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "evil-words", NO_INIT);
    let _evil = Hostile::answering(&bed, &dev, |stream| {
        let evil = b"\x1b]0;owned\x07\x1b[2J\x9b31m\xe2\x80\xae\r\nerror: forged".to_vec();
        let messages = [
            hello(),
            FromAgent::Notice(evil.clone()),
            FromAgent::Failed { kind: FailureKind::Other, text: evil },
        ];
        until_gone(&say(stream, &messages, &[]));
    });
    let mut pty = dev.run(["true"]).on_pty().unwrap();
    let seen = pty.ends_with(125);
    assert!(seen.contains("owned"), "{seen:?}");
    for bad in ["\x1b]0;", "\x1b[2J", "\u{9b}", "\u{202e}", "\nerror: forged"] {
        assert!(!seen.contains(bad), "{bad:?} came through: {seen:?}");
    }
}

#[test]
fn a_socket_that_became_a_link_is_not_followed() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "evil-link", NO_INIT);
    let dir = tempfile::Builder::new().prefix("snug-evil").tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let elsewhere = UnixListener::bind(dir.path().join("host.sock")).unwrap();
    fs::set_permissions(dir.path().join("host.sock"), Permissions::from_mode(0o666)).unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let evil = Hostile::take_place(&bed, &dev);
    for target in [dir.path().join("host.sock"), "/run/dbus/system_bus_socket".into(), "agent.real".into()] {
        symlink(&target, &evil.socket).unwrap();
        refused(dev.run(["true"]), 125, &["evil-link"]);
        fs::remove_file(&evil.socket).unwrap();
    }
    assert_eq!(
        elsewhere.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock,
        "the link was followed"
    );
}

#[test]
fn a_socket_that_became_something_else_is_left_with_125() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "evil-kind", NO_INIT);
    let evil = Hostile::take_place(&bed, &dev);
    let fifo = Permissions::from_mode(0o666);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &evil.socket,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o666),
        0,
    )
    .unwrap();
    fs::set_permissions(&evil.socket, fifo).unwrap();
    // Opening a fifo waits for its other end: the client must not.
    refused(dev.run(["true"]), 125, &["evil-kind"]);
    fs::remove_file(&evil.socket).unwrap();
    fs::create_dir(&evil.socket).unwrap();
    refused(dev.run(["true"]), 125, &["evil-kind"]);
    fs::remove_dir(&evil.socket).unwrap();
    fs::write(&evil.socket, "not a socket").unwrap();
    refused(dev.run(["true"]), 125, &["evil-kind"]);
}

#[test]
fn links_in_the_run_directory_lead_the_daemon_nowhere() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "evil-names", NO_INIT);
    let dir = tempfile::Builder::new().prefix("snug-evil").tempdir_in("/var/tmp").unwrap();
    let precious = dir.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    let plant = format!(
        "cd /.snug/run; for name in provision.json provision.json.snug-new policy; do rm -f $name; ln -s {} $name; done",
        precious.display()
    );
    answer(dev.snug(["run", "--root", "-w", "/", "--", "sh", "-c", &plant]));
    bed.snug("tester").args(["restart", dev.name()]).run().unwrap().success();
    assert_eq!(answer(dev.run(["hostname"])), "evil-names");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}

#[test]
fn a_guest_whose_agent_is_silent_is_stopped_and_removed_all_the_same() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let dev = fresh(&bed, "tester", "evil-stays", NO_INIT);
    let mut evil = Some(Hostile::answering(&bed, &dev, |stream| until_gone(&say(stream, &[hello()], &[]))));
    let _end = Finally(|| drop(evil.take()));
    bed.snug("tester").args(["stop", dev.name()]).run().unwrap().success();
    assert_eq!(common::state(&bed, "tester", dev.name()), "stopped");
    bed.snug("tester").args(["rm", "-f", dev.name()]).run().unwrap().success();
    drop(_end);
    drop(dev);
    leaks.assert_none();
}

#[test]
fn a_guest_without_its_agent_gets_it_back_however_it_left_its_directory() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "evil-gone", common::BUSYBOX);
    let leave = [
        "rm -f /.snug/run/agent.sock; kill -9 $(pidof snug-agent)",
        // It still serves, and holds its lock, but where nobody reaches it.
        "rm -rf /.snug/run/* /.snug/run/.[!.]*",
    ];
    for leave in leave {
        let _ = dev.snug(["run", "--root", "-w", "/", "--", "sh", "-c", leave]).run().unwrap();
        assert_eq!(answer(dev.run(["hostname"])), "evil-gone", "after {leave}");
        assert_eq!(answer(dev.run(["id", "-un"])), "tester", "after {leave}");
    }
}
