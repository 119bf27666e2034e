//! Who may own, who may see and touch what. Rules 1 and 3 of the design's section 6, each with its attack.
#![cfg(feature = "real-stack")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test's name is its documentation; its helpers are tests, too"
)]

mod common;

use std::time::Duration;

use common::{
    BusPolicy, DEBIAN_13, Finally, NO_INIT, TemporaryUser, answer, bus_script, containers, explains, fresh,
    fresh_with, instance_exists, instance_key, json, listed, refused, state,
};
use snug_testbed::stack::users::Account;
use snug_testbed::tool::Tool;
use snug_testbed::{Bed, Container, UserCommand};

/// Of these containers the bridge is what is tested.
const NAT: [&str; 2] = ["--grant", "network=nat"];

/// `snug` as whoever has this account.
fn snug_of(account: Account) -> UserCommand {
    UserCommand::for_account(account, vec!["/usr/bin/snug".into()])
}

#[test]
fn a_home_that_cannot_be_used_costs_nobody_the_container_that_was_to_be_replaced() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-homeless");
    user.snug(["create", "dev", "-i", NO_INIT, "--preset", "isolated"]).run().unwrap().success();
    let (home, uid) = (user.account().home.clone(), user.account().uid);
    std::os::unix::fs::chown(&home, Some(0), None).unwrap();
    let replaced = user.snug(["create", "dev", "-i", NO_INIT, "--replace"]).dir("/").run().unwrap();
    std::os::unix::fs::chown(&home, Some(uid), None).unwrap();
    explains(&replaced, 1, &["home directory"]);
    user.snug(["run", "-c", "dev", "-w", "/", "true"]).run().unwrap().success();
}

#[test]
fn root_has_no_containers_of_its_own() {
    let bed = Bed::require();
    let root = bed.account("root");
    refused(snug_of(root).args(["create", "of-root", "-i", NO_INIT]), 1, &["root"]);
    assert!(!bed.incus(["project", "show", "snug-0"]).succeeds());
}

#[test]
fn a_system_account_cannot_own() {
    let bed = Bed::require();
    let mut daemon = bed.account("daemon");
    daemon.home = "/".into();
    refused(snug_of(daemon).args(["create", "of-daemon", "-i", NO_INIT]), 1, &["daemon", "UID_MIN"]);
}

#[test]
fn a_user_whose_primary_group_is_a_system_group_cannot_own() {
    let bed = Bed::require();
    let user = TemporaryUser::with(&bed, "snug-sysgroup", &["--no-user-group", "--gid", "games"]);
    refused(user.snug(["create", "x", "-i", NO_INIT]), 1, &["system group"]);
    assert!(!bed.incus(["project", "show", &user.project()]).succeeds());
}

#[test]
fn nobody_whose_uid_another_container_s_root_could_have_may_own() {
    let bed = Bed::require();
    // As a directory service may give it: inside the range from which guests get their ids.
    let user =
        TemporaryUser::with(&bed, "snug-inrange", &["--no-user-group", "--gid", "users", "--uid", "2345678"]);
    refused(user.snug(["create", "x", "-i", NO_INIT]), 1, &["2345678"]);
    assert!(!bed.incus(["project", "show", &user.project()]).succeeds());
}

#[test]
fn a_uid_that_is_given_to_somebody_else_inherits_nothing() {
    let bed = Bed::require();
    let first = TemporaryUser::new(&bed, "snug-leaver");
    let uid = first.account().uid.to_string();
    first.snug(["create", "legacy", "-i", NO_INIT]).run().unwrap().success();
    // The account goes, the container stays, the number is used again.
    Tool::new("userdel").args(["--remove", "--force", "snug-leaver"]).ok().unwrap();
    let heir = TemporaryUser::with(&bed, "snug-heir", &["--no-user-group", "--gid", "tester", "--uid", &uid]);
    // The next daemon sees whose it was; it still runs, and the way in knows the number alone.
    bed.kill_snugd();
    assert!(containers(&bed, heir.name()).is_empty());
    refused(heir.snug(["run", "-c", "legacy", "-w", "/", "true"]), 125, &["legacy"]);
    for line in [&["info", "legacy"][..], &["stop", "legacy"], &["rm", "-f", "legacy"], &["start", "legacy"]]
    {
        refused(heir.snug(line), 1, &["legacy"]);
    }
    refused(heir.snug(["create", "legacy", "-i", NO_INIT, "--replace"]), 1, &["legacy"]);
    assert!(bed.incus(["config", "show", "--project", &heir.project(), "legacy"]).succeeds());
    drop(heir);
    drop(first);
}

