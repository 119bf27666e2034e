//! The grants of devices: nodes of the host that the owner may open, in a guest. There is no hardware here: nodes with the number
//! of `/dev/zero` stand for it.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::bus_script;
use common::{BUSYBOX, DEBIAN_13, Follower, NO_INIT, answer, eventually, fresh, fresh_with, json};
use snug_testbed::{Bed, Container, Leaks};

/// A directory of the host's `/dev`, or one node in it, gone with the value.
struct Made(PathBuf);

impl Made {
    fn node(path: &str, owner: u32, mode: &str) -> Self {
        let made = Self(path.into());
        made.remove();
        let status = Command::new("mknod").args(["-m", mode, path, "c", "1", "5"]).status().unwrap();
        assert!(status.success(), "mknod {path}: {status}");
        chown(path, Some(owner), None).unwrap();
        made
    }

    fn directory(path: &str) -> Self {
        let made = Self(path.into());
        made.remove();
        fs::create_dir(path).unwrap();
        made
    }

    fn remove(&self) {
        let _ = fs::remove_dir_all(&self.0);
        let _ = fs::remove_file(&self.0);
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        self.remove();
    }
}

fn uid(bed: &Bed) -> u32 {
    bed.account("tester").uid
}

/// Three bytes of a node, as the owner and from a directory that every guest has.
fn read(guest: &Container<'_>, node: &str) -> String {
    let line = format!("head -c 3 {node} 2>/dev/null | od -An -tx1 | tr -d ' \\n'");
    answer(guest.snug(["run", "-w", "/", "--", "sh", "-c", &line]))
}

#[test]
fn what_the_owner_may_open_comes_and_goes_while_a_container_runs() {
    let bed = Bed::require();
    let _follower = Follower::start();
    let guest = fresh(&bed, "tester", "devices", DEBIAN_13);
    let board = "/dev/snugtest0";
    assert_eq!(read(&guest, board), "");
    // Plugged in: a node of root's, then its owner's, as udev does it, and a link by its name.
    let made = Made::node(board, 0, "0600");
    let by_id = Made::directory("/dev/snugtest-by-id");
    symlink("../snugtest0", by_id.0.join("board")).unwrap();
    let others = Made::node("/dev/snugtest1", 0, "0600");
    chown(board, Some(uid(&bed)), None).unwrap();
    eventually("the board to appear", || read(&guest, board) == "000000");
    assert_eq!(read(&guest, "/dev/snugtest-by-id/board"), "000000");
    let about = answer(guest.snug(["run", "-w", "/", "stat", "-Lc", "%U:%G %a %t:%T", board]));
    assert_eq!(about, "tester:tester 600 1:5");
    assert_eq!(answer(guest.snug(["run", "-w", "/", "sh", "-c", "ls /dev | grep -c snugtest1 || :"])), "0");
    // Started again it is there from the beginning.
    bed.snug("tester").args(["restart", guest.name()]).run().unwrap().success();
    assert_eq!(read(&guest, board), "000000");
    // Somebody else's turn at the desk.
    chown(board, Some(0), None).unwrap();
    eventually("the board to be taken away", || read(&guest, board).is_empty());
    chown(board, Some(uid(&bed)), None).unwrap();
    eventually("the board to be given back", || read(&guest, board) == "000000");
    drop((made, others, by_id));
    let left = "ls /dev | grep -c snugtest || :";
    eventually("nothing of it to be left", || {
        answer(guest.snug(["run", "-w", "/", "sh", "-c", left])) == "0"
    });
    let told = "print([str(failure) for failure in manager.FollowHost(sv())])";
    assert_eq!(answer(bus_script(&bed, "tester", told)), "[]");
}

