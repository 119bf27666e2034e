//! From nothing: what the first command of a user makes.
#![cfg(feature = "real-stack")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test's name is its documentation; its helpers are tests, too"
)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use common::{NO_INIT, PATIENCE, TemporaryUser, UserConfig, answer, containers, json, refused};
use snug_testbed::tool::Tool;
use snug_testbed::{Bed, Leaks};

fn ranges(path: &str, owner: &str) -> Vec<(u64, u64)> {
    let text = fs::read_to_string(path).unwrap();
    let fields = |line: &str| {
        let mut parts = line.split(':').skip(1).map(|part| part.trim().parse::<u64>());
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    };
    text.lines().filter(|line| line.starts_with(&format!("{owner}:"))).filter_map(fields).collect()
}

#[test]
fn a_new_users_first_command_makes_all_that_it_needs_and_prints_only_its_own_output() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let user = TemporaryUser::new(&bed, "snug-first");
    let config = UserConfig::default_container(&bed, user.name(), "first", NO_INIT);
    assert!(!bed.incus(["project", "show", &user.project()]).succeeds());

    let ran = config.snug(&bed, user.name()).args(["run", "echo", "hello"]).run().unwrap().success();
    assert_eq!((ran.out().as_str(), ran.err().as_str()), ("hello\n", ""));

    let made = containers(&bed, user.name());
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!((made[0]["name"].as_str(), made[0]["state"].as_str()), (Some("first"), Some("running")));
    let project = bed.incus(["project", "show", &user.project()]).ok().unwrap().text();
    for feature in
        ["features.images: \"false\"", "features.profiles: \"true\"", "features.storage.volumes: \"true\""]
    {
        assert!(project.contains(feature), "{project}");
    }
    drop(config);
    drop(user);
    leaks.assert_none();
}

#[test]
fn the_first_use_makes_a_bridge_on_which_no_name_answers_for_another_user() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-bridge");
    user.snug(["create", "net", "-i", NO_INIT, "--grant", "network=nat"]).run().unwrap().success();
    let mode = bed.incus(["network", "get", "snugbr0", "dns.mode"]).ok().unwrap().text();
    assert_eq!(mode.trim(), "none");
    let device = ["config", "device", "get", "--project", &user.project(), "net", "eth0", "network"];
    assert_eq!(bed.incus(device).ok().unwrap().text().trim(), "snugbr0");
    assert!(Path::new("/sys/class/net/snugbr0/bridge").is_dir());
}

#[test]
fn a_bridge_that_the_administrator_named_is_made_as_well() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-named");
    user.snug(["create", "old", "-i", NO_INIT, "--grant", "network=nat"]).run().unwrap().success();
    let config = common::SnugConfig::write(&bed, "bridge = \"snugtest0\"\n");
    user.snug(["create", "net", "-i", NO_INIT, "--grant", "network=nat"]).run().unwrap().success();
    // One that was made before keeps its own, and with it its address.
    let bridge_of = |name: &str| {
        let device = ["config", "device", "get", "--project", &user.project(), name, "eth0", "network"];
        bed.incus(device).ok().unwrap().text().trim().to_owned()
    };
    let restarted = user.snug(["restart", "old"]).run().unwrap();
    let bridges = [bridge_of("old"), bridge_of("net")];
    let made = Path::new("/sys/class/net/snugtest0/bridge").is_dir();
    let of_its_own =
        answer(user.snug(["run", "-c", "net", "-w", "/", "ip", "-4", "-o", "addr", "show", "eth0"]));
    drop(user);
    let removed = bed.incus(["network", "delete", "snugtest0"]).succeeds();
    drop(config);
    assert!(made && removed, "made: {made}, removed: {removed}");
    assert!(of_its_own.contains("inet "), "{of_its_own}");
    restarted.success();
    assert_eq!(bridges, ["snugbr0", "snugtest0"]);
}

#[test]
fn the_first_use_finds_or_makes_a_pool_that_clones_images() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-pool");
    let said = user.snug(["create", "store", "-i", NO_INIT]).run().unwrap().success();
    let root = ["config", "device", "get", "--project", &user.project(), "store", "root", "pool"];
    let pool = bed.incus(root).ok().unwrap().text().trim().to_owned();
    let list = json_of(bed.incus(["storage", "list", "--format=json"]));
    let found = list.as_array().unwrap().iter().find(|it| it["name"] == pool.as_str()).unwrap();
    // `dir` copies whole trees: taken only with a notice, and this machine has btrfs.
    assert_eq!(found["driver"], "btrfs", "{found} {}", said.err());
}

#[test]
fn the_first_use_writes_subordinate_ids_for_the_owner_and_room_for_isolated_containers() {
    let bed = Bed::require();
    let user = TemporaryUser::with_group_of_another_number(&bed, "snug-subid", 23_456);
    user.snug(["create", "ids", "-i", NO_INIT]).run().unwrap().success();
    for (file, id) in [("/etc/subuid", user.account().uid), ("/etc/subgid", user.account().gid)] {
        let root = ranges(file, "root");
        assert!(root.contains(&(u64::from(id), 1)), "{file}: {root:?}");
        let (start, count) = *root.iter().max_by_key(|range| range.1).unwrap();
        assert!(count >= 10_000_000, "{file}: {root:?}");
        // Incus takes the first of root's lines that is large enough: a short one before it stops every container.
        assert!(root.iter().take_while(|range| range.0 != start).all(|range| range.1 < 65_536), "{root:?}");
        for other in ["tester", "second", "atomic", user.name()] {
            for (first, length) in ranges(file, other) {
                assert!(first >= start + count || first + length <= start, "{file}: {other} overlaps");
            }
        }
        let mode = fs::metadata(file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o644, "{file}");
    }
}