#[test]
fn an_owner_whose_group_has_another_number_keeps_both() {
    let bed = Bed::require();
    let user = TemporaryUser::with_group_of_another_number(&bed, "snug-twonumbers", 34_567);
    user.snug(["create", "both", "-i", NO_INIT]).run().unwrap().success();
    let ran = user.snug([
        "run",
        "-c",
        "both",
        "sh",
        "-c",
        "id -u; id -g; id -gn; touch made-inside; stat -c %u:%g made-inside",
    ]);
    let uid = user.account().uid;
    assert_eq!(answer(ran), format!("{uid}\n34567\nsnug-twonumbers\n{uid}:34567"));
    let host = std::fs::metadata(user.account().home.join("made-inside")).unwrap();
    assert_eq!(
        (std::os::unix::fs::MetadataExt::uid(&host), std::os::unix::fs::MetadataExt::gid(&host)),
        (uid, 34_567)
    );
}

#[test]
fn each_container_has_a_range_of_its_own_that_maps_its_owner_alone() {
    let bed = Bed::require();
    let mine = fresh(&bed, "tester", "own-range", NO_INIT);
    let theirs = fresh(&bed, "second", "own-range", NO_INIT);
    let (tester, second) = (bed.account("tester").uid, bed.account("second").uid);
    let map = |user: &str| -> Vec<(u64, u64, u64)> {
        let pid = listed(&bed, user, "own-range").unwrap()["pid"].as_u64().unwrap();
        let text = std::fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
        let numbers =
            |line: &str| -> Vec<u64> { line.split_whitespace().map(|n| n.parse().unwrap()).collect() };
        text.lines().map(numbers).map(|n| (n[0], n[1], n[2])).collect()
    };
    for (user, own, other) in [("tester", tester, second), ("second", second, tester)] {
        let map = map(user);
        assert!(map.contains(&(own.into(), own.into(), 1)), "{map:?}");
        let reaches = |host: u64| map.iter().any(|(_, start, count)| (*start..start + count).contains(&host));
        assert!(!reaches(0) && !reaches(other.into()), "{map:?}");
        // Room for nested rootless containers.
        assert!(map.iter().any(|(_, _, count)| *count >= 500_000), "{map:?}");
    }
    let guests = |user: &str| map(user).into_iter().filter(|range| range.2 > 1).collect::<Vec<_>>();
    for (_, a, length) in guests("tester") {
        for (_, b, count) in guests("second") {
            assert!(a + length <= b || b + count <= a, "{:?} {:?}", map("tester"), map("second"));
        }
    }
    drop((mine, theirs));
}

#[test]
fn a_second_user_neither_sees_nor_touches_a_container() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "own-mine", NO_INIT);
    assert!(listed(&bed, "second", "own-mine").is_none());
    for (line, status) in [
        (&["run", "-c", "own-mine", "true"][..], 125),
        (&["enter", "own-mine", "--", "true"], 125),
        (&["info", "own-mine"], 1),
        (&["start", "own-mine"], 1),
        (&["stop", "own-mine"], 1),
        (&["restart", "own-mine"], 1),
        (&["rm", "-f", "own-mine"], 1),
        (&["set", "-c", "own-mine", "cpu=1"], 1),
        (&["logs", "own-mine"], 1),
    ] {
        refused(bed.snug("second").args(line), status, &["own-mine"]);
    }
    let copy = bed.snug("second").args(["cp", "own-mine:/etc/hostname", "stolen"]).run().unwrap();
    assert!(copy.code() != 0 && !bed.account("second").home.join("stolen").exists());
    assert_eq!(state(&bed, "tester", dev.name()), "running");
    assert_eq!(answer(dev.run(["hostname"])), "own-mine");
}

