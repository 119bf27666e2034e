//! Trusted and untrusted containers: rule 2 of the design's section 6 and what the run directory looks like.
#![cfg(feature = "real-stack")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test's name is its documentation; its helpers are tests, too"
)]

mod common;

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use common::{DEBIAN_13, NO_INIT, answer, bus_script, fresh, fresh_with, listed, refused};
use snug_testbed::tool::Tool;
use snug_testbed::{Bed, Container};

const ISOLATED: &[&str] = &["--preset", "isolated"];

fn isolated<'a>(bed: &'a Bed, name: &str) -> Container<'a> {
    fresh_with(bed, "tester", name, NO_INIT, ISOLATED)
}

#[test]
fn an_isolated_container_is_untrusted_and_the_preset_decides() {
    let bed = Bed::require();
    for (options, trusted) in [(ISOLATED, false), (&["--preset", "integrated"][..], true)] {
        let dev = fresh_with(&bed, "tester", "trust-is", NO_INIT, options);
        assert_eq!(listed(&bed, "tester", dev.name()).unwrap()["trusted"], trusted);
        let policy = fs::read_to_string(bed.run_dir("tester", dev.name()).join("policy")).unwrap();
        assert!(policy.contains(if trusted { "trusted=yes" } else { "trusted=no" }), "{policy}");
    }
}

#[test]
fn an_untrusted_guest_gets_bytes_and_never_the_file_itself() {
    let bed = Bed::require();
    let dev = isolated(&bed, "trust-file");
    let file = format!("trust-{}", std::process::id());
    // Opened for reading and writing by the caller: what the design's attack wrote through.
    let line = format!(
        "echo precious >{file}; snug run -w / -c trust-file -- sh -c 'cat; echo overwritten >&0; echo x >/proc/self/fd/0' <>{file}; cat {file}; rm {file}"
    );
    let ran = bed.shell("tester", &line).run().unwrap();
    assert!(
        ran.out().ends_with("precious\n") && !ran.out().contains("overwritten"),
        "{}{}",
        ran.out(),
        ran.err()
    );
    drop(dev);
}

#[test]
fn a_trusted_guest_gets_the_file_itself() {
    let bed = Bed::require();
    let _dev = fresh(&bed, "tester", "trust-given", NO_INIT);
    let file = format!("given-{}", std::process::id());
    let line = format!("snug run -c trust-given -- sh -c 'echo through >&0' <>{file}; cat {file}; rm {file}");
    assert_eq!(answer(bed.shell("tester", &line)), "through");
}

#[test]
fn a_directory_is_handed_to_no_guest() {
    let bed = Bed::require();
    let trusted = fresh(&bed, "tester", "trust-dir", NO_INIT);
    let untrusted = isolated(&bed, "trust-dir-not");
    for dev in [&trusted, &untrusted] {
        let name = dev.name();
        let as_input = bed
            .shell("tester", &format!("snug run -w / -c {name} -- ls -l /proc/self/fd </etc"))
            .run()
            .unwrap();
        common::explains(&as_input, 125, &["directory", "hint: "]);
        let inherited = answer(bed.shell(
            "tester",
            &format!("snug run -w / -c {name} -- sh -c 'ls /proc/self/fd/7/ 2>/dev/null; echo end' 7</etc"),
        ));
        assert_eq!(inherited, "end", "{name}");
    }
}

#[test]
fn device_nodes_are_the_guests_own() {
    let bed = Bed::require();
    let trusted = fresh(&bed, "tester", "trust-null", NO_INIT);
    let untrusted = isolated(&bed, "trust-null-not");
    for dev in [&trusted, &untrusted] {
        let name = dev.name();
        let line = format!(
            "snug run -w / -c {name} -- sh -c 'stat -L -c %t:%T:%i /proc/self/fd/0 /dev/null' </dev/null"
        );
        let out = answer(bed.shell("tester", &line));
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], lines[1], "{name}: the host's node came along");
    }
}

