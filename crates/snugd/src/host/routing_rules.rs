//! Guests of the bridge, kept from each other's addresses.
//!
//! Incus isolates the bridge's ports from each other (`security.port_isolation`), which holds for frames alone: a guest that takes the host
//! for the router to its neighbour gets there, since the host forwards, and Incus' own chain accepts what comes from the bridge. A rule of
//! routing (ip-rule(8)) refuses it: *from the bridge to the bridge's own network: prohibited*. No rule of a firewall, since those go with
//! `nft flush ruleset`. The host's own address answers: the table `local` is asked before.
//!
//! All here blocks.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use snug_netlink::message::{Message, attributes};

use crate::error::{Error, Result};

/// By what ours are known (`FRA_PROTOCOL`, Linux 4.17): `ip rule show protocol 83`. No number of iproute2's `rt_protos`.
pub const PROTOCOL: u8 = 83;
/// The first that is asked after `local` (0): before VRFs (1000), Tailscale (5210), proxies (9000), NetworkManager's (30000 and more) and
/// `main` (32766), of which each may know a way to the bridge. Not nearer to 0, since the kernel gives a rule without a priority the one
/// before the second of all (`fib_default_rule_pref`), as wg-quick's have none: they need room, and their order.
const PRIORITY: u32 = 100;

/// A network of a bridge: any address in it, and the length of the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The host's, usually.
    pub address: IpAddr,
    /// Bits.
    pub prefix: u8,
}

