//! What containers have of a host with systemd: sessions of its owner, what is plugged in, its network, its time zone. Each test boots a
//! host of its own inside the bed (eight seconds) and leaves nothing.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]

mod common;

use common::{NO_INIT, answer, eventually, json};
use snug_testbed::session::systemd_host::{SystemdHost, USER};
use snug_testbed::{Bed, Leaks};

#[test]
fn commands_of_a_guest_run_in_the_session_of_the_owners_own_manager() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let host = SystemdHost::with_snug(&bed).unwrap();
    host.snug(&format!("create --image {NO_INIT} dev")).run().unwrap().success();
    let exec = "snug run -c dev -w / -- host-exec -w /";
    let line = format!(
        "systemctl --user set-environment OF_SESSION=yes
         {exec} sh -c 'echo $OF_SESSION; grep -o snug-session.service /proc/self/cgroup | head -1; pgrep -fc \"snug [s]ession --background\"; true'"
    );
    let said = answer(host.login(USER, &line));
    let lines: Vec<&str> = said.lines().collect();
    let [session, cgroup, others] = lines[..] else { panic!("{said}") };
    assert_eq!((session, others), ("yes", "0"), "{said}");
    assert_eq!(cgroup, "snug-session.service", "{said}");
    // What a command left (a browser) lives on when the service ends, and the next command starts it again.
    let line = format!(
        "{exec} sh -c 'setsid sleep 12345 >/dev/null 2>&1 </dev/null &'
         systemctl --user stop snug-session.service; pgrep -x sleep >/dev/null && echo lives; {exec} echo again; kill $(pgrep -x sleep)"
    );
    assert_eq!(answer(host.login(USER, &line)), "lives\nagain");
    // One that was started before anybody logged in.
    host.snug("set -c dev autostart=boot").run().unwrap().success();
    host.reboot().unwrap();
    let line =
        "for i in $(seq 100); do systemctl --user -q is-active snug-session.service && break; sleep 0.1; done
                systemctl --user is-active snug-session.service";
    assert_eq!(answer(host.login(USER, line)), "active");
    host.snug("rm -f dev").run().unwrap().success();
    drop(host);
    leaks.assert_none();
}

#[test]
fn what_is_plugged_into_the_host_is_in_its_containers_at_once() {
    let bed = Bed::require();
    let host = SystemdHost::with_snug(&bed).unwrap();
    host.snug(&format!("create --image {NO_INIT} dev")).run().unwrap().success();
    for place in ["/mnt/stick", "/run/media/tester/stick", "/media/stick"] {
        let line = format!(
            "mkdir -p {place} && mount -t tmpfs -o mode=1777 stick {place} && echo seen >{place}/file && chmod 644 {place}/file"
        );
        host.root(&line).run().unwrap().success();
        assert_eq!(answer(host.snug(&format!("run -c dev -w / -- cat {place}/file"))), "seen");
        host.root(&format!("umount {place}")).run().unwrap().success();
        assert_eq!(host.snug(&format!("run -c dev -w / -- cat {place}/file")).run().unwrap().code(), 1);
    }
}

#[test]
fn a_container_that_runs_has_each_session_of_its_owner_and_none_between_two() {
    let bed = Bed::require();
    let host = SystemdHost::with_snug(&bed).unwrap();
    let uid = answer(host.root(&format!("id -u {USER}")));
    host.snug(&format!("create --image {NO_INIT} dev")).run().unwrap().success();
    let alone =
        format!("runuser -u {USER} -- env HOME=/home/{USER} snug run -c dev -w / -- ls /.snug/session/user");
    for _ in 0..2 {
        // logind waits ten seconds for the next login.
        eventually("the session ends", || {
            host.root(&format!("! test -e /run/user/{uid}")).run().unwrap().code() == 0
        });
        assert_eq!(answer(host.root(&alone)), "");
        // The path is the same on both sides.
        let line = format!(
            "export SSH_AUTH_SOCK=/run/user/{uid}/systemd/private; \
             snug run -c dev -w / -- sh -c 'echo $SSH_AUTH_SOCK; stat -Lc %i $SSH_AUTH_SOCK'; \
             stat -Lc %i /var/lib/snug/session/user/{uid}/systemd/private"
        );
        let said = answer(host.login(USER, &line));
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0], format!("/var/lib/snug/session/user/{uid}/systemd/private"));
        assert!(lines.len() == 3 && lines[1] == lines[2], "{said}");
    }
}

