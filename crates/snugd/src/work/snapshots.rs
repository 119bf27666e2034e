//! Steps on snapshots: taken, gone back to, deleted; and what of the container stays as it is when its disk goes back.

use std::path::{Path, PathBuf};

use incus_client::{Config, InstancePut, Snapshot as Found, SnapshotsPost, StatusCode};
use jiff::Timestamp;
use snug_core::plan::Snapshots;
use snug_core::snapshot::{Ability, Occasion, Snapshot, SnapshotName, put_in_order};

use super::{VERSION, Work};
use crate::container::present::{self, Present};
use crate::container::{lookup, occasions};
use crate::error::{Error, ErrorKind, Result, failed};
use crate::failpoint;
use crate::host::guest_bin;
use crate::incus::{patiently, quirks, work_ended};

/// How often somebody else may change the instance between our look and Incus' restore.
const ATTEMPTS: u32 = 5;

impl Work {
    /// The container's snapshots, and what its pool makes of them.
    ///
    /// # Errors
    /// What Incus says; [`ErrorKind::NotFound`].
    pub async fn snapshots(&self) -> Result<Snapshots> {
        let found = self.found().await?;
        let root = found.instance.devices.get("root").or_else(|| found.instance.expanded_devices.get("root"));
        let pool = root.and_then(|root| root.get("pool")).cloned();
        let pool = pool.ok_or_else(|| failed(format!("'{}' has no disk in a storage pool", self.name)))?;
        let pools = self.daemon.incus().storage_pools();
        let instances = self.incus().instances();
        let (paths, uid, name) = (self.daemon.paths().clone(), self.uid(), self.name.clone());
        let ((pool, _), mut all, occasions) = tokio::try_join!(
            async { Ok::<_, Error>(pools.get(&pool).await?) },
            async { Ok(instances.snapshots(self.name.as_str()).await?) },
            self.blocking(move || occasions::read(&paths, uid, &name)),
        )?;
        all.sort_by_key(taken);
        let mut all: Vec<Snapshot> = all
            .into_iter()
            .map(|snapshot| match snapshot.name.parse::<SnapshotName>() {
                Ok(name) => Snapshot::Own {
                    before: occasions.get(&name).cloned().unwrap_or_default(),
                    name,
                    starts: starts_by_itself(&snapshot.config),
                },
                Err(_) => Snapshot::Foreign(snapshot.name),
            })
            .collect();
        put_in_order(&mut all);
        let ability = Ability::of(&pool.driver, &pool.config);
        Ok(Snapshots { all, ability, pool: pool.name, driver: pool.driver })
    }

    pub(super) async fn take_snapshot(&self, snapshot: &SnapshotName, before: &Occasion) -> Result<()> {
        let instances = self.incus().instances();
        let existing = instances.snapshots(self.name.as_str()).await?;
        let existing: Vec<String> = existing.into_iter().map(|snapshot| snapshot.name).collect();
        let (paths, uid, name) = (self.daemon.paths().clone(), self.uid(), self.name.clone());
        let (noted, occasion) = (snapshot.clone(), before.clone());
        // First: a daemon that dies in between leaves words without a snapshot, which the next one forgets.
        self.blocking(move || occasions::add(&paths, uid, &name, &noted, &occasion, &existing)).await?;
        let post = SnapshotsPost { name: snapshot.to_string(), ..SnapshotsPost::default() };
        // Incus writes to the instance's own disk when it has taken one, which the guest may have filled.
        let taken = self.with_room(|| async {
            let operation = instances.create_snapshot(self.name.as_str(), &post).await?;
            failpoint::reach("take-snapshot:during");
            operation.wait().await.map(|_| ())
        });
        taken.await.map_err(|error| Error::from(error).context(format!("take a snapshot of '{}'", self.name)))
    }

