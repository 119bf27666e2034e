//! What the guest takes over from the host: time zone, locale, resolver. Parsers beside their files.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use snug_core::host_file;

use super::{certificates, file};

/// All that [`timezone`], [`locale`], [`resolver`] and [`certificates::added`] are made of, to be compared with what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    timezone: Option<String>,
    locale: Vec<(String, String)>,
    resolvers: [String; 2],
    certificates: Vec<(String, String)>,
}

impl Sources {
    /// As they are now. Blocks. What cannot be read is as if it were not there.
    #[must_use]
    pub fn read() -> Self {
        Self {
            timezone: timezone(),
            locale: locale(),
            resolvers: resolvers(),
            certificates: certificates::added(),
        }
    }
}

/// The host's resolver, and what systemd-resolved asks itself.
const RESOLVERS: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

fn resolvers() -> [String; 2] {
    RESOLVERS.map(|path| file::read_or_empty(Path::new(path)).unwrap_or_default())
}

/// Name of the host's time zone: where `/etc/localtime` leads to below a `zoneinfo` directory.
#[must_use]
pub fn timezone() -> Option<String> {
    if let Ok(target) = std::fs::read_link("/etc/localtime")
        && let Some(zone) = zone_of(&target.to_string_lossy())
    {
        return Some(zone);
    }
    let text = std::fs::read_to_string("/etc/timezone").ok()?;
    valid_zone(text.trim())
}

fn zone_of(target: &str) -> Option<String> {
    let (_, zone) = target.split_once("zoneinfo/")?;
    valid_zone(zone)
}

/// It becomes a path in the guest: words, slashes, no way up.
fn valid_zone(zone: &str) -> Option<String> {
    let word = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b))
    };
    (zone.split('/').all(word)).then(|| zone.to_owned())
}

/// `LANG` and `LC_*` of the host.
#[must_use]
pub fn locale() -> Vec<(String, String)> {
    ["/etc/locale.conf", "/etc/default/locale"]
        .into_iter()
        .map(|path| host_file::locale(&file::read_or_empty(Path::new(path)).unwrap_or_default()))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

/// Text of `resolv.conf` for a guest with its own network, whose router is `gateway`.
///
/// A resolver on the host's loopback cannot be reached from there: then what systemd-resolved asks itself, else the
/// bridge's address (its dnsmasq asks for the guest).
#[must_use]
pub fn resolver(gateway: Option<Ipv4Addr>) -> Option<String> {
    let [host, upstream] = resolvers();
    resolver_from(&host, &upstream, gateway)
}

/// Text of `resolv.conf` for a guest that shares the host's network: as it is.
#[must_use]
pub fn resolver_of_host() -> Option<String> {
    let [host, _] = resolvers();
    (!host.trim().is_empty()).then_some(host)
}

/// Text of `resolv.conf` for a guest with a resolver of its own at `server`, with the host's search list and options.
#[must_use]
pub fn resolver_at(server: Ipv4Addr) -> String {
    let [host, _] = resolvers();
    asking(server, &host)
}

fn asking(server: Ipv4Addr, host: &str) -> String {
    let mut text = format!("nameserver {server}\n");
    for line in host.lines().filter(|line| line.starts_with("search ") || line.starts_with("options ")) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn resolver_from(host: &str, upstream: &str, gateway: Option<Ipv4Addr>) -> Option<String> {
    if reachable(host) {
        return Some(without_loopback(host));
    }
    if reachable(upstream) {
        return Some(without_loopback(upstream));
    }
    Some(asking(gateway?, host))
}

/// The name servers of a `resolv.conf` that speak IPv4, in its order.
#[must_use]
pub fn servers_v4(text: &str) -> Vec<Ipv4Addr> {
    let v4 = |address| match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    };
    text.lines().filter_map(server).filter_map(v4).collect()
}

fn server(line: &str) -> Option<IpAddr> {
    let mut words = line.split_whitespace();
    if words.next() != Some("nameserver") {
        return None;
    }
    let address = words.next()?;
    address.split('%').next()?.parse().ok()
}

fn usable(address: IpAddr) -> bool {
    !address.is_loopback() && !address.is_unspecified()
}

fn reachable(text: &str) -> bool {
    text.lines().filter_map(server).any(usable)
}

fn without_loopback(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines().filter(|line| server(line).is_none_or(usable)) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_a_name_and_no_path() {
        assert_eq!(zone_of("../usr/share/zoneinfo/Europe/Berlin").as_deref(), Some("Europe/Berlin"));
        assert_eq!(zone_of("/usr/share/zoneinfo/Etc/GMT+3").as_deref(), Some("Etc/GMT+3"));
        assert_eq!(zone_of("/usr/share/zoneinfo/../../etc/shadow"), None);
        assert_eq!(zone_of("/somewhere/else"), None);
    }

    #[test]
    fn a_resolver_that_can_be_reached_is_taken_over() {
        let host = "# by hand\nsearch lan\nnameserver 127.0.0.1\nnameserver 192.168.1.1\n";
        assert_eq!(resolver_from(host, "", None).unwrap(), "search lan\nnameserver 192.168.1.1\n");
        let all = servers_v4(
            "nameserver 192.168.1.1\nnameserver fe80::1%eth0\noptions edns0\nnameserver 9.9.9.9\n",
        );
        assert_eq!(all, [Ipv4Addr::new(192, 168, 1, 1), Ipv4Addr::new(9, 9, 9, 9)]);
    }

    #[test]
    fn a_loopback_resolver_is_replaced_by_its_upstream() {
        let host = "nameserver 127.0.0.53\noptions edns0\n";
        assert_eq!(resolver_from(host, "nameserver 9.9.9.9\n", None).unwrap(), "nameserver 9.9.9.9\n");
    }

    #[test]
    fn without_an_upstream_the_bridge_resolves() {
        let gateway = Ipv4Addr::new(10, 1, 2, 1);
        let host = "nameserver ::1\nsearch corp\n";
        assert_eq!(resolver_from(host, "", Some(gateway)).unwrap(), "nameserver 10.1.2.1\nsearch corp\n");
        assert_eq!(resolver_from("", "", None), None);
    }
}
