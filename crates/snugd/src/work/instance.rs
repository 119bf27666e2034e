//! Steps on the Incus instance: made, changed, deleted.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use incus_client::{InstancePatch, InstanceSource, InstancesPost};
use snug_core::grant::Network;
use snug_core::image::ImageRef;
use snug_core::instance::{self, ConfigChange, IDMAP_SIZE, InstanceConfig, InstanceFacts, wanted};
use snug_core::owner::Account;
use snug_core::spec::{PHASE_KEY, Phase, Spec, TemporaryTag};
use snug_core::subid;
use snug_wire::provision::RESERVE;

use super::images::{Followed, follow};
use super::{VERSION, Work};
use crate::container::lookup::{self, Found};
use crate::container::record;
use crate::error::{Error, ErrorKind, Result, failed};
use crate::failpoint;
use crate::host::file;
use crate::incus::image::{self, Found as FoundImage};
use crate::incus::patiently;
use crate::incus::{idmap, network, pool, quirks};
use crate::reservation::Reservation;

impl Work {
    /// The container's spec.
    pub(super) async fn spec(&self) -> Result<Spec> {
        Ok(self.found().await?.spec()?.clone())
    }

    pub(super) async fn create_instance(
        &self,
        image: &ImageRef,
        spec: &Spec,
        temporary: Option<TemporaryTag>,
    ) -> Result<()> {
        self.make_sources().await?;
        let FoundImage::Here(fingerprint) = self.images().find(image).await? else {
            return Err(failed(format!("the image '{image}' is gone again")));
        };
        // Of one that was removed behind our back, perhaps of an earlier holder of this uid.
        self.forget_record().await?;
        let account = self.account(&spec.grants.home()).await?;
        let (facts, _reserved) = self.facts(spec, &account, None).await?;
        pool::check_space(self.daemon.incus(), &facts.pool).await?;
        let InstanceConfig { config, devices } =
            wanted(spec, &account, &facts).tagged(Phase::Creating, temporary);
        let mut post =
            InstancesPost::container(self.name.as_str(), InstanceSource::local_fingerprint(fingerprint));
        post.profiles = Some(Vec::new());
        post.config = config;
        post.devices = devices;
        post.description = format!("{} of {}", self.name, self.owner.account.name);
        let operation = self.incus().instances().create(&post).await.map_err(|error| self.refused(error))?;
        self.forget();
        failpoint::reach("create-instance:during");
        match follow(self.job.as_ref(), &operation).await {
            Ok(()) => Ok(()),
            Err(Followed::Cancelled) => Err(crate::job::cancelled()),
            Err(Followed::Failed(error)) => {
                let text = error.to_string();
                Err(if quirks::is_broken_image(&text) && !quirks::is_full_disk(&text) {
                    image::explain(error, &image.to_string())
                } else {
                    Error::from(error).context(format!("create '{}'", self.name))
                })
            }
        }
    }

    fn refused(&self, error: incus_client::Error) -> Error {
        if error.is_conflict() {
            return Error::new(ErrorKind::Exists, format!("the name '{}' is taken", self.name));
        }
        Error::from(error).context(format!("create '{}'", self.name))
    }