#[test]
fn a_container_has_what_it_was_granted_and_no_more() {
    let bed = Bed::require();
    // Without a follower: that one has each container that runs make a new spare session.
    let leaks = Leaks::before();
    let card = "/dev/dri/renderD199";
    let _directory = (!Path::new("/dev/dri").exists()).then(|| Made::directory("/dev/dri"));
    let _card = Made::node(card, uid(&bed), "0600");
    let board = "/dev/snugtest2";
    let _board = Made::node(board, uid(&bed), "0600");
    // Who types for the owner is the owner.
    let keyboard = "/dev/hidraw199";
    let _keyboard = Made::node(keyboard, uid(&bed), "0600");
    for (name, image, options, has) in [
        ("devices-gpu", NO_INIT, &["--preset", "isolated", "--grant", "gpu"][..], [true, false, false]),
        ("devices-all", BUSYBOX, &[], [true, true, true]),
        ("devices-off", NO_INIT, &["--no-grant", "devices", "--no-grant", "gpu"], [false; 3]),
        ("devices-none", NO_INIT, &["--preset", "isolated"], [false; 3]),
        ("devices-alone", NO_INIT, &["--preset", "isolated", "--grant", "devices"], [true, true, false]),
        ("devices-input", NO_INIT, &["--preset", "isolated", "--grant", "input"], [false, false, true]),
    ] {
        let guest = fresh_with(&bed, "tester", name, image, options);
        for (node, has) in [card, board, keyboard].into_iter().zip(has) {
            assert_eq!(read(&guest, node), if has { "000000" } else { "" }, "{name} {node}");
        }
        let info = json(&bed.snug("tester").args(["info", "--json", name]).run().unwrap());
        let is_trusted = matches!(name, "devices-all" | "devices-off" | "devices-input");
        assert_eq!(info["container"]["trusted"], is_trusted, "{info}");
        let shared = answer(guest.snug(["run", "-w", "/", "ls", "/.snug"])).contains("devices");
        assert_eq!(shared, has.contains(&true), "{name}");
    }
    leaks.assert_none();
}

#[test]
fn a_card_is_there_for_the_guests_services_too_and_a_board_for_its_owner_alone() {
    let bed = Bed::require();
    let _directory = (!Path::new("/dev/dri").exists()).then(|| Made::directory("/dev/dri"));
    let _card = Made::node("/dev/dri/renderD198", uid(&bed), "0600");
    let _board = Made::node("/dev/snugtest3", uid(&bed), "0600");
    let guest = fresh(&bed, "tester", "devices-user", DEBIAN_13);
    let as_service = |node: &str| {
        let command = guest.snug(["run", "-u", "daemon", "-w", "/", "--", "head", "-c", "1", node]);
        command.run().unwrap().status.success()
    };
    assert!(as_service("/dev/dri/renderD198"));
    assert_eq!(read(&guest, "/dev/snugtest3"), "000000");
    assert!(!as_service("/dev/snugtest3"));
}

#[test]
fn the_guests_root_may_do_no_more_with_a_node_than_its_owner() {
    let bed = Bed::require();
    // As udev makes each USB device.
    let _usb = Made::node("/dev/snugtest7", 0, "0664");
    let guest = fresh(&bed, "tester", "devices-usb", DEBIAN_13);
    assert_eq!(read(&guest, "/dev/snugtest7"), "000000");
    let root = |line: &str| {
        let ran = guest.snug(["run", "--root", "-w", "/", "--", "bash", "-c", line]).run().unwrap();
        ran.status.success()
    };
    assert!(!root("exec 3<>/dev/snugtest7"), "the owner may only read it");
    let writes = guest.snug(["run", "-w", "/", "--", "bash", "-c", "exec 3<>/dev/snugtest7"]);
    assert!(!writes.run().unwrap().status.success());
    // What was taken away is closed to who holds on to it, too: its number may be another device's next.
    let _follower = Follower::start();
    let board = Made::node("/dev/snugtest8", uid(&bed), "0600");
    eventually("the board to appear", || read(&guest, "/dev/snugtest8") == "000000");
    assert!(root("touch /held && mount --bind /dev/snugtest8 /held && head -c 1 /held"));
    chown(&board.0, Some(0), None).unwrap();
    eventually("the board to be taken away", || read(&guest, "/dev/snugtest8").is_empty());
    assert!(!root("head -c 1 /held"));
}

