//! The life of a container: made, listed, started, stopped, removed.
#![cfg(feature = "real-stack")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test's name is its documentation; its helpers are tests, too"
)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::{
    BUSYBOX, DEBIAN_13, Doomed, NO_INIT, PATIENCE, TemporaryUser, UserConfig, answer, containers, explains,
    fresh, fresh_with, instance_exists, json, listed, refused, state,
};
use snug_testbed::{Bed, Container, Leaks, Lifeline, UserCommand};

#[test]
fn a_created_container_runs_and_says_nothing() {
    let bed = Bed::require();
    let _gone = Doomed::new(&bed, "tester", "life-made");
    let made = bed.snug("tester").args(["create", "life-made", "-i", NO_INIT]).run().unwrap().success();
    assert_eq!((made.out().as_str(), made.err().as_str()), ("", ""));
    assert_eq!(state(&bed, "tester", "life-made"), "running");
}

#[test]
fn with_no_start_a_container_is_made_and_stays_stopped_until_it_is_used() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "life-idle", NO_INIT, &["--no-start"]);
    assert_eq!(state(&bed, "tester", dev.name()), "stopped");
    let ran = dev.run(["hostname"]).run().unwrap().success();
    assert_eq!((ran.out().as_str(), ran.err().as_str()), ("life-idle\n", ""));
    assert_eq!(state(&bed, "tester", dev.name()), "running");
}

#[test]
fn a_name_is_made_from_the_image_where_none_is_given() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-noname");
    user.snug(["create", "-i", NO_INIT, "--no-start"]).run().unwrap().success();
    assert_eq!(containers(&bed, user.name())[0]["name"], "minimal-none");
}

#[test]
fn replacing_gives_a_fresh_container_of_the_same_name() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "life-anew", NO_INIT);
    answer(dev.snug(["run", "--root", "-w", "/", "touch", "/old"]));
    let again = ["create", dev.name(), "-i", BUSYBOX];
    refused(bed.snug("tester").args(again), 1, &["life-anew", "exists", "hint: "]);
    answer(dev.run(["test", "-e", "/old"]));
    bed.snug("tester").args(again).arg("--replace").run().unwrap().success();
    assert_eq!(answer(dev.run(["sh", "-c", "test -e /old || cat /proc/1/comm"])), "init");
    assert_eq!(listed(&bed, "tester", dev.name()).unwrap()["image"], BUSYBOX);
}

#[test]
fn the_list_has_a_table_for_people_and_json_for_scripts() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "life-shown", NO_INIT);
    for verb in ["list", "ls"] {
        let table = bed.snug("tester").args([verb, "--size"]).run().unwrap().success().out();
        let row = table.lines().find(|line| line.starts_with("life-shown ")).unwrap();
        assert!(row.contains("running") && row.contains(NO_INIT) && row.contains("integrated"), "{table}");
        assert!(table.lines().next().unwrap().contains("SIZE"), "{table}");
    }
    let it = listed(&bed, "tester", dev.name()).unwrap();
    let account = bed.account("tester");
    assert_eq!((it["owner"].as_u64(), it["owner_name"].as_str()), (Some(account.uid.into()), Some("tester")));
    assert_eq!((it["kind"].as_str(), it["preset"].as_str()), (Some("container"), Some("integrated")));
    assert_eq!((it["trusted"].as_bool(), it["privileged"].as_bool()), (Some(true), Some(false)));
    assert!(it["grants"].as_array().unwrap().iter().any(|grant| grant == "home"), "{it}");
    assert!(it["pid"].as_u64().unwrap() > 1, "{it}");
    assert!(it["created"].as_str().unwrap().contains('T'), "{it}");
}

/// Bytes of a container of the user's on its disk, where Incus knows them.
fn told_size(bed: &Bed, name: &str) -> Option<u64> {
    let url = format!("/1.0/instances/{name}/state?project={}", bed.project("tester"));
    let state: serde_json::Value =
        serde_json::from_str(&bed.incus(["query", &url]).ok().unwrap().text()).unwrap();
    state["disk"]["root"]["usage"].as_u64().filter(|usage| *usage > 0)
}

