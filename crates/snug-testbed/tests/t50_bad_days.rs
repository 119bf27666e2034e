//! Bad days: the daemon dies at every step, Incus restarts, the agent is killed, the machine goes down.
#![cfg(feature = "real-stack")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test's name is its documentation; its helpers are tests, too"
)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::time::Duration;

use common::{
    BUSYBOX, DEBIAN_13, Doomed, Finally, NO_INIT, PATIENCE, SnugConfig, TemporaryUser, answer, dies_at,
    dying_daemon, explains, fresh, fresh_with, instance_exists, listed, refused, settled, state,
};
use snug_testbed::process::Process;
use snug_testbed::tool::Tool;
use snug_testbed::{Bed, Container, Leaks, Lifeline};

#[test]
fn a_daemon_killed_at_any_step_of_a_creation_leaves_a_free_name_or_a_whole_container() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    for place in [
        "create-instance",
        "create-instance:during",
        "create-instance:after",
        "prepare-run-directory",
        "prepare-run-directory:after",
        "mount-home:after",
        "write-provision:after",
        "start-instance:during",
        "start-instance:after",
        "wait-for-agent:after",
        "set-phase-ready",
        "set-phase:after",
    ] {
        let _gone = Doomed::new(&bed, "tester", "bad-create");
        let create = ["create", "bad-create", "-i", NO_INIT];
        dies_at(&bed, place, bed.snug("tester").args(create));
        // The next daemon: there it is and works, or it is not there and nothing of it is.
        if settled(&bed, "tester", "bad-create") {
            let ran = bed.snug("tester").args(["run", "-c", "bad-create", "hostname"]);
            assert_eq!(answer(ran), "bad-create", "{place}");
        } else {
            assert!(!instance_exists(&bed, "tester", "bad-create"), "{place}");
            common::eventually("its directory, too", || !bed.run_dir("tester", "bad-create").exists());
            bed.snug("tester").args(create).run().unwrap().success();
        }
    }
    leaks.assert_none();
}

#[test]
fn a_daemon_killed_while_it_makes_the_first_things_of_a_user_does_not_trip_the_next() {
    let bed = Bed::require();
    for place in ["ensure-subordinate-ids", "ensure-subordinate-ids:after", "ensure-project:after"] {
        let user = TemporaryUser::new(&bed, "snug-badfirst");
        dies_at(&bed, place, user.snug(["create", "first", "-i", NO_INIT]));
        assert_eq!(user.snug(["list"]).run().unwrap().success().out(), "", "{place}");
        user.snug(["create", "first", "-i", NO_INIT]).run().unwrap().success();
        assert_eq!(answer(user.snug(["run", "-c", "first", "hostname"])), "first", "{place}");
    }
}

#[test]
fn a_daemon_killed_while_it_makes_what_all_share_does_not_trip_the_next() {
    let bed = Bed::require();
    let _gone = Doomed::new(&bed, "tester", "bad-shared");
    let create = ["create", "bad-shared", "-i", NO_INIT];
    {
        // Of a pool that is missing.
        let _config = SnugConfig::write(&bed, "pool = \"snug-test-missing\"\n");
        dies_at(&bed, "ensure-pool", bed.snug("tester").args(create));
        refused(bed.snug("tester").args(create), 1, &["snug-test-missing", "hint: "]);
    }
    for place in ["ensure-network", "ensure-network:after"] {
        let _config = SnugConfig::write(&bed, "bridge = \"snugtest1\"\npasta = \"\"\n");
        let _bridge = Finally(|| drop(bed.incus(["network", "delete", "snugtest1"]).run()));
        let _first = Doomed::new(&bed, "tester", "bad-shared");
        dies_at(&bed, place, bed.snug("tester").args(create));
        assert!(!settled(&bed, "tester", "bad-shared"), "{place}");
        bed.snug("tester").args(create).run().unwrap().success();
    }
    assert!(!bed.incus(["network", "show", "snugtest1"]).succeeds());
    for place in ["hold-host-network", "hold-host-network:after"] {
        let _first = Doomed::new(&bed, "tester", "bad-shared");
        let create = || bed.snug("tester").args(create).args(["--grant", "network=host"]);
        dies_at(&bed, place, create());
        assert!(!settled(&bed, "tester", "bad-shared"), "{place}");
        create().run().unwrap().success();
        let networks = bed.snug("tester").args(["run", "-c", "bad-shared", "readlink", "/proc/self/ns/net"]);
        assert_eq!(answer(networks), answer(bed.shell("tester", "readlink /proc/self/ns/net")), "{place}");
    }
}