    /// What the host adds to a spec. Pool, bridge and address that the instance has stay its own, whatever the configuration
    /// says by now: an address is one of its bridge.
    async fn facts(
        &self,
        spec: &Spec,
        account: &Account,
        current: Option<&Found>,
    ) -> Result<(InstanceFacts, Reserved)> {
        let kept = current.and_then(|found| found.instance.devices.get("root")?.get("pool").cloned());
        let pool = match kept {
            Some(pool) => pool,
            None => pool::choose(
                &self.daemon.incus().storage_pools().list().await?,
                self.config.pool.as_deref(),
                pool::NAME,
            )
            .map(|pool| pool.name.clone())
            .ok_or_else(|| failed("there is no storage pool"))?,
        };
        let nic = current.and_then(|found| found.instance.devices.get("eth0"));
        let bridge = nic.and_then(|nic| nic.get("network")).unwrap_or(&self.config.bridge).clone();
        let own = nic.and_then(|nic| nic.get("ipv4.address")?.parse().ok());
        let pasta = self.pasta().await?;
        let bridged = instance::network(&spec.grants, account, pasta.is_some()) == Network::Nat;
        let reservation =
            if bridged && own.is_none() { Some(self.pick_address(&bridge).await?) } else { None };
        let kept = current.and_then(|found| found.instance.config.get("security.idmap.base")?.parse().ok());
        let ids =
            if kept.is_none() && !spec.grants.privileged() { Some(self.pick_ids().await?) } else { None };
        let facts = InstanceFacts {
            idmap_base: kept.or(ids.as_ref().map(|ids| ids.value)),
            name: self.name.clone(),
            project: self.config.project(self.uid()),
            pool,
            bridge,
            pasta,
            hook: self.has_hook().await?,
            address: own.or(reservation.as_ref().map(|reservation| reservation.value)),
            version: VERSION.to_owned(),
            paths: self.daemon.paths().clone(),
            incus_dir: self.daemon.places().incus_dir.clone(),
            kernel_limits: BTreeMap::new(),
        };
        Ok((facts, Reserved { _address: reservation, _ids: ids }))
    }

    async fn pick_ids(&self) -> Result<Reservation<u32>> {
        let path = self.daemon.places().subids.subuid.clone();
        let text = self.blocking(move || file::read_or_empty(&path)).await?;
        let root = subid::base(&text)
            .ok_or_else(|| failed("root has no range of subordinate ids in /etc/subuid"))?;
        let (incus, project) = (self.daemon.incus(), self.config.project(self.uid()));
        let picked = self
            .daemon
            .id_bases()
            .take(idmap::taken(incus, &project), |taken, reserved| taken.pick(root, reserved.iter().copied()))
            .await?
            .ok_or_else(|| {
                failed(format!(
                    "root's range of subordinate ids ({root}) is used up: each container takes {IDMAP_SIZE}"
                ))
                .hint("give root a longer range in /etc/subuid and /etc/subgid")
            })?;
        idmap::remember(incus, &project, picked.value).await?;
        Ok(picked)
    }

    async fn pick_address(&self, bridge: &str) -> Result<Reservation<Ipv4Addr>> {
        let subnet = network::ensure(self.daemon.incus(), bridge).await?;
        self.daemon
            .addresses()
            .take(network::taken(self.daemon.incus()), |taken, reserved| {
                subnet.free_address(&taken.union(reserved).copied().collect())
            })
            .await?
            .ok_or_else(|| {
                failed(format!("no address is left on the bridge '{bridge}'"))
                    .hint("remove containers that are not needed any more")
            })
    }

    pub(super) async fn update_instance(&self) -> Result<()> {
        let found = self.found().await?;
        let spec = found.spec()?.clone();
        if spec.is_newer() {
            self.notice(format!(
                "'{}' was made by a newer version of Snug: what this one does not know of is left as it is",
                self.name
            ));
        }
        self.make_sources().await?;
        let account = self.account(&spec.grants.home()).await?;
        let (facts, _reserved) = self.facts(&spec, &account, Some(&found)).await?;
        if spec.grants.network() == Network::Mirror && facts.pasta.is_none() {
            self.notice(
                "network=mirror: pasta is not installed on this host (package passt), so the network is nat: its ports and the \
                 host's stay apart",
            );
        }
        let current =
            InstanceConfig { config: found.instance.config.clone(), devices: found.instance.devices.clone() };
        let change = wanted(&spec, &account, &facts).difference(&current);
        if change.is_empty() {
            return Ok(());
        }
        tracing::debug!(container = %self.name, ?change, "brought up to date");
        self.set_config(&change).await
    }