#[test]
fn a_second_user_cannot_reach_the_socket_or_anything_beside_it() {
    let bed = Bed::require();
    let _dev = fresh(&bed, "tester", "own-socket", NO_INIT);
    let dir = bed.run_dir("tester", "own-socket");
    let socket = dir.join("guest/agent.sock");
    assert!(socket.exists());
    let attack = r#"
import os, socket, sys
for path in sys.argv[1:]:
    for attempt in (os.stat, os.listdir, lambda p: socket.socket(socket.AF_UNIX).connect(p), open):
        try: attempt(path)
        except PermissionError: continue
        except Exception as error: print(path, repr(error)); continue
        print(path, "was reached")
print("done")
"#;
    let paths = [
        dir.parent().unwrap(),
        &dir,
        &dir.join("policy"),
        &dir.join("guest"),
        &socket,
        &dir.join("mounts/home"),
    ];
    let command =
        bed.as_user("second", ["/usr/bin/python3", "-c", attack]).args(paths.map(|path| path.as_os_str()));
    // stat of the user's directory itself tells its existence, no more.
    let out = answer(command);
    let first = format!("{} was reached", dir.parent().unwrap().display());
    let rest: Vec<&str> = out.lines().filter(|line| *line != first).collect();
    assert_eq!(rest, ["done"], "{out}");
    // The way around: a process of the owner's as a door.
    let pid = listed(&bed, "tester", "own-socket").unwrap()["pid"].to_string();
    let door = bed.shell("second", &format!("ls /proc/{pid}/root/.snug/run")).run().unwrap();
    assert_ne!(door.code(), 0, "{}", door.out());
}

#[test]
fn two_users_may_each_have_a_container_of_the_same_name() {
    let bed = Bed::require();
    let mine = fresh_with(&bed, "tester", "own-same", NO_INIT, &NAT);
    let theirs = fresh_with(&bed, "second", "own-same", NO_INIT, &NAT);
    for dev in [&mine, &theirs] {
        let who = answer(dev.run(["sh", "-c", "echo $(id -un) $(hostname)"]));
        assert_eq!(who, format!("{} own-same", dev.user()));
    }
    let address = |user: &str| listed(&bed, user, "own-same").unwrap()["addresses"][0].clone();
    assert_ne!(address("tester"), address("second"));
    bed.snug("tester").args(["rm", "-f", "own-same"]).run().unwrap().success();
    assert_eq!(answer(theirs.run(["hostname"])), "own-same");
}

#[test]
fn one_guest_is_not_found_by_another_under_its_name() {
    let bed = Bed::require();
    let mine = fresh_with(&bed, "tester", "own-asks", NO_INIT, &NAT);
    let _theirs = fresh_with(&bed, "second", "own-asked", NO_INIT, &NAT);
    let gateway = bed.incus(["network", "get", "snugbr0", "ipv4.address"]).ok().unwrap().text();
    let server = gateway.trim().split('/').next().unwrap().to_owned();
    for name in ["own-asked", "own-asked.incus"] {
        let found = mine.run(["nslookup", name, &server]).run().unwrap();
        assert_ne!(found.code(), 0, "{name}: {}", found.out());
    }
}

#[test]
fn one_guest_does_not_reach_another_users_on_their_bridge() {
    let bed = Bed::require();
    let mine = fresh_with(&bed, "tester", "own-caller", NO_INIT, &NAT);
    let theirs = fresh_with(&bed, "second", "own-called", NO_INIT, &NAT);
    let address = listed(&bed, "second", "own-called").unwrap()["addresses"][0].as_str().unwrap().to_owned();
    theirs
        .run(["sh", "-c", "setsid nc -l -p 7777 </etc/hostname >/dev/null 2>&1 & sleep 1"])
        .run()
        .unwrap()
        .success();
    // Answered by a router that the frame cannot come back from, or not at all.
    let asked = mine.run(["sh", "-c", &format!("nc -w 3 {address} 7777 </dev/null")]).run().unwrap();
    assert_eq!(asked.out(), "");
    assert!(std::net::TcpStream::connect((address.as_str(), 7777)).is_ok(), "the host reaches it");
}

