//! What the agent makes of a guest: the owner's account, sudo, names, the islands; in every kind of image.
#![cfg(feature = "real-stack")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test's name is its documentation; its helpers are tests, too"
)]

mod common;

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use common::{
    BUSYBOX, DEBIAN_12, DEBIAN_13, Finally, IMAGES, NO_INIT, PATIENCE, TemporaryUser, answer, eventually,
    fresh, fresh_with,
};
use snug_testbed::{Bed, Container, Leaks};

/// The suite's containers that no test changes for good.
fn shared(user: &str, image: &str) -> &'static Container<'static> {
    let name = format!("prov-{}", image.rsplit('/').next().unwrap_or_default());
    Bed::shared(user, &name, image)
}

/// A line of the guest's shell as its owner.
#[track_caller]
fn guest(container: &Container<'_>, line: &str) -> String {
    answer(container.run(["sh", "-c", line]))
}

/// The same as the guest's root.
#[track_caller]
fn guest_root(container: &Container<'_>, line: &str) -> String {
    answer(container.snug(["run", "--root", "-w", "/", "--", "sh", "-c", line]))
}

#[test]
fn the_owner_has_the_account_that_he_has_on_the_host_in_every_image() {
    let bed = Bed::require();
    let account = bed.account("tester");
    for image in IMAGES {
        let container = shared("tester", image);
        let passwd = guest(container, "grep ^tester: /etc/passwd");
        let fields: Vec<&str> = passwd.split(':').collect();
        let (uid, gid) = (account.uid.to_string(), account.gid.to_string());
        assert_eq!(fields.len(), 7, "{image}: {passwd}");
        assert_eq!((fields[0], fields[2], fields[3]), ("tester", &*uid, &*gid), "{image}: {passwd}");
        assert_eq!((fields[4], fields[5]), ("Snug Tester,,,", "/home/tester"), "{image}: {passwd}");
        let shell = if image.contains("debian") { "/bin/bash" } else { "/bin/sh" };
        assert_eq!(fields[6], shell, "{image}: {passwd}");
        let ids = guest(container, "id -un; id -gn; id -u; id -g; echo $HOME $USER $LOGNAME; pwd");
        let wanted = format!("tester\ntester\n{uid}\n{gid}\n/home/tester tester tester\n/home/tester");
        assert_eq!(ids, wanted, "{image}");
    }
}

#[test]
fn files_in_the_shared_home_belong_to_the_owner_on_both_sides() {
    let bed = Bed::require();
    let home = bed.account("tester").home;
    for image in [NO_INIT, DEBIAN_13] {
        let container = shared("tester", image);
        let name = format!("both-sides-{}", std::process::id());
        guest(container, &format!("echo from the guest > {name}"));
        let text =
            bed.shell("tester", &format!("cat {name}; stat -c %U:%G {name}; rm {name}")).run().unwrap();
        assert_eq!(text.success().out(), "from the guest\ntester:tester\n", "{image}");
        assert!(!home.join(&name).exists());
    }
}

#[test]
fn a_home_behind_a_link_has_both_its_spellings_in_the_guest() {
    let bed = Bed::require();
    for image in [NO_INIT, BUSYBOX, DEBIAN_13] {
        let container = shared("atomic", image);
        assert_eq!(guest(container, "pwd; echo $HOME"), "/home-link/atomic\n/home-link/atomic", "{image}");
        assert_eq!(guest(container, "cd /var/home/atomic && pwd -P"), "/var/home/atomic", "{image}");
        assert_eq!(guest(container, "cd /home-link/atomic && pwd -P"), "/var/home/atomic", "{image}");
        let real = container.run(["pwd"]).dir("/var/home/atomic");
        assert_eq!(answer(real), "/var/home/atomic", "{image}");
        assert_eq!(
            guest(container, "grep ^atomic: /etc/passwd | cut -d: -f6"),
            "/home-link/atomic",
            "{image}"
        );
    }
    drop(bed);
}

