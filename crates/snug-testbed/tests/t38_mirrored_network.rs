//! A container's network is its host's (`network=mirror`): with real containers. What the parts do by themselves is in the tests of
//! `snug-hook`.
#![cfg(feature = "real-stack")]
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use common::{BUSYBOX, DEBIAN_13, NO_INIT, answer, eventually, fresh, fresh_with, json};
use serde_json::Value;
use snug_testbed::{Bed, Captured, Container, process};

/// The words of a server that says its text to each who asks, until it is killed.
fn serve(port: u16, text: &str) -> String {
    format!("while :; do echo {text} | nc -l -p {port} >/dev/null || exit; done")
}

/// A command in the guest that goes on until the test ends.
struct Service<'a> {
    guest: &'a Container<'a>,
    name: String,
}

impl<'a> Service<'a> {
    fn start(guest: &'a Container<'a>, name: &str, line: &str) -> Self {
        let script =
            format!("setsid sh -c 'echo $$ >/tmp/.{name}; exec </dev/null >/dev/null 2>&1; {line}' &");
        guest.snug(["run", "--root", "-w", "/", "--", "sh", "-c", &script]).run().unwrap().success();
        Self { guest, name: name.to_owned() }
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        let line = format!("kill -KILL -$(cat /tmp/.{0}); rm /tmp/.{0}", self.name);
        // It may have ended with its guest.
        let _ = self.guest.snug(["run", "--root", "-w", "/", "--", "sh", "-c", &line]).run();
    }
}

/// Isolated from what else runs here: a directory of the host would be the test's own.
fn guest<'a>(bed: &'a Bed, name: &str, image: &str) -> Container<'a> {
    fresh_with(bed, "tester", name, image, &["--no-grant", "places"])
}

fn on_host(bed: &Bed, port: u16) -> Captured {
    bed.shell("tester", &format!("busybox nc -w 5 127.0.0.1 {port} </dev/null")).run().unwrap()
}

/// A server on the host's loopback, as long as the tests run.
fn host_serves(port: u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Whoever asks may be gone again.
            let _ = stream.and_then(|mut stream| stream.write_all(b"from-the-host\n"));
        }
    });
}

fn ports(bed: &Bed, options: &[&str]) -> Vec<Value> {
    let mut line = vec!["ports", "--json"];
    line.extend(options);
    let told = json(&bed.snug("tester").args(line).run().unwrap().success());
    told["ports"].as_array().unwrap().clone()
}

fn port_of(bed: &Bed, guest: &Container<'_>, port: u16) -> Option<Value> {
    ports(bed, &["-c", guest.name()]).into_iter().find(|it| it["port"] == port)
}

/// The host's own address towards others.
fn own_address() -> Ipv4Addr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("198.51.100.1:9").unwrap();
    match socket.local_addr().unwrap().ip() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(ip) => panic!("{ip}"),
    }
}

/// What runs on the host for the network of a container.
fn helpers(bed: &Bed, guest: &Container<'_>) -> usize {
    let directory = bed.run_dir("tester", guest.name()).display().to_string();
    let is_helper = |process: &process::Process| {
        let line = process.command_line();
        line.contains("snug-hook") && line.split_whitespace().any(|word| word == directory)
    };
    process::all().into_iter().filter(is_helper).count()
}

#[test]
fn a_server_in_the_container_is_on_the_hosts_loopback_and_one_of_the_host_on_the_containers() {
    let bed = Bed::require();
    let guest = guest(&bed, "mirrored", BUSYBOX);
    let _served = Service::start(&guest, "a", "exec busybox httpd -f -p 7101 -h /etc");
    let page = "busybox wget -qO- http://127.0.0.1:7101/hostname";
    eventually("the port on the host", || {
        bed.shell("tester", page).run().unwrap().out().trim() == "mirrored"
    });
    let listed = port_of(&bed, &guest, 7101).unwrap();
    assert_eq!((&listed["state"], &listed["protocol"]), (&"open".into(), &"tcp".into()), "{listed}");
    assert_eq!(listed["process"], "busybox", "{listed}");
    assert_ne!(listed["pids"].as_array().unwrap().len(), 0, "{listed}");
    let shown = answer(bed.snug("tester").args(["ports"]));
    assert!(
        shown.lines().any(|line| line.contains("mirrored")
            && line.contains("tcp [::]:7101")
            && line.ends_with("open")),
        "{shown}"
    );

    host_serves(7102);
    let ask = ["sh", "-c", "nc -w 5 127.0.0.1 7102 </dev/null"];
    let asked = || guest.run(ask).run().unwrap().out();
    eventually("the host's port", || asked().trim() == "from-the-host");
    // It is not taken in the guest.
    let _own = Service::start(&guest, "b", &serve(7102, "its-own"));
    eventually("the guest's own", || asked().trim() == "its-own");
}