#[test]
fn a_guest_takes_no_other_ones_place_on_the_bridge() {
    let bed = Bed::require();
    let mine = fresh_with(&bed, "tester", "own-robber", DEBIAN_13, &NAT);
    let theirs = fresh_with(&bed, "second", "own-robbed", NO_INIT, &NAT);
    let address = listed(&bed, "second", "own-robbed").unwrap()["addresses"][0].as_str().unwrap().to_owned();
    let gateway = bed.incus(["network", "get", "snugbr0", "ipv4.address"]).ok().unwrap().text();
    let gateway = gateway.trim().split('/').next().unwrap().to_owned();
    let hardware = |container: &Container<'_>| {
        answer(container.snug(["run", "-w", "/", "cat", "/sys/class/net/eth0/address"]))
    };
    let (robber, robbed) = (hardware(&mine), hardware(&theirs));
    let serve = "setsid sh -c 'while :; do nc -l -p 7777 </etc/hostname; done' >/dev/null 2>&1 & sleep 1";
    answer(theirs.run(["sh", "-c", serve]));
    let socket: std::net::SocketAddr = format!("{address}:7777").parse().unwrap();
    let served = || std::net::TcpStream::connect_timeout(&socket, Duration::from_secs(20));
    served().unwrap();
    let neighbour = || {
        let table = std::fs::read_to_string("/proc/net/arp").unwrap();
        table.lines().find(|line| line.starts_with(&format!("{address} "))).unwrap().to_owned()
    };
    assert!(neighbour().contains(&robbed), "{}", neighbour());
    // Its questions for the gateway's address say that the other's is here; then its frames that they are the other's.
    let pretend = format!(
        "ip address flush dev eth0; ip address add {address}/22 dev eth0; ping -c 3 -W 1 {gateway}
         ip link set eth0 down; ip link set eth0 address {robbed}; ip link set eth0 up; ping -c 3 -W 1 {gateway}; :"
    );
    answer(mine.snug(["run", "--root", "-w", "/", "sh", "-c", &format!("{{ {pretend}; }} >/dev/null 2>&1")]));
    assert!(!neighbour().contains(&robber), "{}", neighbour());
    served().unwrap();
    assert!(neighbour().contains(&robbed), "{}", neighbour());
}

#[test]
fn the_ids_of_a_container_that_is_gone_stay_its_owners() {
    let bed = Bed::require();
    let base = |user: &str, name: &str| {
        let dev = fresh_with(&bed, user, name, NO_INIT, &["--no-start"]);
        let project = format!("snug-{}", bed.account(user).uid);
        let base = bed.incus(["config", "get", "--project", &project, name, "security.idmap.base"]);
        (dev, base.ok().unwrap().text())
    };
    let (first, mine) = base("tester", "own-ids");
    drop(first);
    let (_theirs, others) = base("second", "own-ids");
    assert_ne!(mine, others);
    let (_again, again) = base("tester", "own-ids");
    assert_ne!(again, others);
    // What was his is his again, before a new one is taken.
    let project =
        bed.incus(["project", "get", &format!("snug-{}", bed.account("tester").uid), "user.snug.id-bases"]);
    assert!(project.ok().unwrap().text().split_whitespace().any(|base| base == again.trim()));
}

#[test]
fn root_sees_all_and_an_ordinary_user_only_with_an_administrators_consent() {
    let bed = Bed::require();
    let _mine = fresh(&bed, "tester", "own-seen", NO_INIT);
    let all = ["list", "--all-users", "--json"];
    let sees = |command: UserCommand| {
        let list = json(&command.run().unwrap().success());
        list["containers"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["name"] == "own-seen" && it["owner_name"] == "tester")
    };
    assert!(sees(snug_of(bed.account("root")).args(all)));
    refused(bed.snug("second").args(all), 1, &["org.snug.manage-all", "hint: "]);
    let _consent = BusPolicy::polkit(&bed, "second", "org.snug.manage-all", "YES");
    assert!(sees(bed.snug("second").args(all)));
}

#[test]
fn instances_that_snug_did_not_make_are_never_listed_and_never_touched() {
    let bed = Bed::require();
    let user = TemporaryUser::new(&bed, "snug-foreign");
    user.snug(["create", "ours", "-i", NO_INIT, "--no-start"]).run().unwrap().success();
    let project = user.project();
    let root = ["--storage", &pool_of(&bed, &project, "ours")].map(str::to_owned);
    bed.incus(["init", "local:minimal/none", "foreign", "--project", &project]).args(root).ok().unwrap();
    let _gone = Finally(|| drop(bed.incus(["delete", "--force", "--project", &project, "foreign"]).run()));
    assert_eq!(containers(&bed, user.name()).len(), 1);
    for line in
        [&["info", "foreign"][..], &["start", "foreign"], &["stop", "foreign"], &["rm", "-f", "foreign"]]
    {
        refused(user.snug(line), 1, &["foreign"]);
    }
    refused(user.snug(["create", "foreign", "-i", NO_INIT, "--replace"]), 1, &["foreign"]);
    user.snug(["prune"]).run().unwrap().success();
    user.snug(["rm", "-f", "-a"]).run().unwrap().success();
    let shown = bed.incus(["config", "show", "--project", &project, "foreign"]).ok().unwrap().text();
    assert!(!shown.contains("user.snug"), "{shown}");
}