#[test]
fn a_home_that_the_account_spells_without_the_hosts_link_is_the_same_under_both_names() {
    let bed = Bed::require();
    // As on an ostree system whose installer wrote the real path: `/home` leads there, too.
    let user =
        TemporaryUser::with(&bed, "snug-ostree", &["--user-group", "--home-dir", "/var/home/snug-ostree"]);
    let link = Path::new("/home/snug-ostree");
    let _ = fs::remove_file(link);
    symlink("/var/home/snug-ostree", link).unwrap();
    let _gone = Finally(|| fs::remove_file(link).unwrap());
    user.snug(["create", "spelled", "-i", NO_INIT]).deadline(PATIENCE).run().unwrap().success();
    for home in ["/home/snug-ostree", "/var/home/snug-ostree"] {
        let run = user.snug(["run", "-c", "spelled", "sh", "-c", "echo $HOME; pwd"]).dir(home);
        assert_eq!(answer(run), format!("/var/home/snug-ostree\n{home}"));
    }
}

#[test]
fn a_uid_that_the_image_already_uses_is_taken_over() {
    let bed = Bed::require();
    let uid = bed.account("tester").uid;
    let dev = fresh(&bed, "tester", "prov-uid", NO_INIT);
    let line = format!("image-user:x:{uid}:{uid}:Of The Image:/home/image-user:/bin/sh");
    guest_root(
        &dev,
        &format!(
            "sed -i '/^tester:/d' /etc/passwd /etc/group /etc/shadow; echo '{line}' >>/etc/passwd; echo 'image-user:x:{uid}:' >>/etc/group"
        ),
    );
    bed.snug("tester").args(["restart", dev.name()]).run().unwrap().success();
    assert_eq!(guest(&dev, "id -un; id -gn; id -u"), format!("tester\ntester\n{uid}"));
    let same = guest(&dev, &format!("grep -c ':x:{uid}:' /etc/passwd"));
    assert_eq!(same, "1", "{}", guest(&dev, "cat /etc/passwd"));
}

#[test]
fn a_name_that_the_image_already_uses_is_taken_over() {
    let bed = Bed::require();
    let uid = bed.account("tester").uid;
    let dev = fresh(&bed, "tester", "prov-name", NO_INIT);
    guest_root(
        &dev,
        "sed -i '/^tester:/d' /etc/passwd /etc/group /etc/shadow; echo 'tester:x:4711:4711::/nowhere:/bin/false' >>/etc/passwd; \
         echo 'tester:x:4711:' >>/etc/group",
    );
    bed.snug("tester").args(["restart", dev.name()]).run().unwrap().success();
    assert_eq!(
        guest(&dev, "id -u; echo $HOME; grep -c ^tester: /etc/passwd"),
        format!("{uid}\n/home/tester\n1")
    );
    assert_eq!(guest(&dev, "grep -c ^tester: /etc/group"), "1");
}

#[test]
fn provisioning_again_changes_nothing() {
    let bed = Bed::require();
    for image in [NO_INIT, DEBIAN_13] {
        let dev = fresh(&bed, "tester", "prov-again", image);
        let state = "cat /etc/passwd /etc/group /etc/hosts /etc/hostname /etc/sudoers.d/* 2>/dev/null; cat /etc/shadow | cut -d: -f1,2";
        let before = guest_root(&dev, state);
        bed.snug("tester").args(["restart", dev.name()]).run().unwrap().success();
        assert_eq!(guest_root(&dev, state), before, "{image}");
    }
}

#[test]
fn what_the_user_changed_in_the_guest_survives_a_restart() {
    let bed = Bed::require();
    let dev = fresh(&bed, "tester", "prov-keeps", NO_INIT);
    guest_root(
        &dev,
        "echo 'colleague:x:5000:5000::/:/bin/sh' >>/etc/passwd; echo '192.0.2.7 printer' >>/etc/hosts; echo mine >/etc/mine",
    );
    bed.snug("tester").args(["restart", dev.name()]).run().unwrap().success();
    let kept = guest(&dev, "grep -c ^colleague: /etc/passwd; grep -c printer /etc/hosts; cat /etc/mine");
    assert_eq!(kept, "1\n1\nmine");
}

#[test]
fn sudo_needs_no_password_and_says_nothing_about_names() {
    let bed = Bed::require();
    for image in [DEBIAN_12, DEBIAN_13] {
        let ran = shared("tester", image).run(["sudo", "-n", "id", "-u"]).run().unwrap().success();
        assert_eq!((ran.out().as_str(), ran.err().as_str()), ("0\n", ""), "{image}");
    }
    drop(bed);
}