#[test]
fn the_environment_goes_to_trusted_guests_only() {
    let bed = Bed::require();
    let trusted = fresh(&bed, "tester", "trust-env", NO_INIT);
    let untrusted = isolated(&bed, "trust-env-not");
    let line = "echo ${AWS_SECRET_ACCESS_KEY:-nothing}";
    for (dev, seen) in [(&trusted, "s3cret"), (&untrusted, "nothing")] {
        let run = dev.snug(["run", "-w", "/", "sh", "-c", line]).env("AWS_SECRET_ACCESS_KEY", "s3cret");
        assert_eq!(answer(run), seen, "{}", dev.name());
    }
    // What is named goes.
    let named = untrusted.snug(["run", "-w", "/", "-e", "AWS_SECRET_ACCESS_KEY", "sh", "-c", line]);
    assert_eq!(answer(named.env("AWS_SECRET_ACCESS_KEY", "s3cret")), "s3cret");
}

#[test]
fn an_isolated_container_has_a_home_of_its_own() {
    let bed = Bed::require();
    let dev = isolated(&bed, "trust-home");
    let secret = format!("secret-{}", std::process::id());
    answer(bed.shell("tester", &format!("touch {secret}")));
    let seen = answer(dev.snug([
        "run",
        "-w",
        "/home/tester",
        "sh",
        "-c",
        "pwd; ls -A; touch of-the-guest; stat -c %U of-the-guest",
    ]));
    answer(bed.shell("tester", &format!("rm {secret}")));
    assert!(
        seen.starts_with("/home/tester\n") && seen.ends_with("tester") && !seen.contains(&secret),
        "{seen}"
    );
    assert!(!bed.account("tester").home.join("of-the-guest").exists());
    // The caller's home is another directory than the guest's, whatever both are called.
    refused(dev.run(["touch", "wrong-place"]), 125, &["/home/tester", "hint: "]);
    let entered = bed.snug("tester").args(["enter", dev.name(), "--", "pwd"]);
    assert_eq!(answer(entered), "/home/tester");
}

#[test]
fn a_guest_can_neither_fill_the_hosts_disk_nor_leave_a_program_through_its_run_directory() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "trust-run", NO_INIT);
    let root = |line: &str| dev.snug(["run", "--root", "-w", "/", "--", "sh", "-c", line]).run().unwrap();
    let full = root(
        "head -c 8000000 /dev/zero >/.snug/run/big; s=$(stat -c %s /.snug/run/big); rm -f /.snug/run/big; echo $s",
    );
    assert!(full.out().trim().parse::<u64>().unwrap() <= 1 << 20, "{} {}", full.out(), full.err());
    let many = root(
        "i=0; while touch /.snug/run/f$i 2>/dev/null && [ $i -lt 1000 ]; do i=$((i+1)); done; rm -f /.snug/run/f*; echo $i",
    );
    assert!(many.out().trim().parse::<u64>().unwrap() <= 64, "{}", many.out());
    root("cp /bin/busybox /.snug/run/sh; chmod 4755 /.snug/run/sh; mknod /.snug/run/null c 1 3");
    let guest = bed.run_dir("tester", dev.name()).join("guest");
    let ran = bed.as_user("tester", [guest.join("sh").as_os_str()]).run().unwrap();
    assert_eq!(ran.code(), 126, "{}", ran.out());
    assert!(
        bed.as_user("tester", ["cat".as_ref(), guest.join("null").as_os_str()]).run().unwrap().code() != 0
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(&format!(" {} ", guest.display()))).unwrap();
    for option in ["nosuid", "nodev", "noexec"] {
        assert!(mount.contains(option), "{mount}");
    }
}

#[test]
fn the_guest_sees_of_its_run_directory_its_own_part_alone() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "trust-sees", NO_INIT);
    let seen = answer(dev.snug([
        "run",
        "--root",
        "-w",
        "/",
        "sh",
        "-c",
        "ls -A /.snug/run; find / -xdev -name policy -path '*snug*' 2>/dev/null",
    ]));
    assert!(seen.contains("agent.sock") && seen.contains("provision.json"), "{seen}");
    assert!(!seen.contains("policy"), "{seen}");
    let dir = bed.run_dir("tester", dev.name());
    assert_eq!(fs::metadata(dir.parent().unwrap()).unwrap().permissions().mode() & 0o7707, 0o700);
}

