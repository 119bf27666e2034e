//! Snapshots, and the way back: what is on a container's own disk goes back, and nothing else does.
#![cfg(feature = "real-stack")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test's name is its documentation; its helpers are tests, too"
)]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use common::{
    DEBIAN_13, Finally, NO_INIT, PATIENCE, TemporaryUser, answer, bus_script, dies_at, fresh, fresh_with,
    instance_key, json, listed, refused, settled, state,
};
use snug_testbed::{Bed, Container, Leaks, Lifeline};

/// A line as root of the guest.
#[track_caller]
fn root(dev: &Container<'_>, line: &str) -> String {
    answer(dev.snug(["run", "--root", "-w", "/", "--", "sh", "-c", line]))
}

/// Takes a snapshot, as a command does that is about to change something; its name.
#[track_caller]
fn take(dev: &Container<'_>, before: &str) -> String {
    let script = format!(
        "job = manager.TakeSnapshot({:?}, sv(before={before:?}))\n\
         print(*wait(job), properties(job, 'org.snug.Snug1.Job')['Result'].get('snapshot', ''))",
        dev.name()
    );
    let said = answer(bus_script(dev.bed(), dev.user(), &script));
    assert!(said.starts_with("done "), "{said}");
    said.rsplit(' ').next().unwrap().to_owned()
}

#[track_caller]
fn undo(dev: &Container<'_>, options: &[&str]) {
    dev.snug(["undo", "-y"]).args(options).deadline(PATIENCE).run().unwrap().success();
}

/// Name and what came after it, the newest first.
#[track_caller]
fn kept(dev: &Container<'_>) -> Vec<(String, String)> {
    let all = json(&dev.snug(["undo", "--list", "--json"]).run().unwrap().success());
    assert_eq!(all["version"], 1, "{all}");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let all = all["snapshots"].as_array().unwrap();
    all.iter().map(|one| (text(&one["name"]), text(&one["before"]))).collect()
}

/// What a container's root directory has of the test.
#[track_caller]
fn files(dev: &Container<'_>) -> String {
    root(dev, "cd /etc; for file in t81-*; do [ -e $file ] && cat $file; done; true")
}

#[track_caller]
fn incus(bed: &Bed, args: &[&str]) {
    let project = bed.project("tester");
    bed.incus(args.iter().copied().chain(["--project", &project])).ok().unwrap();
}

#[test]
fn what_was_changed_in_it_is_undone_and_the_home_stays() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    for image in [NO_INIT, DEBIAN_13] {
        let dev = fresh(&bed, "tester", "undo-first", image);
        root(&dev, "echo kept >/etc/t81-kept; echo old >/etc/t81-changed");
        take(&dev, "install ripgrep");
        root(&dev, "rm /etc/t81-kept; echo new >/etc/t81-changed; echo more >/etc/t81-made");
        answer(dev.shell("snug run sh -c 'echo mine >~/t81-home'"));
        let _gone = Finally(|| drop(bed.shell("tester", "rm -f ~/t81-home").run()));
        assert_eq!(files(&dev), "new\nmore");
        undo(&dev, &[]);
        assert_eq!(state(&bed, "tester", dev.name()), "running", "{image}");
        assert_eq!(files(&dev), "old\nkept", "{image}");
        assert_eq!(answer(dev.shell("cat ~/t81-home; snug run sh -c 'cat ~/t81-home'")), "mine\nmine");
        assert_eq!(answer(dev.run(["id", "-un"])), "tester");
    }
    leaks.assert_none();
}

#[test]
fn what_was_set_and_taken_away_since_stays_so() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "undo-set", NO_INIT, &["--set", "processes=400"]);
    let name = dev.name();
    incus(&bed, &["config", "set", name, "user.old=x"]);
    incus(&bed, &["config", "device", "add", name, "old", "disk", "source=/usr/share", "path=/opt/t81"]);
    take(&dev, "a change");
    incus(&bed, &["config", "unset", name, "user.old"]);
    incus(&bed, &["config", "device", "remove", name, "old"]);
    incus(&bed, &["config", "set", name, "user.new=y"]);
    dev.snug(["set", "memory=512MiB", "disk=64MiB"]).run().unwrap().success();
    dev.snug(["unset", "processes"]).run().unwrap().success();
    let before = listed(&bed, "tester", name).unwrap();
    undo(&dev, &[]);
    let after = listed(&bed, "tester", name).unwrap();
    for key in ["grants", "settings", "preset", "trusted", "privileged", "image", "phase"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    for (key, value) in
        [("user.old", ""), ("user.new", "y"), ("limits.memory", "512MiB"), ("limits.processes", "")]
    {
        assert_eq!(instance_key(&bed, "tester", name, key), value, "{key}");
    }
    let project = bed.project("tester");
    let devices = bed.incus(["config", "device", "list", "--project", &project, name]).ok().unwrap().text();
    assert!(!devices.lines().any(|device| device == "old"), "{devices}");
    // The limit of a disk that is a new one by now.
    let line = "head -c 200000000 /dev/urandom >/big; sync; stat -c %s /big; rm /big";
    let full = dev.snug(["run", "--root", "-w", "/", "--", "sh", "-c", line]).run().unwrap();
    let written: u64 = full.out().trim().parse().unwrap();
    assert!(written <= 64 << 20, "{written} {}", full.err());
}

