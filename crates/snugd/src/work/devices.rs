//! The step of the grants of devices.

use std::path::PathBuf;

use snug_core::grant::Nodes;

use super::Work;
use crate::container::lookup::Found;
use crate::error::Result;
use crate::host::devices::{self, Listing, Owners};
use crate::incus::idmap;

impl Work {
    /// What cannot be made is told, and the container starts without: hardware that is missing never stops one.
    pub(super) async fn make_devices(&self) -> Result<()> {
        let found = self.found().await?;
        let (nodes, owners) = (found.spec()?.grants.nodes(), self.device_owners(&found)?);
        let target = self.device_nodes();
        let mount = move || devices::mount(&target, owners);
        let made = match self.blocking(mount).await {
            Ok(()) => self.fill_devices(nodes, owners).await,
            Err(error) => Err(error),
        };
        if let Err(error) = made {
            self.notice(error.to_string());
        }
        if nodes.has_graphics() {
            self.mount_driver().await;
        }
        Ok(())
    }

    /// After something was plugged in, or unplugged, or the owner's session began or ended.
    pub(super) async fn follow_devices(&self, found: &Found) -> Result<()> {
        let nodes = found.spec()?.grants.nodes();
        let target = self.device_nodes();
        if nodes.is_empty() || !self.blocking(move || Ok(devices::is_mounted(&target))).await? {
            return Ok(());
        }
        self.fill_devices(nodes, self.device_owners(found)?).await
    }

    async fn fill_devices(&self, nodes: Nodes, owners: Owners) -> Result<()> {
        let (target, credentials) = (self.device_nodes(), self.owner.credentials.clone());
        self.blocking(move || devices::fill(&target, &Listing::for_owner(credentials, nodes)?, owners)).await
    }

    fn device_owners(&self, found: &Found) -> Result<Owners> {
        let account = &self.owner.account;
        let directories = idmap::guest_root(&found.instance.config)?;
        Ok(Owners { nodes: (account.uid.0, account.gid.0), directories })
    }

    fn device_nodes(&self) -> PathBuf {
        self.daemon.paths().device_nodes(self.uid(), &self.name)
    }
}
