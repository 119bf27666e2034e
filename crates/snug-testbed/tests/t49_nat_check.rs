//! A firewall of the host that cuts off a container behind the bridge (`network=nat`) is found when the container starts, and named. What
//! the parts do by themselves, an offline host among it, is in the tests of `snug-hook`.
//!
//! The rules are this machine's: each concerns Snug's bridge alone, and goes with its test.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{BUSYBOX, DEBIAN_13, Finally, NO_INIT, answer, eventually, fresh_with, json};
use serde_json::Value;
use snug_testbed::tool::Tool;
use snug_testbed::{Bed, Container, process};

/// The bridge is one for all tests.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A table of rules as long as it lives.
struct Rules(&'static [&'static str]);

impl Rules {
    fn new(table: &'static [&'static str], chains: &str) -> Self {
        let named = table.join(" ");
        assert!(!Tool::new("nft").args(["list", "table"]).args(table).succeeds(), "{named} is somebody's");
        let rules = Self(table);
        load(&format!("table {named} {{\n{chains}\n}}\n"));
        rules
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = Tool::new("nft").args(["delete", "table"]).args(self.0).run();
    }
}

fn load(text: &str) {
    Tool::new("nft").args(["-f", "-"]).input(text.as_bytes()).ok().unwrap();
}

/// As Docker's iptables leaves it, for the bridge alone.
const DOCKER: &str = "chain DOCKER-USER {\n}\n\
    chain FORWARD {\n type filter hook forward priority 0; policy drop;\n jump DOCKER-USER\n \
    iifname != \"snugbr0\" oifname != \"snugbr0\" accept\n}";

/// The host does not hear what the bridge sends to it.
const DEAF: &str =
    "chain in {\n type filter hook input priority 0; policy drop;\n iifname != \"snugbr0\" accept\n}";

fn guest<'a>(bed: &'a Bed, name: &str, image: &str) -> Container<'a> {
    fresh_with(bed, "tester", name, image, &["--no-grant", "places", "--grant", "network=nat"])
}

/// The lines of `snug info`.
fn fault(guest: &Container<'_>) -> Vec<String> {
    let told =
        json(&guest.bed().snug("tester").args(["info", guest.name(), "--json"]).run().unwrap().success());
    let lines = told["container"]["network_fault"].as_array().unwrap();
    lines.iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn found(guest: &Container<'_>) -> Vec<String> {
    eventually("the fault is found", || !fault(guest).is_empty());
    fault(guest)
}

fn check(bed: &Bed) -> Value {
    let checks = json(&bed.snug("tester").args(["doctor", "--json"]).run().unwrap());
    let checks = checks["checks"].as_array().unwrap().clone();
    checks.into_iter().find(|it| it["check"] == "containers-network").unwrap()
}

fn enter(guest: &Container<'_>) -> String {
    let enter = guest.bed().snug("tester").args(["enter", guest.name(), "--", "true"]);
    enter.on_pty().unwrap().ends_with(0)
}

/// What of the hook is at work for the container.
fn is_at_work(guest: &Container<'_>) -> bool {
    let directory = guest.bed().run_dir("tester", guest.name()).display().to_string();
    process::all().into_iter().any(|process| {
        let line = process.command_line();
        line.contains("snug-hook") && line.split_whitespace().any(|word| word == directory)
    })
}

#[test]
fn a_network_that_works_is_not_talked_about_and_nothing_stays() {
    let (_alone, bed) = (alone(), Bed::require());
    for image in [NO_INIT, DEBIAN_13] {
        let guest = guest(&bed, "nat-well", image);
        eventually("the look is over", || !is_at_work(&guest));
        assert_eq!(fault(&guest), [""; 0]);
        assert!(!enter(&guest).contains("hint"));
        assert_eq!(check(&bed)["status"], "ok");
        let said = std::fs::read_to_string(bed.run_dir("tester", guest.name()).join("network.log"));
        assert_eq!(said.unwrap(), "");
    }
}

#[test]
fn docker_is_named_once_with_what_mends_it_and_no_more_when_it_is_mended() {
    let (_alone, bed) = (alone(), Bed::require());
    let _rules = Rules::new(&["ip", "filter"], DOCKER);
    let was_there = Path::new("/sys/class/net/docker0").exists();
    if !was_there {
        Tool::new("ip").args(["link", "add", "docker0", "type", "bridge"]).ok().unwrap();
    }
    let _bridge = Finally(|| {
        if !was_there {
            let _ = Tool::new("ip").args(["link", "delete", "docker0"]).run();
        }
    });
    let guest = guest(&bed, "nat-docker", NO_INIT);
    let lines = found(&guest);
    assert!(lines[0].contains("Docker"), "{lines:?}");
    assert!(lines[1].contains("sudo iptables -I DOCKER-USER -i snugbr0 -j ACCEPT"), "{lines:?}");
    let told = enter(&guest);
    assert!(told.contains(&lines[0]) && told.contains("hint: sudo iptables"), "{told}");
    assert!(!enter(&guest).contains("Docker"), "once is enough");
    let shown = answer(bed.snug("tester").args(["info", guest.name()]));
    assert!(shown.lines().any(|line| line.starts_with("Network ") && line.ends_with(&lines[0])), "{shown}");
    let checked = check(&bed);
    assert_eq!(checked["status"], "warning", "{checked}");
    assert!(checked["hint"].as_str().unwrap().contains("DOCKER-USER"), "{checked}");
    // Each start is looked at.
    bed.snug("tester").args(["restart", guest.name()]).run().unwrap().success();
    found(&guest);
    load(
        "insert rule ip filter DOCKER-USER iifname snugbr0 accept\n\
         insert rule ip filter DOCKER-USER oifname snugbr0 ct state related,established accept\n",
    );
    eventually("it is taken back", || fault(&guest).is_empty());
    assert_eq!(check(&bed)["status"], "ok");
    eventually("nothing stays", || !is_at_work(&guest));
    assert!(!enter(&guest).contains("Docker"));
}

#[test]
fn a_firewall_that_does_not_hear_the_containers_dhcp_is_named() {
    let (_alone, bed) = (alone(), Bed::require());
    let _rules = Rules::new(&["inet", "snug-test"], DEAF);
    let _ufw = common::HostFile::write("/etc/ufw/ufw.conf", "ENABLED=yes\n");
    for image in [BUSYBOX, DEBIAN_13] {
        let guest = guest(&bed, "nat-deaf", image);
        let lines = found(&guest);
        assert!(lines[0].contains("DHCP") && lines[0].contains("ufw"), "{image}: {lines:?}");
        assert!(
            lines[1].starts_with("sudo ufw allow in on snugbr0 to any port 67 proto udp && "),
            "{lines:?}"
        );
    }
}

#[test]
fn a_container_that_is_cut_off_stops_as_any_other() {
    let (_alone, bed) = (alone(), Bed::require());
    let _rules = Rules::new(&["ip", "filter"], DOCKER);
    let guest = guest(&bed, "nat-stops", NO_INIT);
    found(&guest);
    assert!(is_at_work(&guest));
    bed.snug("tester").args(["stop", guest.name()]).run().unwrap().success();
    eventually("nothing stays", || !is_at_work(&guest));
    assert_eq!(fault(&guest), [""; 0], "of one that does not run nothing is known");
}