    /// Puts the disk back to a snapshot. What the instance is to have afterwards is written down first, once: from then on until
    /// [`Self::put_back_config`], what Incus says of it may be the snapshot's.
    pub(super) async fn restore_snapshot(
        &self,
        snapshot: &SnapshotName,
        kept: Option<&SnapshotName>,
    ) -> Result<()> {
        self.put_back_config().await?;
        self.make_directories().await?;
        let instances = self.incus().instances();
        let name = self.name.as_str();
        let mut attempt = 1;
        loop {
            let (instance, seen) = instances.get(name).await?;
            // Incus starts again whatever was not stopped, with the snapshot's configuration (also what was frozen).
            if instance.status_code != StatusCode::Stopped {
                return Err(Error::new(ErrorKind::Busy, format!("'{name}' was started meanwhile")));
            }
            self.keep_present(Present::of(instance, snapshot, kept)).await?;
            failpoint::reach("restore-snapshot:recorded");
            // Busy or no longer as it was seen: Incus refuses before it does anything.
            let restored = patiently(|| async {
                let operation = instances.restore_snapshot(name, snapshot.as_str(), Some(&seen)).await?;
                failpoint::reach("restore-snapshot:during");
                operation.wait().await.map(|_| ())
            });
            match restored.await {
                Err(error) if error.is_precondition_failed() && attempt < ATTEMPTS => attempt += 1,
                outcome => {
                    self.forget();
                    return outcome.map_err(|error| {
                        Error::from(error).context(format!("put the disk of '{name}' back to '{snapshot}'"))
                    });
                }
            }
        }
    }

    async fn keep_present(&self, present: Present) -> Result<()> {
        let (paths, uid, name) = (self.daemon.paths().clone(), self.uid(), self.name.clone());
        self.blocking(move || present::write(&paths, uid, &name, &present)).await
    }

    /// Whether the disk of the instance with this configuration was going back when an earlier daemon died. What was written down of another
    /// one of that name is forgotten: this one is not touched for it.
    pub(super) async fn is_restoring(&self, instance: &Config) -> Result<bool> {
        let (paths, uid, name) = (self.daemon.paths().clone(), self.uid(), self.name.clone());
        let instance = instance.clone();
        self.blocking(move || match present::read(&paths, uid, &name) {
            Ok(None) => Ok(false),
            Ok(Some(kept)) if !kept.is_of(&instance) => {
                tracing::warn!(container = %name, "what was to be put back is another instance's of that name");
                present::forget(&paths, uid, &name).map(|()| false)
            }
            // What cannot be understood is told when it is to be put back.
            Ok(Some(_)) | Err(_) => Ok(true),
        })
        .await
    }

    /// Gives the instance the configuration that was written down, if one was.
    pub(super) async fn put_back_config(&self) -> Result<()> {
        let (paths, uid, name) = (self.daemon.paths().clone(), self.uid(), self.name.clone());
        let Some(mut kept) = self.blocking(move || present::read(&paths, uid, &name)).await? else {
            return Ok(());
        };
        // The answer of a restore may be what was lost, and not the restore.
        work_ended(&self.incus(), self.name.as_str()).await?;
        self.make_directories().await?;
        self.offer_programs(&mut kept).await?;
        let (instance, _) = self.incus().instances().get(self.name.as_str()).await?;
        let (status, found) = (instance.status_code, instance.into_put());
        if kept.is_of(&found.config) {
            // Whoever has started it meanwhile has started the snapshot's rights.
            if !matches!(status, StatusCode::Stopped | StatusCode::Error) {
                self.stop_instance(true, 0).await?;
            }
            // The disk that a restore of btrfs makes is new, and Incus bounds it when the device's size changes, not before.
            if kept.is_limited() && self.snapshots().await?.driver == "btrfs" {
                self.give(Limit::None, &kept).await?;
            }
            self.give_with_limit(&kept).await?;
            if let Some(taken) = kept.kept.clone().filter(|_| kept.is_older_than(&found)) {
                let (paths, uid, name) = (self.daemon.paths().clone(), self.uid(), self.name.clone());
                self.blocking(move || occasions::finish(&paths, uid, &name, &taken)).await?;
            }
        } else {
            tracing::warn!(container = %self.name, "what was to be put back is another instance's of that name");
        }
        self.forget();
        failpoint::reach("put-back-config:during");
        let (paths, uid, name) = (self.daemon.paths().clone(), self.uid(), self.name.clone());
        self.blocking(move || present::forget(&paths, uid, &name)).await
    }

    /// The same as [`Self::give`], also where the disk that has come back is larger than its limit of today: lvm and zfs make none
    /// smaller than what is in it.
    async fn give_with_limit(&self, kept: &Present) -> Result<()> {
        let Err(error) = self.give(Limit::Kept, kept).await else { return Ok(()) };
        if !kept.is_limited() || self.give(Limit::OfTheDisk, kept).await.is_err() {
            return Err(error);
        }
        self.notice(format!("the disk of '{}' has the limit of its snapshot again: {error}", self.name));
        Ok(())
    }