#[test]
fn a_port_on_the_guests_loopback_is_on_no_other_address_of_the_host() {
    let bed = Bed::require();
    let guest = guest(&bed, "looped", BUSYBOX);
    let _served = Service::start(&guest, "near", "exec busybox httpd -f -p 127.0.0.1:7111 -h /etc");
    let _far = Service::start(&guest, "far", &serve(7112, "far"));
    let page = "busybox wget -qO- http://127.0.0.1:7111/hostname";
    eventually("the port on the host", || bed.shell("tester", page).run().unwrap().out().trim() == "looped");
    eventually("the other one", || on_host(&bed, 7112).out().trim() == "far");
    let connect =
        |port| TcpStream::connect_timeout(&SocketAddr::from((own_address(), port)), Duration::from_secs(5));
    // The guest's DHCP client takes its address away for a moment.
    eventually("a port on all addresses", || connect(7112).is_ok());
    assert!(connect(7111).is_err());
}

#[test]
fn a_port_that_two_containers_want_is_the_firsts_and_told_of_the_second() {
    let bed = Bed::require();
    let (first, second) = (guest(&bed, "first", BUSYBOX), guest(&bed, "second", BUSYBOX));
    let served = Service::start(&first, "first", &serve(7121, "first"));
    eventually("the port", || on_host(&bed, 7121).out().trim() == "first");
    let _second = Service::start(&second, "second", &serve(7121, "second"));
    eventually("the report", || port_of(&bed, &second, 7121).is_some());
    let of_one = port_of(&bed, &second, 7121).unwrap();
    assert_eq!(of_one["text"], "'first' has it", "{of_one}");
    let of_all = ports(&bed, &[]);
    let told = of_all.iter().find(|it| it["container"] == "second" && it["port"] == 7121).unwrap();
    assert_eq!((&told["state"], &told["text"]), (&"taken".into(), &"'first' has it".into()), "{told}");
    assert_eq!(answer(second.run(["sh", "-c", "nc -w 5 127.0.0.1 7121 </dev/null"])), "second");
    drop(served);
    eventually("the second has it", || on_host(&bed, 7121).out().trim() == "second");
}

#[test]
fn the_way_out_and_names_are_the_hosts() {
    let bed = Bed::require();
    let guest = fresh(&bed, "tester", "outward", DEBIAN_13);
    // Its systemd-networkd sets them again.
    eventually("the host's address and route", || {
        let shown = answer(guest.run(["sh", "-c", "ip -4 -o addr show; ip route show default"]));
        shown.contains(&format!("inet {}/", own_address())) && shown.contains("default via")
    });
    assert_eq!(answer(guest.run(["grep", "^nameserver", "/etc/resolv.conf"])), "nameserver 169.254.0.53");
    // IPv6 as the host has it, which a guest's networkd would drop.
    let v6 = "ip -6 -o addr show scope global; ip -6 route show default";
    let on_host = answer(bed.shell("tester", "ip -6 route show default"));
    let in_guest = answer(guest.run(["sh", "-c", v6]));
    assert_eq!(on_host.contains("via"), in_guest.contains("inet6") && in_guest.contains("via"), "{in_guest}");
    // The names and the servers that packages come from.
    guest.snug(["run", "-w", "/", "--", "sudo", "apt-get", "update", "-qq"]).run().unwrap().success();
    // Whoever is in the guest may ask whether a machine is there.
    let range = answer(guest.run(["cat", "/proc/sys/net/ipv4/ping_group_range"]));
    let gid = bed.account("tester").gid.to_string();
    assert!(range.starts_with(&gid) && range.ends_with("999999"), "{range}");
}

#[test]
fn it_is_there_again_after_a_reboot_and_nothing_of_it_is_left_after_a_stop() {
    let bed = Bed::require();
    let guest = guest(&bed, "renewed", BUSYBOX);
    assert_ne!(helpers(&bed, &guest), 0);
    for _ in 0..2 {
        bed.snug("tester").args(["restart", guest.name()]).run().unwrap().success();
        let _served = Service::start(&guest, "again", &serve(7131, "again"));
        eventually("the port", || on_host(&bed, 7131).out().trim() == "again");
    }
    // kill -9 of the daemon, and a guest that ends by itself.
    bed.kill_snugd();
    eventually("the daemon has ended and the port stays", || bed.snugd().is_none());
    bed.snug("tester").args(["stop", guest.name()]).run().unwrap().success();
    eventually("nothing is left", || helpers(&bed, &guest) == 0);
    eventually("the port is free", || TcpListener::bind("127.0.0.1:7131").is_ok());
}