#[test]
fn a_guest_with_the_hosts_sound_boots_without_a_complaint() {
    let bed = Bed::require();
    let _directory = (!Path::new("/dev/snd").exists()).then(|| Made::directory("/dev/snd"));
    // systemd-tmpfiles sets the modes of these (static-nodes-permissions.conf).
    let _nodes = ["/dev/snd/snugtest", "/dev/snd/seq", "/dev/snd/timer"]
        .map(|path| (!Path::new(path).exists()).then(|| Made::node(path, uid(&bed), "0600")));
    let guest = fresh(&bed, "tester", "devices-sound", DEBIAN_13);
    assert_eq!(read(&guest, "/dev/snd/seq"), "000000");
    let state = guest.snug(["run", "-w", "/", "systemctl", "is-system-running", "--wait"]).run().unwrap();
    let failed = answer(guest.snug(["run", "-w", "/", "systemctl", "--failed", "--plain", "--no-legend"]));
    assert_eq!((state.out().trim(), failed.as_str()), ("running", ""));
}

#[test]
fn the_guests_root_cannot_change_what_there_is_nor_make_any() {
    let bed = Bed::require();
    let _board = Made::node("/dev/snugtest4", uid(&bed), "0600");
    let guest = fresh(&bed, "tester", "devices-root", DEBIAN_13);
    for line in [
        "rm /.snug/devices/snugtest4",
        "touch /.snug/devices/mine",
        "chmod 666 /.snug/devices/snugtest4",
        "chown daemon /.snug/devices/snugtest4",
        "mount -o remount,bind,rw /.snug/devices",
        "mknod /root/zero c 1 5",
        "mknod /.snug/devices/zero c 1 5",
    ] {
        let tried = guest.snug(["run", "--root", "-w", "/", "--", "sh", "-c", line]).run().unwrap();
        assert!(!tried.status.success(), "{line}");
    }
    assert_eq!(read(&guest, "/dev/snugtest4"), "000000");
    // What the guest has under a name stays its own.
    let own = "rm -f /dev/snugtest4; echo own >/dev/snugtest4";
    guest.snug(["run", "--root", "-w", "/", "--", "sh", "-c", own]).run().unwrap().success();
    let follows = || {
        let report = json(&bed.snug("tester").args(["doctor", "--json"]).run().unwrap());
        let checks = report["checks"].as_array().unwrap().clone();
        checks.iter().find(|check| check["check"] == "follower").unwrap()["status"].clone()
    };
    assert_eq!(follows(), "warning");
    let _follower = Follower::start();
    eventually("the doctor sees it", || follows() == "ok");
    let _more = Made::node("/dev/snugtest5", uid(&bed), "0600");
    eventually("another board to appear", || read(&guest, "/dev/snugtest5") == "000000");
    assert_eq!(answer(guest.snug(["run", "-w", "/", "cat", "/dev/snugtest4"])), "own");
}

