//! A guest that has nothing but its network namespace, on a host that is one too: nothing of this machine's is touched.

#![allow(clippy::unwrap_used, reason = "tests, outside of #[test] functions")]

mod common;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use common::{Namespace, OWNER, Server, eventually, run};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use snug_wire::network::RESOLVER;
use snug_wire::ports::{Opened, Report};

/// The host's address towards others, of documentation (RFC 5737).
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// As much of a question as the forwarder looks at.
const QUERY: &str = "\0\0\x01\0\0\x01\0\0\0\0\0\0";
/// Generous: what takes longer does not come.
const DEADLINE: Duration = Duration::from_secs(20);

/// A host, a guest and what is between them.
struct Bed {
    guest: Namespace,
    user_namespace: PathBuf,
    directory: tempfile::TempDir,
    work: Sender<Box<dyn FnOnce() + Send>>,
}

impl Bed {
    /// With a way out, and without the hook.
    fn new() -> Self {
        // SAFETY: the descriptors of this thread stay shared; its file system and network become its own.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.unwrap();
        run("mount --make-rprivate /");
        // Its own sysfs belongs to the network namespace: /proc/self/net does by itself.
        run("ip link set lo up");
        run("ip link add up0 type veth peer name up1");
        run("ip link set up1 up");
        run("ip link set up0 up");
        run(&format!("ip addr add {OUTSIDE}/24 dev up0"));
        run("ip route add default via 203.0.113.1 dev up0");
        let guest = Namespace::new();
        let (work, receive) = channel::<Box<dyn FnOnce() + Send>>();
        guest.spawn(move || receive.iter().for_each(|work| work()));
        let user_namespace = fs::read_link(format!("/proc/{}/ns/user", guest.id())).unwrap();
        Self { guest, user_namespace, directory: tempfile::tempdir().unwrap(), work }
    }

    /// With the hook, which has ended.
    fn started() -> Self {
        let bed = Self::new();
        bed.hook(&[]);
        bed
    }

    fn hook(&self, more: &[&str]) {
        let mut hook = Command::new(env!("CARGO_BIN_EXE_snug-hook"));
        hook.args(["start-host", "--pasta", "/usr/bin/pasta", "--owner", OWNER, "--run-dir"])
            .arg(self.directory.path())
            .args(more);
        let output = hook.env("LXC_PID", self.guest.id().to_string()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }

    /// Does something in the guest.
    fn inside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, wait) = channel();
        self.work.send(Box::new(move || drop(answer.send(work())))).unwrap();
        wait.recv().unwrap()
    }

    fn serve_inside(&self, address: &str) -> Server {
        let address: SocketAddr = address.parse().unwrap();
        Server::start(self.inside(move || TcpListener::bind(address).unwrap()))
    }

    fn report(&self) -> Option<Report> {
        let mut stream = UnixStream::connect(self.directory.path().join(snug_wire::ports::SOCKET)).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join(snug_wire::network::LOG)).unwrap()
    }

    /// The processes of the hook: those whose log is this bed's, and pasta, which closes it, in the guest's user namespace.
    fn processes(&self) -> Vec<(u32, String)> {
        let log = fs::canonicalize(self.directory.path().join(snug_wire::network::LOG)).unwrap();
        let all = fs::read_dir("/proc").unwrap().flatten();
        let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let leads_to = |pid: u32, name: &str, wanted: &Path| {
            fs::read_link(format!("/proc/{pid}/{name}")).is_ok_and(|found| found == wanted)
        };
        let is_ours = |pid: &u32| {
            leads_to(*pid, "fd/2", &log)
                || *pid != self.guest.id() && leads_to(*pid, "ns/user", &self.user_namespace)
        };
        let name = |pid: u32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            (pid, name.trim().to_owned())
        };
        numbers.filter(is_ours).map(name).collect()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = writeln!(io::stderr(), "log: {}", self.log());
        }
        self.guest.end();
        if !thread::panicking() {
            eventually(DEADLINE, "the end of all processes", || self.processes().is_empty().then_some(()));
        }
    }
}

