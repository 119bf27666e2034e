//! `snug x`, against a daemon and a guest that play their parts.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use support::packages::{Guest, executable};
use support::{Ran, TestEnv};

const DAYS_15: u64 = 15 * 24 * 60 * 60;

fn kept(environment: &TestEnv, file: &str) -> PathBuf {
    environment.home().join(".local/state/snug/x").join(file)
}

/// A container of `snug x` that was used so many seconds ago.
fn used(environment: &TestEnv, name: &str, created: &str, seconds: u64) {
    fs::create_dir_all(kept(environment, "")).unwrap();
    let record = serde_json::json!({"package": "tool", "ready": true, "created": created,
        "commands": [{"names": ["tool"], "path": "/usr/bin/tool"}]});
    fs::write(kept(environment, &format!("{name}.json")), record.to_string()).unwrap();
    let lock = File::create(kept(environment, &format!("{name}.lock"))).unwrap();
    lock.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
}

fn changes(environment: &TestEnv) -> Vec<String> {
    environment.calls().into_iter().filter(|call| !call.starts_with("Get ")).collect()
}

const CREATED: &str = "2020-01-01T00:00:00Z";

#[test]
fn a_container_of_that_name_which_somebody_has_made_since_is_not_removed() {
    let environment = TestEnv::with_daemon(&["x-other", "x-own", "x-young"]);
    used(&environment, "x-own", CREATED, DAYS_15);
    used(&environment, "x-other", "2019-01-01T00:00:00Z", DAYS_15);
    used(&environment, "x-young", "2019-01-01T00:00:00Z", 120);
    assert_eq!(environment.snug(&["x", "--collect"]).status, Some(0));
    assert_eq!(changes(&environment), ["Remove x-own force=true"]);
    assert!(!kept(&environment, "x-own.json").exists() && !kept(&environment, "x-other.json").exists());
    // Nor is anything made in its place.
    fs::write(kept(&environment, "x-young.json"), "{\"package\": \"young\"}").unwrap();
    let ran = environment.snug(&["x", "young"]);
    assert_eq!(ran.status, Some(125));
    assert!(ran.stderr.contains("a container x-young which `snug x` has not made"), "{}", ran.stderr);
    assert_eq!(changes(&environment).len(), 1, "{:?}", changes(&environment));
}

#[test]
fn one_that_cannot_be_stopped_or_removed_keeps_no_other_one() {
    let environment = TestEnv::with_daemon(&["broken-x-a", "broken-x-b", "x-c"]);
    for (name, seconds) in [("broken-x-a", DAYS_15), ("broken-x-b", 120), ("x-c", 120)] {
        used(&environment, name, CREATED, seconds);
    }
    let ran: Ran = environment.snug(&["x", "--collect"]);
    assert_eq!(ran.status, Some(125));
    assert!(ran.stderr.contains("no space for broken-x-a"), "{}", ran.stderr);
    let stopped: Vec<String> =
        changes(&environment).into_iter().filter(|call| call.starts_with("Stop")).collect();
    assert_eq!(stopped, ["Stop broken-x-a", "Stop broken-x-b", "Stop x-c"]);
}

/// Processes that collect for this user.
fn collectors(environment: &TestEnv) -> Vec<Pid> {
    let home = format!("HOME={}", environment.home().display());
    let is_one = |place: &PathBuf| {
        let read = |file: &str| fs::read(place.join(file)).unwrap_or_default();
        read("cmdline").ends_with(b"x\0--collect\0")
            && read("environ").split(|byte| *byte == 0).any(|variable| variable == home.as_bytes())
    };
    let all = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path()).filter(is_one);
    all.filter_map(|place| Pid::from_raw(place.file_name()?.to_str()?.parse().ok()?)).collect()
}

#[test]
fn whoever_is_killed_leaves_nobody_without_a_collector() {
    let environment = TestEnv::with_daemon(&["x-tool"]);
    let guest = Guest::new(&environment, "x-tool");
    used(&environment, "x-tool", CREATED, 0);
    let begun = guest.place.join("begun");
    assert!(std::process::Command::new("mkfifo").arg(&begun).status().unwrap().success());
    let script = format!("#!/bin/sh\necho begun > {}\nexec sleep 5\n", begun.display());
    executable(&guest.place.join("bin/tool"), &script);
    let mut command = environment.command(&["x", "-w", "/", "tool"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(File::open(&begun).unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    child.kill().unwrap();
    child.wait().unwrap();
    let collectors = collectors(&environment);
    for collector in &collectors {
        kill_process(*collector, Signal::KILL).unwrap();
    }
    assert_eq!(collectors.len(), 1);
}