#[test]
fn the_doctor_tells_whether_host_owner_grant_or_guest_is_the_cause() {
    let bed = Bed::require();
    let board = Made::node("/dev/snugtest6", 0, "0660");
    let dev = fresh(&bed, "tester", "devices-asked", NO_INIT);
    let none = fresh_with(&bed, "tester", "devices-never", NO_INIT, &["--preset", "isolated"]);
    let asked = |name: &str, node: &str| {
        let ran = bed.snug("tester").args(["doctor", "--json", "--device", node, "-c", name]).run().unwrap();
        let last = json(&ran)["checks"].as_array().unwrap().last().unwrap().clone();
        let (check, status) = (last["check"].as_str().unwrap(), last["status"].as_str().unwrap());
        assert_eq!(ran.status.code(), Some(i32::from(status == "error")));
        (check.to_owned(), status.to_owned(), format!("{} {}", last["text"], last["hint"]))
    };
    let expect = |name: &str, node: &str, check: &str, status: &str, word: &str| {
        let told = asked(name, node);
        assert_eq!((told.0.as_str(), told.1.as_str()), (check, status), "{node}: {told:?}");
        assert!(told.2.contains(word), "{node}: {told:?}");
    };
    for (node, word) in [
        ("/dev/snugtest-missing", "plug it in"),
        ("/etc/passwd", "outside of /dev"),
        ("/dev/../etc/passwd", "outside of /dev"),
        ("/dev/kmsg", "the host's alone"),
        ("kmsg", "/dev/kmsg is the host's alone"),
        ("/dev/shm", "no device"),
    ] {
        expect(dev.name(), node, "node", "error", word);
    }
    for node in ["/dev/null", "urandom"] {
        expect(dev.name(), node, "node", "ok", "of its own");
    }
    expect(dev.name(), "/dev/snugtest6", "owner", "error", "uaccess");
    // Of `shadow`, which nobody should be in for it, and of `video`.
    chown(&board.0, None, Some(42)).unwrap();
    expect(dev.name(), "/dev/snugtest6", "owner", "error", "uaccess");
    chown(&board.0, None, Some(44)).unwrap();
    expect(dev.name(), "/dev/snugtest6", "owner", "error", "usermod --append --groups video tester");
    chown(&board.0, Some(uid(&bed)), None).unwrap();
    expect(none.name(), "/dev/snugtest6", "grant", "error", "--grant devices");
    let _keyboard = Made::node("/dev/hidraw198", uid(&bed), "0600");
    expect(none.name(), "/dev/hidraw198", "grant", "error", "--grant input");
    let untrusted = ["--preset", "isolated", "--grant", "devices"];
    let untrusted = fresh_with(&bed, "tester", "devices-untrusted", NO_INIT, &untrusted);
    expect(untrusted.name(), "/dev/hidraw198", "grant", "error", "is not trusted");
    // Nobody follows the host here.
    expect(dev.name(), "/dev/snugtest6", "guest", "error", "snugd follow");
    bed.snug("tester").args(["restart", dev.name()]).run().unwrap().success();
    expect(dev.name(), "/dev/snugtest6", "guest", "ok", "has it at /dev/snugtest6");
    let change = |line: &str| {
        dev.snug(["run", "--root", "-w", "/", "--", "sh", "-c", line]).run().unwrap().success();
    };
    change("rm /dev/snugtest6; touch /dev/snugtest6");
    expect(dev.name(), "/dev/snugtest6", "guest", "error", "something of its own at /dev/snugtest6");
    change("ln -sf null /dev/snugtest6");
    expect(dev.name(), "snugtest6", "guest", "error", "--root rm /dev/snugtest6; snug restart");
    change("rm /dev/snugtest6");
    expect(dev.name(), "/dev/snugtest6", "guest", "error", "nothing at /dev/snugtest6");
    bed.snug("tester").args(["stop", dev.name()]).run().unwrap().success();
    expect(dev.name(), "/dev/snugtest6", "guest", "ok", "does not run");
    let missing = bed.snug("tester").args(["doctor", "--device", "/dev/snugtest6", "-c", "devices-askde"]);
    common::refused(missing, 1, &["devices-askde", "devices-asked"]);
    let grants = json(&bed.snug("tester").args(["grants", "--json", "-c", dev.name()]).run().unwrap());
    let state = |word: &str| {
        let all = grants["grants"].as_array().unwrap().iter();
        all.filter(|grant| grant["grant"] == word).map(|grant| grant["state"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(state("devices"), ["given"]);
    if !Path::new("/dev/dri").exists() {
        assert_eq!(state("gpu"), ["waiting"]);
    }
}