/// What the server at an address answers to `text`.
fn ask(to: SocketAddr, text: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn at(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into(), port)
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

#[test]
fn a_server_on_the_guests_loopback_is_on_the_hosts_and_nowhere_else() {
    let bed = Bed::started();
    for (bound, ip) in [("127.0.0.1:0", V4), ("[::1]:0", V6)] {
        let server = bed.serve_inside(bound);
        let here = at(ip, server.port());
        let answer = eventually(DEADLINE, "the port on the host", || ask(here, "hello").ok());
        assert_eq!(answer, format!("{ip} hello"));
        assert!(ask(at(OUTSIDE, server.port()), "").is_err(), "{bound} on another address");
        drop(server);
        eventually(DEADLINE, "the end of the port", || TcpListener::bind(here).ok());
    }
}

#[test]
fn a_server_on_all_addresses_is_on_all_of_the_hosts_and_knows_who_is_not_of_this_machine() {
    let bed = Bed::started();
    let server = bed.serve_inside("0.0.0.0:0");
    let port = server.port();
    assert_eq!(eventually(DEADLINE, "the port", || ask(at(V4, port), "a").ok()), "127.0.0.1 a");
    // It comes from the host's own address here; what counts is that it is not the loopback's.
    assert_eq!(ask(at(OUTSIDE, port), "b").unwrap(), format!("{OUTSIDE} b"));
    assert!(ask(at(V6, port), "").is_err());
    let both = bed.serve_inside("[::]:0");
    assert_eq!(eventually(DEADLINE, "the port", || ask(at(V6, both.port()), "c").ok()), "::1 c");
    assert_eq!(ask(at(V4, both.port()), "d").unwrap(), "::ffff:127.0.0.1 d");
}

#[test]
fn a_server_of_the_host_is_on_the_guests_loopback_until_the_guest_has_its_own() {
    let bed = Bed::started();
    let host = Server::start(TcpListener::bind("[::]:0").unwrap());
    let port = host.port();
    for (ip, wanted) in [(V4, "::ffff:127.0.0.1 x"), (V6, "::1 x")] {
        let asked = || bed.inside(move || ask(at(ip, port), "x").ok());
        assert_eq!(eventually(DEADLINE, "the host's port", asked), wanted);
    }
    // No port of the guest's is taken by it.
    let own = bed.serve_inside(&format!("0.0.0.0:{port}"));
    let asked = || bed.inside(move || ask(at(V4, port), "y").ok()).filter(|answer| answer == "127.0.0.1 y");
    eventually(DEADLINE, "the guest's own", asked);
    // The other family's stays the host's; it is nobody's for a moment, since the kernel takes all flags of a port away.
    let asked = || bed.inside(move || ask(at(V6, port), "z").ok()).filter(|answer| answer == "::1 z");
    eventually(DEADLINE, "the host's by IPv6", asked);
    drop(own);
    let asked =
        || bed.inside(move || ask(at(V4, port), "x").ok()).filter(|answer| answer == "::ffff:127.0.0.1 x");
    eventually(DEADLINE, "the host's again", asked);
    drop(host);
    eventually(DEADLINE, "nobody's", || bed.inside(move || ask(at(V4, port), "")).err());
}

#[test]
fn a_low_port_of_the_host_is_in_the_guest_and_one_of_the_guest_is_told_as_not_permitted() {
    let bed = Bed::started();
    let host = Server::start(TcpListener::bind("127.0.0.1:80").unwrap());
    let asked = || bed.inside(move || ask(at(V4, 80), "x").ok());
    assert_eq!(eventually(DEADLINE, "the host's port", asked), "127.0.0.1 x");
    drop(host);
    let _guest = bed.serve_inside("0.0.0.0:81");
    let opened = || bed.report()?.doors.into_iter().find(|door| door.address.port() == 81);
    assert_eq!(eventually(DEADLINE, "the report", opened).opened, Opened::NotPermitted);
}

#[test]
fn a_port_that_somebody_has_is_told_and_taken_when_it_is_free() {
    let bed = Bed::started();
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let _guest = bed.serve_inside(&format!("127.0.0.1:{port}"));
    let opened = |wanted: Opened| {
        let is_it = |door: &snug_wire::ports::Door| door.address.port() == port && door.opened == wanted;
        eventually(DEADLINE, "the report", || bed.report()?.doors.into_iter().find(is_it))
    };
    let taken = opened(Opened::Taken);
    assert_eq!(taken.inodes.len(), 1);
    drop(host);
    opened(Opened::Yes);
    assert_eq!(ask(at(V4, port), "x").unwrap(), "127.0.0.1 x");
}

/// Sends until something comes back: the first datagrams may come before the port.
fn talk(from: &UdpSocket, to: SocketAddr, text: &str) -> (String, SocketAddr) {
    from.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    eventually(DEADLINE, "an answer", || {
        from.send_to(text.as_bytes(), to).ok()?;
        let mut buffer = [0; 2048];
        let (length, from) = from.recv_from(&mut buffer).ok()?;
        Some((String::from_utf8_lossy(&buffer[..length]).into_owned(), from))
    })
}

fn echo(socket: UdpSocket) {
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if &buffer[..length] == b"end" {
                return;
            }
            socket.send_to(&buffer[..length], from).unwrap();
        }
    });
}