#[test]
fn an_undo_is_undone_by_another_one_and_one_may_go_further_back() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "undo-twice", NO_INIT);
    let first = take(&dev, "install one");
    root(&dev, "echo one >/etc/t81-1");
    let second = take(&dev, "install two");
    root(&dev, "echo two >/etc/t81-2");
    assert_eq!(
        kept(&dev),
        [(second.clone(), "install two".to_owned()), (first.clone(), "install one".to_owned())]
    );
    undo(&dev, &[]);
    assert_eq!((files(&dev).as_str(), kept(&dev)[0].1.as_str()), ("one", "undo of install two"));
    undo(&dev, &[]);
    assert_eq!((files(&dev).as_str(), kept(&dev)[0].1.as_str()), ("one\ntwo", "redo of install two"));
    undo(&dev, &["--to", &first]);
    assert_eq!(files(&dev), "");
    let all = kept(&dev);
    assert_eq!(all.len(), 5, "{all:?}");
    undo(&dev, &["--discard", "--to", &second]);
    assert_eq!((files(&dev).as_str(), kept(&dev)), ("one", all));
    let table = dev.snug(["undo", "--list"]).run().unwrap().success().out();
    assert!(table.lines().any(|line| line.starts_with(&first) && line.ends_with("install one")), "{table}");
}

#[test]
fn a_dry_run_and_a_no_change_nothing() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "undo-dry", NO_INIT);
    let taken = take(&dev, "install one");
    root(&dev, "echo one >/etc/t81-1");
    let plan = dev.snug(["undo", "--dry-run"]).run().unwrap().success().out();
    assert!(plan.contains(&format!("back to the snapshot '{taken}'")), "{plan}");
    let mut asked = dev.snug(["undo"]).on_pty().unwrap();
    let question = asked.until("Go back?").unwrap();
    assert!(question.contains("install one"), "{question}");
    asked.line("n").unwrap();
    let screen = asked.ends_with(1);
    assert!(screen.contains("nothing was undone"), "{screen}");
    assert_eq!((files(&dev).as_str(), kept(&dev).len()), ("one", 1));
}

#[test]
fn one_that_is_stopped_stays_so() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "undo-still", NO_INIT);
    take(&dev, "install one");
    root(&dev, "echo one >/etc/t81-1");
    bed.snug("tester").args(["stop", dev.name()]).run().unwrap().success();
    undo(&dev, &[]);
    assert_eq!(state(&bed, "tester", dev.name()), "stopped");
    assert_eq!(files(&dev), "");
}

#[test]
fn what_runs_in_it_is_hung_up() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "undo-runs", NO_INIT);
    take(&dev, "install one");
    let mut polite = Lifeline::new(&bed, "tester");
    let line = format!(
        "exec 9>{}; trap 'echo hung-up >&9; exit' HUP; echo here >&9; while :; do sleep 1; done",
        polite.path().display()
    );
    let null = Stdio::null;
    let mut client = dev.run(["sh", "-c", &line]).spawn(null(), null(), null()).unwrap();
    polite.until("here");
    undo(&dev, &[]);
    assert!(polite.gone().contains("hung-up"));
    assert!(!client.wait().unwrap().success());
    assert_eq!(answer(dev.run(["hostname"])), "undo-runs");
}