#[test]
fn the_hosts_time_zone_and_language_are_the_containers_from_its_next_start_on() {
    let bed = Bed::require();
    let host = SystemdHost::with_snug(&bed).unwrap();
    host.snug(&format!("create --image {NO_INIT} dev")).run().unwrap().success();
    // Neither is what a guest would have by itself; the guest has both.
    host.root(
        "ln -sf /usr/share/zoneinfo/Asia/Tokyo /etc/localtime; echo LANG=de_DE.UTF-8 >/etc/locale.conf",
    )
    .run()
    .unwrap()
    .success();
    let has = "mkdir -p /etc/default /usr/share/zoneinfo/Asia /usr/lib/locale/de_DE.utf8; \
               touch /usr/share/zoneinfo/Asia/Tokyo";
    answer(host.snug(&format!("run -c dev --root -w / -- sh -c '{has}'")));
    host.snug("restart dev").run().unwrap().success();
    let there =
        answer(host.snug("run -c dev -w / -- sh -c 'readlink /etc/localtime; cat /etc/default/locale'"));
    assert_eq!(there, "/usr/share/zoneinfo/Asia/Tokyo\nLANG=de_DE.UTF-8");
}

#[test]
fn a_running_container_follows_the_hosts_time_zone_and_resolver() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let host = SystemdHost::with_snug(&bed).unwrap();
    host.snug("create follow -i local:minimal/none --grant network=nat").run().unwrap().success();
    let zones = "mkdir -p /usr/share/zoneinfo/Asia && touch /usr/share/zoneinfo/Asia/Tokyo";
    host.snug(&format!("run -c follow --root -w / sh -c '{zones}'")).run().unwrap().success();
    // A link that is not there yet is no answer.
    let guest = |line: &str| host.snug(&format!("run -c follow -w / {line}")).run().unwrap().out();
    eventually("it watches", || host.property("snug-follow", "ActiveState").unwrap() == "active");
    answer(host.root("ln -sfn /usr/share/zoneinfo/Asia/Tokyo /etc/localtime"));
    eventually("the time zone is the host's", || guest("readlink /etc/localtime").contains("Asia/Tokyo"));
    // Written in place, and as a link to a file elsewhere that is replaced later.
    answer(host.root("rm -f /etc/resolv.conf; echo nameserver 192.0.2.1 >/etc/resolv.conf"));
    eventually("the resolver is the host's", || guest("cat /etc/resolv.conf").contains("192.0.2.1"));
    let link = "mkdir -p /run/elsewhere; echo nameserver 192.0.2.2 >/run/elsewhere/r; ln -sfn /run/elsewhere/r /etc/resolv.conf";
    answer(host.root(link));
    eventually("a link is followed", || guest("cat /etc/resolv.conf").contains("192.0.2.2"));
    let replaced = "echo nameserver 192.0.2.3 >/run/elsewhere/new; mv /run/elsewhere/new /run/elsewhere/r";
    // The daemon has left meanwhile, as it does.
    answer(host.root(&format!("systemctl stop snugd; {replaced}")));
    eventually("its target is watched", || guest("cat /etc/resolv.conf").contains("192.0.2.3"));
    assert_eq!(host.complaints().unwrap(), "");
    drop(host);
    leaks.assert_none();
}

#[test]
fn a_container_has_the_hosts_network_by_the_new_pasta_too() {
    let bed = Bed::require();
    let leaks = Leaks::before();
    let host = SystemdHost::with_snug(&bed).unwrap();
    host.snug("create mirrored -i local:minimal/none").run().unwrap().success();
    let guest = |line: &str| host.snug(&format!("run -c mirrored -w / {line}")).run().unwrap();
    // The host has no network yet.
    assert_eq!(guest("ip route show default").success().out(), "");
    let network = "ip link add up0 type veth peer name up1 && ip link set up1 up && ip link set up0 up && \
                   ip address add 203.0.113.7/24 dev up0 && ip route add default via 203.0.113.1";
    answer(host.root(network));
    eventually("the container has it", || guest("ip route show default").out().contains("via 203.0.113.1"));
    assert!(guest("ip -4 -o addr").success().out().contains("inet 203.0.113.7/24"));
    assert_eq!(guest("cat /etc/resolv.conf").success().out().lines().next(), Some("nameserver 169.254.0.53"));
    let serve =
        "'while :; do echo from-the-guest | nc -l -p 7001 >/dev/null; done </dev/null >/dev/null 2>&1 &'";
    guest(&format!("sh -c {serve}")).success();
    let ask = "exec 3<>/dev/tcp/127.0.0.1/7001 && cat <&3";
    eventually("the port", || {
        host.root(&format!("bash -c '{ask}'")).run().unwrap().out().contains("from-the-guest")
    });
    let told = json(&host.snug("ports --json").run().unwrap().success());
    assert_eq!(
        (&told["ports"][0]["port"], &told["ports"][0]["state"]),
        (&7001.into(), &"open".into()),
        "{told}"
    );
    host.snug("stop mirrored").run().unwrap().success();
    // An answer of no line is no failure of grep's.
    eventually("nothing of it runs", || answer(host.root("pgrep -c snug-hook || :")) == "0");
    assert_eq!(answer(host.root("ls -d /sys/fs/cgroup/lxc.monitor.* 2>/dev/null || :")), "");
    drop(host);
    leaks.assert_none();
}
