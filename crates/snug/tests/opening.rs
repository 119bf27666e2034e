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
use support::session::Session;

/// What a guest's agent is offered, by a session that serves it.
struct Agent {
    environment: TestEnv,
    socket: UnixListener,
    _session: Session,
}

impl Agent {
    /// Of a guest with that policy, on a host with that opener.
    fn new(policy: &str, opener: &str) -> Self {
        let environment = TestEnv::new();
        let file = environment.programs().join("xdg-open");
        fs::write(&file, format!("#!/bin/sh\n{opener}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let uid = rustix::process::getuid().as_raw();
        let container = environment.system().join(format!("var/lib/snug/run/{uid}/dev"));
        fs::create_dir_all(container.join("guest")).unwrap();
        fs::write(container.join("policy"), policy).unwrap();
        let socket = UnixListener::bind(container.join("guest/agent.sock")).unwrap();
        let session = environment.session();
        environment.wake("dev");
        Self { environment, socket, _session: session }
    }

    /// The next connection that is offered.
    fn offered(&self) -> Connection {
        let (socket, _) = self.socket.accept().unwrap();
        let mut connection = Connection::new(socket.into(), Descriptors::Accept);
        let (version, settled, offered) = (Vec::new(), true, false);
        let hello =
            FromAgent::Hello { protocol: PROTOCOL, oldest: OLDEST_PROTOCOL, version, settled, offered };
        connection.send(&hello, &[], soon()).unwrap();
        assert_eq!(connection.receive::<ToAgent>(soon()).unwrap(), Some(ToAgent::Offer));
        connection
    }

    /// The same, over which it has asked for something to be opened.
    fn asked(&self) -> Connection {
        let mut connection = self.offered();
        let open = Open { target: b"https://example.org/".to_vec(), file: None, environment: Vec::new() };
        connection.send(&ToAgent::Open(open), &[], soon()).unwrap();
        connection
    }
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

/// Asks as a program of a guest with that policy does; what the host answers after its hello.
fn ask(policy: &str, opener: &str) -> Vec<FromAgent> {
    let agent = Agent::new(policy, opener);
    let mut connection = agent.asked();
    let mut answers = Vec::new();
    while let Ok(Some(answer)) = connection.receive(soon()) {
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
    assert_eq!(ask(trusted, script), [FromAgent::Notice(words.into()), FromAgent::Exited(3)]);
    assert_eq!(ask("host-open=yes\n", script), [FromAgent::Notice(notice.into()), FromAgent::Exited(3)]);
    assert_eq!(ask(trusted, "exit 0"), [FromAgent::Exited(0)]);
}

#[test]
fn who_has_no_grant_is_refused() {
    let refused = ask("trusted=yes\nhost-exec=*\n", "exit 0");
    assert!(matches!(&refused[..], [FromAgent::Failed { kind: FailureKind::Denied, .. }]), "{refused:?}");
}

/// How long so many requests take, of a guest that asks and goes.
fn time_of(policy: &str, requests: usize) -> Duration {
    let agent = Agent::new(policy, "exit 0");
    let begin = Instant::now();
    (0..requests).for_each(|_| drop(agent.asked()));
    begin.elapsed()
}

#[test]
fn a_guest_that_is_not_trusted_opens_a_few_things_at_once_and_then_one_after_the_other() {
    let untrusted = time_of("host-open=yes\n", 7);
    assert!(untrusted >= Duration::from_millis(3900), "{untrusted:?}");
    let trusted = time_of("trusted=yes\nhost-open=yes\n", 30);
    assert!(trusted < Duration::from_secs(20), "{trusted:?}");
}

#[test]
fn an_opener_counts_as_long_as_it_runs_where_its_guest_is_not_trusted() {
    for (policy, counts) in [("host-open=yes\n", true), ("trusted=yes\nhost-open=yes\n", false)] {
        let script = "cd \"${0%/*}\"; [ -e go ] || mkfifo go; echo $PPID > parent.new; mv parent.new parent; \
                      read -r _ < go; kill -0 $PPID 2>/dev/null; echo $? > end.new; mv end.new end";
        let agent = Agent::new(policy, script);
        let read =
            |name: &str| eventually(|| fs::read_to_string(agent.environment.programs().join(name)).ok());
        let asked = agent.asked();
        let parent = format!("/proc/{}", read("parent").trim());
        drop(asked);
        if counts {
            // By then the service has heard of it, and of more.
            drop(agent.offered());
        } else {
            eventually(|| (!fs::exists(&parent).unwrap()).then_some(()));
        }
        fs::write(agent.environment.programs().join("go"), "\n").unwrap();
        assert_eq!(read("end").trim() == "0", counts, "{policy}");
        eventually(|| (!fs::exists(&parent).unwrap()).then_some(()));
    }
}

#[test]
fn who_answers_an_offer_with_nothing_that_can_be_done_waits_longer_and_longer_for_the_next() {
    for policy in ["host-open=yes\n", "trusted=yes\nhost-open=yes\nhost-exec=*\n"] {
        let agent = Agent::new(policy, "exit 0");
        let begin = Instant::now();
        // On a busy machine several go ahead before the first failure is known.
        for _ in 0..6 {
            let (socket, _) = agent.offered().into_raw();
            rustix::io::write(&socket, b"\0\0\0\0\xff").unwrap();
            // The next one is offered by then, before it can be known what has become of this.
            while rustix::io::read(&socket, &mut [0; 256]).is_ok_and(|count| count > 0) {}
        }
        assert!(begin.elapsed() >= Duration::from_millis(400), "{policy}: {:?}", begin.elapsed());
        // One proper request, and it is as before.
        drop(agent.asked());
    }
}

fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = soon();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Some(Instant::now()) < end, "it does not happen");
        std::thread::yield_now();
    }
}
