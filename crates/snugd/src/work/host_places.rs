//! Steps of the grant `places`.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::future::join_all;
use snug_core::grant::PLACES;
use snug_wire::provision::Place;

use super::Work;
use super::provision::guest_root;
use crate::error::{ErrorKind, Result};
use crate::host::patience::within_time;
use crate::host::{host_places, mounts};

/// How long a place of the host may take to be opened, which reads nothing of it: one on a server that is away does not
/// hold up each start for longer.
const ANSWER: Duration = Duration::from_secs(5);

impl Work {
    pub(super) async fn mount_places(&self) -> Result<()> {
        self.places().await.map(drop)
    }

    /// What the agent is told of the host's places, which are mounted where Incus takes them from; once for the whole work,
    /// so that what is mounted is what it is told.
    pub(super) async fn places(&self) -> Result<Vec<Place>> {
        if let Some(places) = self.places.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(places);
        }
        self.sweep_places().await;
        if let Err(error) = self.blocking(host_places::make_removable_media).await {
            self.notice(error.to_string());
        }
        let base = self.daemon.paths().place_mounts(self.uid(), &self.name);
        let old = base.clone();
        self.blocking(move || mounts::detach_below(&old)).await?;
        let holds = self.held_below_places().await?;
        let mounted = join_all(PLACES.map(|place| self.mount_place(place, &base, &holds))).await;
        let mut places = Vec::new();
        for (place, mounted) in PLACES.into_iter().zip(mounted) {
            match mounted {
                Ok(mounted) => places.extend(mounted),
                Err(error) => self.notice(format!("{place} is not shared: {error}")),
            }
        }
        *self.places.lock().unwrap_or_else(PoisonError::into_inner) = Some(places.clone());
        Ok(places)
    }

    async fn mount_place(
        &self,
        place: &'static str,
        base: &Path,
        holds: &[PathBuf],
    ) -> Result<Option<Place>> {
        let (credentials, holds) = (self.owner.credentials.clone(), holds.to_vec());
        let open = move || host_places::open(credentials, place, &holds);
        let turn = self.daemon.host_places().take((self.uid(), place));
        let (opened, _) = within_time(ANSWER, place, turn, open).await?;
        let Some(opened) = opened? else { return Ok(None) };
        let base = base.to_owned();
        self.blocking(move || opened.mount(&base).map(Some)).await
    }

    /// The home as both sides call it, and where Snug mounts things itself.
    async fn held_below_places(&self) -> Result<Vec<PathBuf>> {
        let grants = self.spec().await?.grants;
        let account = self.account(&grants.home()).await?;
        let state = self.daemon.paths().state.clone();
        let state = self.blocking(move || Ok(std::fs::canonicalize(&state).unwrap_or(state))).await?;
        Ok(vec![account.home, account.home_real, state])
    }

    /// After they were unmounted.
    pub(super) async fn leave_places(&self) {
        *self.places.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.sweep_places().await;
    }

    /// Removes what the services of this guest, which does not run, have left in `/tmp` of the host.
    async fn sweep_places(&self) {
        let swept = async {
            let found = match self.found().await {
                // Taken away before its mounts: it never ran.
                Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
                found => found?,
            };
            if !found.spec()?.grants.places() {
                return Ok(());
            }
            // One that never ran has left nothing.
            let Ok(root) = guest_root(&found.instance.config) else { return Ok(()) };
            if root.0 == 0 {
                return Ok(());
            }
            let turn = self.daemon.host_places().take((self.uid(), "/tmp"));
            within_time(ANSWER, "/tmp", turn, move || host_places::sweep(root)).await?.0
        };
        let swept: Result<()> = swept.await;
        if let Err(error) = swept {
            self.notice(format!("what the guest's services left on the host stays there: {error}"));
        }
    }
}