#[test]
fn info_tells_of_one_container_and_misses_one_that_does_not_exist() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "life-info", NO_INIT);
    let text = bed.snug("tester").args(["info", dev.name()]).run().unwrap().success().out();
    for word in ["life-info", "running", NO_INIT, "trusted"] {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
    let it = json(&bed.snug("tester").args(["info", dev.name(), "--json"]).run().unwrap().success());
    assert_eq!(it["container"]["name"], "life-info");
    assert_ne!(it["container"]["agent"], "", "{it}");
    // As Incus says; a pool without quotas cannot tell, and that is not nothing.
    assert_eq!(it["container"]["size"].as_u64(), told_size(&bed, "life-info"), "{it}");
    refused(bed.snug("tester").args(["info", "life-nowhere"]), 1, &["life-nowhere", "hint: "]);
}

#[test]
fn several_names_are_all_tried_and_one_failure_is_told() {
    let bed = Bed::require();
    let one = fresh_with(&bed, "tester", "life-one", NO_INIT, &["--no-start"]);
    let two = fresh_with(&bed, "tester", "life-two", NO_INIT, &["--no-start"]);
    for (verb, after) in [("start", "running"), ("restart", "running"), ("stop", "stopped")] {
        let done = bed
            .snug("tester")
            .args([verb, "life-one", "life-absent", "life-two"])
            .run()
            .unwrap()
            .ends_with(1);
        assert!(
            done.err().contains("life-absent") && done.err().contains("2 of 3"),
            "{verb}: {}",
            done.err()
        );
        for dev in [&one, &two] {
            assert_eq!(state(&bed, "tester", dev.name()), after, "{verb}");
        }
    }
    let removed =
        bed.snug("tester").args(["rm", "life-one", "life-absent", "life-two"]).run().unwrap().ends_with(1);
    assert!(removed.err().contains("life-absent"), "{}", removed.err());
    assert!(listed(&bed, "tester", "life-one").is_none() && listed(&bed, "tester", "life-two").is_none());
}

#[test]
fn all_means_all_containers_of_the_caller() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-all");
    for name in ["one", "two"] {
        user.snug(["create", name, "-i", NO_INIT, "--no-start"]).run().unwrap().success();
    }
    let states =
        || containers(&bed, user.name()).iter().map(|it| it["state"].to_string()).collect::<Vec<_>>();
    for (verb, after) in [("start", "\"running\""), ("restart", "\"running\""), ("stop", "\"stopped\"")] {
        user.snug([verb, "-a"]).run().unwrap().success();
        assert_eq!(states(), [after, after], "{verb}");
    }
    user.snug(["rm", "--all"]).run().unwrap().success();
    assert!(states().is_empty());
    // Nothing to do is no failure.
    user.snug(["stop", "-a"]).run().unwrap().success();
}

#[test]
fn starting_what_runs_and_stopping_what_is_stopped_is_no_error() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "life-twice", NO_INIT);
    for verb in ["start", "stop", "stop", "start"] {
        bed.snug("tester").args([verb, dev.name()]).run().unwrap().success();
    }
    assert_eq!(state(&bed, "tester", dev.name()), "running");
}

#[test]
fn what_was_done_in_a_container_survives_stop_and_start() {
    let bed = Bed::require();
    for image in [NO_INIT, DEBIAN_13] {
        let dev = fresh(&bed, "tester", "life-lasts", image);
        answer(dev.snug(["run", "--root", "-w", "/", "sh", "-c", "echo kept >/etc/kept"]));
        bed.snug("tester").args(["stop", dev.name()]).run().unwrap().success();
        assert_eq!(state(&bed, "tester", dev.name()), "stopped");
        let ran = dev.run(["cat", "/etc/kept"]).run().unwrap().success();
        assert_eq!((ran.out().as_str(), ran.err().as_str()), ("kept\n", ""), "{image}");
    }
}

