//! The step of the grants of devices.

use std::path::{Path, PathBuf};

use snug_core::grant::Nodes;

use super::Work;
use crate::error::Result;
use crate::host::credentials::with;
use crate::host::devices::{self, DEV, Listing};

impl Work {
    /// What cannot be made is told, and the container starts without: hardware that is missing never stops one.
    pub(super) async fn make_devices(&self) -> Result<()> {
        let nodes = self.spec().await?.grants.nodes();
        let target = self.device_nodes();
        self.blocking(move || devices::mount(&target)).await?;
        if let Err(error) = self.fill_devices(nodes).await {
            self.notice(error.to_string());
        }
        Ok(())
    }

    /// After something was plugged in, or unplugged, or the owner's session began or ended.
    pub(super) async fn follow_devices(&self, nodes: Nodes) -> Result<()> {
        let target = self.device_nodes();
        if nodes.is_empty() || !self.blocking(move || Ok(devices::is_mounted(&target))).await? {
            return Ok(());
        }
        self.fill_devices(nodes).await
    }

    async fn fill_devices(&self, nodes: Nodes) -> Result<()> {
        let (target, credentials) = (self.device_nodes(), self.owner.credentials.clone());
        self.blocking(move || {
            let (uid, gid) = (credentials.uid, credentials.gid);
            let listing = with(credentials, move || Listing::of(Path::new(DEV), nodes))?;
            devices::fill(&target, &listing, uid, gid)
        })
        .await
    }

    fn device_nodes(&self) -> PathBuf {
        self.daemon.paths().device_nodes(self.uid(), &self.name)
    }
}
