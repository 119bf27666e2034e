//! The files of the host's graphics driver, beside the device nodes of the grants `gpu` and `devices`.

use std::path::PathBuf;

use super::Work;
use crate::container::lookup::Found;
use crate::error::Result;
use crate::host::driver::{self, Change, Driver};

impl Work {
    /// What cannot be shared is told, and the container starts without.
    pub(super) async fn mount_driver(&self) {
        let target = self.driver_mounts();
        let mounted = self.blocking(move || driver::mount(&target)).await;
        let shared = match mounted {
            Ok(()) => self.share_driver().await,
            Err(error) => Err(error),
        };
        if let Err(error) = shared {
            self.notice(error.to_string());
        }
    }

    /// After the host's driver was updated, or a specification came or went.
    pub(super) async fn follow_driver(&self, found: &Found) -> Result<()> {
        let target = self.driver_mounts();
        if !found.spec()?.grants.nodes().has_graphics()
            || !self.blocking(move || Ok(driver::is_mounted(&target))).await?
        {
            return Ok(());
        }
        self.share_driver().await
    }

    async fn share_driver(&self) -> Result<()> {
        let (target, credentials) = (self.driver_mounts(), self.owner.credentials.clone());
        let complaints = self.blocking(move || {
            let read = Driver::read(credentials)?;
            let present = driver::current(&target);
            match read.change(present.as_deref()) {
                Change::Replace(generation) => {
                    driver::replace(&target, &generation, &read.layout, &read.files)?;
                }
                Change::Clear => driver::clear(&target)?,
                // Told when it came; what has become of a specification since then is told by the follower.
                Change::Nothing => return Ok(Vec::new()),
            }
            Ok(read.complaints)
        });
        for complaint in complaints.await? {
            self.notice(complaint.text);
        }
        Ok(())
    }

    fn driver_mounts(&self) -> PathBuf {
        self.daemon.paths().driver_mounts(self.uid(), &self.name)
    }
}