#[test]
fn stop_hangs_up_what_listens_and_kills_what_does_not() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let dev = fresh(&bed, "tester", "life-stop", DEBIAN_13);
    let mut polite = Lifeline::new(&bed, "tester");
    let mut stubborn = Lifeline::new(&bed, "tester");
    let line = format!(
        "sh -c 'trap \"echo hung-up >&9; exit\" HUP; echo here >&9; while :; do sleep 1; done' 9>{} & \
         exec sh -c 'trap \"\" HUP TERM INT; echo here >&9; while :; do sleep 1; done' 9>{}",
        polite.path().display(),
        stubborn.path().display()
    );
    let null = Stdio::null;
    let mut client = dev.run(["sh", "-c", &line]).spawn(null(), null(), null()).unwrap();
    polite.until("here");
    stubborn.until("here");
    // Killed after the hang-up's grace, not when the guest's own end is given up (30 seconds).
    let stop = bed.snug("tester").args(["stop", dev.name()]).deadline(Duration::from_secs(20));
    stop.run().unwrap().success();
    assert!(polite.gone().contains("hung-up"));
    stubborn.gone();
    assert!(!client.wait().unwrap().success());
    drop((polite, stubborn, dev));
    leaks.assert_none();
}

/// A unit whose end takes until the file is gone.
fn slow_end(dev: &Container<'_>, held: &Path) {
    let unit = format!(
        "printf '%s\\n' [Service] 'ExecStart=/bin/sleep infinity' TimeoutStopSec=60 \
         \"ExecStop=/bin/sh -c 'while test -e {}; do sleep 0.1; done'\" >/etc/systemd/system/slow-end.service",
        held.display()
    );
    answer(dev.snug(["run", "--root", "-w", "/", "sh", "-c", &unit]));
    fs::write(held, "").unwrap();
    answer(dev.snug(["run", "--root", "-w", "/", "sh", "-c", "systemctl start slow-end; touch /run/before"]));
}

#[test]
fn whoever_needs_a_container_that_is_being_stopped_gets_it_started_again() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "life-slowly", DEBIAN_13);
    let home = bed.account("tester").home;
    let (held, copy) = (home.join("life-slowly.held"), home.join("life-slowly.copy"));
    let _gone = common::Finally(|| [&held, &copy].iter().for_each(|file| drop(fs::remove_file(file))));
    let spawn = |command: UserCommand| command.spawn(Stdio::null(), Stdio::piped(), Stdio::piped()).unwrap();
    for verb in ["stop", "restart"] {
        slow_end(&dev, &held);
        let mut ending = spawn(bed.snug("tester").args([verb, dev.name()]));
        common::eventually("it is being stopped", || state(&bed, "tester", dev.name()) == "stopping");
        let info = answer(bed.snug("tester").args(["info", dev.name()]));
        assert!(info.contains("stopping") && !info.contains("does not answer"), "{info}");
        let from = format!("{}:/etc/hostname", dev.name());
        let waiting = [
            dev.run(["sh", "-c", "hostname; test ! -e /run/before"]),
            bed.snug("tester").args([
                "enter",
                dev.name(),
                "--",
                "sh",
                "-c",
                "hostname; test ! -e /run/before",
            ]),
            bed.snug("tester").args(["cp", &from]).arg(&copy),
        ];
        let mut waiting = waiting.map(spawn);
        // Together they take longer than entering a container that runs.
        for _ in 0..3 {
            assert_eq!(state(&bed, "tester", dev.name()), "stopping");
        }
        for child in waiting.iter_mut().chain([&mut ending]) {
            assert!(child.try_wait().unwrap().is_none(), "{verb}: it did not wait");
        }
        fs::remove_file(&held).unwrap();
        assert!(ending.wait().unwrap().success(), "{verb}");
        for (child, told) in waiting.into_iter().zip(["life-slowly\n", "life-slowly\n", ""]) {
            let ended = child.wait_with_output().unwrap();
            let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
            assert!(ended.status.success(), "{verb}: {err}");
            assert_eq!((out.as_ref(), err.as_ref()), (told, ""), "{verb}");
        }
        assert_eq!(fs::read_to_string(&copy).unwrap(), "life-slowly\n");
        fs::remove_file(&copy).unwrap();
        assert_eq!(state(&bed, "tester", dev.name()), "running", "{verb}");
    }
}

