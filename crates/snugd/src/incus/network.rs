//! Snug's bridge and the addresses on it.
//!
//! A bridge of its own with `dns.mode=none`: two users' `dev` would collide in Incus' names (design, section 6, rule
//! 11). The daemon gives each container a fixed address, unique over all users, which the agent sets by itself.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;

use incus_client::{Client, Config, Instance, ListOptions, NetworksPost};

use crate::error::{Error, Result, failed};
use crate::host::{file, routing_rules};

/// Marks a bridge that Snug has made.
const OWN: &str = "user.snug.bridge";
/// Its usual name: those that earlier versions made have no mark.
const USUAL: &str = "snugbr0";

/// The bridge's address and its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// Address of the host on it.
    pub gateway: Ipv4Addr,
    /// Length of the prefix.
    pub prefix: u8,
}

impl Subnet {
    /// Reads `10.1.2.1/24`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let prefix: u8 = prefix.parse().ok()?;
        (8..=30).contains(&prefix).then_some(Self { gateway: address.parse().ok()?, prefix })
    }

    fn mask(self) -> u32 {
        u32::MAX << (32 - u32::from(self.prefix))
    }

    fn first(self) -> u32 {
        u32::from(self.gateway) & self.mask()
    }

    fn last(self) -> u32 {
        self.first() | !self.mask()
    }

    fn overlaps(self, other: (u32, u32)) -> bool {
        self.first() <= other.1 && other.0 <= self.last()
    }

    /// The first address that nobody has.
    #[must_use]
    pub fn free_address(self, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        // Incus' own DHCP gives none away that a device has by configuration.
        (self.first() + 1..self.last())
            .map(Ipv4Addr::from)
            .find(|address| *address != self.gateway && !taken.contains(address))
    }
}

/// A network that collides with none of the host's: the first `/22` of a few quiet corners of the private ones (RFC 1918).
#[must_use]
pub fn quiet_subnet(routes: &str) -> Option<Subnet> {
    let routes = parse_routes(routes);
    let corners = [(10u8, 83u8), (10, 147), (10, 209), (172, 27), (10, 61)];
    corners.into_iter().flat_map(|(a, b)| (0..=255u8).step_by(4).map(move |c| (a, b, c))).find_map(
        |(a, b, c)| {
            let subnet = Subnet { gateway: Ipv4Addr::new(a, b, c, 1), prefix: 22 };
            (!routes.iter().any(|route| subnet.overlaps(*route))).then_some(subnet)
        },
    )
}

/// Networks of `/proc/net/route`, first and last address; the default route collides with nothing.
fn parse_routes(text: &str) -> Vec<(u32, u32)> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // The kernel prints the numbers as they lie in memory (fib_route_seq_show).
            let number = |at: usize| Some(u32::from_str_radix(words.get(at)?, 16).ok()?.swap_bytes());
            let number =
                |at| number(at).map(|n: u32| if cfg!(target_endian = "big") { n.swap_bytes() } else { n });
            let (destination, mask) = (number(1)?, number(7)?);
            (mask != 0).then_some((destination & mask, (destination & mask) | !mask))
        })
        .collect()
}

