//! The step of the grant `session`.

use super::Work;
use crate::error::Result;
use crate::host::{mounts, session};

impl Work {
    /// What there is of it is shared; what cannot be is told, and the container starts without.
    pub(super) async fn mount_session(&self) -> Result<()> {
        let (base, owner) = (self.daemon.paths().session_mounts(self.uid(), &self.name), self.uid());
        let mounted = self.blocking(move || {
            mounts::detach_below(&base)?;
            Ok(session::mount(&base, owner))
        });
        for error in mounted.await? {
            self.notice(error.to_string());
        }
        Ok(())
    }
}