#[test]
fn a_guest_that_has_hardly_begun_to_boot_stops_by_itself() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "life-brief", DEBIAN_13);
    // A process 1 that has not set its signals up when it is told to stop: systemd on a slow machine. (dash would unblock
    // every signal on the way.)
    let slow = "mkdir /opt/slow && cd /opt/slow && printf '%s\\n' '#!/bin/bash' 'sleep 3' \
         'exec /usr/lib/systemd/systemd' >systemd && chmod 755 systemd && ln -sf /opt/slow/systemd /sbin/init";
    answer(dev.snug(["run", "--root", "-w", "/", "sh", "-c", slow]));
    bed.snug("tester").args(["restart", dev.name()]).run().unwrap().success();
    let program = answer(dev.snug(["run", "--early", "--root", "-w", "/", "readlink", "/proc/1/exe"]));
    assert!(!program.ends_with("/systemd"), "{program}");
    bed.snug("tester").args(["stop", dev.name()]).run().unwrap().success();
    let log = bed.snug("tester").args(["logs", "--jobs", dev.name()]).run().unwrap().success();
    assert!(!log.out().contains("did not stop by itself"), "{}", log.out());
}

#[test]
fn what_snug_did_to_a_container_can_be_read_and_goes_with_it() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "life-jobs", NO_INIT);
    bed.snug("tester").args(["restart", dev.name()]).run().unwrap().success();
    let jobs = || bed.snug("tester").args(["logs", "--jobs", "life-jobs"]);
    let log = jobs().run().unwrap().success().out();
    for line in ["create: creating life-jobs", "restart: stopping life-jobs", "restart: starting life-jobs"] {
        assert!(log.contains(line), "{line}: {log}");
    }
    refused(bed.snug("second").args(["logs", "--jobs", "life-jobs"]), 1, &["life-jobs"]);
    drop(dev);
    refused(jobs(), 1, &["life-jobs", "hint: "]);
    // Nor is anything kept of a name that never was.
    refused(bed.snug("tester").args(["start", "life-never"]), 1, &["life-never"]);
    let kept = Path::new("/var/lib/snug/log").join(bed.account("tester").uid.to_string());
    for name in ["life-jobs.log", "life-never.log"] {
        assert!(!kept.join(name).exists(), "{name}");
    }
    bed.snug("tester").args(["create", "life-jobs", "-i", NO_INIT, "--no-start"]).run().unwrap().success();
    let again = jobs().run().unwrap().success().out();
    bed.snug("tester").args(["rm", "life-jobs"]).run().unwrap().success();
    assert!(!again.contains("restart:"), "{again}");
}

#[test]
fn a_bare_enter_makes_the_default_container_and_is_a_shell_in_it() {
    let bed = Bed::require();
    let _gone = Doomed::new(&bed, "tester", "life-default");
    let config = UserConfig::default_container(&bed, "tester", "life-default", NO_INIT);
    let mut pty = config.snug(&bed, "tester").arg("enter").deadline(PATIENCE).on_pty().unwrap();
    pty.line("echo in-$(hostname); exit 7").unwrap();
    assert!(pty.ends_with(7).contains("in-life-default"));
    assert_eq!(state(&bed, "tester", "life-default"), "running");
}

#[test]
fn a_running_container_is_removed_by_force_only_and_a_missing_one_is_an_error() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let dev = fresh(&bed, "tester", "life-force", NO_INIT);
    refused(bed.snug("tester").args(["rm", dev.name()]), 1, &["life-force", "running", "hint: "]);
    assert_eq!(state(&bed, "tester", dev.name()), "running");
    bed.snug("tester").args(["rm", "-f", dev.name()]).run().unwrap().success();
    assert!(!instance_exists(&bed, "tester", "life-force"));
    assert!(!bed.run_dir("tester", "life-force").exists());
    for force in [&["rm", "life-force"][..], &["rm", "-f", "life-force"]] {
        refused(bed.snug("tester").args(force), 1, &["life-force", "hint: "]);
    }
    drop(dev);
    leaks.assert_none();
}

