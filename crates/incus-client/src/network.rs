//! Networks.

use http::Method;
use serde::{Deserialize, Serialize};

use crate::client::{Client, ETag};
use crate::json::null_as_default;
use crate::path::ApiPath;
use crate::{Config, Result};

/// A network of the host; only managed ones can be changed.
#[derive(Clone, Debug, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Network {
    /// Name, at most 15 characters for a bridge.
    pub name: String,
    /// `bridge`, `ovn`, `physical`, `loopback`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether Incus made it.
    pub managed: bool,
    /// `Created`, `Pending`, `Errored`, …; empty for unmanaged ones.
    pub status: String,
    /// Configuration; empty for unmanaged ones.
    #[serde(deserialize_with = "null_as_default")]
    pub config: Config,
    /// Free text.
    pub description: String,
    /// URLs of what uses it.
    #[serde(deserialize_with = "null_as_default")]
    pub used_by: Vec<String>,
}

/// A network to be made. Without addresses in `config`, a bridge gets subnets of its own, NAT, DHCP and DNS.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NetworksPost {
    /// Name, at most 15 characters for a bridge.
    pub name: String,
    /// `bridge` unless something else is wanted.
    #[serde(rename = "type")]
    pub kind: String,
    /// Configuration.
    pub config: Config,
    /// Free text.
    pub description: String,
}

impl NetworksPost {
    /// A bridge.
    pub fn bridge(name: impl Into<String>, config: Config) -> Self {
        Self { name: name.into(), kind: "bridge".into(), config, description: String::new() }
    }
}

/// A lease of a managed bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct NetworkLease {
    /// Name of the instance.
    pub hostname: String,
    /// MAC address; empty for gateways.
    pub hwaddr: String,
    /// IP address.
    pub address: String,
    /// `static`, `dynamic`, `gateway`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// An address of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Address {
    /// `inet` or `inet6`.
    pub family: String,
    /// The address.
    pub address: String,
    /// Length of the prefix, as text.
    pub netmask: String,
    /// `global`, `link` or `local`.
    pub scope: String,
}

/// Traffic of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Bytes.
    pub bytes_received: u64,
    /// Bytes.
    pub bytes_sent: u64,
    /// Packets.
    pub packets_received: u64,
    /// Packets.
    pub packets_sent: u64,
}

/// State of an interface, of the host or of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct NetworkState {
    /// Addresses.
    #[serde(deserialize_with = "null_as_default")]
    pub addresses: Vec<Address>,
    /// Traffic.
    #[serde(deserialize_with = "null_as_default")]
    pub counters: Counters,
    /// MAC address.
    pub hwaddr: String,
    /// Name of the host's end of an instance's interface; empty otherwise.
    pub host_name: String,
    /// Bytes.
    pub mtu: u32,
    /// `up` or `down`.
    pub state: String,
    /// `broadcast`, `loopback`, `point-to-point`.
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Serialize)]
struct NetworkPut<'a> {
    config: &'a Config,
    description: &'a str,
}

/// Networks of a project; of the default one where it has none of its own.
#[derive(Clone, Debug)]
pub struct Networks(Client);

impl Client {
    /// Networks.
    pub fn networks(&self) -> Networks {
        Networks(self.clone())
    }
}

impl Networks {
    /// All networks, unmanaged interfaces of the host included.
    pub async fn list(&self) -> Result<Vec<Network>> {
        self.0.list(&ApiPath::new(["networks"]).query("recursion", "1")).await
    }

    /// One network.
    pub async fn get(&self, name: &str) -> Result<(Network, ETag)> {
        self.0.get_with_etag(&ApiPath::new(["networks", name])).await
    }

    /// Creates a network and brings it up; Incus answers when that is done.
    pub async fn create(&self, network: &NetworksPost) -> Result<()> {
        self.0.change(Method::POST, &ApiPath::new(["networks"]), network, None).await
    }

    /// Replaces configuration and description.
    pub async fn put(
        &self,
        name: &str,
        config: &Config,
        description: &str,
        if_match: Option<&ETag>,
    ) -> Result<()> {
        let body = NetworkPut { config, description };
        self.0.change(Method::PUT, &ApiPath::new(["networks", name]), &body, if_match).await
    }

    /// Deletes a network that nobody uses.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.0.change(Method::DELETE, &ApiPath::new(["networks", name]), &(), None).await
    }

    /// Leases of a managed bridge.
    pub async fn leases(&self, name: &str) -> Result<Vec<NetworkLease>> {
        self.0.get(&ApiPath::new(["networks", name, "leases"])).await
    }

    /// Addresses and traffic of an interface.
    pub async fn state(&self, name: &str) -> Result<NetworkState> {
        self.0.get(&ApiPath::new(["networks", name, "state"])).await
    }
}