#[test]
fn sudo_goes_by_the_hosts_proxy_and_by_nothing_else_of_the_callers() {
    for image in [DEBIAN_12, DEBIAN_13] {
        let ran = shared("tester", image)
            .run(["sudo", "sh", "-c", "echo $https_proxy $NO_PROXY $EDITOR"])
            .env("https_proxy", "http://proxy.example:3128")
            .env("NO_PROXY", ".example")
            .env("EDITOR", "ed");
        assert_eq!(answer(ran), "http://proxy.example:3128 .example", "{image}");
    }
}

#[test]
fn a_locale_that_is_missing_is_told_once_with_the_command_that_makes_it() {
    let bed = Bed::require();
    let guest = fresh(&bed, "tester", "prov-told", DEBIAN_13);
    let entered = || {
        let enter = bed.snug("tester").args(["enter", guest.name(), "--", "true"]);
        enter.env("LANG", "de_DE.UTF-8").on_pty().unwrap().ends_with(0)
    };
    let told = entered();
    let (_, command) = told.split_once("does not have your locale de_DE.UTF-8: ").unwrap();
    let command = command.split(['\r', '\x1b']).next().unwrap();
    assert!(!entered().contains("locale"), "once is enough");
    let made = guest.run(["sh", "-c", command]).env("DEBIAN_FRONTEND", "noninteractive");
    made.deadline(std::time::Duration::from_secs(300)).run().unwrap().success();
    bed.snug("tester").args(["restart", guest.name()]).run().unwrap().success();
    assert!(!entered().contains("locale"), "it is there");
    assert_eq!(
        answer(guest.run(["locale", "title"]).env("LANG", "de_DE.UTF-8")),
        "German locale for Germany"
    );
}

#[test]
fn the_guests_own_root_is_reached_without_sudo() {
    let _bed = Bed::require();
    for image in IMAGES {
        assert_eq!(
            guest_root(shared("tester", image), "id -u; echo $HOME $USER"),
            "0\n/root root",
            "{image}"
        );
    }
}

#[test]
fn the_owner_is_in_the_groups_of_devices_under_the_guests_numbers() {
    let _bed = Bed::require();
    for image in [DEBIAN_12, DEBIAN_13] {
        let container = shared("tester", image);
        let numbers = guest(container, "id -G");
        let mine: Vec<&str> = numbers.split_whitespace().collect();
        for group in ["video", "render", "audio", "input"] {
            let number = guest(container, &format!("getent group {group} | cut -d: -f3"));
            assert!(mine.contains(&number.as_str()), "{image}: {group} ({number}) is not in {numbers}");
        }
    }
}

#[test]
fn the_guest_knows_its_own_name_without_a_network() {
    let _bed = Bed::require();
    for image in IMAGES {
        let container = shared("tester", image);
        let name = container.name();
        assert_eq!(guest(container, "hostname; cat /etc/hostname"), format!("{name}\n{name}"), "{image}");
        let hosts = guest(container, "cat /etc/hosts");
        let knows = |line: &str| line.starts_with("127.") && line.split_whitespace().any(|word| word == name);
        assert!(hosts.lines().any(knows), "{image}: {hosts}");
    }
    let found = guest(shared("tester", DEBIAN_13), "getent ahosts $(hostname) | head -n 1");
    assert!(found.starts_with("127.") || found.starts_with("::1"), "{found}");
}

#[test]
fn a_guest_that_has_no_network_at_all_has_its_loopback_and_knows_itself() {
    let bed = Bed::require();
    for image in [NO_INIT, DEBIAN_13] {
        let alone = fresh_with(&bed, "tester", "prov-alone", image, &["--grant", "network=none"]);
        // Up, and a loopback (netdevice(7)).
        assert_eq!(guest(&alone, "ls /sys/class/net; cat /sys/class/net/lo/flags"), "lo\n0x9", "{image}");
        if image == DEBIAN_13 {
            assert_eq!(guest(&alone, "sudo -n id -u 2>&1"), "0");
            let found = guest(&alone, "getent ahosts $(hostname) | head -n 1");
            assert!(found.starts_with("127.") || found.starts_with("::1"), "{found}");
        }
    }
}

