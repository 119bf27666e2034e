//! The host's way to other networks.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use snug_netlink::Changes;

/// The interface of the default route, and the networks that it is in: what a guest gets a copy of. Addresses of IPv6 are counted by
/// their network alone, since those that protect privacy change by themselves (RFC 8981).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    interface: String,
    networks: BTreeSet<String>,
}

impl Uplink {
    /// This machine's by now; `None` while it has none.
    #[must_use]
    pub fn now() -> Option<Self> {
        let interface = default_interface(Path::new("/proc/self/net"))?;
        let addresses = nix::ifaddrs::getifaddrs().ok()?;
        let of_interface = addresses.filter(|address| address.interface_name == interface);
        let networks = of_interface.filter_map(|address| {
            let address = address.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
            let ip = v4.or_else(|| Some(address.as_sockaddr_in6()?.ip().into()))?;
            network(ip)
        });
        Some(Self { networks: networks.collect(), interface })
    }
}

/// As text; `None` for an address of the link, which says nothing.
fn network(ip: IpAddr) -> Option<String> {
    match ip {
        IpAddr::V4(ip) => Some(ip.to_string()),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => None,
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Some(format!("{a:x}:{b:x}:{c:x}:{d:x}::"))
        }
    }
}

/// The interface of the default route in a network namespace, by its directory (`/proc/PID/net`).
#[must_use]
pub fn default_interface(net: &Path) -> Option<String> {
    let read = |name| beginning(&net.join(name));
    let v4 = default_v4(&read("route")).and_then(|words| words.first().map(ToString::to_string));
    v4.or_else(|| default_v6(&read("ipv6_route")))
}

/// The IPv4 router of the default route in a network namespace, by its directory (`/proc/PID/net`).
#[must_use]
pub fn router(net: &Path) -> Option<Ipv4Addr> {
    router_of(&beginning(&net.join("route")))
}

/// Bytes of a table of routes that are read, some thousand lines: a guest may have a million. The default route of IPv4 is among the first
/// (`fib_route_seq_start` goes by the address).
const LONGEST: u64 = 1 << 20;

/// What cannot be read is empty.
fn beginning(path: &Path) -> String {
    let mut bytes = Vec::new();
    // What was read before an error is a table, too.
    let _ = File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The kernel prints the address as it lies in memory (`fib_route_seq_show`). A route without a router has 0 in its place.
fn router_of(routes: &str) -> Option<Ipv4Addr> {
    let number = u32::from_str_radix(default_v4(routes)?.get(2)?, 16).ok()?;
    Some(Ipv4Addr::from(number.to_ne_bytes())).filter(|ip| !ip.is_unspecified())
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`
fn default_v4(routes: &str) -> Option<Vec<&str>> {
    let lines = routes.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let defaults = lines.filter(|words| words.len() > 7 && words[1] == "00000000" && words[7] == "00000000");
    defaults.min_by_key(|words| words[6].parse::<u32>().unwrap_or(u32::MAX))
}

/// `destination length source length next-hop metric use-count references flags interface`, in hexadecimal digits.
fn default_v6(routes: &str) -> Option<String> {
    let number = |word: &str| u32::from_str_radix(word, 16).unwrap_or(u32::MAX);
    let lines = routes.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Each namespace has one that refuses, on its loopback.
    let defaults = lines.filter(|words| words.len() > 9 && words[1] == "00" && words[9] != "lo");
    let best = defaults
        .filter(|words| words[0].bytes().all(|digit| digit == b'0'))
        .min_by_key(|words| number(words[5]))?;
    Some(best[9].to_owned())
}

/// What IPv4 takes, as groups of rtnetlink(7). Of the routes of an interface that goes down nothing is told but that.
const V4: i32 = libc::RTMGRP_IPV4_ROUTE | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_LINK;

/// Word of routes and addresses that change, in the calling thread's network namespace.
///
/// # Errors
/// What the kernel says.
pub fn changes() -> io::Result<Changes> {
    of(V4 | libc::RTMGRP_IPV6_ROUTE | libc::RTMGRP_IPV6_IFADDR)
}

/// The same, of IPv4 alone: an interface that comes up has IPv6 tell of itself for seconds.
///
/// # Errors
/// What the kernel says.
pub fn changes_of_v4() -> io::Result<Changes> {
    of(V4)
}

fn of(groups: i32) -> io::Result<Changes> {
    Changes::here(None, groups.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_is_the_one_of_the_lowest_metric() {
        let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
        let of = |name: &str, destination: &str, metric: u32, mask: &str| {
            format!("{name}\t{destination}\t010200C0\t0003\t0\t0\t{metric}\t{mask}\t0\t0\t0\n")
        };
        let wifi = of("wlan0", "00000000", 600, "00000000");
        let cable = of("eth0", "00000000", 100, "00000000");
        let half = of("tun0", "00000000", 0, "00000080");
        let net = of("eth0", "000200C0", 0, "00FFFFFF");
        let all = [head, &wifi, &cable, &half, &net].concat();
        assert_eq!(default_v4(&all).unwrap()[0], "eth0");
        #[cfg(target_endian = "little")]
        assert_eq!(router_of(&all), Some(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(default_v4(&[head, &net].concat()), None);
        assert_eq!(default_v4(""), None);
    }

    #[test]
    fn a_table_without_end_is_read_to_some_length() {
        let (reader, mut writer) = io::pipe().unwrap();
        // Ends with an error, when nobody reads any more.
        let writing = std::thread::spawn(move || io::copy(&mut io::repeat(b'0'), &mut writer));
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        assert_eq!(beginning(Path::new(&path)).len() as u64, LONGEST);
        drop(reader);
        assert!(writing.join().unwrap().is_err());
    }

    #[test]
    fn a_route_of_the_loopback_is_no_way_out() {
        let zero = "0".repeat(32);
        let line = |length: &str, metric: &str, name: &str| {
            format!("{zero} {length} {zero} 00 {zero} {metric} 00000001 00000000 00200200 {name}\n")
        };
        let (lo, slow, fast) =
            (line("00", "ffffffff", "lo"), line("00", "00000400", "wlan0"), line("00", "00000064", "eth0"));
        assert_eq!(default_v6(&[lo.as_str(), &slow, &fast].concat()).as_deref(), Some("eth0"));
        assert_eq!(default_v6(&[lo.as_str(), &line("40", "00000001", "eth0")].concat()), None);
    }

    #[test]
    fn a_temporary_address_is_no_other_network() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2::9"));
        assert_ne!(of("2001:db8:1:2::9"), of("2001:db8:1:3::9"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("fe80::1"), None);
    }
}
