//! A guest behind a bridge of a host, each nothing but a network namespace: nothing of this machine's is touched. Beyond the host there is
//! a third one with a name server.

#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use common::{Namespace, OWNER, eventually, run};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use snug_wire::network::{BRIDGED, Bridged, FAULT, Fault, LOG};
use snug_wire::notice;

/// Generous: what takes longer does not come.
const DEADLINE: Duration = Duration::from_secs(30);
/// The name server beyond the host, of documentation (RFC 5737).
const SERVER: &str = "203.0.113.1";

/// Answers each question with two bytes, and tells of it.
fn answer(address: &str, asked: Sender<()>) -> impl FnOnce() + Send + 'static {
    let socket = address.to_owned();
    move || {
        let socket = std::net::UdpSocket::bind(socket).unwrap();
        let mut buffer = [0; 512];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            // Whom the firewall lets no answer through to.
            let _ = socket.send_to(b"no", from);
            // Most tests do not listen.
            let _ = asked.send(());
        }
    }
}

/// The calling thread is on the host.
struct Bed {
    guest: Namespace,
    _beyond: Namespace,
    directory: tempfile::TempDir,
    /// What the name server beyond the host was asked.
    asked: Receiver<()>,
}

impl Bed {
    fn new() -> Self {
        // SAFETY: the descriptors of this thread stay shared; its file system and network become its own.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.unwrap();
        run("mount --make-rprivate /");
        run("mount -t sysfs sysfs /sys");
        // Not this machine's.
        if fs::exists("/etc/ufw").unwrap() {
            run("mount -t tmpfs tmpfs /etc/ufw");
        }
        run("ip link set lo up");
        let (guest, beyond) = (Namespace::new(), Namespace::new());
        run(&format!("ip link add up0 type veth peer name up1 netns {}", beyond.id()));
        run("ip addr add 203.0.113.7/24 dev up0");
        run("ip link set up0 up");
        run(&format!("ip route add default via {SERVER}"));
        run("ip link add br0 type bridge");
        run("ip addr add 10.9.9.1/24 dev br0");
        run("ip link set br0 up");
        run(&format!("ip link add port0 type veth peer name eth0 netns {}", guest.id()));
        run("ip link set port0 master br0 up");
        run("sysctl -qw net.ipv4.ip_forward=1");
        for line in ["ip link set lo up", "ip link set up1 up", "ip addr add 203.0.113.1/24 dev up1"] {
            beyond.run(line);
        }
        beyond.run("ip route add default via 203.0.113.7");
        let (told, asked) = channel();
        beyond.spawn(answer("203.0.113.1:53", told));
        // The host's own, as the bridge's dnsmasq is.
        let socket = std::net::UdpSocket::bind("10.9.9.1:53").unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(b"no", from);
            }
        });
        Self { guest, _beyond: beyond, directory: tempfile::tempdir().unwrap(), asked }
    }

    /// The hook, then what the guest's agent does.
    fn start(&self, name_server: &str) {
        let bridged = Bridged {
            bridge: "br0".into(),
            router: "10.9.9.1".parse().unwrap(),
            name_servers: vec![name_server.parse().unwrap()],
        };
        fs::write(self.path(BRIDGED), serde_json::to_vec(&bridged).unwrap()).unwrap();
        let mut hook = Command::new(env!("CARGO_BIN_EXE_snug-hook"));
        hook.args(["start-host", "--bridged", "--owner", OWNER, "--run-dir"]).arg(self.directory.path());
        let output = hook.env("LXC_PID", self.guest.id().to_string()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        self.guest.run("ip addr add 10.9.9.2/24 dev eth0");
        self.guest.run("ip link set eth0 up");
        self.guest.run("ip route add default via 10.9.9.1");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn fault(&self) -> Option<Fault> {
        Fault::parse(&fs::read_to_string(self.path(FAULT)).ok()?)
    }

    fn is_at_work(&self) -> bool {
        let log = fs::canonicalize(self.path(LOG)).unwrap();
        let all = fs::read_dir("/proc").unwrap().flatten();
        all.into_iter().any(|entry| fs::read_link(entry.path().join("fd/2")).is_ok_and(|found| found == log))
    }

    /// The look is over, and nothing was to be said.
    #[track_caller]
    fn says_nothing(&self) {
        eventually(DEADLINE, "the look is over", || (!self.is_at_work()).then_some(()));
        assert_eq!((self.fault(), notice::take(self.directory.path())), (None, Vec::new()));
        assert_eq!(fs::read_to_string(self.path(LOG)).unwrap(), "");
    }
}

/// Rules of the host.
fn rules(text: &str) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    // An older nft wants a table's end on a line of its own.
    let text = text.replace("} }", "}\n}\n");
    nft.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "{text}");
}

