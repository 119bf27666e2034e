//! What is: the state that planners look at, asked of Incus and the host at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use incus_client::{Instance, ListOptions, StatusCode};
use snug_core::grant::GrantSet;
use snug_core::instance::InstanceConfig;
use snug_core::name::ContainerName;
use snug_core::plan::{ContainerState, HostState, State, Status};
use snug_core::setting::Settings;
use snug_core::spec::{Spec, TEMPORARY_KEY, TemporaryTag};

use super::Work;
use crate::container::expected::Announcement;
use crate::container::lookup::Found;
use crate::error::{Error, Result};
use crate::host::{mirror, subid};
use crate::incus::{pool, requirements};
use crate::temporary;

impl Work {
    /// Asks everything.
    ///
    /// # Errors
    /// What Incus says; a name that something else has.
    pub async fn discover(&self) -> Result<State> {
        let container = self.discover_container().await?;
        let host = match &container {
            Some(container) => self.host_of(container).await?,
            None => self.discover_host().await?,
        };
        Ok(State { name: self.name.clone(), host, container })
    }

    /// The host as an instance proves it: its project, its pool and its network exist, or it could not.
    async fn host_of(&self, container: &ContainerState) -> Result<HostState> {
        let root = container.instance.devices.get("root");
        Ok(HostState {
            subordinate_ids: self.has_subordinate_ids().await?,
            project_name: self.config.project(self.uid()),
            project: true,
            pool: root.and_then(|root| root.get("pool")).cloned(),
            bridge: self.config.bridge.clone(),
            network: true,
            mirror: self.pasta().await?.is_some(),
            // It is one of those that he has.
            containers: 1,
            most_containers: self.most_containers(),
        })
    }

    /// What mirrors the host's network, where that can be had.
    pub(super) async fn pasta(&self) -> Result<Option<PathBuf>> {
        let (paths, config) = (self.daemon.paths().clone(), self.config.clone());
        self.blocking(move || Ok(mirror::pasta(&paths, &config))).await
    }

    pub(super) async fn has_hook(&self) -> Result<bool> {
        let paths = self.daemon.paths().clone();
        self.blocking(move || Ok(mirror::has_hook(&paths))).await
    }

    async fn has_subordinate_ids(&self) -> Result<bool> {
        let (files, uid, gid) = (self.daemon.places().subids.clone(), self.uid(), self.owner.account.gid);
        self.blocking(move || subid::missing(&files, uid, gid).map(|missing| !missing)).await
    }

    async fn discover_host(&self) -> Result<HostState> {
        let incus = self.daemon.incus();
        let project_name = self.config.project(self.uid());
        let projects = incus.projects();
        let networks = incus.networks();
        let pools = incus.storage_pools();
        // First: what an Incus that is too old answers to the rest would be told instead of that. Where a container is
        // to be made; one that is there has proven it.
        requirements::check(incus).await?;
        let own = self.incus().instances();
        // Before Incus is asked, see there.
        let earlier = self.announcement.as_ref().map(Announcement::earlier).unwrap_or_default();
        let (project, network, pools, subordinate_ids, containers) = tokio::try_join!(
            async { exists(projects.get(&project_name).await) },
            async { exists(networks.get(&self.config.bridge).await) },
            async { Ok(pools.list().await?) },
            self.has_subordinate_ids(),
            async {
                let known = match own.names(&ListOptions::default()).await {
                    Ok(names) => names,
                    // No project yet.
                    Err(error) if error.is_not_found() => Vec::new(),
                    Err(error) => return Err(Error::from(error)),
                };
                let all: BTreeSet<&str> = known
                    .iter()
                    .map(String::as_str)
                    .chain(earlier.iter().map(ContainerName::as_str))
                    .collect();
                Ok(all.len())
            },
        )?;
        let pool =
            pool::choose(&pools, self.config.pool.as_deref(), pool::NAME).map(|pool| pool.name.clone());
        Ok(HostState {
            subordinate_ids,
            project_name,
            project,
            pool,
            bridge: self.config.bridge.clone(),
            network,
            mirror: self.pasta().await?.is_some(),
            containers,
            most_containers: self.most_containers(),
        })
    }

    fn most_containers(&self) -> usize {
        usize::try_from(self.config.max_containers).unwrap_or(usize::MAX)
    }

    async fn discover_container(&self) -> Result<Option<ContainerState>> {
        let Some(found) = self.look().await? else { return Ok(None) };
        let status = status(&found.instance);
        let agent = status == Status::Running && self.daemon.probe(self.uid(), &self.name).await.is_some();
        let restoring = self.is_restoring(&found.instance.config).await?;
        Ok(Some(ContainerState { restoring, ..container(found, status, agent) }))
    }
}

fn exists<T>(answer: incus_client::Result<T>) -> Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(Error::from(error)),
    }
}

fn container(found: Found, status: Status, agent: bool) -> ContainerState {
    let temporary: Option<TemporaryTag> =
        found.instance.config.get(TEMPORARY_KEY).and_then(|text| text.parse().ok());
    // What cannot be told keeps the container.
    let client_alive = temporary.is_some_and(|tag| !matches!(temporary::process(tag).open(), Ok(None)));
    ContainerState {
        status,
        phase: found.phase,
        spec: found.spec.unwrap_or_else(unreadable),
        instance: configuration(&found.instance),
        agent,
        temporary,
        client_alive,
        restoring: false,
    }
}

/// Stands for a spec that cannot be read: such a container can be looked at, stopped and removed; see
/// [`Found::spec`] for what refuses it.
fn unreadable() -> Spec {
    Spec {
        version: 0,
        kind: snug_core::spec::InstanceKind::Container,
        image: String::new(),
        preset: String::new(),
        grants: GrantSet::default(),
        settings: Settings::default(),
        rest: BTreeMap::new(),
    }
}

/// The part of an instance that planners compare.
#[must_use]
pub fn configuration(instance: &Instance) -> InstanceConfig {
    InstanceConfig { config: instance.config.clone(), devices: instance.devices.clone() }
}

/// Incus' status in the planner's words.
#[must_use]
pub fn status(instance: &Instance) -> Status {
    match instance.status_code {
        StatusCode::Stopped => Status::Stopped,
        StatusCode::Frozen | StatusCode::Freezing => Status::Frozen,
        StatusCode::Error => Status::Error,
        _ => Status::Running,
    }
}