#[test]
fn a_line_of_subordinate_ids_that_was_lost_is_put_back_at_the_next_start() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-lost");
    user.snug(["create", "ids", "-i", NO_INIT]).run().unwrap().success();
    user.snug(["stop", "ids"]).run().unwrap().success();
    let line = format!("root:{}:1", user.account().uid);
    let take_away = format!("sed -i /^{line}$/d /etc/subuid /etc/subgid");
    Tool::new("sh").args(["-c", &take_away]).ok().unwrap();
    assert_eq!(answer(user.snug(["run", "-c", "ids", "id", "-u"])), user.account().uid.to_string());
    for file in ["/etc/subuid", "/etc/subgid"] {
        assert!(fs::read_to_string(file).unwrap().lines().any(|found| found == line), "{file}");
    }
}

#[test]
fn a_second_container_changes_nothing_on_the_host_but_itself() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-twice");
    let host = || {
        let files = ["/etc/subuid", "/etc/subgid"].map(|file| fs::read(file).unwrap());
        let bridge = bed.incus(["network", "get", "snugbr0", "ipv4.address"]).ok().unwrap().text();
        (files, bridge, bed.incus(["project", "show", &user.project()]).ok().unwrap().text().lines().count())
    };
    user.snug(["create", "one", "-i", NO_INIT]).run().unwrap().success();
    let (files, bridge, _) = host();
    user.snug(["create", "two", "-i", NO_INIT]).run().unwrap().success();
    let (files_after, bridge_after, _) = host();
    assert_eq!((files, bridge), (files_after, bridge_after));
}

#[test]
fn the_owner_alone_may_pass_his_run_directory() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-rundir");
    user.snug(["create", "files", "-i", NO_INIT]).run().unwrap().success();
    let acl =
        Tool::new("getfacl").args(["--omit-header", "--numeric"]).arg(user.run_dir()).ok().unwrap().text();
    let entries: Vec<&str> = acl.lines().filter(|line| !line.is_empty()).collect();
    let passes = format!("user:{}:--x", user.account().uid);
    assert_eq!(entries, ["user::rwx", &passes, "group::---", "mask::--x", "other::---"]);
    let policy = fs::metadata(user.run_dir().join("files/policy")).unwrap();
    assert_eq!(policy.permissions().mode() & 0o7777, 0o644);
    let text = fs::read_to_string(user.run_dir().join("files/policy")).unwrap();
    assert!(text.contains("trusted=yes"), "{text}");
}

#[test]
fn a_starting_container_is_shown_on_a_terminal_and_erased_again() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-shown");
    let config = UserConfig::default_container(&bed, user.name(), "shown", NO_INIT);
    let mut pty = config.snug(&bed, user.name()).args(["run", "echo", "done"]).on_pty().unwrap();
    let seen = pty.until("done\r\n").unwrap();
    pty.ends_with(0);
    assert!(seen.contains("shown"), "no progress in {seen:?}");
    // The last thing before the command's own output: the line was cleared.
    let after_progress = &seen[seen.rfind("shown").unwrap()..];
    assert!(after_progress.contains("\x1b[2K") || after_progress.contains("\x1b[K"), "{seen:?}");
}

#[test]
fn two_clients_at_once_make_the_default_container_once() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-race");
    let config = UserConfig::default_container(&bed, user.name(), "race", NO_INIT);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let command = config.snug(&bed, user.name()).args(["run", "hostname"]);
            command.spawn(Stdio::null(), Stdio::piped(), Stdio::piped()).unwrap()
        })
        .collect();
    for client in clients {
        let output = client.wait_with_output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!((output.status.code(), &*out, &*err), (Some(0), "race\n", ""));
    }
    assert_eq!(containers(&bed, user.name()).len(), 1);
}

#[test]
fn only_the_default_container_is_made_on_the_way() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-noway");
    refused(user.snug(["run", "-c", "absent", "true"]), 125, &["absent", "hint: "]);
    refused(user.snug(["enter", "absent", "--", "true"]), 125, &["absent", "hint: "]);
    assert!(containers(&bed, user.name()).is_empty());
}

#[test]
fn the_default_container_is_one_of_the_environment_where_that_names_one() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-env");
    let run = user.snug(["run", "hostname"]).env("SNUG_CONTAINER", "from-env").env("SNUG_IMAGE", NO_INIT);
    assert_eq!(answer(run), "from-env");
}

#[test]
fn snug_alone_says_what_there_is_and_what_to_do_next() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-alone");
    let before = user.snug([] as [&str; 0]).run().unwrap().success().out();
    assert!(before.contains("snug enter"), "{before}");
    user.snug(["create", "glance", "-i", NO_INIT]).run().unwrap().success();
    let after = user.snug([] as [&str; 0]).run().unwrap().success().out();
    assert!(after.contains("glance"), "{after}");
}

#[test]
fn the_doctor_finds_no_error_on_a_host_where_snug_works() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-doctor");
    let report = json(&user.snug(["doctor", "--json"]).deadline(PATIENCE).run().unwrap().success());
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.len() > 4, "{report}");
    for check in checks {
        assert_ne!(check["status"], "error", "{check}");
        if check["status"] == "warning" {
            assert_ne!(check["hint"], "", "{check}");
        }
    }
    let text = user.snug(["doctor"]).deadline(PATIENCE).run().unwrap().success().out();
    assert!(text.lines().count() >= checks.len(), "{text}");
}

#[track_caller]
fn json_of(tool: Tool) -> serde_json::Value {
    serde_json::from_slice(&tool.ok().unwrap().stdout).unwrap()
}