    pub(super) async fn set_config(&self, change: &ConfigChange) -> Result<()> {
        self.make_directories().await?;
        self.forget();
        let instances = self.incus().instances();
        let name = self.name.as_str();
        if change.removes_device() {
            instances
                .update(name, |put| {
                    let mut all = InstanceConfig { config: put.config.clone(), devices: put.devices.clone() };
                    change.apply(&mut all);
                    (put.config, put.devices) = (all.config, all.devices);
                })
                .await?;
            return Ok(());
        }
        let patch = InstancePatch {
            config: change
                .config
                .iter()
                .map(|(key, value)| (key.clone(), value.clone().unwrap_or_default()))
                .collect(),
            devices: change
                .devices
                .iter()
                .filter_map(|(device, keys)| Some((device.clone(), keys.clone()?)))
                .collect(),
            ..InstancePatch::default()
        };
        Ok(self.with_room(|| instances.patch(name, &patch, None)).await?)
    }

    /// Tries again, patiently; on a disk that the guest has filled, once more with the room that its agent has kept.
    ///
    /// # Errors
    /// What Incus says at last.
    pub(super) async fn with_room<T, F>(&self, mut attempt: impl FnMut() -> F) -> incus_client::Result<T>
    where
        F: Future<Output = incus_client::Result<T>>,
    {
        match patiently(&mut attempt).await {
            Err(error) if quirks::is_full_quota(&error.to_string()) => {
                if self.incus().instances().files(self.name.as_str()).delete(RESERVE).await.is_err() {
                    return Err(error);
                }
                self.notice(format!("'{}' has filled its disk: remove something in it", self.name));
                patiently(attempt).await
            }
            other => other,
        }
    }

    pub(super) async fn set_phase(&self, phase: Phase) -> Result<()> {
        self.make_directories().await?;
        let config = [(PHASE_KEY.to_owned(), phase.to_string())].into();
        let patch = InstancePatch { config, ..InstancePatch::default() };
        let instances = self.incus().instances();
        match self.with_room(|| instances.patch(self.name.as_str(), &patch, None)).await {
            // An instance that is gone has no phase: so an undo meets it after its removal.
            Err(error) if error.is_not_found() => return Ok(()),
            // With each change Incus writes what it knows of an instance to the instance's own disk, after its database
            // (6.0.4, driver_lxc.go). One without any room must be stopped and removed all the same: if the phase was not
            // stored, this work alone knows it, and a daemon that dies now leaves it for somebody to ask again.
            Err(error) if quirks::is_full_disk(&error.to_string()) => {
                let found = lookup::find(self.daemon.incus(), &self.config, self.uid(), &self.name).await?;
                let stored = found.is_some_and(|found| found.phase == phase);
                if !stored && !matches!(phase, Phase::Stopping | Phase::Removing) {
                    return Err(error.into());
                }
                self.keep_phase((!stored).then_some(phase));
            }
            other => {
                other?;
                self.keep_phase(None);
            }
        }
        self.saw_phase(phase);
        // After it is stored: whom a client then asks finds what is to be finished.
        self.tell_clients(phase).await;
        Ok(())
    }

    pub(super) async fn delete_instance(&self) -> Result<()> {
        // Looked up first: what is not this owner's container is not deleted, whatever has its name.
        let Some(found) = self.look().await? else { return Ok(()) };
        if !matches!(found.phase, Phase::Creating | Phase::Removing) {
            return Err(failed(format!("'{}' is not being removed: phase {}", self.name, found.phase)));
        }
        let instances = self.incus().instances();
        let operation = match patiently(|| instances.delete(self.name.as_str())).await {
            Ok(operation) => operation,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(Error::from(error).context(format!("remove '{}'", self.name))),
        };
        self.forget();
        failpoint::reach("delete-instance:during");
        operation
            .wait()
            .await
            .map_err(|error| Error::from(error).context(format!("remove '{}'", self.name)))?;
        self.forget_record().await
    }

    async fn forget_record(&self) -> Result<()> {
        let (paths, uid, name) = (self.daemon.paths().clone(), self.uid(), self.name.clone());
        self.blocking(move || record::forget(&paths, uid, &name)).await
    }
}

/// Held until Incus knows what was picked.
struct Reserved {
    _address: Option<Reservation<Ipv4Addr>>,
    _ids: Option<Reservation<u32>>,
}