#[test]
fn datagrams_go_both_ways_and_come_back_from_where_they_were_sent_to() {
    let bed = Bed::started();
    for (ip, guest_port, host_port) in [(V4, 7001, 7003), (V6, 7002, 7004)] {
        echo(bed.inside(move || UdpSocket::bind(at(ip, guest_port)).unwrap()));
        let client = UdpSocket::bind(at(ip, 0)).unwrap();
        assert_eq!(talk(&client, at(ip, guest_port), "in"), ("in".to_owned(), at(ip, guest_port)));
        let first = UdpSocket::bind(at(ip, 0)).unwrap();
        first.set_read_timeout(Some(DEADLINE)).unwrap();
        first.send_to(b"first", at(ip, guest_port)).unwrap();
        assert_eq!(first.recv(&mut [0; 16]).unwrap(), 5, "the first word of a conversation");

        let server = UdpSocket::bind(at(ip, host_port)).unwrap();
        echo(server.try_clone().unwrap());
        let client = bed.inside(move || UdpSocket::bind(at(ip, 0)).unwrap());
        assert_eq!(talk(&client, at(ip, host_port), "out"), ("out".to_owned(), at(ip, host_port)));
        // The guest may have the port itself.
        let own = bed.inside(move || UdpSocket::bind(at(ip, host_port)).unwrap());
        drop(own);
        UdpSocket::bind(at(ip, 0)).unwrap().send_to(b"end", at(ip, host_port)).unwrap();
        drop(server);
        // A socket that is closed is gone on the other side too.
        UdpSocket::bind(at(ip, 0)).unwrap().send_to(b"end", at(ip, guest_port)).unwrap();
        eventually(DEADLINE, "the free port", || UdpSocket::bind(at(ip, guest_port)).ok());
    }
}

/// What the hook's processes have in memory, in KiB (`VmRSS` of proc(5)).
fn resident(bed: &Bed) -> u64 {
    let processes = bed.processes().into_iter().filter(|(_, name)| name == "snug-hook");
    let of = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    processes.map(|(pid, _)| of(pid)).sum()
}

#[test]
fn many_peers_with_long_answers_take_little_memory() {
    const PEERS: usize = 300;
    let bed = Bed::started();
    let server = bed.inside(|| UdpSocket::bind(at(V4, 7030)).unwrap());
    thread::spawn(move || {
        let long = vec![7; 60_000];
        while let Ok((_, from)) = server.recv_from(&mut [0; 16]) {
            server.send_to(&long, from).unwrap();
        }
    });
    eventually(DEADLINE, "the door", || {
        bed.report()?.doors.iter().find(|door| door.address == at(V4, 7030)).map(drop)
    });
    let before = resident(&bed);
    let mut buffer = vec![0; 65_535];
    let peers: Vec<UdpSocket> = (0..PEERS)
        .map(|_| {
            let peer = UdpSocket::bind(at(V4, 0)).unwrap();
            peer.set_read_timeout(Some(DEADLINE)).unwrap();
            peer.send_to(b"more", at(V4, 7030)).unwrap();
            assert_eq!(peer.recv(&mut buffer).unwrap(), 60_000);
            peer
        })
        .collect();
    let more = resident(&bed).saturating_sub(before);
    assert!(more < 4 << 10, "{more} KiB for {} conversations", peers.len());
}