#[test]
fn what_cannot_be_undone_says_why() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "undo-none", NO_INIT, &["--no-start"]);
    // A person's own.
    incus(&bed, &["snapshot", "create", dev.name(), "mine"]);
    refused(dev.snug(["undo"]), 1, &["undo-none", "nothing", "hint: "]);
    refused(dev.snug(["undo", "--to", "mine"]), 1, &["'mine'", "hint: "]);
    refused(dev.snug(["undo", "--to", "snug-20260717T101502Z"]), 1, &["snug-20260717T101502Z", "hint: "]);
    refused(bed.snug("tester").args(["undo", "-c", "undo-nowhere"]), 1, &["undo-nowhere", "hint: "]);
    let other = TemporaryUser::new(&bed, "snug-undoer");
    let script =
        "print(outcome(manager.Undo, 'undo-none', sv()), refusal(manager.Snapshots, 'undo-none', sv()))";
    let missing = "org.snug.Snug1.Error.NotFound";
    assert_eq!(answer(bus_script(&bed, other.name(), script)), format!("{missing} {missing}"));
}

#[test]
fn a_pool_that_would_copy_takes_none() {
    const POOL: &str = "snug-test-dir";
    let bed = Bed::require();
    let _pool = common::copying_pool(&bed, POOL);
    let dev = fresh_with(&bed, "tester", "undo-dir", NO_INIT, &["--no-start"]);
    let script = "print(*wait(manager.TakeSnapshot('undo-dir', sv())))";
    let said = answer(bus_script(&bed, "tester", script));
    assert!(said.starts_with("failed org.snug.Snug1.Error.Unsupported") && said.contains("copy"), "{said}");
    refused(dev.snug(["undo"]), 1, &[POOL, "dir", "hint: "]);
    assert!(kept(&dev).is_empty());
}

#[test]
fn a_guest_that_has_filled_its_disk_can_go_back() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "undo-full", NO_INIT, &["--set", "disk=64MiB"]);
    take(&dev, "install too much");
    let fill =
        "rm -f /var/lib/snug/reserve; dd if=/dev/zero of=/root/fill bs=1M 2>/dev/null; : >/root/one-more";
    let filled = dev.snug(["run", "--root", "-w", "/", "--", "sh", "-c", fill]).run().unwrap();
    assert_ne!(filled.code(), 0, "the disk has a bound");
    let ran = dev.snug(["undo", "-y"]).deadline(PATIENCE).run().unwrap();
    if ran.code() != 0 {
        // Without any room what is there now cannot be kept, and that is said.
        assert!(ran.err().contains("--discard"), "{}", ran.err());
        undo(&dev, &["--discard"]);
    }
    root(&dev, "test ! -e /root/fill && : >/root/one-more");
    assert_eq!(instance_key(&bed, "tester", dev.name(), "user.snug.phase"), "ready");
}

#[test]
fn a_daemon_killed_at_any_step_leaves_a_whole_container_with_its_present_configuration() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    for place in [
        "hang-up-commands:after",
        "stop-instance:during",
        "take-snapshot:during",
        "take-snapshot:after",
        "restore-snapshot:recorded",
        "restore-snapshot:during",
        "restore-snapshot:after",
        "put-back-config:during",
        "put-back-config:after",
        "set-phase-starting",
        "start-instance:during",
        "wait-for-agent:after",
    ] {
        let dev = fresh(&bed, "tester", "undo-killed", NO_INIT);
        take(&dev, "install one");
        root(&dev, "echo one >/etc/t81-1");
        dev.snug(["set", "processes=400"]).run().unwrap().success();
        dies_at(&bed, place, dev.snug(["undo", "-y"]));
        assert!(settled(&bed, "tester", dev.name()), "{place}");
        // Whoever uses it next finds it so.
        assert_eq!(answer(dev.run(["hostname"])), "undo-killed", "{place}");
        assert_eq!(instance_key(&bed, "tester", dev.name(), "limits.processes"), "400", "{place}");
        assert!(["", "one"].contains(&files(&dev).as_str()), "{place}");
    }
    leaks.assert_none();
}

#[test]
fn removing_it_removes_all_that_is_kept_of_it() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "undo-gone", NO_INIT, &["--no-start"]);
    take(&dev, "install one");
    let uid = bed.account("tester").uid.to_string();
    // Beside `run`, wherever the state is.
    let state = bed.run_dir("tester", "undo-gone").ancestors().nth(3).unwrap().to_owned();
    let words: PathBuf = state.join("undo").join(uid).join("undo-gone.json");
    assert!(fs::read_to_string(&words).unwrap().contains("install one"));
    bed.snug("tester").args(["rm", "-f", "undo-gone"]).run().unwrap().success();
    assert!(!words.exists());
    let again = fresh_with(&bed, "tester", "undo-gone", NO_INIT, &["--no-start"]);
    assert!(kept(&again).is_empty());
}