    /// Makes the instance's configuration what was kept.
    async fn give(&self, limit: Limit, kept: &Present) -> Result<()> {
        let instances = self.incus().instances();
        let name = self.name.as_str();
        let put = |put: &mut InstancePut| {
            *put = match limit {
                Limit::Kept | Limit::None => kept.over(put),
                Limit::OfTheDisk => kept.over_with_its_limit(put),
            };
            if limit == Limit::None {
                present::unlimit(put);
            }
        };
        let Err(error) = self.with_room(|| instances.update(name, put)).await else { return Ok(()) };
        // Incus writes to the instance's own disk after its database, see `set_phase`: on a pool without any room it has been given.
        if quirks::is_full_disk(&error.to_string()) {
            let current = instances.get(name).await?.0.into_put();
            let mut wanted = current.clone();
            put(&mut wanted);
            if wanted == current {
                return Ok(());
            }
        }
        Err(Error::from(error).context(format!("give '{name}' the configuration that it had")))
    }

    /// The version of the guest's programs that the instance had may be gone, since no container named it for a while; each start
    /// brings its own.
    async fn offer_programs(&self, kept: &mut Present) -> Result<()> {
        let Some(source) = kept.source("snug-bin").map(PathBuf::from) else { return Ok(()) };
        let paths = self.daemon.paths().clone();
        let instead = self.blocking(move || {
            if Path::new(&source).exists() { Ok(None) } else { guest_bin::install(&paths, VERSION).map(Some) }
        });
        if let Some(instead) = instead.await? {
            kept.set_source("snug-bin", &instead.to_string_lossy());
        }
        Ok(())
    }

    pub(super) async fn delete_snapshot(&self, snapshot: &SnapshotName, needed: bool) -> Result<()> {
        // What is not this owner's container has no snapshots that are his to delete.
        let found = lookup::find(self.daemon.incus(), &self.config, self.uid(), &self.name).await;
        match found.and_then(|found| found.ok_or_else(|| lookup::missing(&self.name))) {
            Ok(_) => {}
            Err(error) if needed => return Err(error),
            Err(error) => {
                self.notice(format!("the old snapshot '{snapshot}' of '{}' stays: {error}", self.name));
                return Ok(());
            }
        }
        let instances = self.incus().instances();
        let deleted = patiently(|| async {
            let operation = instances.delete_snapshot(self.name.as_str(), snapshot.as_str()).await?;
            failpoint::reach("delete-snapshot:during");
            operation.wait().await.map(|_| ())
        });
        match deleted.await {
            Ok(()) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) if needed => {
                Err(Error::from(error)
                    .context(format!("delete the snapshot '{snapshot}' of '{}'", self.name)))
            }
            Err(error) => {
                self.notice(format!("the old snapshot '{snapshot}' of '{}' stays: {error}", self.name));
                Ok(())
            }
        }
    }
}

/// Which limit the disk gets with the configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// The one that was kept.
    Kept,
    /// The one that came back with the disk.
    OfTheDisk,
    /// None.
    None,
}

/// Whether Incus starts an instance of this configuration when the host boots (`instancesStart`, 6.0.4).
fn starts_by_itself(config: &Config) -> bool {
    match config.get("boot.autostart").map(|value| value.to_lowercase()) {
        Some(value) if !value.is_empty() => ["true", "1", "yes", "on"].contains(&value.as_str()),
        _ => config.get("volatile.last_state.power").is_some_and(|power| power == "RUNNING"),
    }
}

/// When Incus took it; what has no time keeps its place before the others.
fn taken(snapshot: &Found) -> Timestamp {
    snapshot.created_at.as_str().parse().unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_incus_starts_at_boot_is_known() {
        let config = |autostart: Option<&str>, power: &str| {
            let autostart = autostart.map(|value| ("boot.autostart".to_owned(), value.to_owned()));
            let power = ("volatile.last_state.power".to_owned(), power.to_owned());
            autostart.into_iter().chain([power]).collect::<Config>()
        };
        for (autostart, power, starts) in [
            (Some("false"), "RUNNING", false),
            (Some("true"), "STOPPED", true),
            (Some("1"), "STOPPED", true),
            (None, "RUNNING", true),
            (None, "STOPPED", false),
        ] {
            assert_eq!(starts_by_itself(&config(autostart, power)), starts, "{autostart:?} {power}");
        }
    }
}