impl Network {
    /// Reads `10.1.2.1/24`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let (address, prefix) = (address.parse::<IpAddr>().ok()?, prefix.parse().ok()?);
        (prefix <= if address.is_ipv4() { 32 } else { 128 }).then_some(Self { address, prefix })
    }

    fn family(self) -> Family {
        if self.address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// The bytes of its first address.
    fn first(self) -> Vec<u8> {
        let mut bytes = match self.address {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        for (at, byte) in bytes.iter_mut().enumerate() {
            let bits = u32::from(self.prefix).saturating_sub(8 * at as u32).min(8);
            *byte &= !0xff_u8.checked_shr(bits).unwrap_or(0);
        }
        bytes
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn number(self) -> u8 {
        (match self {
            Self::V4 => libc::AF_INET,
            Self::V6 => libc::AF_INET6,
        }) as u8
    }
}

/// What of a rule counts here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    priority: u32,
    /// As far as it is below 256 (`FRA_TABLE` has the others).
    table: u8,
    protocol: u8,
    action: u8,
    interface: String,
    /// First address and length of the prefix.
    to: (Vec<u8>, u8),
}

/// `linux/fib_rules.h`
const FRA_DST: u16 = 1;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_PROTOCOL: u16 = 21;
const FR_ACT_PROHIBIT: u8 = 8;
/// `RT_TABLE_LOCAL` of `linux/rtnetlink.h`
const LOCAL: u8 = 255;
/// `struct fib_rule_hdr`
const HEADER: usize = 12;

impl Rule {
    fn ours(priority: u32, bridge: &str, network: Network) -> Self {
        let to = (network.first(), network.prefix);
        Self {
            priority,
            table: 0,
            protocol: PROTOCOL,
            action: FR_ACT_PROHIBIT,
            interface: bridge.to_owned(),
            to,
        }
    }

    fn read(body: &[u8]) -> Option<Self> {
        let header = body.get(..HEADER)?;
        let mut rule = Self {
            priority: 0,
            table: header[4],
            protocol: 0,
            action: header[7],
            interface: String::new(),
            to: (Vec::new(), header[1]),
        };
        for (kind, value) in attributes(&body[HEADER..]) {
            match (kind, value) {
                (FRA_DST, value) => rule.to.0 = value.to_vec(),
                (FRA_IIFNAME, value) => {
                    let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
                    rule.interface = String::from_utf8_lossy(name).into_owned();
                }
                (FRA_PRIORITY, &[a, b, c, d]) => rule.priority = u32::from_ne_bytes([a, b, c, d]),
                (FRA_PROTOCOL, &[protocol]) => rule.protocol = protocol,
                _ => {}
            }
        }
        Some(rule)
    }

    fn message(&self, kind: u16, flags: u16, family: Family) -> Message {
        let header = [family.number(), self.to.1, 0, 0, 0, 0, 0, self.action, 0, 0, 0, 0];
        Message::new(kind, flags, &header)
            .with(FRA_DST, &self.to.0)
            .with(FRA_IIFNAME, &[self.interface.as_bytes(), &[0]].concat())
            .with(FRA_PRIORITY, &self.priority.to_ne_bytes())
            .with(FRA_PROTOCOL, &[self.protocol])
    }

    fn add(&self, family: Family) -> io::Result<()> {
        const RTM_NEWRULE: u16 = 32;
        const CREATE_EXCL: u16 = 0x400 | 0x200;
        match ask(self.message(RTM_NEWRULE, CREATE_EXCL, family)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => done,
        }
    }

    fn remove(&self, family: Family) -> io::Result<()> {
        const RTM_DELRULE: u16 = 33;
        match ask(self.message(RTM_DELRULE, 0, family)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

fn ask(message: Message) -> io::Result<()> {
    snug_netlink::ask(snug_netlink::open(None)?, message)
}

fn all(family: Family) -> io::Result<Vec<Rule>> {
    const RTM_GETRULE: u16 = 34;
    let mut header = [0; HEADER];
    header[0] = family.number();
    let mut rules = Vec::new();
    let message = Message::new(RTM_GETRULE, 0, &header);
    snug_netlink::dump(snug_netlink::open(None)?, message, |body| rules.extend(Rule::read(body)))?;
    Ok(rules)
}

/// What there is to do, so that `wanted` of a bridge, and nothing else of it, is asked right after `local`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Change {
    add: Option<Rule>,
    remove: Vec<Rule>,
}

/// `exists` tells of interfaces.
fn change(
    rules: &[Rule],
    bridge: &str,
    wanted: Option<Network>,
    exists: impl Fn(&str) -> bool,
) -> io::Result<Change> {
    let (ours, others): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| rule.protocol == PROTOCOL);
    // Those of `local` and those beside it, which nothing comes before.
    let next = others.iter().map(|rule| rule.priority).filter(|priority| *priority > 0).min();
    let wanted = match wanted {
        None => None,
        // Or it would keep guests from the host's own address, where their names come from.
        Some(_) if !others.iter().any(|rule| rule.priority == 0 && rule.table == LOCAL) => {
            return Err(io::Error::other("the table `local` is not asked first on this host"));
        }
        // Where there is no room before another one, with it: still before `main`.
        Some(network) => {
            let priority = PRIORITY.min(next.map_or(PRIORITY, |next| next - 1)).max(1);
            Some(Rule::ours(priority, bridge, network))
        }
    };
    let is_there = wanted.as_ref().is_some_and(|wanted| ours.contains(&wanted));
    let stale = |rule: &&Rule| {
        Some(rule) != wanted.as_ref().as_ref() && (rule.interface == bridge || !exists(&rule.interface))
    };
    Ok(Change {
        remove: ours.into_iter().filter(stale).cloned().collect(),
        add: wanted.filter(|_| !is_there),
    })
}

/// Two starts at once would take each other's rule for a stale one.
static ONE: Mutex<()> = Mutex::new(());

/// Has the kernel forward nothing from the bridge to its own networks, one of each kind at most. Rules that a bridge had for other networks
/// go, and those of bridges that are gone.
///
/// # Errors
/// What the kernel says: it has no rules (`CONFIG_IP_MULTIPLE_TABLES`), or this process may not make any.
pub fn separate(bridge: &str, networks: &[Network]) -> Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let exists = |name: &str| Path::new("/sys/class/net").join(name).exists();
    for family in [Family::V4, Family::V6] {
        let wanted = networks.iter().copied().find(|network| network.family() == family);
        let separated = || {
            let rules = match all(family) {
                // A host without IPv6 has no rules of it.
                Err(_) if wanted.is_none() => return Ok(()),
                rules => rules?,
            };
            let change = change(&rules, bridge, wanted, exists)?;
            // First the new one: there is no moment without.
            change.add.iter().try_for_each(|rule| rule.add(family))?;
            change.remove.iter().try_for_each(|rule| rule.remove(family))
        };
        separated().map_err(|error: io::Error| Error::system("make a rule of routing", error))?;
    }
    Ok(())
}

/// Whether the rules are as [`separate`] makes them.
///
/// # Errors
/// What the kernel says.
pub fn is_separate(bridge: &str, networks: &[Network]) -> Result<bool> {
    let as_wanted = |network: &Network| {
        let change = change(&all(network.family())?, bridge, Some(*network), |_| true)?;
        Ok(change.add.is_none())
    };
    let all = networks.iter().map(as_wanted).collect::<io::Result<Vec<_>>>();
    Ok(all.map_err(|error| Error::system("read the rules of routing", error))?.into_iter().all(|is| is))
}

/// Takes all of Snug's rules back; how many there were.
///
/// # Errors
/// What the kernel says.
pub fn remove_all() -> Result<usize> {
    let mut count = 0;
    for family in [Family::V4, Family::V6] {
        let rules = match all(family) {
            // A host without IPv6 has no rules of it.
            Err(_) if family == Family::V6 => continue,
            rules => rules.map_err(|error| Error::system("read the rules of routing", error))?,
        };
        for rule in rules.iter().filter(|rule| rule.protocol == PROTOCOL) {
            rule.remove(family).map_err(|error| Error::system("remove a rule of routing", error))?;
            count += 1;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::parse(text).unwrap()
    }

    fn other(priority: u32) -> Rule {
        let table = if priority == 0 { LOCAL } else { 254 };
        Rule { priority, table, protocol: 2, action: 1, interface: String::new(), to: (Vec::new(), 0) }
    }

    fn made(priority: u32, text: &str) -> Rule {
        Rule::ours(priority, "br0", network(text))
    }

    #[test]
    fn a_network_is_its_first_address() {
        assert_eq!(network("10.83.2.1/22").first(), [10, 83, 0, 0]);
        assert_eq!(network("10.83.2.1/32").first(), [10, 83, 2, 1]);
        assert_eq!(network("10.83.2.1/0").first(), [0; 4]);
        assert_eq!(network("fd42:1:2:3ff::1/57").first()[..9], [0xfd, 0x42, 0, 1, 0, 2, 3, 0x80, 0]);
        for wrong in ["", "none", "10.0.0.1", "10.0.0.1/33", "fd42::1/129"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_rule_is_made_once_and_another_networks_goes() {
        let wanted = network("10.83.0.1/22");
        let usual = [other(0), other(32766), other(32767)];
        let change = |more: &[Rule], wanted| {
            change(&[&usual[..], more].concat(), "br0", wanted, |name| name == "br1").unwrap()
        };
        let ours = made(100, "10.83.0.1/22");
        assert_eq!(change(&[], Some(wanted)), Change { add: Some(ours.clone()), remove: vec![] });
        assert_eq!(change(std::slice::from_ref(&ours), Some(wanted)), Change::default());
        let of_yesterday = made(100, "10.147.0.1/22");
        assert_eq!(
            change(std::slice::from_ref(&of_yesterday), Some(wanted)),
            Change { add: Some(ours.clone()), remove: vec![of_yesterday] }
        );
        assert_eq!(
            change(std::slice::from_ref(&ours), None),
            Change { add: None, remove: vec![ours.clone()] }
        );
        let of = |bridge: &str| Rule { interface: bridge.to_owned(), ..ours.clone() };
        let more = [ours.clone(), of("br1"), of("gone")];
        assert_eq!(change(&more, Some(wanted)), Change { add: None, remove: vec![of("gone")] });
    }

    #[test]
    fn the_rule_comes_before_whatever_may_know_a_way() {
        let wanted = Some(network("10.83.0.1/22"));
        // wg-quick's: the kernel has put them before ours.
        let ours = made(100, "10.83.0.1/22");
        let rules = [other(0), other(98), other(99), ours.clone(), other(32766)];
        let expected = Change { add: Some(made(97, "10.83.0.1/22")), remove: vec![ours] };
        assert_eq!(change(&rules, "br0", wanted, |_| true).unwrap(), expected);
        let beside = Change { add: Some(made(1, "10.83.0.1/22")), remove: vec![] };
        assert_eq!(change(&[other(0), other(1)], "br0", wanted, |_| true).unwrap(), beside);
        // A host whose own addresses come later (VRF) would lose them to its guests.
        assert!(change(&[other(1000)], "br0", wanted, |_| true).is_err());
    }
}

#[cfg(all(test, feature = "root-tests"))]
mod root_tests {
    use super::*;

    /// In a network of its own: the rules of this machine stay.
    #[test]
    fn the_kernel_takes_the_rules_and_gives_them_back() {
        let apart = std::thread::spawn(|| {
            // SAFETY: this thread alone has other namespaces then, and ends with the test.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
            let both = [Network::parse("10.83.0.1/22").unwrap(), Network::parse("fd42::1/64").unwrap()];
            let ours = |family| {
                let rules = all(family).unwrap();
                rules.into_iter().filter(|rule| rule.protocol == PROTOCOL).collect::<Vec<_>>()
            };
            for _ in 0..2 {
                separate("br0", &both).unwrap();
                assert_eq!(ours(Family::V4), [Rule::ours(PRIORITY, "br0", both[0])]);
                assert_eq!(ours(Family::V6), [Rule::ours(PRIORITY, "br0", both[1])]);
            }
            assert!(is_separate("br0", &both).unwrap());
            let moved = Network::parse("10.147.0.1/22").unwrap();
            assert!(!is_separate("br0", &[moved]).unwrap());
            separate("br0", &[moved]).unwrap();
            assert_eq!(ours(Family::V4), [Rule::ours(PRIORITY, "br0", moved)]);
            assert_eq!(ours(Family::V6), []);
            assert_eq!(remove_all().unwrap(), 1);
            assert_eq!(ours(Family::V4), []);
        });
        apart.join().unwrap();
    }
}