#[test]
fn a_lost_policy_makes_a_guest_untrusted_until_its_next_start() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "trust-lost", NO_INIT);
    let line = "echo ${TOKEN:-nothing}";
    let run = || answer(dev.snug(["run", "-w", "/", "sh", "-c", line]).env("TOKEN", "t"));
    assert_eq!(run(), "t");
    fs::remove_file(bed.run_dir("tester", dev.name()).join("policy")).unwrap();
    assert_eq!(run(), "nothing");
    bed.snug("tester").args(["restart", dev.name()]).run().unwrap().success();
    assert_eq!(run(), "t");
}

#[test]
fn the_hosts_network_makes_a_container_trusted_and_hides_the_hosts_cgroups() {
    let bed = Bed::require();
    let _gone = common::Doomed::new(&bed, "tester", "trust-net");
    let create = "print(outcome(manager.Create, 'trust-net', sv(image='local:debian/13', preset='isolated', grants=dbus.Array(['network=host'], signature='s'))))";
    assert_eq!(answer(bus_script(&bed, "tester", create)), "done");
    assert_eq!(listed(&bed, "tester", "trust-net").unwrap()["trusted"], true);
    let guest = |line: &str| {
        let command = ["run", "-c", "trust-net", "--root", "-w", "/", "sh", "-c", line];
        let ran = bed.snug("tester").args(command).run().unwrap();
        // What was not run proves nothing.
        assert_ne!(ran.code(), 125, "{}", ran.err());
        ran
    };
    let host = answer(bed.shell("tester", "readlink /proc/self/ns/net"));
    assert_eq!(guest("readlink /proc/self/ns/net").success().out().trim(), host);
    assert_ne!(guest("touch /sys/snug-test || echo 1 >/sys/kernel/mm/ksm/run").code(), 0);
    // The host's own resolver may have the port that the guest's wants.
    let failed = guest(
        "systemctl is-system-running --wait >/dev/null; systemctl list-units --failed --plain --no-legend",
    )
    .out();
    assert!(failed.lines().all(|line| line.starts_with("systemd-resolved.service ")), "{failed}");
    // What lies below: neither the host's cgroups nor anything to write to.
    let below = "umount -l /sys/fs/cgroup; umount -l /sys; find /sys -name cgroup.kill; find /sys -name 'lxc.monitor*'";
    assert_eq!(guest(below).out(), "");
    // Not the owner of that network: it cannot change it.
    assert_ne!(guest("ip link add snugtest9 type dummy").code(), 0);
}

#[test]
fn a_container_of_a_containers_own_works_with_nesting_alone() {
    let bed = Bed::require();
    // A user, process and mount namespace with a fresh /proc: what every rootless container begins with.
    let nested =
        ["run", "-w", "/", "unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"];
    let with = fresh(&bed, "tester", "trust-nested", DEBIAN_13);
    let ran = with.snug(nested).args(["sh", "-c", "echo $$ $(id -u)"]).run().unwrap().success();
    assert_eq!(ran.out(), "1 0\n");
    let without = fresh_with(&bed, "tester", "trust-flat", DEBIAN_13, &["--no-grant", "nesting"]);
    let ran = without.snug(nested).arg("true").run().unwrap();
    assert!(![0, 125].contains(&ran.code()), "{} {}", ran.code(), ran.err());
    // Nor is there a way to talk to Incus.
    for dev in [&with, &without] {
        answer(dev.snug(["run", "-w", "/", "sh", "-c", "! test -e /dev/incus"]));
    }
}

