//! `snug run --rm`: a fresh container that is gone at the end, whatever ends it.
#![cfg(feature = "real-stack")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test's name is its documentation; its helpers are tests, too"
)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use common::{DEBIAN_13, NO_INIT, PATIENCE, eventually, refused};
use rustix::process::Signal;
use snug_testbed::process::Process;
use snug_testbed::{Bed, Leaks, Lifeline, UserCommand};

fn instances(bed: &Bed) -> Vec<String> {
    let list = ["list", "--project", &bed.project("tester"), "--format=csv", "--columns=n"];
    let text = bed.incus(list).ok().unwrap().text();
    text.lines().filter(|name| name.starts_with("run-")).map(str::to_owned).collect()
}

#[track_caller]
fn all_gone(bed: &Bed) {
    eventually("the container is removed", || instances(bed).is_empty());
}

fn run_rm(bed: &Bed, line: &str) -> UserCommand {
    bed.snug("tester").args(["run", "--rm", "--image", NO_INIT, "--", "sh", "-c", line])
}

/// Says that it is there, and stays until it is ended.
fn staying(lifeline: &Lifeline) -> String {
    format!("exec 9>{}; echo here >&9; while :; do sleep 1; done", lifeline.path().display())
}

/// A command that stays in a fresh container, and what tells that it is there.
fn stays(bed: &Bed) -> (Child, Lifeline) {
    let mut lifeline = Lifeline::new(bed, "tester");
    let client = run_rm(bed, &staying(&lifeline)).spawn(Stdio::null(), Stdio::null(), Stdio::null()).unwrap();
    lifeline.until("here");
    (client, lifeline)
}

#[test]
fn a_fresh_container_runs_the_command_keeps_its_status_and_is_gone() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let ran = run_rm(&bed, "hostname; cat; exit 7").input("typed").run().unwrap().ends_with(7);
    assert!(ran.out().starts_with("run-") && ran.out().ends_with("\ntyped"), "{:?}", ran.out());
    assert_eq!(ran.err(), "");
    assert!(instances(&bed).is_empty());
    run_rm(&bed, "kill -KILL $$").run().unwrap().ends_with(137);
    run_rm(&bed, "kill -TERM $$").run().unwrap().ends_with(143);
    assert!(instances(&bed).is_empty());
    leaks.assert_none();
}

#[test]
fn a_fresh_container_of_a_systemd_image_is_gone_as_well() {
    let bed = Bed::require();
    let command = bed.snug("tester").args(["run", "--rm", "--image", DEBIAN_13, "--", "cat", "/proc/1/comm"]);
    let ran = command.run().unwrap().success();
    assert_eq!((ran.out().as_str(), ran.err().as_str()), ("systemd\n", ""));
    assert!(instances(&bed).is_empty());
}

#[test]
fn what_cannot_be_run_leaves_no_fresh_container() {
    let bed = Bed::require();
    let missing = bed.snug("tester").args(["run", "--rm", "--image", NO_INIT, "--", "no-such-program"]);
    refused(missing, 127, &["no-such-program"]);
    refused(run_rm(&bed, "true").dir("/opt"), 125, &["/opt", "hint: "]);
    let unknown = bed.snug("tester").args(["run", "--rm", "--image", "local:no/such", "--", "true"]);
    refused(unknown, 125, &["local:no/such"]);
    assert!(instances(&bed).is_empty());
}

#[test]
fn ctrl_c_ends_the_command_and_the_fresh_container() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let mut lifeline = Lifeline::new(&bed, "tester");
    let mut pty = run_rm(&bed, &staying(&lifeline)).on_pty().unwrap();
    lifeline.until("here");
    assert_eq!(instances(&bed).len(), 1);
    pty.write("\x03").unwrap();
    pty.ends_with(130);
    lifeline.gone();
    all_gone(&bed);
    leaks.assert_none();
}

#[test]
fn closing_the_terminal_ends_the_fresh_container() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let mut lifeline = Lifeline::new(&bed, "tester");
    let mut pty = run_rm(&bed, &staying(&lifeline)).on_pty().unwrap();
    lifeline.until("here");
    pty.close();
    lifeline.gone();
    all_gone(&bed);
    drop(pty);
    leaks.assert_none();
}

#[test]
fn a_client_that_is_killed_takes_its_fresh_container_along() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let (mut client, mut lifeline) = stays(&bed);
    client.kill().unwrap();
    client.wait().unwrap();
    lifeline.gone();
    all_gone(&bed);
    leaks.assert_none();
}

#[test]
fn a_client_that_is_killed_while_its_fresh_container_is_made_leaves_nothing() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let null = Stdio::null;
    let mut client = run_rm(&bed, "true").spawn(null(), null(), null()).unwrap();
    eventually("its container is being made", || !instances(&bed).is_empty());
    client.kill().unwrap();
    client.wait().unwrap();
    all_gone(&bed);
    leaks.assert_none();
}

#[test]
fn a_daemon_that_restarts_goes_on_watching_the_client_of_a_fresh_container() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let (mut client, mut lifeline) = stays(&bed);
    bed.kill_snugd();
    // Its client lives: it stays, for the new daemon too.
    assert_eq!(common::containers(&bed, "tester").iter().filter(|it| it["temporary"] == true).count(), 1);
    assert!(lifeline.is_held());
    client.kill().unwrap();
    client.wait().unwrap();
    lifeline.gone();
    all_gone(&bed);
    leaks.assert_none();
}

#[test]
fn a_command_that_ends_after_the_daemon_was_killed_keeps_its_status_and_its_container_goes() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let (mut read, write) = (String::new(), "exit 7\n");
    let piped = Stdio::piped;
    let mut client = run_rm(&bed, "echo here; exec sh").spawn(piped(), piped(), piped()).unwrap();
    let mut said = BufReader::new(client.stdout.take().unwrap());
    said.read_line(&mut read).unwrap();
    bed.kill_snugd();
    client.stdin.take().unwrap().write_all(write.as_bytes()).unwrap();
    let ended = client.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert_eq!((read.as_str(), ended.status.code(), &*errors), ("here\n", Some(7), ""));
    all_gone(&bed);
    leaks.assert_none();
}

#[test]
fn a_fresh_container_may_be_an_isolated_one() {
    let bed = Bed::require();
    let command = ["run", "--rm", "--preset", "isolated", "--image", NO_INIT];
    let seen = ["-w", "/", "--", "sh", "-c", "id -un; ls -A ~"];
    let ran = bed.snug("tester").args(command).args(seen).run().unwrap().success();
    assert_eq!(ran.out(), "tester\n");
    assert!(instances(&bed).is_empty());
    refused(bed.snug("tester").args(command).args(["--", "true"]), 125, &["/home/tester", "hint: ", "-w"]);
    assert!(instances(&bed).is_empty());
}

#[test]
fn a_client_that_died_together_with_the_daemon_leaves_nothing_either() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let (mut client, mut lifeline) = stays(&bed);
    bed.kill_snugd();
    client.kill().unwrap();
    client.wait().unwrap();
    // Any call wakes the daemon.
    bed.snug("tester").arg("list").run().unwrap().success();
    lifeline.gone();
    all_gone(&bed);
    leaks.assert_none();
}

#[test]
fn a_terminated_client_removes_its_fresh_container_before_it_ends() {
    let bed = Bed::require();
    let (mut client, _lifeline) = stays(&bed);
    let process = Process::now(client.id().cast_signed()).unwrap();
    process.signal(Signal::TERM);
    assert!(process.wait_end(PATIENCE));
    let status = client.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15), "{status}");
    all_gone(&bed);
}
