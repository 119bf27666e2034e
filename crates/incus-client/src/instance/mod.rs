//! Instances: containers and virtual machines.

mod log;
mod snapshot;
mod state;
mod types;

use http::Method;
use serde::Serialize;

pub use snapshot::{Snapshot, SnapshotsPost};
pub use state::{CpuState, DiskState, InstanceState, MemoryState};
pub use types::{
    Action, Instance, InstancePatch, InstancePut, InstanceSource, InstanceType, InstancesPost, ListOptions,
    StateChange,
};

use crate::client::{Client, ETag};
use crate::operation::Operation;
use crate::path::{ApiPath, decode};
use crate::{Error, Quirk, Result};

/// Attempts of a read-modify-write before the change of others wins. Volatile keys count for the ETag, so a
/// start or stop in between costs one or two.
const UPDATE_ATTEMPTS: u32 = 10;

/// Instances of a project.
#[derive(Clone, Debug)]
pub struct Instances {
    pub(crate) client: Client,
}

impl Client {
    /// Instances of this project.
    pub fn instances(&self) -> Instances {
        Instances { client: self.clone() }
    }
}

pub(crate) fn path<'a>(name: &'a str, rest: impl IntoIterator<Item = &'a str>) -> ApiPath {
    ApiPath::new(["instances", name].into_iter().chain(rest))
}

#[derive(Serialize)]
struct RenamePost<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct RebuildPost<'a> {
    source: &'a InstanceSource,
}

impl Instances {
    /// Names only: the cheapest list (`recursion=0`).
    pub async fn names(&self, options: &ListOptions) -> Result<Vec<String>> {
        let urls: Vec<String> = self.client.list(&options.apply(ApiPath::new(["instances"]))).await?;
        Ok(urls.iter().filter_map(|url| url.split('?').next()?.rsplit('/').next()).map(decode).collect())
    }

    /// Instances without state and snapshots (`recursion=1`).
    pub async fn list(&self, options: &ListOptions) -> Result<Vec<Instance>> {
        self.client.list(&options.apply(ApiPath::new(["instances"])).query("recursion", "1")).await
    }

    /// Instances with state and snapshots (`recursion=2`); far dearer than [`Instances::list`].
    pub async fn list_full(&self, options: &ListOptions) -> Result<Vec<Instance>> {
        self.client.list(&options.apply(ApiPath::new(["instances"])).query("recursion", "2")).await
    }

    /// One instance, without state. The ETag covers architecture, ephemeral, profiles and local
    /// configuration and devices, volatile keys included; not the description.
    pub async fn get(&self, name: &str) -> Result<(Instance, ETag)> {
        self.client.get_with_etag(&path(name, [])).await
    }

    /// One instance with state and snapshots.
    pub async fn get_full(&self, name: &str) -> Result<(Instance, ETag)> {
        self.client.get_with_etag(&path(name, []).query("recursion", "1")).await
    }

    /// Whether an instance of this name exists.
    pub async fn exists(&self, name: &str) -> Result<bool> {
        match self.get(name).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates an instance. A cached copy of a remote image is used even when it is stale.
    pub async fn create(&self, instance: &InstancesPost) -> Result<Operation> {
        self.client.start(Method::POST, &ApiPath::new(["instances"]), instance, None).await
    }

    /// Starts, stops, restarts, freezes or unfreezes. A stop without force waits for the guest's init to
    /// obey: give a timeout, then stop by force.
    pub async fn set_state(&self, name: &str, change: &StateChange) -> Result<Operation> {
        self.client.start(Method::PUT, &path(name, ["state"]), change, None).await
    }

    /// Replaces all that can be changed. What is missing in `put` is removed.
    ///
    /// # Errors
    /// 412 when `if_match` is no longer the instance's ETag.
    pub async fn put(&self, name: &str, put: &InstancePut, if_match: Option<&ETag>) -> Result<Operation> {
        self.client.start(Method::PUT, &path(name, []), put, if_match).await
    }

    /// Merges configuration keys and whole devices; a key set to the empty text is unset, a device cannot be
    /// removed (use [`Instances::update`]). Synchronous: hot-plugged devices are there afterwards.
    ///
    /// Servers with [`Quirk::PatchErasesDescription`] are sent the present description.
    pub async fn patch(&self, name: &str, patch: &InstancePatch, if_match: Option<&ETag>) -> Result<()> {
        let mut patch = patch.clone();
        if patch.description.is_none() && self.client.server().await?.has_quirk(Quirk::PatchErasesDescription)
        {
            patch.description = Some(self.get(name).await?.0.description);
        }
        self.client.change(Method::PATCH, &path(name, []), &patch, if_match).await
    }

    /// Reads, lets `change` modify, writes back and waits for the end; begins again when someone else changed
    /// the instance meanwhile (412), so `change` may be called several times. Nothing is written when
    /// `change` changes nothing. Returns whether something was written.
    ///
    /// # Errors
    /// 412 only after many attempts.
    pub async fn update(&self, name: &str, mut change: impl FnMut(&mut InstancePut)) -> Result<bool> {
        let mut attempt = 1;
        loop {
            let (instance, etag) = self.get(name).await?;
            let before = instance.into_put();
            let mut put = before.clone();
            change(&mut put);
            if put == before {
                return Ok(false);
            }
            let written = match self.put(name, &put, Some(&etag)).await {
                Ok(operation) => operation.wait().await.map(|_| true),
                Err(error) => Err(error),
            };
            match written {
                Err(error) if error.is_precondition_failed() && attempt < UPDATE_ATTEMPTS => attempt += 1,
                other => return other,
            }
        }
    }

    /// Deletes a stopped instance with its snapshots.
    ///
    /// # Errors
    /// 400 when it runs or is protected.
    pub async fn delete(&self, name: &str) -> Result<Operation> {
        self.client.start(Method::DELETE, &path(name, []), &(), None).await
    }

    /// Renames a stopped instance.
    pub async fn rename(&self, name: &str, new_name: &str) -> Result<Operation> {
        if new_name.is_empty() {
            return Err(Error::InvalidArgument { what: "name", message: "it is empty".into() });
        }
        self.client.start(Method::POST, &path(name, []), &RenamePost { name: new_name }, None).await
    }

    /// Replaces the root disk of a stopped instance by that of an image; configuration and devices stay.
    pub async fn rebuild(&self, name: &str, source: &InstanceSource) -> Result<Operation> {
        self.client.start(Method::POST, &path(name, ["rebuild"]), &RebuildPost { source }, None).await
    }
}
