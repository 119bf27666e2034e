//! `snug upgrade`, and what belongs to every change of packages, against a guest whose package manager plays its part.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use support::packages::{Guest, executable};
use support::{Ran, TestEnv, on_a_terminal};

const SNAPSHOT: &str = "snug-20200102T000000Z";

/// The calls that change something.
fn changes(environment: &TestEnv) -> Vec<String> {
    let looks = ["Get ", "List", "Ensure "];
    environment.calls().into_iter().filter(|call| !looks.iter().any(|look| call.starts_with(look))).collect()
}

fn upgraded(environment: &TestEnv, arguments: &[&str]) -> Ran {
    environment.snug(&[&["upgrade", "-c", "dev"], arguments].concat())
}

#[track_caller]
fn fails(ran: &Ran, words: &[&str]) {
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
}

fn log(environment: &TestEnv, container: &str) -> String {
    let file = format!(".local/state/snug/packages/{container}.log");
    fs::read_to_string(environment.home().join(file)).unwrap_or_default()
}

#[test]
fn what_is_newer_is_listed_and_told_by_the_status() {
    let environment = TestEnv::with_daemon(&["dev"]);
    let guest = Guest::new(&environment, "dev");
    let ran = upgraded(&environment, &["--check"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(100), ""));
    assert_eq!(ran.stdout, "CONTAINER  PACKAGE  NOW  NEWER\ndev        tool     1    2\n");
    let ran = upgraded(&environment, &["--check", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let row = serde_json::json!({"container": "dev", "package": "tool", "change": "upgrade", "from": "1", "to": "2"});
    assert_eq!((ran.status, &json["upgrades"]), (Some(100), &serde_json::json!([row])));
    let plan = upgraded(&environment, &["--dry-run"]);
    assert_eq!((plan.status, plan.stdout.as_str()), (Some(0), "upgrade tool from 1 to 2 in \'dev\'\n"));
    // Of a package that is not newer there is nothing, and one that is not there is said.
    let other = upgraded(&environment, &["--check", "other"]);
    assert_eq!((other.status, other.stdout.as_str(), other.stderr.as_str()), (Some(0), "", ""));
    fails(&upgraded(&environment, &["--check", "none"]), &["dev has no none", "`snug install -c dev none`"]);
    guest.write("newer", "Reading package lists...\n");
    let ran = upgraded(&environment, &["--check", "--json"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.contains("\"upgrades\": []"), "{}", ran.stdout);
    assert_eq!(upgraded(&environment, &[]).status, Some(0));
    assert!(changes(&environment).is_empty(), "{:?}", changes(&environment));
    assert_eq!(upgraded(&environment, &["--json"]).status, Some(2));
}

#[test]
fn what_was_upgraded_is_told_and_the_container_is_started_anew() {
    let environment = TestEnv::with_daemon(&["dev"]);
    let guest = Guest::new(&environment, "dev");
    let ran = upgraded(&environment, &[]);
    assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "dev: tool 1 -> 2\n", ""));
    assert_eq!(changes(&environment), ["TakeSnapshot dev before=upgrade", "Restart dev"]);
    let log = guest.read("log");
    assert!(log.lines().last().unwrap().ends_with("upgrade --with-new-pkgs"), "{log}");
    guest.write("installed", "tool 1\nother 1\n");
    let ran = upgraded(&environment, &["tool"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "dev: tool 1 -> 2\n"), "{}", ran.stderr);
    let log = guest.read("log");
    assert!(log.lines().last().unwrap().ends_with("install --only-upgrade --no-remove -- tool"), "{log}");
    assert_eq!(changes(&environment)[2], "TakeSnapshot dev before=upgrade tool");
}

#[test]
fn an_upgrade_that_fails_is_undone_and_says_so() {
    let environment = TestEnv::with_daemon(&["dev"]);
    let guest = Guest::new(&environment, "dev");
    guest.write(
        "upgrade",
        "echo 'Setting up tool (2) ...'; printf 'E: it \\033[2J cannot\\n' >&2; exit 100\n",
    );
    let ran = upgraded(&environment, &[]);
    fails(
        &ran,
        &[
            "the upgrade of dev failed: apt-get failed (status 100)",
            "dev is as it was before",
            "dev.log",
            "`snug undo -c dev`",
        ],
    );
    assert!(ran.stderr.contains("  Setting up tool") && !ran.stderr.contains('\u{1b}'), "{:?}", ran.stderr);
    let undo = format!("Undo dev to={SNAPSHOT}");
    assert_eq!(changes(&environment), ["TakeSnapshot dev before=upgrade".to_owned(), undo]);
    let log = log(&environment, "dev");
    assert!(log.contains("snug upgrade\n") && log.contains("-- it was put back"), "{log}");
    // A status of the manager's is not one of Snug's, whichever it is.
    guest.write("upgrade", "echo odd >&2; exit 125\n");
    fails(&upgraded(&environment, &[]), &["apt-get failed (status 125): odd"]);
}

#[test]
fn one_that_cannot_be_put_back_says_what_is_to_be_done_about_it() {
    let environment = TestEnv::with_daemon(&["full"]);
    let guest = Guest::new(&environment, "full");
    guest.write("upgrade", "exit 100\n");
    let ran = environment.snug(&["upgrade", "-c", "full"]);
    fails(&ran, &["full could not be put back: no space for full", "hint: remove something"]);
    let by_hand = format!("`snug undo -c full --to {SNAPSHOT}`");
    assert!(
        ran.stderr.contains(&by_hand) && log(&environment, "full").contains("-- it could not be put back")
    );
}

#[test]
fn what_was_interrupted_is_finished_before_anything_is_upgraded() {
    let environment = TestEnv::with_daemon(&["dev"]);
    let guest = Guest::new(&environment, "dev");
    guest.write("states", "half-configured\ttool\ninstalled\tother\n");
    guest.write("installed", "other 1\n");
    // Nothing is changed by who only looks.
    let ran = upgraded(&environment, &["--check"]);
    assert!(ran.stderr.contains("was interrupted: `snug upgrade -c dev` finishes it"), "{}", ran.stderr);
    assert!(changes(&environment).is_empty());
    // One that cannot be finished leaves all as it was.
    let finish = guest.read("finish");
    guest.write("finish", "exit 100\n");
    fails(&upgraded(&environment, &[]), &["apt-get failed (status 100)", "dev is as it was before"]);
    let undo = format!("Undo dev to={SNAPSHOT}");
    assert_eq!(changes(&environment), ["TakeSnapshot dev before=upgrade".to_owned(), undo]);
    guest.write("finish", &finish);
    // Who only finds it is told, and whoever it is not about is not.
    let upgrade = guest.read("upgrade");
    guest.write("upgrade", "echo 'E: dpkg was interrupted' >&2; exit 100\n");
    let half_done = "hint: a change is half done: `snug upgrade -c dev` finishes it";
    let installed = environment.snug(&["install", "-c", "dev", "tool"]);
    assert!(installed.status == Some(1) && installed.stderr.contains(half_done), "{}", installed.stderr);
    let states = guest.read("states");
    guest.write("states", "installed\tother\n");
    let installed = environment.snug(&["install", "-c", "dev", "tool"]);
    assert!(installed.status == Some(1) && !installed.stderr.contains(half_done), "{}", installed.stderr);
    guest.write("states", &states);
    guest.write("upgrade", &upgrade);
    let so_far = changes(&environment).len();
    // Also where nothing is newer.
    guest.write("newer", "");
    let ran = upgraded(&environment, &[]);
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "dev: tool (new) -> 1\n"), "{}", ran.stderr);
    let log = guest.read("log");
    let configured = log.find("dpkg --force-confdef --force-confold --configure -a\n").unwrap();
    assert!(log[configured..].contains("install --fix-broken --no-remove\n"), "{log}");
    assert_eq!(changes(&environment)[so_far..], ["TakeSnapshot dev before=upgrade", "Restart dev"]);
    assert_eq!(upgraded(&environment, &[]).stdout, "");
}