#[test]
fn a_daemon_killed_while_it_replaces_a_container_leaves_the_old_or_a_new_one_or_a_free_name() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    for place in [
        "set-phase-removing",
        "unmount-all:after",
        "delete-instance",
        "delete-instance:during",
        "delete-instance:after",
        "remove-run-directory:after",
        "create-instance",
        "create-instance:during",
        "start-instance:after",
        "set-phase-ready",
    ] {
        let dev = fresh(&bed, "tester", "bad-replace", NO_INIT);
        answer(dev.snug(["run", "--root", "-w", "/", "sh", "-c", "echo old >/etc/age"]));
        bed.snug("tester").args(["stop", dev.name()]).run().unwrap().success();
        let replace = ["create", "bad-replace", "-i", NO_INIT, "--replace"];
        dies_at(&bed, place, bed.snug("tester").args(replace));
        if settled(&bed, "tester", "bad-replace") {
            let age = dev.snug(["run", "-w", "/", "sh", "-c", "cat /etc/age 2>/dev/null || echo new"]);
            assert!(["old", "new"].contains(&answer(age).as_str()), "{place}");
        } else {
            assert!(!instance_exists(&bed, "tester", "bad-replace"), "{place}");
            common::eventually("its directory, too", || !bed.run_dir("tester", "bad-replace").exists());
        }
        bed.snug("tester").args(replace).run().unwrap().success();
        assert_eq!(answer(dev.run(["hostname"])), "bad-replace", "{place}");
    }
    leaks.assert_none();
}

#[test]
fn a_daemon_killed_at_any_step_of_a_start_leaves_a_container_that_starts() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let dev = fresh(&bed, "tester", "bad-start", NO_INIT);
    answer(dev.snug(["run", "--root", "-w", "/", "sh", "-c", "echo kept >/etc/kept"]));
    for place in [
        "set-phase-starting",
        "update-instance",
        "update-instance:after",
        "mount-home",
        "mount-home:after",
        "write-provision:after",
        "start-instance",
        "start-instance:during",
        "start-instance:after",
        "wait-for-agent:after",
        "set-phase-ready",
    ] {
        bed.snug("tester").args(["stop", dev.name()]).run().unwrap().success();
        dies_at(&bed, place, bed.snug("tester").args(["start", dev.name()]));
        let ran = dev.run(["cat", "/etc/kept"]).run().unwrap().success();
        assert_eq!((ran.out().as_str(), ran.err().as_str()), ("kept\n", ""), "{place}");
        assert!(settled(&bed, "tester", dev.name()), "{place}");
    }
    drop(dev);
    leaks.assert_none();
}

#[test]
fn a_daemon_killed_at_any_step_of_a_stop_or_a_removal_is_finished_by_the_next() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    for place in [
        "set-phase-stopping",
        "hang-up-commands:after",
        "stop-instance",
        "stop-instance:after",
        "unmount-all:after",
    ] {
        let dev = fresh(&bed, "tester", "bad-stop", NO_INIT);
        dies_at(&bed, place, bed.snug("tester").args(["stop", dev.name()]));
        assert!(settled(&bed, "tester", dev.name()), "{place}");
        assert_eq!(answer(dev.run(["hostname"])), "bad-stop", "{place}");
    }
    for place in [
        "set-phase-removing",
        "stop-instance:after",
        "unmount-all",
        "unmount-all:after",
        "delete-instance",
        "delete-instance:during",
        "delete-instance:after",
        "remove-run-directory",
        "remove-run-directory:after",
    ] {
        let dev = fresh(&bed, "tester", "bad-remove", NO_INIT);
        dies_at(&bed, place, bed.snug("tester").args(["rm", "-f", dev.name()]));
        if settled(&bed, "tester", dev.name()) {
            assert_eq!(answer(dev.run(["hostname"])), "bad-remove", "{place}");
        } else {
            assert!(!instance_exists(&bed, "tester", dev.name()), "{place}");
            common::eventually("its directory is gone", || !bed.run_dir("tester", dev.name()).exists());
        }
    }
    leaks.assert_none();
}

#[test]
fn a_run_that_waits_for_a_dying_daemon_ends_with_125() {
    let bed = Bed::require();
    let dev = fresh_with(&bed, "tester", "bad-wait", NO_INIT, &["--no-start"]);
    let mut daemon = dying_daemon(&bed, "start-instance:after");
    refused(dev.run(["true"]).deadline(PATIENCE), 125, &["snugd ended", "hint: "]);
    daemon.wait_end(PATIENCE).unwrap();
    assert_eq!(answer(dev.run(["hostname"])), "bad-wait");
}