#[test]
fn time_zone_and_resolver_are_the_hosts() {
    let bed = Bed::require();
    let zone = fs::canonicalize("/etc/localtime").unwrap();
    let zone = zone.to_string_lossy().split("zoneinfo/").nth(1).unwrap().to_owned();
    let resolv = fs::read_to_string("/etc/resolv.conf").unwrap();
    let servers: Vec<&str> = resolv
        .lines()
        .filter_map(|line| line.strip_prefix("nameserver "))
        .filter(|server| !server.starts_with("127.") && *server != "::1")
        .collect();
    for image in [NO_INIT, DEBIAN_12, DEBIAN_13] {
        let container = shared("tester", image);
        if image.contains("debian") {
            let theirs = guest(container, "readlink -f /etc/localtime");
            assert!(theirs.ends_with(&zone), "{image}: {theirs}, not {zone}");
        }
        // The forwarder, which asks the host's.
        assert_eq!(
            guest(container, "grep ^nameserver /etc/resolv.conf"),
            "nameserver 169.254.0.53",
            "{image}"
        );
    }
    for (image, name) in [(NO_INIT, "resolver"), (DEBIAN_13, "resolver13")] {
        let container = &fresh_with(&bed, "tester", name, image, &["--grant", "network=nat"]);
        let theirs = guest(container, "cat /etc/resolv.conf");
        for server in &servers {
            assert!(theirs.contains(server), "{image}: no {server} in\n{theirs}");
        }
        assert!(theirs.contains("nameserver"), "{image}: {theirs}");
    }
}

#[test]
fn the_locale_of_the_host_is_that_of_a_login() {
    let bed = Bed::require();
    // None of a host, nor what the agent falls back to.
    let path = ["/etc/locale.conf", "/etc/default/locale"].into_iter().find(|path| Path::new(path).exists());
    let _host = common::HostFile::write(path.unwrap_or("/etc/default/locale"), "LANG=POSIX\n");
    let dev = fresh(&bed, "tester", "prov-locale", NO_INIT);
    let run = dev.snug(["run", "--clean-env", "sh", "-c", "echo $LANG"]);
    assert_eq!(answer(run), "POSIX");
}

#[test]
fn programs_can_tell_that_they_are_in_a_container() {
    let _bed = Bed::require();
    for image in IMAGES {
        let container = shared("tester", image);
        let told = guest(container, "cat /run/.containerenv");
        for line in [
            "engine=\"snug\"".to_owned(),
            format!("name=\"{}\"", container.name()),
            format!("image=\"{image}\""),
        ] {
            assert!(told.lines().any(|it| it == line), "{line}: {told}");
        }
        let id = told.lines().find_map(|line| line.strip_prefix("id=\"")).unwrap_or_default();
        assert_eq!(id.len(), "12345678-1234-1234-1234-123456789abc\"".len(), "{told}");
        let variable = guest(container, "echo ${container:-unset}");
        assert_ne!(variable, "unset", "{image}");
    }
}

#[test]
fn the_owners_user_manager_runs_without_a_login() {
    let _bed = Bed::require();
    for image in [DEBIAN_12, DEBIAN_13] {
        let container = shared("tester", image);
        let directory = guest(container, "echo $XDG_RUNTIME_DIR; stat -c %u:%a $XDG_RUNTIME_DIR");
        let uid = Bed::require().account("tester").uid;
        assert_eq!(directory, format!("/run/user/{uid}\n{uid}:700"), "{image}");
        let ran = container.run(["systemctl", "--user", "is-active", "default.target"]).run().unwrap();
        assert_eq!(ran.out(), "active\n", "{image}: {}", ran.err());
        let unit = ["systemd-run", "--user", "--wait", "--collect", "--quiet", "true"];
        container.run(unit).run().unwrap().success();
    }
}