#[test]
fn a_guest_that_is_worse_afterwards_goes_back() {
    let environment = TestEnv::with_daemon(&["dev"]);
    let guest = Guest::new(&environment, "dev");
    guest.write("upgrade", "echo maintenance > state\n");
    fails(
        &upgraded(&environment, &[]),
        &["dev is not well after its upgrade: its systemd is 'maintenance'", "dev is as it was before"],
    );
    assert_eq!(changes(&environment).last().unwrap(), &format!("Undo dev to={SNAPSHOT}"));
}

#[test]
fn exported_commands_are_followed_and_one_that_is_lost_is_a_failure() {
    let environment = TestEnv::with_daemon(&["dev"]);
    environment.install_shim();
    let guest = Guest::new(&environment, "dev");
    executable(&guest.place.join("opt/tool"), "#!/bin/sh\n");
    fs::remove_file(guest.place.join("bin/tool")).unwrap();
    assert_eq!(environment.snug(&["export", "-c", "dev", "--bin", "/opt/tool=t"]).status, Some(0));
    // To a place where the package has it.
    let moves = "mv opt/tool bin/tool; printf 'tool 2\\nother 1\\n' > installed\n";
    guest.write("upgrade", moves);
    let ran = upgraded(&environment, &[]);
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "dev: tool 1 -> 2\n"), "{}", ran.stderr);
    let index = fs::read_to_string(environment.home().join(".local/share/snug/exports.json")).unwrap();
    assert!(index.contains("\"/usr/bin/tool\"") && !index.contains("/opt/tool"), "{index}");
    // Away, and to a place where another package has one of that name.
    for upgrade in ["rm bin/tool", "mv bin/tool opt/tool; echo 'other: /usr/bin/tool' > owners"] {
        executable(&guest.place.join("bin/tool"), "#!/bin/sh\n");
        guest.write("upgrade", upgrade);
        fails(
            &upgraded(&environment, &[]),
            &[
                "it has lost t, which the host has of it",
                "`snug unexport -c dev --bin t`",
                "as it was before",
            ],
        );
        assert_eq!(changes(&environment).last().unwrap(), &format!("Undo dev to={SNAPSHOT}"));
    }
    let read_index =
        || fs::read_to_string(environment.home().join(".local/share/snug/exports.json")).unwrap();
    assert_eq!(read_index(), index);
    // Where the container goes back they lead to where they were, and are again.
    executable(&guest.place.join("bin/tool"), "#!/bin/sh\n");
    guest.write("owners", "tool: /usr/bin/tool\n");
    assert_eq!(environment.snug(&["unexport", "-c", "dev", "--bin", "t"]).status, Some(0));
    fs::rename(guest.place.join("bin/tool"), guest.place.join("opt/tool")).unwrap();
    assert_eq!(environment.snug(&["export", "-c", "dev", "--bin", "/opt/tool=t"]).status, Some(0));
    let index = read_index();
    guest.write("upgrade", &format!("{moves}echo maintenance > state\n"));
    fails(&upgraded(&environment, &[]), &["its systemd is 'maintenance'", "as it was before"]);
    assert_eq!(read_index(), index);
}

