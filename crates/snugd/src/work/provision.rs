//! What the agent is told: `provision.json`, written before each start.

use std::net::Ipv4Addr;

use snug_core::grant::{Home, Network as NetworkGrant};
use snug_core::spec::Spec;
use snug_wire::provision::{Account, Network, Provision};

use super::Work;
use crate::error::{Result, failed};
use crate::host::{environment, home, rundir};
use crate::incus::network::Subnet;

/// Milliseconds that a command that was hung up may go on.
pub const HANGUP_GRACE: u32 = 2000;

impl Work {
    pub(super) async fn write_provision(&self) -> Result<()> {
        let found = self.found().await?;
        let spec = found.spec()?.clone();
        let guest_root = guest_root(&found.instance.config)?;
        let network = match spec.grants.network() {
            NetworkGrant::Nat | NetworkGrant::Mirror => self.network_of(&found.instance.devices).await?,
            NetworkGrant::Host | NetworkGrant::None => None,
        };
        let provision = self.provision(&spec, network).await?;
        let (paths, uid, name) = (self.daemon.paths().clone(), self.uid(), self.name.clone());
        self.blocking(move || rundir::fill_guest(&paths, uid, &name, guest_root, &provision)).await
    }

    async fn network_of(&self, devices: &incus_client::Devices) -> Result<Option<Network>> {
        let Some(device) = devices.get("eth0") else { return Ok(None) };
        let address: Option<Ipv4Addr> = device.get("ipv4.address").and_then(|text| text.parse().ok());
        let (Some(address), Some(bridge)) = (address, device.get("network")) else { return Ok(None) };
        let (network, _) = self.daemon.incus().networks().get(bridge).await?;
        let subnet = network.config.get("ipv4.address").and_then(|text| Subnet::parse(text));
        Ok(subnet.map(|subnet| Network { address, prefix: subnet.prefix, gateway: subnet.gateway }))
    }

    async fn provision(&self, spec: &Spec, network: Option<Network>) -> Result<Provision> {
        let home_grant = spec.grants.home();
        let home_shared = home_grant == Home::Shared;
        let account = self.account(&home_grant).await?;
        let trusted = spec.grants.is_trusted(|path| account.touches_home(path));
        let private = spec.grants.islands().into_iter().map(ToOwned::to_owned).collect();
        let shares_network = spec.grants.network() == NetworkGrant::Host;
        let gateway = network.as_ref().map(|network| network.gateway);
        let hostname = self.name.to_string();
        let places = if spec.grants.places() { self.places().await? } else { Vec::new() };
        let reserve = spec.settings.root_size().is_some();
        let mut home_also = None;
        if home_shared {
            let (credentials, real) = (self.owner.credentials.clone(), account.home_real.clone());
            home_also = self.in_home(move || home::other_spelling(credentials, &real)).await?;
        }
        self.blocking(move || {
            Ok(Provision {
                owner: Account {
                    name: account.name,
                    uid: account.uid.0,
                    gid: account.gid.0,
                    group: account.group,
                    gecos: account.gecos,
                    shell: account.shell,
                    home: account.home,
                    home_also,
                    home_real: account.home_real,
                },
                hostname,
                timezone: environment::timezone(),
                locale: environment::locale(),
                resolv_conf: match shares_network {
                    true => environment::resolver_of_host(),
                    false => environment::resolver(gateway),
                },
                network,
                places,
                private,
                home_shared,
                trusted,
                hangup_grace: HANGUP_GRACE,
                reserve,
            })
        })
        .await
    }
}

/// The host's ids of the guest's root: where the map that the next start uses puts 0.
pub(super) fn guest_root(config: &incus_client::Config) -> Result<(u32, u32)> {
    if config.get("security.privileged").is_some_and(|value| value == "true") {
        return Ok((0, 0));
    }
    let text = config.get("volatile.idmap.next").or_else(|| config.get("volatile.last_state.idmap"));
    let map: Vec<serde_json::Value> =
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let zero = |kind: &str| {
        map.iter().find_map(|entry| {
            let field = |name: &str| entry.get(name);
            let applies = field(kind)?.as_bool()? && field("Nsid")?.as_u64()? == 0;
            applies.then(|| field("Hostid")?.as_u64().and_then(|id| u32::try_from(id).ok()))?
        })
    };
    match (zero("Isuid"), zero("Isgid")) {
        (Some(uid), Some(gid)) => Ok((uid, gid)),
        _ => Err(failed("Incus does not say which ids the container gets (volatile.idmap.next)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_root_is_where_the_next_map_puts_it() {
        let map = r#"[{"Isuid":true,"Isgid":false,"Hostid":1065536,"Nsid":0,"Maprange":1000},
            {"Isuid":true,"Isgid":false,"Hostid":1000,"Nsid":1000,"Maprange":1},
            {"Isuid":false,"Isgid":true,"Hostid":1065537,"Nsid":0,"Maprange":1000}]"#;
        let config = [("volatile.idmap.next".to_owned(), map.to_owned())].into();
        assert_eq!(guest_root(&config).unwrap(), (1_065_536, 1_065_537));
        assert!(guest_root(&incus_client::Config::new()).is_err());
    }
}
