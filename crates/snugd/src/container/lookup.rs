//! Whose an instance is. An instance belongs to an owner when it lies in his project and carries his tag, uid *and*
//! name: what Snug did not make, and what an earlier holder of the uid had, does not exist.

use incus_client::{Client, ETag, Instance, ListOptions};
use snug_core::config::Config;
use snug_core::name::{ContainerName, Uid};
use snug_core::plan::PlanError;
use snug_core::spec::{OWNER_KEY, OwnerTag, PHASE_KEY, Phase, SPEC_KEY, Spec};

use crate::error::{Error, ErrorKind, Result, failed};
use crate::host::owner;

/// An instance that is a container of Snug.
#[derive(Debug, Clone)]
pub struct Found {
    /// Whose.
    pub owner: OwnerTag,
    /// Its name.
    pub name: ContainerName,
    /// The instance itself.
    pub instance: Instance,
    /// What it is to be; `None` when its spec cannot be read.
    pub spec: Option<Spec>,
    /// Where a daemon was with it.
    pub phase: Phase,
}

impl Found {
    /// Takes in an instance of `project`; `None` when it is not one of Snug's.
    #[must_use]
    pub fn new(config: &Config, instance: Instance) -> Option<Self> {
        let owner: OwnerTag = instance.config.get(OWNER_KEY)?.parse().ok()?;
        if config.project_owner(&instance.project)? != owner.uid {
            return None;
        }
        let name = instance.name.parse().ok()?;
        let spec = instance.config.get(SPEC_KEY).and_then(|text| Spec::parse(text).ok());
        let phase = instance.config.get(PHASE_KEY).and_then(|word| word.parse().ok()).unwrap_or(Phase::Ready);
        Some(Self { owner, name, instance, spec, phase })
    }

    /// Whether `uid` still belongs to whom the container belongs to. Blocks.
    ///
    /// # Errors
    /// When the account cannot be looked up.
    pub fn is_owners(&self) -> Result<bool> {
        Ok(owner::name_of(self.owner.uid.0)?.is_some_and(|name| name == self.owner.name))
    }

    /// Its spec.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn spec(&self) -> Result<&Spec> {
        self.spec.as_ref().ok_or_else(|| {
            failed(format!("the spec of '{}' cannot be read", self.name))
                .hint("somebody changed user.snug.spec: `incus config show` shows it; `snug rm` removes the container")
        })
    }
}

/// The error of a container that does not exist (for this caller).
#[must_use]
pub fn missing(name: &ContainerName) -> Error {
    PlanError::NotFound(name.clone()).into()
}

/// The container `name` of `uid`, without its state (which costs Incus ten times as much as the rest).
///
/// # Errors
/// What Incus says; [`ErrorKind::Exists`] when something else has the name.
pub async fn find(client: &Client, config: &Config, uid: Uid, name: &ContainerName) -> Result<Option<Found>> {
    let instances = client.project(config.project(uid)).instances();
    check(config, uid, name, instances.get(name.as_str()).await).await
}

/// The same with state, addresses and snapshots.
///
/// # Errors
/// As [`find`].
pub async fn find_full(
    client: &Client,
    config: &Config,
    uid: Uid,
    name: &ContainerName,
) -> Result<Option<Found>> {
    let instances = client.project(config.project(uid)).instances();
    check(config, uid, name, instances.get_full(name.as_str()).await).await
}

async fn check(
    config: &Config,
    uid: Uid,
    name: &ContainerName,
    answer: incus_client::Result<(Instance, ETag)>,
) -> Result<Option<Found>> {
    let instance = match answer {
        Ok((instance, _)) => instance,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let taken = |message: String| Error::new(ErrorKind::Exists, message);
    let Some(found) = Found::new(config, instance) else {
        let project = config.project(uid);
        return Err(taken(format!("'{name}' is the name of an instance that Snug did not make"))
            .hint(format!("it is in the Incus project '{project}': rename it there, or take another name")));
    };
    let current =
        tokio::task::spawn_blocking(move || Ok::<_, Error>(found.is_owners()?.then_some(found))).await??;
    current.map(Some).ok_or_else(|| {
        taken(format!("'{name}' is the name of a container of an earlier user with uid {uid}"))
            .hint("root may remove it: incus delete --project …, or take another name")
    })
}

/// All containers of `uid`, without their state.
///
/// # Errors
/// What Incus says.
pub async fn list(client: &Client, config: &Config, uid: Uid) -> Result<Vec<Found>> {
    let (client, options) = scope(client, config, Some(uid));
    owned(config, Some(uid), client.instances().list(&options).await).await
}

/// All containers of `uid`, or of everybody, with state, addresses and snapshots.
///
/// # Errors
/// What Incus says.
pub async fn list_full(client: &Client, config: &Config, uid: Option<Uid>) -> Result<Vec<Found>> {
    let (client, options) = scope(client, config, uid);
    let mut answer = client.instances().list_full(&options).await;
    if let Ok(instances) = &mut answer
        && instances.iter().any(is_stub)
    {
        let whole = client.instances().list(&options).await?;
        *instances = completed(whole, std::mem::take(instances));
    }
    owned(config, uid, answer).await
}

/// An instance that starts or stops just now: Incus cannot tell its state and answers with little more than its name
/// (6.0.4, `instances_get.go`; measured). It must not vanish from the list for that long.
fn is_stub(instance: &Instance) -> bool {
    instance.config.is_empty()
}

/// Each instance with its state where that could be told.
fn completed(whole: Vec<Instance>, mut full: Vec<Instance>) -> Vec<Instance> {
    full.retain(|instance| !is_stub(instance));
    let with_state = |instance: Instance| {
        let same = |other: &Instance| other.name == instance.name && other.project == instance.project;
        full.iter().find(|other| same(other)).cloned().unwrap_or(instance)
    };
    whole.into_iter().map(with_state).collect()
}

fn scope(client: &Client, config: &Config, uid: Option<Uid>) -> (Client, ListOptions) {
    match uid {
        Some(uid) => (client.project(config.project(uid)), ListOptions::default()),
        None => (client.clone(), ListOptions { all_projects: true, ..ListOptions::default() }),
    }
}

async fn owned(
    config: &Config,
    uid: Option<Uid>,
    answer: incus_client::Result<Vec<Instance>>,
) -> Result<Vec<Found>> {
    let instances = match answer {
        Ok(instances) => instances,
        // No project yet: no container yet.
        Err(error) if error.is_not_found() => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let mut found: Vec<Found> =
        instances.into_iter().filter_map(|instance| Found::new(config, instance)).collect();
    found.sort_by(|a, b| (a.owner.uid, &a.name).cmp(&(b.owner.uid, &b.name)));
    tokio::task::spawn_blocking(move || {
        let mut current = Vec::with_capacity(found.len());
        for found in found {
            match found.is_owners() {
                Ok(true) => current.push(found),
                Ok(false) => {}
                // That one account cannot be looked up is no reason to tell nothing of all others.
                Err(error) if uid.is_none() => tracing::warn!("{error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(current)
    })
    .await?
}

/// All instances that carry a tag of Snug's, whoever holds their uid now.
///
/// # Errors
/// What Incus says.
pub async fn all(client: &Client, config: &Config) -> Result<Vec<Found>> {
    let options = ListOptions { all_projects: true, ..ListOptions::default() };
    let instances = client.instances().list(&options).await?;
    Ok(instances.into_iter().filter_map(|instance| Found::new(config, instance)).collect())
}