#[test]
fn what_runs_in_a_container_is_not_ended_unless_that_is_wanted() {
    let environment = TestEnv::with_daemon(&["dev"]);
    let guest = Guest::new(&environment, "dev");
    guest.write("processes", "/snug-agent/commands/1\n0 /snug-agent/commands/7 cargo\n");
    assert_eq!(upgraded(&environment, &[]).status, Some(0));
    assert_eq!(changes(&environment), ["TakeSnapshot dev before=upgrade"]);
    guest.write("upgrade", "exit 100\n");
    let by_hand = format!("`snug undo -c dev --to {SNAPSHOT}`");
    fails(&upgraded(&environment, &[]), &["was not put back, since that would end cargo", &by_hand]);
    assert_eq!(changes(&environment).len(), 2);
    fails(&upgraded(&environment, &["-y"]), &["dev is as it was before"]);
    assert_eq!(changes(&environment).last().unwrap(), &format!("Undo dev to={SNAPSHOT}"));
}

#[test]
fn of_a_guest_that_does_not_say_what_runs_somebody_is_asked_who_is_there() {
    let environment = TestEnv::with_daemon(&["dev", "zfs"]);
    for container in ["dev", "zfs"] {
        Guest::new(&environment, container).write("upgrade", "rm processes; exit 100\n");
    }
    let screen = on_a_terminal(&environment, &["upgrade", "-c", "dev"], "n\n");
    assert!(screen.contains("ends whatever runs in it") && screen.contains("was not put back"), "{screen}");
    assert_eq!(changes(&environment), ["TakeSnapshot dev before=upgrade"]);
    // Where nobody is, it goes back: it was to be upgraded without fear. What is not kept for another undo is said.
    fails(&environment.snug(&["upgrade", "-c", "zfs"]), &["zfs is as it was before", "meanwhile is gone"]);
}

#[test]
fn without_a_snapshot_it_says_so_before_and_after() {
    let environment = TestEnv::with_daemon(&["copied"]);
    let guest = Guest::new(&environment, "copied");
    let upgraded = || environment.snug(&["upgrade", "-c", "copied"]);
    let ran = upgraded();
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "copied: tool 1 -> 2\n"));
    assert!(
        ran.stderr.starts_with("warning: copied: there is no way back from this upgrade"),
        "{}",
        ran.stderr
    );
    assert_eq!(changes(&environment), ["TakeSnapshot copied before=upgrade"], "it is not started anew");
    guest.write("upgrade", "exit 100\n");
    fails(&upgraded(), &["copied stays as that has left it: there is no snapshot to go back to"]);
}