#[test]
fn what_needs_an_administrator_or_another_version_is_refused_by_name() {
    let bed = Bed::require();
    let _gone = common::Doomed::new(&bed, "tester", "trust-priv");
    for preset in ["privileged", "no-such-preset"] {
        refused(
            bed.snug("tester").args(["create", "trust-priv", "-i", DEBIAN_13, "--preset", preset]),
            1,
            &[preset],
        );
    }
    let script = r#"
for grant in ("privileged", "wayland", "host", "no-such-grant", "home=/etc"):
    print(grant, outcome(manager.Create, "trust-priv", sv(image="local:minimal/none", grants=dbus.Array([grant], signature="s"))))
"#;
    let out = answer(bus_script(&bed, "tester", script));
    for line in out.lines() {
        assert!(
            ["Unsupported", "NotAuthorized", "InvalidArgument"].iter().any(|word| line.ends_with(word)),
            "{out}"
        );
    }
    assert!(!common::instance_exists(&bed, "tester", "trust-priv"));
}

/// The machine's rules of routing, in their order.
fn rules() -> Vec<String> {
    let shown = Tool::new("ip").args(["rule", "show"]).ok().unwrap().text();
    shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn an_isolated_guest_does_not_get_to_another_users_by_way_of_the_host() {
    let bed = Bed::require();
    let mine = fresh_with(&bed, "tester", "trust-route", DEBIAN_13, ISOLATED);
    let theirs = fresh_with(&bed, "second", "trust-routed", NO_INIT, ISOLATED);
    let gateway = bed.incus(["network", "get", "snugbr0", "ipv4.address"]).ok().unwrap().text();
    let gateway = gateway.trim().split('/').next().unwrap().to_owned();
    let root = |line: &str| mine.snug(["run", "--root", "-w", "/", "bash", "-c", line]).run().unwrap();
    // A socket in the other's network, as a service there would have.
    let listener = || {
        let pid = listed(&bed, "second", theirs.name()).unwrap()["pid"].as_u64().unwrap();
        let network = fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
        let there = std::thread::spawn(move || {
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(network.as_fd(), kind).unwrap();
            std::net::UdpSocket::bind("0.0.0.0:7777").unwrap()
        });
        there.join().unwrap()
    };
    // An interface that is up may wait for its address.
    let address = || {
        let mut address = None;
        common::eventually("it has an address", || {
            let listed = listed(&bed, "second", theirs.name()).unwrap();
            let all = listed["addresses"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|it| it.as_str()?.parse().ok());
            address = all.into_iter().find(std::net::Ipv4Addr::is_private);
            address.is_some()
        });
        address.unwrap()
    };
    // What it hears first: the attack, or the host, which speaks after that.
    let heard_after_attack = || {
        let address = address();
        let listener = listener();
        listener.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        root(&format!(
            "ip route replace {address}/32 via {gateway} dev eth0; for i in 1 2 3; do echo attack >/dev/udp/{address}/7777; done"
        ));
        let socket = std::net::UdpSocket::bind((gateway.as_str(), 0)).unwrap();
        socket.send_to(b"host", (address, 7777)).unwrap();
        let mut buffer = [0; 16];
        let length = listener.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    };
    assert_eq!(heard_after_attack(), "host");
    // It is the rule that keeps it away; who has taken that away has it back with the next start.
    Tool::new("ip").args(["rule", "flush", "protocol", "83"]).ok().unwrap();
    assert_eq!(heard_after_attack(), "attack");
    bed.snug("second").args(["restart", theirs.name()]).run().unwrap().success();
    assert_eq!(heard_after_attack(), "host");
    // The host itself still answers.
    let listener = std::net::TcpListener::bind((gateway.as_str(), 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    root(&format!("exec 3<>/dev/tcp/{gateway}/{port}")).success();
    // Who brings rules of his own without saying where (a VPN) gets before it, until something starts.
    let _gone = common::Finally(|| {
        let _ = Tool::new("ip").args(["rule", "del", "table", "main", "suppress_prefixlength", "0"]).run();
    });
    Tool::new("ip").args(["rule", "add", "table", "main", "suppress_prefixlength", "0"]).ok().unwrap();
    bed.snug("second").args(["restart", theirs.name()]).run().unwrap().success();
    let rules = rules();
    assert!(rules[1].contains("iif snugbr0") && rules[1].ends_with("prohibit proto 83"), "{rules:?}");
    assert_eq!(heard_after_attack(), "host");
}