/// A command that answers each line that it is sent.
struct Echo {
    client: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Echo {
    #[track_caller]
    fn start(container: &Container<'_>) -> Self {
        let line = "while read word; do echo got $word; done; exit 9";
        let command = container.run(["sh", "-c", line]);
        let mut client = command.spawn(Stdio::piped(), Stdio::piped(), Stdio::inherit()).unwrap();
        let answers = BufReader::new(client.stdout.take().unwrap());
        let mut echo = Self { client, answers };
        echo.ask("first");
        echo
    }

    #[track_caller]
    fn ask(&mut self, word: &str) {
        writeln!(self.client.stdin.as_mut().unwrap(), "{word}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, format!("got {word}\n"));
    }

    #[track_caller]
    fn end(mut self) {
        drop(self.client.stdin.take());
        assert_eq!(self.client.wait().unwrap().code(), Some(9));
    }
}

#[test]
fn commands_go_on_and_new_ones_run_while_incusd_restarts_and_while_it_is_down() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "bad-incus", NO_INIT);
    let mut echo = Echo::start(&dev);
    bed.restart_incusd(true).unwrap();
    echo.ask("after-a-crash");
    {
        let _up = Finally(|| bed.start_incusd().unwrap());
        bed.stop_incusd(false).unwrap();
        echo.ask("while-it-is-down");
        assert_eq!(answer(dev.run(["hostname"])), "bad-incus");
    }
    echo.ask("when-it-is-back");
    echo.end();
    bed.snug("tester").args(["restart", dev.name()]).run().unwrap().success();
    assert_eq!(answer(dev.run(["hostname"])), "bad-incus");
}

#[test]
fn commands_go_on_while_the_daemon_is_killed() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "bad-snugd", NO_INIT);
    let mut echo = Echo::start(&dev);
    bed.snug("tester").arg("list").run().unwrap().success();
    bed.kill_snugd();
    echo.ask("without-it");
    echo.end();
}

#[test]
fn an_agent_that_was_killed_is_brought_back_by_the_next_run() {
    let bed = Bed::require();
    for image in [BUSYBOX, DEBIAN_13] {
        let dev = fresh(&bed, "tester", "bad-agent", image);
        let pid = listed(&bed, "tester", dev.name()).unwrap()["pid"].clone();
        let server = || -> Vec<Process> {
            // In the guest's process 1's cgroup, the agent's program.
            let init = Process::now(i32::try_from(pid.as_i64().unwrap()).unwrap()).unwrap();
            let user_namespace = |it: Process| std::fs::read_link(format!("/proc/{}/ns/user", it.pid)).ok();
            let wanted = user_namespace(init);
            let all = snug_testbed::process::all().into_iter();
            all.filter(|it| *it != init && user_namespace(*it) == wanted)
                .filter(|it| it.program().is_some_and(|path| path.ends_with("snug-agent")))
                .collect()
        };
        for agent in server() {
            agent.signal(rustix::process::Signal::KILL);
            assert!(agent.wait_end(PATIENCE));
        }
        assert!(server().is_empty());
        let ran = dev.run(["hostname"]).run().unwrap().success();
        assert_eq!((ran.out().as_str(), ran.err().as_str()), ("bad-agent\n", ""), "{image}");
        assert_eq!(listed(&bed, "tester", dev.name()).unwrap()["pid"], pid, "{image}: it was restarted");
    }
}