#[test]
fn of_all_containers_one_that_fails_does_not_stop_the_others() {
    let environment = TestEnv::with_daemon(&["a", "b-stopped", "c", "x-tool"]);
    // One of `snug x` is none of them.
    let kept = environment.home().join(".local/state/snug/x");
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("x-tool.json"), "{\"package\": \"tool\", \"created\": \"2020-01-01T00:00:00Z\"}")
        .unwrap();
    let guests = ["a", "b-stopped", "c"].map(|name| Guest::new(&environment, name));
    guests[0].write("upgrade", "exit 100\n");
    guests[2].write("newer", "\n");
    let ran = environment.snug(&["upgrade", "--all"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), "b-stopped: tool 1 -> 2\n"));
    let last = ran.stderr.lines().last().unwrap();
    assert_eq!(last, "error: 1 of 3 containers could not be upgraded: a", "{}", ran.stderr);
    let changes = changes(&environment);
    let of_stopped: Vec<&String> = changes.iter().filter(|call| call.contains("b-stopped")).collect();
    assert_eq!(of_stopped, ["TakeSnapshot b-stopped before=upgrade", "Restart b-stopped", "Stop b-stopped"]);
    // A package that not all have.
    guests[2].write("installed", "other 1\n");
    let ran = environment.snug(&["upgrade", "--all", "--check", "tool"]);
    assert_eq!(ran.status, Some(100), "{}", ran.stderr);
    let rows = ["a          tool     1    2", "b-stopped  tool     1    2"];
    assert_eq!(ran.stdout.lines().skip(1).collect::<Vec<_>>(), rows);
}

/// An upgrade that says that it has begun, and then waits.
fn waiting(environment: &TestEnv, guest: &Guest) -> Child {
    let fifo = guest.place.join("begun");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    guest.write("upgrade", "trap 'exit 130' INT; echo begun > begun; sleep 30 & wait; kill $!\n");
    let mut command = environment.command(&["upgrade", "-c", "dev"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(File::open(&fifo).unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    child
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn who_gives_up_is_heard_although_no_terminal_tells_it_and_the_container_goes_back() {
    let environment = TestEnv::with_daemon(&["dev"]);
    let guest = Guest::new(&environment, "dev");
    let child = waiting(&environment, &guest);
    // To this process alone.
    signal(&child, rustix::process::Signal::INT);
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.signal, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the upgrade of dev was interrupted; dev is as it was before"),
        "{}",
        ran.stderr
    );
    assert_eq!(changes(&environment).last().unwrap(), &format!("Undo dev to={SNAPSHOT}"));
}

#[test]
fn of_two_changes_at_once_the_second_waits_and_says_for_whom() {
    let environment = TestEnv::with_daemon(&["dev"]);
    let guest = Guest::new(&environment, "dev");
    let first = waiting(&environment, &guest);
    let second = |words: &[&str]| {
        let mut command = environment.command(&[words, &["-c", "dev"]].concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let holder = format!("`snug upgrade` (process {})", first.id());
        assert!(
            line.starts_with("warning: packages of dev are being changed") && line.contains(&holder),
            "{line}"
        );
        (child, stderr)
    };
    // Who does not want to wait goes, and nothing has begun.
    for words in [&["install", "tool"][..], &["undo", "-y"]] {
        let (mut gives_up, _stderr) = second(words);
        signal(&gives_up, rustix::process::Signal::INT);
        assert!(!gives_up.wait().unwrap().success());
    }
    // Nobody waits for what only looks.
    for words in [&["undo", "--list"][..], &["undo", "--dry-run"]] {
        assert_eq!(environment.snug(&[words, &["-c", "dev"]].concat()).status, Some(0), "{words:?}");
    }
    let undone = |call: &String| call.starts_with("Undo") && !call.contains("dry-run");
    assert!(!environment.calls().iter().any(undone), "{:?}", environment.calls());
    let (mut patient, mut stderr) = second(&["install", "tool"]);
    signal(&first, rustix::process::Signal::INT);
    first.wait_with_output().unwrap();
    let ended = patient.wait().unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(ended.success(), "{rest}");
}

#[test]
fn commands_of_the_container_are_offered_where_one_is_to_be_named() {
    let environment = TestEnv::with_daemon(&["dev", "old-stopped"]);
    let _guests = ["dev", "old-stopped"].map(|name| Guest::new(&environment, name));
    let complete = |words: &[&str]| {
        let mut command = environment.command(&["--", "snug"]);
        command.args(words).env("SNUG_COMPLETE", "fish");
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    for verb in ["install", "export"] {
        assert_eq!(complete(&[verb, "-c", "dev", "--bin", "guest-s"]), "guest-sh\n", "{verb}");
        // Nobody starts one for that, and no file of the host's is one of the guest's.
        for word in ["guest-s", "/etc/host"] {
            assert_eq!(complete(&[verb, "-c", "old-stopped", "--bin", word]).trim(), "", "{verb} {word}");
        }
    }
    assert!(!environment.calls().iter().any(|call| call.starts_with("Ensure")), "{:?}", environment.calls());
}
