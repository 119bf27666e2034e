//! What a guest is told when the host does not open something: `snug session` against an agent that the test plays.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use snug_wire::message::{FailureKind, FromAgent, OLDEST_PROTOCOL, Open, PROTOCOL, ToAgent};
use snug_wire::socket::{Connection, Descriptors};
use support::TestEnv;

/// Asks as a program of a guest with that policy does; what the host answers after its hello.
fn ask(policy: &str, program: &str, script: &str) -> Vec<FromAgent> {
    let environment = TestEnv::new();
    if !script.is_empty() {
        let file = environment.programs().join(program);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let uid = rustix::process::getuid().as_raw();
    let container = environment.system().join(format!("var/lib/snug/run/{uid}/dev"));
    fs::create_dir_all(container.join("guest")).unwrap();
    fs::write(container.join("policy"), policy).unwrap();
    let agent = UnixListener::bind(container.join("guest/agent.sock")).unwrap();
    let _session = environment.session();
    environment.wake("dev");

    let deadline = Some(Instant::now() + Duration::from_secs(20));
    let (socket, _) = agent.accept().unwrap();
    let mut connection = Connection::new(socket.into(), Descriptors::Accept);
    let (version, settled, offered) = (Vec::new(), true, false);
    let hello = FromAgent::Hello { protocol: PROTOCOL, oldest: OLDEST_PROTOCOL, version, settled, offered };
    connection.send(&hello, &[], deadline).unwrap();
    assert_eq!(connection.receive::<ToAgent>(deadline).unwrap(), Some(ToAgent::Offer));
    let open = Open { target: b"https://example.org/".to_vec(), file: None, environment: Vec::new() };
    connection.send(&ToAgent::Open(open), &[], deadline).unwrap();
    let mut answers = Vec::new();
    while let Ok(Some(answer)) = connection.receive(deadline) {
        answers.push(answer);
    }
    assert!(matches!(answers.first(), Some(FromAgent::Hello { .. })), "{answers:?}");
    answers.split_off(1)
}

#[test]
fn the_program_its_status_and_its_last_words_are_told_to_a_trusted_guest_alone() {
    let script = "echo first; echo \"no method for $1\" >&2; printf '\\033[2J' >&2; exit 3";
    let trusted = "trusted=yes\nhost-open=yes\n";
    let notice = "`xdg-open` on the host ended with status 3";
    let words = format!("{notice}: no method for https://example.org/; \\e[2J");
    assert_eq!(ask(trusted, "xdg-open", script), [FromAgent::Notice(words.into()), FromAgent::Exited(3)]);
    assert_eq!(
        ask("host-open=yes\n", "xdg-open", script),
        [FromAgent::Notice(notice.into()), FromAgent::Exited(3)]
    );
    assert_eq!(ask(trusted, "xdg-open", "exit 0"), [FromAgent::Exited(0)]);
}

#[test]
fn who_has_no_grant_is_refused() {
    let refused = ask("trusted=yes\nhost-exec=*\n", "xdg-open", "exit 0");
    assert!(matches!(&refused[..], [FromAgent::Failed { kind: FailureKind::Denied, .. }]), "{refused:?}");
}
