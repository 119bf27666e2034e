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
        self.describe(name_server);
        self.hook();
        self.configure();
    }

    /// What snugd does.
    fn describe(&self, name_server: &str) {
        let bridged = Bridged {
            bridge: "br0".into(),
            router: "10.9.9.1".parse().unwrap(),
            name_servers: vec![name_server.parse().unwrap()],
        };
        fs::write(self.path(BRIDGED), serde_json::to_vec(&bridged).unwrap()).unwrap();
    }

    fn hook(&self) {
        let mut hook = Command::new(env!("CARGO_BIN_EXE_snug-hook"));
        hook.args(["start-host", "--bridged", "--owner", OWNER, "--run-dir"]).arg(self.directory.path());
        let output = hook.env("LXC_PID", self.guest.id().to_string()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }

    fn configure(&self) {
        self.guest.run("ip addr add 10.9.9.2/24 dev eth0");
        self.guest.run("ip link set eth0 up");
        self.guest.run("ip route add default via 10.9.9.1");
    }

    /// Rules of the guest.
    fn own_rules(&self, text: &str) {
        let mut nft = Command::new("nsenter");
        nft.arg(format!("--net=/proc/{}/ns/net", self.guest.id())).arg("nft");
        load(nft, text);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn fault(&self) -> Option<Fault> {
        Fault::parse(&fs::read_to_string(self.path(FAULT)).ok()?)
    }

    fn is_at_work(&self) -> bool {
        self.process().is_some()
    }

    /// The one that looks, by its directory.
    fn process(&self) -> Option<PathBuf> {
        let log = fs::canonicalize(self.path(LOG)).unwrap();
        let mut all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        all.find(|process| fs::read_link(process.join("fd/2")).is_ok_and(|found| found == log))
    }

    /// What it has taken: hundredths of a second (`CLK_TCK`), KiB of memory at most.
    fn cost(&self) -> (u64, u64) {
        let process = self.process().unwrap();
        let stat = fs::read_to_string(process.join("stat")).unwrap();
        // Behind the name, which ends with a parenthesis (proc_pid_stat(5)).
        let words: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let status = fs::read_to_string(process.join("status")).unwrap();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let number = |word: &str| word.parse::<u64>().unwrap();
        (number(words[11]) + number(words[12]), number(most.split_whitespace().next().unwrap()))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path(LOG)).unwrap()
    }

    #[track_caller]
    fn is_over(&self) {
        eventually(DEADLINE, "the look is over", || (!self.is_at_work()).then_some(()));
    }

    /// The look has found that the guest itself drops it, and no command is advised.
    #[track_caller]
    fn blames_the_guest(&self) {
        let fault = eventually(DEADLINE, "the fault", || self.fault());
        assert!(fault.text.contains("the container itself drops them"), "{fault:?}");
        assert!(!fault.hints.iter().any(|hint| hint.contains("sudo")), "{fault:?}");
    }

    /// The look is over, and nothing was to be said.
    #[track_caller]
    fn says_nothing(&self) {
        self.is_over();
        assert_eq!((self.fault(), notice::take(self.directory.path())), (None, Vec::new()));
        assert_eq!(self.log(), "");
    }
}

/// Rules of the host.
fn rules(text: &str) {
    load(Command::new("nft"), text);
}

