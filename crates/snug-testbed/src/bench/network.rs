//! The mirrored network against the others: from a server of the host's to a container's `cat`, and one line from it.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Doing, Error, Result};
use crate::session::container::Container;
use crate::session::user_command::UserCommand;

use super::Effort;
use super::guest::{Guest, IMAGE, USER};
use super::report::{Budget, Row, median_ms};

const LONG: Duration = Duration::from_secs(300);
const SENT: usize = 512 << 20;
/// Connections, one after the other, of one measurement of latency.
const ASKED: usize = 200;
const NAT: &str = "bench-nat";

/// Throughput and latency. To the host's loopback `mirror` goes by Snug's forwarder; to another address of the host, here the bridge's, by
/// pasta as it does to any machine; `nat` goes by the kernel alone, as the host itself does.
pub fn measure(guest: &Guest<'_>, effort: Effort) -> Result<Vec<Row>> {
    let nat = guest.bed.try_container(USER, NAT, IMAGE, &["--grant", "network=nat"])?;
    nat.run(["true"]).run()?.ok()?;
    let bridge = guest.bed.incus(["network", "get", "snugbr0", "ipv4.address"]).ok()?.text();
    let bridge: Ipv4Addr = bridge
        .trim()
        .split('/')
        .next()
        .and_then(|address| address.parse().ok())
        .ok_or_else(|| Error::Unfit("snugbr0 has no address".into()))?;
    let (much, little) = (serve(vec![0; 1 << 20], SENT >> 20)?, serve(b"x\n".to_vec(), 1)?);
    let in_guest = |container: &Container<'_>, line: &str| container.run(["bash", "-c", line]);
    let on_host = |line: &str| guest.bed.as_user(USER, ["bash", "-c", line]);
    let ways = |line: &dyn Fn(Ipv4Addr) -> String| {
        let loopback = Ipv4Addr::LOCALHOST;
        [
            on_host(&line(loopback)),
            in_guest(&guest.snug, &line(loopback)),
            in_guest(&guest.snug, &line(bridge)),
            in_guest(&nat, &line(bridge)),
        ]
    };
    let rates = each(effort, 3, ways(&|ip| format!("cat </dev/tcp/{ip}/{much} >/dev/null")))?;
    let [host, loopback, outward, bridged] = rates.map(|took| (SENT >> 20) as f64 / took.as_secs_f64());
    let ask = |ip| {
        format!(
            "for i in $(seq {ASKED}); do exec 3<>/dev/tcp/{ip}/{little}; read -r line <&3; exec 3>&-; done"
        )
    };
    let times = each(effort, 3, ways(&ask))?;
    let [host_time, loopback_time, outward_time, bridged_time] =
        times.map(|took| took.as_secs_f64() * 1000.0 / ASKED as f64);
    let rate =
        |what, rate| Row::against(what, "MiB/s", rate, ("the host's own loopback", host), Budget::None);
    let time =
        |what, time| Row::against(what, "ms", time, ("the host's own loopback", host_time), Budget::None);
    Ok(vec![
        rate("512 MiB from the host's loopback, mirror", loopback),
        rate("512 MiB from another address, mirror (pasta)", outward),
        rate("512 MiB from another address, nat", bridged),
        time("a connection and a line, loopback, mirror", loopback_time),
        time("a connection and a line, another address, mirror (pasta)", outward_time),
        time("a connection and a line, another address, nat", bridged_time),
    ])
}

/// The median of some times, each command in turn.
fn each<const N: usize>(effort: Effort, times: usize, commands: [UserCommand; N]) -> Result<[Duration; N]> {
    let mut took = [const { Vec::new() }; N];
    let commands = commands.map(|command| command.deadline(LONG));
    for _ in 0..effort.times(times).max(1) {
        for (command, took) in commands.iter().zip(&mut took) {
            let started = Instant::now();
            command.clone().run()?.ok()?;
            took.push(started.elapsed());
        }
    }
    Ok(took.map(|mut took| Duration::from_secs_f64(median_ms(&mut took) / 1000.0)))
}

/// A server on all addresses that gives each who connects so many pieces; its port. It ends with this program.
fn serve(piece: Vec<u8>, count: usize) -> Result<u16> {
    let any: SocketAddr = (Ipv4Addr::UNSPECIFIED, 0).into();
    let listener = TcpListener::bind(any).doing(|| "serving".to_owned())?;
    let port = listener.local_addr().doing(|| "serving".to_owned())?.port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            for _ in 0..count {
                // Whoever has enough goes.
                if let Err(error) = stream.write_all(&piece)
                    && error.kind() != ErrorKind::Interrupted
                {
                    break;
                }
            }
        }
    });
    Ok(port)
}
