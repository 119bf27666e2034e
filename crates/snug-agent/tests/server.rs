//! The server: who is served, what waits, what survives, what is left over.

#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod harness;

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use harness::{Agent, OWNER, Options, PATIENCE, exec, script};
use rustix::process::{Pid, Signal, kill_process};
use snug_wire::message::{FailureKind, FromAgent, ToAgent};
use snug_wire::socket::{Descriptors, connect};

fn resident_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// The server keeps one session in advance.
const SPARE: usize = 1;

fn children(pid: u32) -> usize {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().count()
}

#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn only_the_owner_and_root_are_served_others_are_greeted() {
    let agent = Agent::start();
    for (uid, served) in [(OWNER, true), (OWNER + 1, false), (65534, false)] {
        let socket = agent.socket();
        let answer = std::thread::spawn(move || {
            // This thread alone becomes that user.
            rustix::thread::set_thread_uid(rustix::fs::Uid::from_raw(uid)).unwrap();
            let mut connection = connect(&socket, PATIENCE, Descriptors::Refuse).unwrap();
            let hello = connection.receive::<FromAgent>(harness::soon()).unwrap();
            assert!(matches!(hello, Some(FromAgent::Hello { .. })));
            let request = ToAgent::Exec(Box::new(exec(&["true"])));
            let _ = connection.send(&request, &[], harness::soon());
            connection.receive::<FromAgent>(harness::soon()).unwrap()
        });
        match answer.join().unwrap() {
            Some(FromAgent::Started { .. }) => assert!(served, "{uid}"),
            Some(FromAgent::Failed { kind: FailureKind::User, .. }) => assert!(!served, "{uid}"),
            other => panic!("{uid}: {other:?}"),
        }
    }
}

#[test]
fn a_command_waits_for_early_boot_unless_it_is_early() {
    let agent = Agent::start_with(&Options { boot: Some("unit"), ..Options::default() });
    let mut waiting = agent.client();
    waiting.send(&ToAgent::Exec(Box::new(script("exit 7"))));
    let mut leaving = agent.client();
    leaving.send(&ToAgent::Exec(Box::new(script("exit 8"))));
    let mut interrupted = agent.client();
    interrupted.send(&ToAgent::Exec(Box::new(script("exit 9"))));
    interrupted.send(&ToAgent::Signal(2));
    assert_eq!(interrupted.expect(), FromAgent::Killed { signal: 2, core: false });
    let mut early = agent.client();
    let mut request = script("exit 5");
    request.early = true;
    early.run(request);
    assert_eq!(early.expect(), FromAgent::Exited(5));
    drop(leaving);
    eventually("a session outlives its client", || children(agent.pid()) <= SPARE + 2);
    assert!(!agent.state("settled").exists());
    // As systemd makes the fifo of our socket unit.
    fs::write(agent.state("sysinit"), "").unwrap();
    waiting.expect_started();
    assert_eq!(waiting.expect(), FromAgent::Exited(7));
    assert!(agent.state("settled").exists());
}

#[test]
fn what_a_login_adds_to_the_environment_is_there_for_every_command() {
    let agent = Agent::start();
    agent.capture(exec(&["true"])).text();
    assert!(agent.state("environment").exists(), "asked before the first command ran");
    let mut request = exec(&["env"]);
    request.clean = true;
    request.environment.clear();
    let text = agent.capture(request).text();
    assert!(text.lines().any(|line| line.starts_with("PATH=") && line.contains("/usr/bin")), "{text}");
    assert!(!text.contains("SNUG_AGENT") && !text.contains("SHLVL"), "{text}");
}

#[test]
fn garbage_harms_nobody() {
    let agent = Agent::start();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..200 {
        let mut stream = UnixStream::connect(agent.socket()).unwrap();
        let bytes: Vec<u8> = (0..300)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed.to_le_bytes()[0]
            })
            .collect();
        // A plausible head in front, so that bodies are read too; but none that asks to hang up everybody else, which root
        // may and which could reach the command below.
        let kind = [0, 1, 2, 3, 4, 5, 6, 8][usize::try_from(seed % 8).unwrap()];
        let head = [u8::try_from(seed % 200).unwrap(), 0, 0, 0, kind];
        let _ = stream.write_all(&head).and_then(|()| stream.write_all(&bytes));
    }
    for length in [u32::MAX, 17 << 20] {
        let mut stream = UnixStream::connect(agent.socket()).unwrap();
        let _ = stream.write_all(&length.to_le_bytes()).and_then(|()| stream.write_all(&[2; 100]));
    }
    eventually("sessions are left", || children(agent.pid()) <= SPARE);
    assert_eq!(*agent.capture(exec(&["true"])).end(), FromAgent::Exited(0));
    eventually("sessions are left", || children(agent.pid()) <= SPARE);
}