/// As Docker's iptables leaves it.
const DOCKER: &str = "table ip filter {
    chain DOCKER-USER { }
    chain FORWARD { type filter hook forward priority 0; policy drop; jump DOCKER-USER; }
}";

#[test]
fn where_all_is_well_nothing_is_said_and_nothing_stays() {
    let bed = Bed::new();
    let begun = Instant::now();
    bed.start(SERVER);
    bed.says_nothing();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn an_offline_host_says_nothing() {
    let bed = Bed::new();
    run("ip link set up0 down");
    bed.start(SERVER);
    bed.says_nothing();
    // Without a cable, but with a route.
    let bed = Bed::new();
    bed._beyond.run("ip link set up1 down");
    bed.start(SERVER);
    bed.says_nothing();
}

#[test]
fn dockers_rules_are_named_told_once_and_taken_back_when_they_are_mended() {
    let bed = Bed::new();
    rules(DOCKER);
    bed.start(SERVER);
    let fault = eventually(DEADLINE, "the fault", || bed.fault());
    assert!(fault.text.contains("connections") && fault.text.contains("Docker"), "{fault:?}");
    assert!(fault.hints[0].contains("-I DOCKER-USER -i br0 -j ACCEPT"), "{fault:?}");
    let told = eventually(DEADLINE, "the notice", || {
        Some(notice::take(bed.directory.path())).filter(|it| !it.is_empty())
    });
    assert_eq!(told[0], fault.text);
    assert_eq!(told[1], format!("hint: {}", fault.hints[0]));
    assert!(notice::take(bed.directory.path()).is_empty());
    rules(
        "insert rule ip filter DOCKER-USER iifname br0 accept
        insert rule ip filter DOCKER-USER oifname br0 ct state related,established accept",
    );
    eventually(DEADLINE, "it is taken back", || bed.fault().is_none().then_some(()));
    eventually(DEADLINE, "the look is over", || (!bed.is_at_work()).then_some(()));
}

#[test]
fn a_rule_that_refuses_in_anothers_name_is_found() {
    let bed = Bed::new();
    rules(
        "table inet firewalld { chain filter_FORWARD { type filter hook forward priority 10; iifname br0 reject with icmp port-unreachable; } }",
    );
    bed.start(SERVER);
    let fault = eventually(DEADLINE, "the fault", || bed.fault());
    assert!(
        fault.hints[0].contains("firewall-cmd --permanent --zone=trusted --change-interface=br0"),
        "{fault:?}"
    );
}

#[test]
fn a_host_that_does_not_hear_the_guests_questions_is_told_of() {
    let bed = Bed::new();
    rules(
        "table inet mine { chain in { type filter hook input priority 0; policy drop; iifname != br0 accept; } }",
    );
    bed.start("10.9.9.1");
    let fault = eventually(DEADLINE, "the fault", || bed.fault());
    assert!(fault.text.contains("names") && fault.text.contains("chain in "), "{fault:?}");
}

#[test]
fn a_guest_whose_dhcp_is_not_heard_has_lost_its_address() {
    let bed = Bed::new();
    rules(
        "table inet mine { chain in { type filter hook input priority 0; policy drop; iifname != br0 accept; } }",
    );
    bed.start(SERVER);
    // After the host's own name server, in vain. Both go on with the address that the guest was given.
    bed.asked.recv_timeout(DEADLINE).unwrap();
    assert_eq!(bed.fault(), None);
    bed.guest.run("ip addr flush dev eth0");
    let fault = eventually(DEADLINE, "the fault", || bed.fault());
    assert!(fault.text.contains("DHCP"), "{fault:?}");
    // Heard again.
    rules("flush chain inet mine in; add rule inet mine in accept");
    bed.guest.run("ip addr add 10.9.9.2/24 dev eth0");
    bed.guest.run("ip route add default via 10.9.9.1");
    eventually(DEADLINE, "it is taken back", || bed.fault().is_none().then_some(()));
}

#[test]
fn the_end_of_the_guest_ends_the_look() {
    let mut bed = Bed::new();
    rules(DOCKER);
    bed.start(SERVER);
    eventually(DEADLINE, "the fault", || bed.fault());
    assert!(bed.is_at_work());
    bed.guest.end();
    eventually(DEADLINE, "the look is over", || (!bed.is_at_work()).then_some(()));
}
