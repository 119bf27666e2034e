//! What the agent is told: `provision.json`, written before each start.

use std::net::Ipv4Addr;

use snug_core::grant::{Home, Network as NetworkGrant};
use snug_core::spec::Spec;
use snug_wire::provision::{Account, Network, Provision};

use super::Work;
use crate::error::Result;
use crate::host::{environment, home, rundir};
use crate::incus::idmap;
use crate::incus::network::Subnet;

/// Milliseconds that a command that was hung up may go on.
pub const HANGUP_GRACE: u32 = 2000;

impl Work {
    pub(super) async fn write_provision(&self) -> Result<()> {
        let found = self.found().await?;
        let spec = found.spec()?.clone();
        let guest_root = idmap::guest_root(&found.instance.config)?;
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
        let places = if spec.grants.places() { self.mount_places().await? } else { Vec::new() };
        let session = spec.grants.session();
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
                session,
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
