//! Snapshots of instances.

use http::Method;
use serde::{Deserialize, Serialize};

use super::{Instances, path};
use crate::json::null_as_default;
use crate::operation::Operation;
use crate::{Config, Devices, ETag, Result, Timestamp};

/// A snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Snapshot {
    /// Name, without that of the instance.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When Incus will delete it.
    pub expires_at: Timestamp,
    /// Whether it holds runtime state.
    pub stateful: bool,
    /// Bytes; -1 where the pool cannot tell.
    pub size: i64,
    /// Free text of the instance at that time.
    pub description: String,
    /// Configuration at that time.
    #[serde(deserialize_with = "null_as_default")]
    pub config: Config,
    /// Devices at that time.
    #[serde(deserialize_with = "null_as_default")]
    pub devices: Devices,
    /// Profiles at that time.
    #[serde(deserialize_with = "null_as_default")]
    pub profiles: Vec<String>,
}

/// A snapshot to be made.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SnapshotsPost {
    /// Name.
    pub name: String,
    /// Whether to keep runtime state.
    pub stateful: bool,
    /// When Incus is to delete it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct RestorePut<'a> {
    restore: &'a str,
    stateful: bool,
}

impl Instances {
    /// Snapshots, oldest first.
    pub async fn snapshots(&self, name: &str) -> Result<Vec<Snapshot>> {
        self.client.list(&path(name, ["snapshots"]).query("recursion", "1")).await
    }

    /// Makes a snapshot.
    pub async fn create_snapshot(&self, name: &str, snapshot: &SnapshotsPost) -> Result<Operation> {
        self.client.start(Method::POST, &path(name, ["snapshots"]), snapshot, None).await
    }

    /// Brings an instance back to a snapshot, its configuration and devices included: the disk first, then the
    /// configuration in one go (`Restore` in Incus' `driver_lxc.go`). A running one is stopped and started. ZFS restores
    /// only the latest unless `zfs.remove_snapshots` is set; btrfs loses the limit of the root disk (`RestoreVolume` in
    /// `driver_btrfs_volumes.go` makes a new subvolume), until the device's size changes.
    ///
    /// # Errors
    /// 412 when `if_match` is no longer the instance's ETag; nothing is restored then.
    pub async fn restore_snapshot(
        &self,
        name: &str,
        snapshot: &str,
        if_match: Option<&ETag>,
    ) -> Result<Operation> {
        let body = RestorePut { restore: snapshot, stateful: false };
        self.client.start(Method::PUT, &path(name, []), &body, if_match).await
    }

    /// Deletes a snapshot.
    pub async fn delete_snapshot(&self, name: &str, snapshot: &str) -> Result<Operation> {
        self.client.start(Method::DELETE, &path(name, ["snapshots", snapshot]), &(), None).await
    }
}