/// The bridge, made when there is none.
///
/// # Errors
/// What Incus says, or that no network is free.
pub async fn ensure(client: &Client, name: &str) -> Result<Subnet> {
    let networks = client.networks();
    match networks.get(name).await {
        Ok((network, _)) => return subnet_of(name, &network.config),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    let routes = tokio::task::spawn_blocking(|| file::read_or_empty(Path::new("/proc/net/route"))).await??;
    let subnet = quiet_subnet(&routes).ok_or_else(|| {
        failed("no free network for Snug's bridge: all candidates collide with routes of this host").hint(
            format!("make it yourself: incus network create {name} ipv4.address=ADDRESS/22 ipv4.nat=true ipv6.address=none dns.mode=none"),
        )
    })?;
    let config: Config = [
        ("ipv4.address", format!("{}/{}", subnet.gateway, subnet.prefix)),
        ("ipv4.nat", "true".into()),
        ("ipv6.address", "none".into()),
        ("dns.mode", "none".into()),
        (OWN, "true".into()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    match networks.create(&NetworksPost::bridge(name, config)).await {
        Ok(()) => Ok(subnet),
        // Another first use was quicker.
        Err(error) if error.is_conflict() || error.status() == Some(400) => match networks.get(name).await {
            Ok((network, _)) => subnet_of(name, &network.config),
            Err(_) => Err(Error::from(error).context(format!("make the bridge '{name}'"))),
        },
        Err(error) => Err(Error::from(error)
            .context(format!("make the bridge '{name}'"))
            .hint("is dnsmasq installed (the package 'dnsmasq-base')?")),
    }
}

fn subnet_of(name: &str, config: &Config) -> Result<Subnet> {
    config.get("ipv4.address").and_then(|text| Subnet::parse(text)).ok_or_else(|| {
        failed(format!("the bridge '{name}' has no IPv4 network"))
            .hint(format!("give it one: incus network set {name} ipv4.address=10.83.0.1/22 ipv4.nat=true"))
    })
}

/// Keeps the guests of the bridge from each other ([`routing_rules`]). A bridge that somebody else has made is his, with the instances that are
/// on it.
///
/// # Errors
/// What Incus or the kernel says.
pub async fn separate(client: &Client, name: &str) -> Result<()> {
    let Some(networks) = own_networks(client, name).await? else { return Ok(()) };
    let bridge = name.to_owned();
    tokio::task::spawn_blocking(move || routing_rules::separate(&bridge, &networks)).await?
}

/// Whether they are kept from each other by now.
///
/// # Errors
/// What Incus or the kernel says.
pub async fn is_separate(client: &Client, name: &str) -> Result<bool> {
    let Some(networks) = own_networks(client, name).await? else { return Ok(true) };
    let bridge = name.to_owned();
    tokio::task::spawn_blocking(move || routing_rules::is_separate(&bridge, &networks)).await?
}

/// The networks of the bridge, of IPv4 and IPv6; `None` where there is none of Snug's.
async fn own_networks(client: &Client, name: &str) -> Result<Option<Vec<routing_rules::Network>>> {
    let config = match client.networks().get(name).await {
        Ok((network, _)) => network.config,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if name != USUAL && !config.contains_key(OWN) {
        return Ok(None);
    }
    // `none` is none.
    let addresses = ["ipv4.address", "ipv6.address"].into_iter().filter_map(|key| config.get(key));
    Ok(Some(addresses.filter_map(|text| routing_rules::Network::parse(text)).collect()))
}

/// Addresses on the bridge that containers of anybody have.
///
/// # Errors
/// What Incus says.
pub async fn taken(client: &Client) -> Result<BTreeSet<Ipv4Addr>> {
    let all = ListOptions { all_projects: true, ..ListOptions::default() };
    Ok(client.instances().list(&all).await?.iter().flat_map(addresses).collect())
}

/// Fixed addresses of an instance.
fn addresses(instance: &Instance) -> Vec<Ipv4Addr> {
    let fixed =
        |device: &std::collections::BTreeMap<String, String>| device.get("ipv4.address")?.parse().ok();
    instance.expanded_devices.values().chain(instance.devices.values()).filter_map(fixed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        vpn0\t0000530A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";

    #[test]
    fn routes_of_the_kernel_are_read_in_its_byte_order() {
        let first = u32::from(Ipv4Addr::new(10, 83, 0, 0));
        assert_eq!(parse_routes(ROUTES), [(first, first + 0xFFFF)]);
    }

    #[test]
    fn a_network_of_the_host_is_avoided() {
        assert_eq!(quiet_subnet("").unwrap().gateway, Ipv4Addr::new(10, 83, 0, 1));
        assert_eq!(quiet_subnet(ROUTES).unwrap().gateway, Ipv4Addr::new(10, 147, 0, 1));
    }

    #[test]
    fn an_address_is_given_once() {
        let subnet = Subnet::parse("10.83.0.1/30").unwrap();
        let first = subnet.free_address(&BTreeSet::new()).unwrap();
        assert_eq!(first, Ipv4Addr::new(10, 83, 0, 2));
        assert_eq!(subnet.free_address(&BTreeSet::from([first])), None);
    }
}
