//! Steps of the grant `places`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use incus_client::StatusCode;
use snug_core::grant::{Home, PLACES};
use snug_wire::provision::Place;

use super::Work;
use crate::error::Result;
use crate::host::credentials::with;
use crate::host::host_places::Held;
use crate::host::mount_table::Table;
use crate::host::patience::{within, within_time};
use crate::host::{directory, host_places, mounts, rundir, service_leftovers};
use crate::incus::idmap;

/// How long a directory of the host may take to be opened, which reads nothing of it: one on a server that is away does not
/// hold up each start for longer.
const ANSWER: Duration = Duration::from_secs(5);

impl Work {
    /// Mounts the host's places where Incus takes them from, and answers what the agent is told of them; once for the whole
    /// work, so that what is mounted is what it is told.
    pub(super) async fn mount_places(&self) -> Result<Vec<Place>> {
        if let Some(places) = self.places.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(places);
        }
        self.remove_service_leftovers().await;
        // Else the first medium may come later than the container, which would never see it.
        let media = || rundir::mount_target(Path::new(host_places::REMOVABLE_MEDIA));
        if let Err(error) = self.blocking(media).await {
            self.notice(error.to_string());
        }
        let base = self.daemon.paths().place_mounts(self.uid(), &self.name);
        let old = base.clone();
        self.blocking(move || mounts::detach_below(&old)).await?;
        let paths = self.held_below_places().await?;
        let held = self.blocking(move || Ok(Held { paths, table: Table::read()? })).await?;
        let held = Arc::new(held);
        let mounted = join_all(PLACES.map(|path| self.mount_place(path, &base, &held))).await;
        let mut places = Vec::new();
        for (path, mounted) in PLACES.into_iter().zip(mounted) {
            match mounted {
                Ok(mounted) => places.extend(mounted),
                Err(error) => self.notice(format!("{path} is not shared: {error}")),
            }
        }
        *self.places.lock().unwrap_or_else(PoisonError::into_inner) = Some(places.clone());
        Ok(places)
    }

    async fn mount_place(&self, path: &'static str, base: &Path, held: &Arc<Held>) -> Result<Option<Place>> {
        let (credentials, held) = (self.owner.credentials.clone(), held.clone());
        let open = move || host_places::open(credentials, path, &held);
        let turn = self.daemon.host_places().take(path);
        let (opened, _) = within_time(ANSWER, path, turn, open).await?;
        let Some(opened) = opened? else { return Ok(None) };
        let base = base.to_owned();
        self.blocking(move || opened.mount(&base).map(Some)).await
    }

    /// Where Snug and Incus mount things themselves, and the home as both sides call it.
    async fn held_below_places(&self) -> Result<Vec<PathBuf>> {
        let home = self.spec().await?.grants.home();
        let account = self.account(&home).await?;
        let own = [self.daemon.paths().state.clone(), self.daemon.places().incus_dir.clone()];
        let real = |path: PathBuf| std::fs::canonicalize(&path).unwrap_or(path);
        let mut held = self.blocking(move || Ok(own.map(real).to_vec())).await?;
        held.extend([account.home.clone(), account.home_real]);
        if home != Home::Shared {
            // It may lie elsewhere than the account says, and need not be there: the container has its own.
            let credentials = self.owner.credentials.clone();
            let open = move || with(credentials, move || directory::open(&account.home));
            let turn = self.daemon.homes().take(self.uid());
            if let Ok((Ok(Ok((_, real))), _)) = within_time(ANSWER, "the home", turn, open).await {
                held.push(real);
            }
        }
        Ok(held)
    }

    /// After they were unmounted.
    pub(super) async fn leave_places(&self) {
        *self.places.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.remove_service_leftovers().await;
    }

    /// Removes what the services of this guest have left in `/tmp` of the host, unless it runs.
    async fn remove_service_leftovers(&self) {
        let removed = async {
            let Some(found) = self.look().await? else { return Ok(()) };
            if found.instance.status_code != StatusCode::Stopped || !found.spec()?.grants.places() {
                return Ok(());
            }
            let ids = idmap::guest_ids(&found.instance.config);
            // The owner's own: however much others have left, it holds up nobody else.
            let turn = || self.daemon.leftovers().take(self.uid());
            // Named before the guest starts again: then it takes no harm where removing takes longer than it is waited for.
            let its = ids.clone();
            let what = "the search for what its services left in /tmp";
            let named = within_time(ANSWER, what, turn(), move || service_leftovers::of(&its)).await?.0?;
            if named.is_empty() {
                return Ok(());
            }
            let what = "the removal of what its services left in /tmp";
            within(what, turn(), move || service_leftovers::remove(&named, &ids)).await?.0
        };
        let removed: Result<()> = removed.await;
        if let Err(error) = removed {
            self.notice(error.to_string());
        }
    }
}