fn pool_of(bed: &Bed, project: &str, name: &str) -> String {
    let root = ["config", "device", "get", "--project", project, name, "root", "pool"];
    bed.incus(root).ok().unwrap().text().trim().to_owned()
}

#[test]
fn what_a_forged_owner_mark_claims_is_not_believed_in_another_users_project() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "own-forged", NO_INIT);
    let owner = instance_key(&bed, "tester", dev.name(), "user.snug.owner");
    assert_eq!(owner, format!("{}:tester", bed.account("tester").uid));
    let second = bed.account("second").uid;
    let project = bed.project("tester");
    let forged = format!("user.snug.owner={second}:second");
    bed.incus(["config", "set", "--project", &project, dev.name(), &forged]).ok().unwrap();
    let seen =
        (listed(&bed, "second", "own-forged").is_some(), listed(&bed, "tester", "own-forged").is_some());
    bed.incus(["config", "set", "--project", &project, dev.name(), &format!("user.snug.owner={owner}")])
        .ok()
        .unwrap();
    assert_eq!(seen, (false, false));
}

#[test]
fn the_caller_is_whom_the_bus_says_and_no_option_can_change_that() {
    let bed = Bed::require();
    let _dev = fresh(&bed, "tester", "own-bus", NO_INIT);
    let uid = bed.account("tester").uid;
    let script = format!(
        r#"
other = dbus.UInt32({uid})
print(refusal(manager.List, sv(all_users=True)))
print(refusal(manager.List, sv(owner=other)))
print(refusal(manager.Get, "own-bus", sv()))
print(refusal(manager.Get, "own-bus", sv(owner=other)))
for verb in ("Start", "Stop", "Restart", "Remove", "RepairAgent", "Ensure"):
    print(verb, outcome(getattr(manager, verb), "own-bus", sv()), outcome(getattr(manager, verb), "own-bus", sv(owner=other)))
print(outcome(manager.Create, "own-theirs", sv(owner=other, image="local:minimal/none")))
print(outcome(manager.Configure, "own-bus", dbus.Dictionary({{"cpu": "1"}}, signature="ss"), dbus.Array([], signature="s"), sv(owner=other)))
print(refusal(manager.Log, "own-bus", sv(owner=other)))
print(refusal(properties, ROOT + "/container/{uid}/own_2dbus", "org.snug.Snug1.Container"))
"#
    );
    let out = answer(bus_script(&bed, "second", &script));
    for line in out.lines() {
        for word in line.split_whitespace().filter(|word| word.contains('.')) {
            let right = [
                "org.snug.Snug1.Error.NotAuthorized",
                "org.snug.Snug1.Error.NotFound",
                "org.freedesktop.DBus.Error.UnknownObject",
            ];
            assert!(right.contains(&word), "{line}\n{out}");
        }
        assert!(line.contains("Error"), "{line}\n{out}");
    }
    assert_eq!(out.lines().count(), 14, "{out}");
    assert_eq!(state(&bed, "tester", "own-bus"), "running");
    assert!(!instance_exists(&bed, "tester", "own-theirs"));
}

#[test]
fn the_jobs_of_one_user_do_not_exist_for_another() {
    let bed = Bed::require();
    let _dev = fresh(&bed, "tester", "own-job", NO_INIT);
    let made = answer(bus_script(&bed, "tester", "print(manager.Restart('own-job', sv()))"));
    assert!(made.starts_with("/org/snug/Snug1/job/"), "{made}");
    let interface = "org.snug.Snug1.Job";
    let script = format!(
        "job = at('{made}', '{interface}')\nprint(refusal(job.Cancel), refusal(job.Log), refusal(properties, '{made}', '{interface}'))"
    );
    let unknown = "org.freedesktop.DBus.Error.UnknownObject";
    assert_eq!(answer(bus_script(&bed, "second", &script)), [unknown; 3].join(" "));
}