#[test]
fn a_unit_enabled_in_the_shared_home_starts_on_the_host_only() {
    let bed = Bed::require();
    let account = bed.account("tester");
    let units = account.home.join(".config/systemd/user");
    let had = units.exists();
    let wants = units.join("default.target.wants");
    fs::create_dir_all(&wants).unwrap();
    let _gone = Finally(|| {
        let _ = fs::remove_file(wants.join("island-probe.service"));
        let _ = fs::remove_dir(&wants);
        let _ = fs::remove_file(units.join("island-probe.service"));
        if !had {
            let _ = fs::remove_dir(&units);
        }
    });
    let unit = "[Service]\nType=oneshot\nExecStart=/usr/bin/touch %h/unit-ran-in-%l\nRemainAfterExit=yes\n[Install]\nWantedBy=default.target\n";
    fs::write(units.join("island-probe.service"), unit).unwrap();
    symlink("../island-probe.service", wants.join("island-probe.service")).unwrap();
    for path in
        [account.home.join(".config"), account.home.join(".config/systemd"), units.clone(), wants.clone()]
    {
        chown(path, Some(account.uid), Some(account.gid)).unwrap();
    }
    let dev = fresh(&bed, "tester", "prov-island", DEBIAN_13);
    let known = dev.run(["systemctl", "--user", "cat", "island-probe.service"]).run().unwrap();
    assert_ne!(known.code(), 0, "{}", known.out());
    assert!(!account.home.join("unit-ran-in-prov-island").exists());
    // The island is the container's own: writable, and the host does not see it.
    guest(&dev, "mkdir -p ~/.config/systemd/user && touch ~/.config/systemd/user/of-the-guest.service");
    assert!(!units.join("of-the-guest.service").exists());
    bed.snug("tester").args(["restart", dev.name()]).run().unwrap().success();
    assert_eq!(guest(&dev, "ls ~/.config/systemd/user"), "of-the-guest.service");
}

#[test]
fn the_init_of_the_image_is_process_1() {
    let _bed = Bed::require();
    for (image, init) in [(BUSYBOX, "init"), (DEBIAN_12, "systemd"), (DEBIAN_13, "systemd")] {
        assert_eq!(guest(shared("tester", image), "cat /proc/1/comm"), init, "{image}");
    }
}

#[test]
fn systemd_guests_boot_without_a_failed_unit() {
    let _bed = Bed::require();
    for image in [DEBIAN_12, DEBIAN_13] {
        let container = shared("tester", image);
        let state = container.run(["systemctl", "is-system-running", "--wait"]).run().unwrap();
        let failed = answer(container.run(["systemctl", "list-units", "--failed", "--plain", "--no-legend"]));
        assert_eq!((failed.as_str(), state.out().trim()), ("", "running"), "{image}");
    }
}

#[test]
fn without_an_init_the_agent_stays_process_1_reaps_and_stops_cleanly() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let dev = fresh(&bed, "tester", "prov-pid1", NO_INIT);
    assert_eq!(
        guest(&dev, "readlink /proc/1/exe || cat /proc/1/comm").rsplit('/').next(),
        Some("snug-agent")
    );
    // A grandchild that outlives its parent falls to process 1.
    guest(&dev, "for i in 1 2 3 4 5; do setsid sh -c 'exit 3' & done");
    let zombies = "cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z '";
    eventually("no zombie is left", || dev.run(["sh", "-c", zombies]).run().unwrap().out().trim() == "0");
    bed.snug("tester").args(["stop", dev.name()]).run().unwrap().success();
    assert_eq!(common::state(&bed, "tester", dev.name()), "stopped");
    drop(dev);
    leaks.assert_none();
}

#[test]
fn a_guest_without_a_dhcp_client_has_its_address_and_its_route() {
    let bed = Bed::require();
    let container = &fresh_with(&bed, "tester", "addressed", NO_INIT, &["--grant", "network=nat"]);
    let info =
        common::json(&bed.snug("tester").args(["info", container.name(), "--json"]).run().unwrap().success());
    let address = info["container"]["addresses"][0].as_str().unwrap().to_owned();
    let shown = guest(container, "ip -4 -o addr show eth0");
    assert!(shown.contains(&format!("inet {address}/")), "{shown}");
    let gateway = bed.incus(["network", "get", "snugbr0", "ipv4.address"]).ok().unwrap().text();
    let gateway = gateway.trim().split('/').next().unwrap().to_owned();
    let route = guest(container, "ip route show default");
    assert!(route.contains(&format!("via {gateway}")), "{route}");
    guest_root(container, &format!("ping -c 1 -W 5 {gateway}"));
}

#[test]
fn the_agent_is_the_hosts_file_and_cannot_be_changed_by_the_guest() {
    let _bed = Bed::require();
    let container = shared("tester", NO_INIT);
    let tried =
        container.snug(["run", "--root", "-w", "/", "--", "sh", "-c", "echo x >>/.snug/bin/snug-agent"]);
    assert_ne!(tried.run().unwrap().code(), 0);
    let remount =
        container.snug(["run", "--root", "-w", "/", "--", "mount", "-o", "remount,bind,rw", "/.snug/bin"]);
    assert_ne!(remount.run().unwrap().code(), 0);
}
