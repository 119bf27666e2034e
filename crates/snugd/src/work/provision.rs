//! What the agent is told: `provision.json`, written before each start.

use std::net::Ipv4Addr;

use incus_client::Instance;
use snug_core::grant::{GrantSet, Home, Network as NetworkGrant};
use snug_core::instance::is_mirrored;
use snug_core::spec::Spec;
use snug_wire::network::{Bridged, RESOLVER};
use snug_wire::provision::{Account, Followed, Network, Provision};

use super::Work;
use crate::agent;
use crate::error::Result;
use crate::host::{certificates, environment, home, rundir};
use crate::incus::idmap;
use crate::incus::network::Subnet;

/// Milliseconds that a command that was hung up may go on.
pub const HANGUP_GRACE: u32 = 2000;

impl Work {
    pub(super) async fn write_provision(&self) -> Result<()> {
        let found = self.found().await?;
        let spec = found.spec()?.clone();
        let guest_root = idmap::guest_root(&found.instance.config)?;
        let network = self.network_of(&spec, &found.instance.devices).await?;
        let bridge = found.instance.devices.get("eth0").and_then(|nic| nic.get("network")).cloned();
        let provision = self.provision(&spec, &found.instance, network).await?;
        let bridged = bridged(bridge, &provision);
        let (paths, uid, name) = (self.daemon.paths().clone(), self.uid(), self.name.clone());
        self.blocking(move || {
            rundir::write_bridged(&paths, uid, &name, bridged.as_ref())?;
            rundir::fill_guest(&paths, uid, &name, guest_root, &provision)
        })
        .await
    }

    /// Tells the guest, if it runs, what has changed on the host.
    ///
    /// # Errors
    /// What Incus says; what the agent says.
    pub async fn follow(&self) -> Result<()> {
        let Some(found) = self.look().await? else { return Ok(()) };
        if !found.instance.status_code.is_running() {
            return Ok(());
        }
        let spec = found.spec()?;
        // First: the agent makes links to what is there.
        let (devices, driver) = (self.follow_devices(&found).await, self.follow_driver(&found).await);
        let network = self.network_of(spec, &found.instance.devices).await?;
        let router = Router::of(&spec.grants, &found.instance.devices, network.as_ref());
        let followed = self.blocking(move || Ok(followed(router))).await?;
        let socket = self.daemon.paths().agent_socket(self.uid(), &self.name);
        agent::follow(socket, self.owner.credentials.clone(), followed).await.and(devices).and(driver)
    }

    async fn network_of(&self, spec: &Spec, devices: &incus_client::Devices) -> Result<Option<Network>> {
        if let NetworkGrant::Host | NetworkGrant::None = spec.grants.network() {
            return Ok(None);
        }
        let Some(device) = devices.get("eth0") else { return Ok(None) };
        let address: Option<Ipv4Addr> = device.get("ipv4.address").and_then(|text| text.parse().ok());
        let (Some(address), Some(bridge)) = (address, device.get("network")) else { return Ok(None) };
        let (network, _) = self.daemon.incus().networks().get(bridge).await?;
        let subnet = network.config.get("ipv4.address").and_then(|text| Subnet::parse(text));
        Ok(subnet.map(|subnet| Network { address, prefix: subnet.prefix, gateway: subnet.gateway }))
    }

    async fn provision(
        &self,
        spec: &Spec,
        instance: &Instance,
        network: Option<Network>,
    ) -> Result<Provision> {
        let home_grant = spec.grants.home();
        let home_shared = home_grant == Home::Shared;
        let account = self.account(&home_grant).await?;
        let trusted = spec.grants.is_trusted(|path| account.touches_home(path));
        let private = spec.grants.islands().into_iter().map(ToOwned::to_owned).collect();
        let router = Router::of(&spec.grants, &instance.devices, network.as_ref());
        let mirrored = matches!(router, Router::Forwarder);
        let id = instance.config.get("volatile.uuid").cloned().unwrap_or_default();
        let (hostname, image) = (self.name.to_string(), spec.image.clone());
        let places = if spec.grants.places() { self.mount_places().await? } else { Vec::new() };
        let session = spec.grants.session();
        let (host_exec, host_open) = (spec.grants.host_exec().is_some(), spec.grants.host_open());
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
                image,
                id,
                followed: followed(router),
                network,
                mirrored,
                places,
                session,
                host_exec,
                host_open,
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

/// What a guest behind a bridge is to reach, for whoever looks at its network when it has started.
fn bridged(bridge: Option<String>, provision: &Provision) -> Option<Bridged> {
    let network = provision.network.as_ref()?;
    let name_servers = provision.followed.resolv_conf.as_deref().map(environment::servers_v4);
    Some(Bridged { bridge: bridge?, router: network.gateway, name_servers: name_servers.unwrap_or_default() })
}

/// Whom a guest asks for names.
enum Router {
    /// Whom the host asks.
    Host,
    /// The forwarder of its mirrored network.
    Forwarder,
    /// Whom the host asks, as far as they can be reached from elsewhere, or the bridge.
    Bridge(Option<Ipv4Addr>),
}

impl Router {
    fn of(grants: &GrantSet, devices: &incus_client::Devices, network: Option<&Network>) -> Self {
        match grants.network() {
            NetworkGrant::Host => Self::Host,
            _ if is_mirrored(grants, devices) => Self::Forwarder,
            _ => Self::Bridge(network.map(|network| network.gateway)),
        }
    }
}

/// Blocks, for files of the host.
fn followed(router: Router) -> Followed {
    Followed {
        timezone: environment::timezone(),
        locale: environment::locale(),
        certificates: certificates::added(),
        resolv_conf: match router {
            Router::Host => environment::resolver_of_host(),
            Router::Forwarder => Some(environment::resolver_at(RESOLVER)),
            Router::Bridge(gateway) => environment::resolver(gateway),
        },
    }
}