#[test]
fn nobody_but_root_can_open_the_log_that_is_locked() {
    let bed = Bed::new();
    // As an earlier version left it.
    let log = bed.directory.path().join(snug_wire::network::LOG);
    fs::write(&log, "of yesterday").unwrap();
    bed.hook(&[]);
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_answer_comes_from_the_address_that_was_asked() {
    let bed = Bed::started();
    for (bound, asked) in [
        ("0.0.0.0:7010", &["127.0.0.2", "203.0.113.7", "203.0.113.8"][..]),
        ("[::]:7011", &["127.0.0.2", "203.0.113.8", "::1"]),
    ] {
        let bound: SocketAddr = bound.parse().unwrap();
        run("ip address replace 203.0.113.8/24 dev up0");
        echo(bed.inside(move || UdpSocket::bind(bound).unwrap()));
        for ip in asked {
            let to = at(ip.parse::<IpAddr>().unwrap(), bound.port());
            let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let client = UdpSocket::bind(any).unwrap();
            assert_eq!(talk(&client, to, "x"), ("x".to_owned(), to));
        }
    }
}

#[test]
fn names_are_asked_of_the_hosts_server_of_that_moment() {
    let bed = Bed::new();
    let file = bed.directory.path().join("resolv.conf");
    let answers = |place: &str, answer: &'static [u8]| {
        let socket = UdpSocket::bind(place).unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                socket.send_to(answer, from).unwrap();
            }
        });
    };
    fs::write(&file, "nameserver 127.0.0.53\n").unwrap();
    // In this thread's mount namespace alone.
    run(&format!("mount --bind {} /etc/resolv.conf", file.display()));
    answers("127.0.0.53:53", b"one");
    answers("[::1]:53", b"two");
    let _over_tcp = Server::start(TcpListener::bind("127.0.0.53:53").unwrap());
    bed.hook(&[]);
    let resolver = at(RESOLVER, 53);
    let client = bed.inside(|| UdpSocket::bind(at(Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    assert_eq!(talk(&client, resolver, QUERY), ("one".to_owned(), resolver));
    assert_eq!(bed.inside(move || ask(resolver, "long").unwrap()), "127.0.0.1 long");
    // A server that nobody answers for is passed over.
    fs::write(&file, "nameserver 127.0.0.99\nnameserver ::1\n").unwrap();
    assert_eq!(talk(&client, resolver, QUERY).0, "two");
    // A guest's own server on all addresses is not in the way.
    let own = bed.inside(|| UdpSocket::bind(at(Ipv4Addr::UNSPECIFIED, 53)).unwrap());
    assert_eq!(talk(&client, resolver, QUERY).0, "two");
    own.set_nonblocking(true).unwrap();
    assert_eq!(own.recv(&mut [0; 16]).unwrap_err().kind(), io::ErrorKind::WouldBlock, "it was asked");
}

#[test]
fn a_program_of_the_guest_that_begins_to_serve_is_not_asked_past() {
    let bed = Bed::started();
    let host = Server::start(TcpListener::bind("0.0.0.0:0").unwrap());
    let port = host.port();
    let udp = UdpSocket::bind("127.0.0.1:7001").unwrap();
    echo(udp.try_clone().unwrap());
    let asked = || bed.inside(move || ask(at(V4, port), "x").ok()).filter(|answer| answer == "127.0.0.1 x");
    for _ in 0..20 {
        eventually(DEADLINE, "the host's port", asked);
        // No moment between.
        let answer = bed.inside(move || {
            let listener = TcpListener::bind(at(V4, port)).unwrap();
            let answers = thread::spawn(move || listener.accept().unwrap().0.write_all(b"its own").unwrap());
            let answer = ask(at(V4, port), "");
            answers.join().unwrap();
            answer.unwrap_or_default()
        });
        assert_eq!(answer, "its own");
    }
    let client = bed.inside(|| UdpSocket::bind("127.0.0.1:0").unwrap());
    assert_eq!(talk(&client, at(V4, 7001), "host").0, "host");
    let received = bed.inside(|| {
        let own = UdpSocket::bind("127.0.0.1:7001").unwrap();
        own.set_read_timeout(Some(DEADLINE)).unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"guest", at(V4, 7001)).unwrap();
        let mut buffer = [0; 16];
        own.recv(&mut buffer).map(|length| buffer[..length].to_vec()).ok()
    });
    assert_eq!(received.as_deref(), Some(&b"guest"[..]));
    UdpSocket::bind(at(V4, 0)).unwrap().send_to(b"end", at(V4, 7001)).unwrap();
}

#[test]
fn the_forwarders_own_ports_in_the_guest_lead_nowhere() {
    let bed = Bed::started();
    let asked = || bed.report().map(drop);
    eventually(DEADLINE, "the forwarder", asked);
    let listeners = bed.inside(|| snug_hook::sockets::Diagnosis::here().unwrap().listeners().unwrap());
    let own: Vec<SocketAddr> = listeners.iter().map(|listener| listener.address).collect();
    assert_eq!(own.len(), 4, "{own:?}");
    for address in own {
        // What the host has there by chance.
        let _host = Server::start(match TcpListener::bind(address) {
            Ok(listener) => listener,
            Err(error) => panic!("{address}: {error}"),
        });
        let answer = bed.inside(move || ask(address, "x"));
        assert!(answer.is_err() || answer.unwrap().is_empty(), "{address}");
    }
}

#[test]
fn a_guest_without_ipv6_has_the_rest() {
    let bed = Bed::new();
    let guest = bed.guest.id();
    run(&format!(
        "nsenter --net=/proc/{guest}/ns/net --user=/proc/{guest}/ns/user sysctl -qw net.ipv6.conf.all.disable_ipv6=1"
    ));
    bed.hook(&[]);
    let server = bed.serve_inside("127.0.0.1:0");
    let port = server.port();
    assert_eq!(eventually(DEADLINE, "the port", || ask(at(V4, port), "a").ok()), "127.0.0.1 a");
    let host = Server::start(TcpListener::bind("127.0.0.1:0").unwrap());
    let port = host.port();
    let asked = || bed.inside(move || ask(at(V4, port), "x").ok());
    assert_eq!(eventually(DEADLINE, "the host's port", asked), "127.0.0.1 x");
}

#[test]
fn the_guest_has_the_hosts_address_and_follows_it() {
    let bed = Bed::started();
    let guest = bed.guest.id();
    let addresses = || {
        let output = Command::new("nsenter")
            .args([&format!("--net=/proc/{guest}/ns/net"), "ip", "-brief", "address"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(addresses().contains("203.0.113.7/24"), "{}", addresses());
    let _server = bed.serve_inside("127.0.0.1:7000");
    eventually(DEADLINE, "the port", || ask(at(V4, 7000), "").ok());
    run("ip addr add 198.51.100.9/24 dev up0");
    run("ip addr del 203.0.113.7/24 dev up0");
    run("ip route replace default via 198.51.100.1 dev up0");
    eventually(DEADLINE, "the new address", || addresses().contains("198.51.100.9/24").then_some(()));
    assert!(ask(at(V4, 7000), "").is_ok(), "ports stay as they are");
}

#[test]
fn a_host_without_network_gives_it_to_the_guest_when_it_has_one() {
    let bed = Bed::new();
    run("ip link set up0 down");
    bed.hook(&[]);
    let _server = bed.serve_inside("127.0.0.1:7000");
    eventually(DEADLINE, "the port", || ask(at(V4, 7000), "").ok());
    run("ip link set up0 up");
    run("ip route add default via 203.0.113.1 dev up0");
    let net = PathBuf::from(format!("/proc/{}/net", bed.guest.id()));
    eventually(DEADLINE, "the guest's way out", || snug_hook::uplink::default_interface(&net));
}

#[test]
fn what_dies_is_started_again_and_the_keeper_leaves_nothing() {
    let bed = Bed::started();
    let kill = |pid: u32| kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
    let uid = |pid: u32| {
        fs::metadata(format!("/proc/{pid}/maps"))
            .map(|about| std::os::unix::fs::MetadataExt::uid(&about))
            .ok()
    };
    let find = |wanted: &dyn Fn(&(u32, String)) -> bool| {
        bed.processes().into_iter().find(|process| wanted(process)).map(|(pid, _)| pid)
    };
    let is_forwarder = |process: &(u32, String)| {
        let status = fs::read_to_string(format!("/proc/{}/status", process.0)).unwrap_or_default();
        status.lines().any(|line| line.starts_with("Uid:\t65534"))
    };
    let is_pasta =
        |process: &(u32, String)| ["pasta", "passt"].iter().any(|name| process.1.starts_with(name));
    let _server = bed.serve_inside("127.0.0.1:7000");
    eventually(DEADLINE, "the port", || ask(at(V4, 7000), "").ok());
    let forwarder = find(&is_forwarder).unwrap();
    // It is the owner's, and its memory is not: it holds what root has opened.
    assert_eq!(uid(forwarder), Some(0));
    kill(forwarder);
    let pasta = find(&is_pasta).unwrap();
    kill(pasta);
    eventually(DEADLINE, "a new forwarder", || find(&is_forwarder).filter(|pid| *pid != forwarder));
    eventually(DEADLINE, "the port", || ask(at(V4, 7000), "").ok());
    eventually(DEADLINE, "a new pasta", || find(&is_pasta).filter(|pid| *pid != pasta));
    let keeper = find(&|process| !is_forwarder(process) && !is_pasta(process)).unwrap();
    kill(keeper);
    eventually(DEADLINE, "the end of the others", || bed.processes().is_empty().then_some(()));
}