#[test]
fn removing_never_touches_the_home_on_the_host() {
    let bed = Bed::require();
    let file = format!("precious-{}", std::process::id());
    let dev = fresh(&bed, "tester", "life-home", NO_INIT);
    answer(dev.run(["sh", "-c", &format!("echo precious >{file}")]));
    bed.snug("tester").args(["rm", "-f", dev.name()]).run().unwrap().success();
    assert_eq!(answer(bed.shell("tester", &format!("cat {file}; rm {file}"))), "precious");
}

#[test]
fn on_a_terminal_rm_asks_with_the_size_and_takes_no_for_no() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "life-asked", NO_INIT, &["--no-start"]);
    for (typed, status, there) in [("n", 1, true), ("", 1, true), ("y", 0, false)] {
        let mut pty = bed.snug("tester").args(["rm", dev.name()]).on_pty().unwrap();
        let question = pty.until("[y/N]").unwrap();
        match told_size(&bed, dev.name()) {
            Some(_) => assert!(question.contains("life-asked (") && question.contains("B)"), "{question}"),
            None => assert!(question.contains("life-asked?"), "{question}"),
        }
        pty.line(typed).unwrap();
        pty.ends_with(status);
        assert_eq!(instance_exists(&bed, "tester", dev.name()), there, "{typed:?}");
    }
}

#[test]
fn who_agreed_to_one_is_not_kept_from_it_by_another_that_is_missing() {
    let bed = Bed::require();
    let _dev = fresh_with(&bed, "tester", "life-agreed", NO_INIT, &["--no-start"]);
    let mut pty = bed.snug("tester").args(["rm", "life-agreed", "life-missing"]).on_pty().unwrap();
    pty.until("Remove container life-agreed").unwrap();
    pty.line("y").unwrap();
    pty.until("life-missing").unwrap();
    pty.ends_with(1);
    assert!(!instance_exists(&bed, "tester", "life-agreed"));
}

#[test]
fn yes_answers_the_question_of_rm() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "life-yes", NO_INIT, &["--no-start"]);
    let mut pty = bed.snug("tester").args(["rm", "-y", dev.name()]).on_pty().unwrap();
    pty.ends_with(0);
    assert!(!instance_exists(&bed, "tester", dev.name()));
}

#[test]
fn prune_removes_what_was_left_behind_and_nothing_that_is_whole() {
    let bed = Bed::require();
    let whole = fresh_with(&bed, "tester", "life-whole", NO_INIT, &["--no-start"]);
    let left = fresh_with(&bed, "tester", "life-left", NO_INIT, &["--no-start"]);
    // As `run --rm` would have left it: its client is gone (process 1 never started at time 1).
    let project = bed.project("tester");
    let mark = ["config", "set", "--project", &project, left.name(), "user.snug.temporary=1:1"];
    bed.incus(mark).ok().unwrap();
    let plan = answer(bed.snug("tester").args(["prune", "--dry-run"]));
    assert!(plan.contains("life-left") && !plan.contains("life-whole"), "{plan}");
    assert!(instance_exists(&bed, "tester", left.name()));
    let removed = answer(bed.snug("tester").arg("prune"));
    assert!(removed.contains("life-left") && !removed.contains("life-whole"), "{removed}");
    assert!(!instance_exists(&bed, "tester", left.name()) && instance_exists(&bed, "tester", whole.name()));
}