fn load(mut nft: Command, text: &str) {
    let mut nft = nft.args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
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
    assert!(fault.hints[0].contains("firewall-cmd --permanent --zone=snug --add-interface=br0"), "{fault:?}");
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

/// A host of whom one would think that firewalld and Docker are in the way.
fn suspicious() {
    rules("table inet firewalld { chain filter_INPUT { } }");
    rules(DOCKER);
    rules("add rule ip filter FORWARD accept");
}

#[test]
fn a_guest_that_does_not_let_its_own_questions_out_gets_no_command_for_its_host() {
    let bed = Bed::new();
    suspicious();
    bed.own_rules("table inet own { chain out { type filter hook output priority 0; meta l4proto { tcp, udp } th dport 53 drop; } }");
    bed.start(SERVER);
    bed.blames_the_guest();
    // Told once, as any other.
    let told = eventually(DEADLINE, "the notice", || {
        Some(notice::take(bed.directory.path())).filter(|it| !it.is_empty())
    });
    assert!(!told.concat().contains("sudo"), "{told:?}");
    bed.own_rules("delete table inet own");
    eventually(DEADLINE, "it is taken back", || bed.fault().is_none().then_some(()));
    bed.is_over();
}

#[test]
fn a_guest_that_hides_its_names_answers_gets_no_command_for_its_host() {
    let bed = Bed::new();
    suspicious();
    bed.own_rules("table inet own { chain in { type filter hook input priority 0; udp sport 53 drop; } }");
    bed.start("10.9.9.1");
    bed.blames_the_guest();
    // Not even one without an address, which that of a guest unheard would be.
    bed.guest.run("ip addr flush dev eth0");
    eventually(DEADLINE, "nothing is known", || bed.log().contains("nothing is known").then_some(()));
    bed.blames_the_guest();
}

#[test]
fn a_guest_that_does_not_say_where_it_is_gets_no_command_for_its_host() {
    let bed = Bed::new();
    suspicious();
    bed.guest.run("ip link set eth0 arp off");
    bed.describe(SERVER);
    bed.hook();
    bed.guest.run("ip addr add 10.9.9.2/24 dev eth0");
    bed.guest.run("ip link set eth0 up");
    let address = fs::read_to_string("/sys/class/net/br0/address").unwrap();
    bed.guest.run(&format!("ip neigh add 10.9.9.1 dev eth0 lladdr {} nud permanent", address.trim()));
    bed.guest.run("ip route add default via 10.9.9.1");
    bed.blames_the_guest();
}

#[test]
fn a_guest_that_changes_its_network_without_end_costs_little() {
    let bed = Bed::new();
    bed.describe(SERVER);
    bed.hook();
    let mut lines = String::new();
    for at in 0..20_000u32 {
        let [_, _, a, b] = at.to_be_bytes();
        lines += &format!("addr add 10.77.{a}.{b}/32 dev lo\n");
    }
    let file = bed.path("lines");
    fs::write(&file, lines).unwrap();
    bed.guest.run(&format!("ip -batch {}", file.display()));
    let (ticks, _) = bed.cost();
    // A hundredth of a second each.
    assert!(ticks < 50, "{ticks}");
    bed.configure();
    bed.says_nothing();
}

#[test]
fn a_hundred_thousand_routes_are_not_all_read() {
    let bed = Bed::new();
    rules(DOCKER);
    let mut lines = String::new();
    for at in 0..100_000u32 {
        let [_, a, b, c] = at.to_be_bytes();
        lines += &format!("route add unreachable 11.{a}.{b}.{c}/32\n");
    }
    let file = bed.path("lines");
    fs::write(&file, lines).unwrap();
    bed.guest.run("ip link set lo up");
    bed.guest.run(&format!("ip -batch {}", file.display()));
    bed.start(SERVER);
    eventually(DEADLINE, "the fault", || bed.fault());
    let (ticks, kib) = bed.cost();
    assert!(ticks < 50 && kib < 16 << 10, "{ticks} {kib}");
}

#[test]
fn a_guest_without_a_way_out_takes_nothing_back() {
    let bed = Bed::new();
    rules(DOCKER);
    bed.start(SERVER);
    let fault = eventually(DEADLINE, "the fault", || bed.fault());
    bed.guest.run("ip route del default");
    rules("add table inet other");
    eventually(DEADLINE, "nothing is known", || bed.log().contains("nothing is known").then_some(()));
    assert_eq!(bed.fault(), Some(fault));
    // And from now on the guest's network is followed.
    rules("delete table ip filter");
    bed.guest.run("ip route add default via 10.9.9.1");
    eventually(DEADLINE, "it is taken back", || bed.fault().is_none().then_some(()));
    bed.is_over();
}

#[test]
fn where_nothing_is_to_be_reached_nothing_is_looked_at_and_a_broken_file_is_named() {
    let bed = Bed::new();
    fs::write(bed.path(FAULT), "of an earlier start\n").unwrap();
    bed.hook();
    bed.says_nothing();
    fs::write(bed.path(BRIDGED), "{").unwrap();
    bed.hook();
    bed.is_over();
    assert!(bed.log().contains("not looked at") && bed.log().contains(BRIDGED), "{}", bed.log());
}

#[test]
fn changes_that_were_too_many_to_be_told_are_a_change() {
    let _bed = Bed::new();
    let changes = snug_hook::uplink::changes_of_v4().unwrap();
    // As little as the kernel gives.
    socket2::SockRef::from(&changes).set_recv_buffer_size(1).unwrap();
    assert!(!changes.take());
    for at in 1..50 {
        run(&format!("ip addr add 10.66.0.{at}/32 dev lo"));
    }
    let mut wait = [rustix::event::PollFd::new(&changes, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut wait, None), Ok(1));
    assert!(changes.take() && !changes.take());
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