#[test]
fn sixty_four_clients_at_once_leave_nothing_behind() {
    let agent = Agent::start();
    agent.capture(exec(&["true"])).text();
    eventually("sessions are left", || children(agent.pid()) <= SPARE);
    let (memory, open) = (resident_kib(agent.pid()), descriptors(agent.pid()));
    std::thread::scope(|scope| {
        for thread in 0..64_u32 {
            let agent = &agent;
            scope.spawn(move || {
                for turn in 0..10_u32 {
                    let status = u8::try_from((thread * 10 + turn) % 256).unwrap();
                    let mut client = agent.client();
                    client.run(script(&format!("exit {status}")));
                    assert_eq!(client.expect(), FromAgent::Exited(status));
                }
            });
        }
    });
    eventually("sessions are left", || children(agent.pid()) <= SPARE);
    eventually("descriptors are left", || descriptors(agent.pid()) <= open);
    let after = resident_kib(agent.pid());
    assert!(after <= memory + 512, "{memory} KiB before, {after} KiB after");
}

#[test]
fn a_second_server_leaves_the_first_alone() {
    let agent = Agent::start();
    assert!(agent.start_second().success());
    assert_eq!(*agent.capture(exec(&["true"])).end(), FromAgent::Exited(0));
}

#[test]
fn a_second_server_has_the_first_make_its_socket_again_where_that_is_gone() {
    let mut agent = Agent::start();
    let mut client = agent.client();
    client.run_until_ready("trap 'exit 4' USR1; echo ready; while :; do sleep 0.01; done");
    fs::remove_file(agent.socket()).unwrap();
    let pid = agent.pid();
    assert!(agent.start_second().success());
    agent.wait_until_it_serves();
    assert_eq!(*agent.capture(exec(&["true"])).end(), FromAgent::Exited(0));
    // It is the same server, and what it served goes on.
    assert!(agent.is_alive() && agent.pid() == pid);
    client.send(&ToAgent::Signal(10));
    assert_eq!(client.expect(), FromAgent::Exited(4));
}

#[test]
fn commands_outlive_a_server_that_is_killed_and_the_next_one_serves() {
    let mut agent = Agent::start();
    let mut client = agent.client();
    client.run_until_ready("trap 'exit 4' USR1; echo ready; while :; do sleep 0.01; done");
    agent.kill();
    agent.restart();
    assert_eq!(*agent.capture(exec(&["true"])).end(), FromAgent::Exited(0));
    client.send(&ToAgent::Signal(10));
    match client.expect() {
        // The signal goes to the whole group, and may end the shell's child first.
        FromAgent::Exited(4) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_is_hung_up_before_a_stop() {
    let agent = Agent::start();
    let mut polite = agent.client();
    polite.run(exec(&["sleep", "300"]));
    let mut stubborn = agent.client();
    stubborn.run_until_ready("trap '' HUP TERM INT; echo ready; while :; do sleep 0.01; done");
    let idle = agent.client();
    let mut stop = agent.client();
    let begun = Instant::now();
    stop.send(&ToAgent::HangUpAll { grace: 1500 });
    assert_eq!(stop.expect(), FromAgent::Done);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(polite.expect(), FromAgent::Killed { signal: 1, core: false });
    assert_eq!(stubborn.expect(), FromAgent::Killed { signal: 9, core: false });
    drop(idle);
}

#[test]
fn a_server_that_is_told_to_end_takes_its_commands_along() {
    let agent = Agent::start();
    let mut client = agent.client();
    client.run(exec(&["sleep", "300"]));
    kill_process(Pid::from_raw(agent.pid().cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(client.expect(), FromAgent::Killed { signal: 1, core: false });
}

#[test]
fn an_idle_server_sleeps_and_is_small() {
    let agent = Agent::start();
    agent.capture(exec(&["true"])).text();
    eventually("sessions are left", || children(agent.pid()) <= SPARE);
    let switches = || {
        let text = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
        let line = text.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    // That nothing happens has no event: only time shows it. The first pause lets the spare session's fork settle.
    std::thread::sleep(Duration::from_millis(200));
    let before = switches();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(switches(), before, "nothing wakes it");
    // The test's build is not the small one.
    assert!(resident_kib(agent.pid()) <= 8 << 10, "{} KiB", resident_kib(agent.pid()));
}