#[test]
fn a_dry_run_of_every_changing_verb_shows_a_plan_and_changes_nothing() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-dry");
    user.snug(["create", "up", "-i", NO_INIT]).run().unwrap().success();
    user.snug(["create", "off", "-i", NO_INIT, "--no-start"]).run().unwrap().success();
    user.snug(["set", "-c", "off", "autostart=login"]).run().unwrap().success();
    let all = || {
        let mut all = containers(&bed, user.name());
        for it in &mut all {
            it.as_object_mut().unwrap().remove("last_start");
        }
        let settings = ["list", "--project", &user.project(), "--format=json"];
        let incus: serde_json::Value =
            serde_json::from_slice(&bed.incus(settings).ok().unwrap().stdout).unwrap();
        let configs: Vec<_> = incus.as_array().unwrap().iter().map(|it| it["config"].to_string()).collect();
        (serde_json::to_string(&all).unwrap(), configs)
    };
    let before = all();
    let images = || answer(user.snug(["image", "list"]));
    let images_before = images();
    let file = user.account().home.join("root.tar");
    fs::write(&file, "no archive, which nobody looks into yet").unwrap();
    let file = format!("file:{}", file.display());
    for line in [
        &["create", "new", "-i", NO_INIT][..],
        &["create", "new", "-i", &file],
        &["cp", "/etc/hostname", "up:/tmp"],
        &["image", "pull", "images:debian/13"],
        &["unset", "-c", "off", "autostart"],
        &["create", "off", "-i", BUSYBOX, "--replace"],
        &["start", "off"],
        &["stop", "up"],
        &["restart", "up"],
        &["rm", "off"],
        &["rm", "-f", "up"],
        &["set", "-c", "off", "memory=512MiB"],
    ] {
        let shown = user.snug(line).arg("--dry-run").run().unwrap().success();
        assert!(!shown.out().trim().is_empty(), "no plan for {line:?}");
    }
    let replaced = ["create", "off", "-i", &file, "--replace", "--no-grant", "network", "--dry-run"];
    let plan = answer(user.snug(replaced));
    assert!(
        plan.contains("delete the container 'off'") && plan.contains("create the container 'off'"),
        "{plan}"
    );
    refused(user.snug(["create", "off", "-i", &file, "--dry-run"]), 1, &["exists already"]);
    let wrong = ["create", "new", "-i", &file, "--grant", "nonsense", "--dry-run"];
    refused(user.snug(wrong), 1, &["nonsense"]);
    user.snug(["prune", "--dry-run"]).run().unwrap().success();
    refused(user.snug(["cp", "/no/such/file", "up:/tmp", "--dry-run"]), 1, &["/no/such/file"]);
    assert_eq!((all(), images()), (before, images_before));
}

#[test]
fn enter_runs_a_login_shell_or_a_command_as_from_one() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "life-enter", NO_INIT);
    let mut pty = bed.snug("tester").args(["enter", dev.name()]).on_pty().unwrap();
    pty.line("echo shell-$((40 + 2)) $0 $(hostname); exit 5").unwrap();
    let seen = pty.until("shell-42").unwrap() + &pty.ends_with(5);
    assert!(seen.contains("-sh life-enter"), "{seen:?}");
    let command = bed.snug("tester").args(["enter", dev.name(), "--", "sh", "-c", "hostname; exit 6"]);
    assert_eq!(command.run().unwrap().ends_with(6).out(), "life-enter\n");
    let root = bed.snug("tester").args(["enter", dev.name(), "--root", "--", "id", "-u"]);
    assert_eq!(answer(root), "0");
    let other = bed.snug("tester").args(["enter", dev.name(), "-u", "0", "--", "id", "-un"]);
    assert_eq!(answer(other), "root");
}

#[test]
fn words_that_make_no_sense_are_usage_errors_and_touch_no_daemon() {
    let bed = Bed::require();
    for (line, status) in [
        (&["frobnicate"][..], 2),
        (&["stop"], 2),
        (&["list", "--colour"], 2),
        (&["run"], 125),
        (&["enter", "--nonsense"], 125),
    ] {
        let refusal =
            bed.snug("tester").args(line).env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere").run().unwrap();
        explains(&refusal, status, &["Usage"]);
    }
}