#[test]
fn an_untrusted_container_is_behind_the_bridge_and_has_no_port() {
    let bed = Bed::require();
    let options = ["--preset", "isolated", "--grant", "network=mirror"];
    let guest = fresh_with(&bed, "tester", "fenced", BUSYBOX, &options);
    let in_guest = |line: &str| guest.snug(["run", "-w", "/", "--", "sh", "-c", line]).run().unwrap().out();
    let _served = Service::start(&guest, "fenced", &serve(7141, "fenced"));
    host_serves(7142);
    assert_eq!(on_host(&bed, 7142).out().trim(), "from-the-host");
    eventually("the guest's server", || in_guest("nc -w 2 127.0.0.1 7141 </dev/null").trim() == "fenced");
    assert_eq!(on_host(&bed, 7141).out(), "");
    assert_eq!(in_guest("nc -w 2 127.0.0.1 7142 </dev/null"), "");
    eventually("the address", || in_guest("ip -4 addr show eth0").contains("inet 10."));
    // The look at its network is over soon.
    eventually("nobody is at work for it", || helpers(&bed, &guest) == 0);
    assert_eq!(ports(&bed, &["-c", "fenced"]), [] as [Value; 0]);
}

#[test]
fn without_pasta_it_is_nat_and_waits_for_it() {
    let bed = Bed::require();
    let without = common::SnugConfig::write(&bed, "pasta = \"/usr/bin/no-pasta\"\n");
    let guest = fresh(&bed, "tester", "waiting", NO_INIT);
    assert!(answer(guest.run(["ip", "-4", "-o", "addr", "show", "eth0"])).contains("inet 10."));
    let grants =
        || json(&bed.snug("tester").args(["grants", "-c", "waiting", "--json"]).run().unwrap().success());
    let network = |grants: Value| {
        let all = grants["grants"].as_array().unwrap().clone();
        all.into_iter().find(|it| it["grant"] == "network=mirror").unwrap()["state"].clone()
    };
    assert_eq!(network(grants()), "waiting");
    bed.snug("tester").args(["restart", "waiting"]).run().unwrap().success();
    let log = answer(bed.snug("tester").args(["logs", "--jobs", "waiting"]));
    assert!(log.contains("pasta is not installed"), "{log}");
    let checks = json(&bed.snug("tester").args(["doctor", "--json"]).run().unwrap());
    let check =
        checks["checks"].as_array().unwrap().iter().find(|it| it["check"] == "network").unwrap().clone();
    assert_eq!((&check["status"], &check["hint"]), (&"notice".into(), &"install the package passt".into()));
    drop(without);
    bed.snug("tester").args(["restart", "waiting"]).run().unwrap().success();
    assert_eq!(network(grants()), "given");
    let shown = answer(guest.run(["ip", "-4", "-o", "addr", "show"]));
    assert!(shown.contains(&format!("inet {}/", own_address())), "{shown}");
}

/// The line of a grant in `snug grants`.
fn grant(guest: &Container<'_>, word: &str) -> Value {
    let told = json(&guest.snug(["grants", "--json"]).run().unwrap().success());
    let all = told["grants"].as_array().unwrap().clone();
    all.into_iter().find(|it| it["grant"] == word).unwrap()
}

#[test]
fn a_network_that_nobody_keeps_is_told_with_what_brings_it_back() {
    let bed = Bed::require();
    let guest = guest(&bed, "unkept", NO_INIT);
    assert_eq!(grant(&guest, "network=mirror")["state"], "given");
    let directory = bed.run_dir("tester", guest.name()).display().to_string();
    let of_guest = |process: &process::Process| {
        let line = process.command_line();
        line.contains("snug-hook") && line.split_whitespace().any(|word| word == directory)
    };
    let keeper = |process: &process::Process| of_guest(process) && process.uid() == Some(0);
    let keeper = process::all().into_iter().find(keeper).unwrap();
    process::end(&[keeper], Duration::ZERO);
    eventually("nobody forwards", || helpers(&bed, &guest) == 0);
    let told = grant(&guest, "network=mirror");
    assert_eq!(told["state"], "broken", "{told}");
    assert!(told["text"].as_str().unwrap().contains("snug restart unkept"), "{told}");
    let checks = json(&bed.snug("tester").args(["doctor", "--json"]).run().unwrap());
    let checks = checks["checks"].as_array().unwrap().clone();
    let check = checks.iter().find(|it| it["text"].as_str().unwrap().starts_with("unkept: ")).unwrap();
    assert_eq!(
        (&check["status"], &check["hint"]),
        (&"warning".into(), &"snug restart unkept".into()),
        "{check}"
    );
    bed.snug("tester").args(["restart", "unkept"]).run().unwrap().success();
    assert_eq!(grant(&guest, "network=mirror")["state"], "given");
}

#[test]
fn the_owner_can_not_lock_what_a_start_waits_for() {
    let bed = Bed::require();
    let guest = guest(&bed, "lockless", NO_INIT);
    let log = bed.run_dir("tester", guest.name()).join("network.log");
    let locked = bed.as_user("tester", ["flock".as_ref(), "-n".as_ref(), log.as_os_str(), "true".as_ref()]);
    let locked = locked.run().unwrap();
    assert_ne!(locked.code(), 0);
    assert!(locked.err().contains("Permission denied"), "{}", locked.err());
}