/// As if the power had failed: guests, incusd and snugd gone at once, and every mount of Snug's with them.
fn power_failure(bed: &Bed, containers: &[&Container<'_>]) {
    let pids: Vec<i32> = containers
        .iter()
        .filter_map(|dev| listed(bed, dev.user(), dev.name())?["pid"].as_i64())
        .filter_map(|pid| i32::try_from(pid).ok().filter(|pid| *pid > 1))
        .collect();
    bed.kill_snugd();
    bed.stop_incusd(true).unwrap();
    for process in pids.into_iter().filter_map(Process::now) {
        process.signal(rustix::process::Signal::KILL);
        assert!(process.wait_end(PATIENCE));
    }
    for dev in containers {
        let dir = bed.run_dir(dev.user(), dev.name());
        for mount in ["guest", "mounts/home"] {
            let _ = Tool::new("umount").arg("-l").arg(dir.join(mount)).run();
        }
    }
    bed.start_incusd().unwrap();
}

#[test]
fn after_a_reboot_nothing_is_lost_and_containers_stay_stopped_until_they_are_used() {
    let bed = Bed::require();
    let _up = Finally(|| bed.start_incusd().unwrap());
    let idle = fresh(&bed, "tester", "bad-idle", NO_INIT);
    let boot = fresh(&bed, "second", "bad-boot", NO_INIT);
    answer(idle.snug(["run", "--root", "-w", "/", "sh", "-c", "echo kept >/etc/kept; sync"]));
    bed.snug("second").args(["set", "-c", boot.name(), "autostart=boot"]).run().unwrap().success();
    power_failure(&bed, &[&idle, &boot]);
    let states = || (state(&bed, "tester", idle.name()), state(&bed, "second", boot.name()));
    let stopped = || "stopped".to_owned();
    common::eventually("Incus has seen that they are gone", || states() == (stopped(), stopped()));
    // What snug-autostart.service runs, after the homes are there.
    Tool::new("/usr/libexec/snug/snugd").args(["autostart", "--boot"]).deadline(PATIENCE).ok().unwrap();
    assert_eq!(states(), (stopped(), "running".to_owned()));
    let ran = idle.run(["cat", "/etc/kept"]).run().unwrap().success();
    assert_eq!((ran.out().as_str(), ran.err().as_str()), ("kept\n", ""));
    assert_eq!(answer(boot.run(["hostname"])), "bad-boot");
}

#[test]
fn a_container_does_not_start_before_its_owners_home_is_there() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-nohome");
    user.snug(["create", "early", "-i", NO_INIT, "--no-start"]).run().unwrap().success();
    let home = user.account().home.clone();
    let away = home.with_extension("away");
    std::fs::rename(&home, &away).unwrap();
    let start = user.snug(["start", "early"]).dir("/").run().unwrap();
    let made = home.exists();
    std::fs::rename(&away, &home).unwrap();
    explains(&start, 1, &[home.to_str().unwrap()]);
    assert!(!made, "a home was made in its place");
    user.snug(["start", "early"]).run().unwrap().success();
}

#[test]
fn ctrl_c_while_creating_rolls_back() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let _gone = Doomed::new(&bed, "tester", "bad-ctrl-c");
    let mut pty = bed.snug("tester").args(["create", "bad-ctrl-c", "-i", DEBIAN_13]).on_pty().unwrap();
    pty.until("bad-ctrl-c").unwrap();
    pty.write("\x03").unwrap();
    pty.ends_with(130);
    assert!(listed(&bed, "tester", "bad-ctrl-c").is_none());
    assert!(!instance_exists(&bed, "tester", "bad-ctrl-c"));
    assert!(!bed.run_dir("tester", "bad-ctrl-c").exists());
    leaks.assert_none();
}

#[test]
fn a_guest_that_is_frozen_does_not_hang_its_client() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "bad-frozen", NO_INIT);
    let project = bed.project("tester");
    if !bed.incus(["pause", "--project", &project, dev.name()]).succeeds() {
        // A kernel without the freezer: stopping process 1 and with it the agent is as good.
        let pid = listed(&bed, "tester", dev.name()).unwrap()["pid"].as_i64().unwrap();
        Process::now(i32::try_from(pid).unwrap()).unwrap().signal(rustix::process::Signal::STOP);
    }
    let ended = dev.run(["hostname"]).deadline(Duration::from_secs(60)).run().unwrap();
    let _ = bed.incus(["resume", "--project", &project, dev.name()]).run();
    // Woken up, or left with a clear word.
    if ended.code() == 0 {
        assert_eq!(ended.out(), "bad-frozen\n");
    } else {
        explains(&ended, 125, &["bad-frozen"]);
    }
}

#[test]
fn the_client_of_a_container_that_is_stopped_under_it_ends() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let dev = fresh(&bed, "tester", "bad-under", NO_INIT);
    let mut lifeline = Lifeline::new(&bed, "tester");
    let line = format!("exec 9>{}; echo here >&9; while :; do sleep 1; done", lifeline.path().display());
    let mut client = dev.run(["sh", "-c", &line]).spawn(Stdio::null(), Stdio::null(), Stdio::null()).unwrap();
    lifeline.until("here");
    let project = bed.project("tester");
    bed.incus(["stop", "--force", "--project", &project, dev.name()]).ok().unwrap();
    lifeline.gone();
    assert!(!client.wait().unwrap().success());
    drop(lifeline);
    drop(dev);
    leaks.assert_none();
}
