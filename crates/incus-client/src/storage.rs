//! Storage pools and volumes.

use http::Method;
use serde::{Deserialize, Serialize};

use crate::client::{Client, ETag};
use crate::json::null_as_default;
use crate::path::ApiPath;
use crate::{Config, Result};

/// A storage pool.
#[derive(Clone, Debug, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct StoragePool {
    /// Name.
    pub name: String,
    /// `btrfs`, `dir`, `zfs`, `lvm`, …
    pub driver: String,
    /// `Created`, `Pending`, `Errored`, `Unavailable`, …
    pub status: String,
    /// Configuration: `source`, `size`, …
    #[serde(deserialize_with = "null_as_default")]
    pub config: Config,
    /// Free text.
    pub description: String,
    /// URLs of what uses it.
    #[serde(deserialize_with = "null_as_default")]
    pub used_by: Vec<String>,
}

/// A pool to be made.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StoragePoolsPost {
    /// Name.
    pub name: String,
    /// `btrfs`, `dir`, `zfs`, `lvm`, …
    pub driver: String,
    /// `source` (a directory, a device; a loop file of `size` when missing), `size`, …
    pub config: Config,
    /// Free text.
    pub description: String,
}

/// An amount and what of it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Used.
    pub used: u64,
    /// Available in all; 0 where the driver does not tell.
    pub total: u64,
}

impl Usage {
    /// What is left.
    pub fn free(self) -> u64 {
        self.total.saturating_sub(self.used)
    }
}

/// Space of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PoolResources {
    /// Bytes.
    pub space: Usage,
    /// Inodes; all 0 on file systems without a limit.
    #[serde(deserialize_with = "null_as_default")]
    pub inodes: Usage,
}

/// A volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct StorageVolume {
    /// Name; snapshots are `volume/snapshot`.
    pub name: String,
    /// `custom`, `container`, `virtual-machine` or `image`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `filesystem` or `block`.
    pub content_type: String,
    /// Configuration.
    #[serde(deserialize_with = "null_as_default")]
    pub config: Config,
    /// Free text.
    pub description: String,
    /// URLs of what uses it.
    #[serde(deserialize_with = "null_as_default")]
    pub used_by: Vec<String>,
    /// Project; empty where Incus does not send it.
    pub project: String,
}

#[derive(Serialize)]
struct VolumesPost<'a> {
    name: &'a str,
    config: &'a Config,
    content_type: &'a str,
}

/// Storage pools of a server.
#[derive(Clone, Debug)]
pub struct StoragePools(Client);

impl Client {
    /// Storage pools, and volumes of this project.
    pub fn storage_pools(&self) -> StoragePools {
        StoragePools(self.clone())
    }
}

impl StoragePools {
    /// All pools.
    pub async fn list(&self) -> Result<Vec<StoragePool>> {
        self.0.list(&ApiPath::new(["storage-pools"]).query("recursion", "1")).await
    }

    /// One pool.
    pub async fn get(&self, name: &str) -> Result<(StoragePool, ETag)> {
        self.0.get_with_etag(&ApiPath::new(["storage-pools", name])).await
    }

    /// Creates a pool; Incus answers when it is made.
    pub async fn create(&self, pool: &StoragePoolsPost) -> Result<()> {
        self.0.change(Method::POST, &ApiPath::new(["storage-pools"]), pool, None).await
    }

    /// Deletes an empty pool.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.0.change(Method::DELETE, &ApiPath::new(["storage-pools", name]), &(), None).await
    }

    /// Space of a pool.
    pub async fn resources(&self, name: &str) -> Result<PoolResources> {
        self.0.get(&ApiPath::new(["storage-pools", name, "resources"])).await
    }

    /// Volumes of a pool in this project, of all kinds.
    pub async fn volumes(&self, pool: &str) -> Result<Vec<StorageVolume>> {
        self.0.list(&ApiPath::new(["storage-pools", pool, "volumes"]).query("recursion", "1")).await
    }

    /// One volume; `kind` is `custom`, `container`, …
    pub async fn volume(&self, pool: &str, kind: &str, name: &str) -> Result<(StorageVolume, ETag)> {
        self.0.get_with_etag(&ApiPath::new(["storage-pools", pool, "volumes", kind, name])).await
    }

    /// Creates a custom volume with a file system.
    pub async fn create_volume(&self, pool: &str, name: &str, config: &Config) -> Result<()> {
        let body = VolumesPost { name, config, content_type: "filesystem" };
        self.0
            .change(Method::POST, &ApiPath::new(["storage-pools", pool, "volumes", "custom"]), &body, None)
            .await
    }

    /// Deletes a custom volume.
    pub async fn delete_volume(&self, pool: &str, name: &str) -> Result<()> {
        let path = ApiPath::new(["storage-pools", pool, "volumes", "custom", name]);
        self.0.change(Method::DELETE, &path, &(), None).await
    }
}

#[cfg(test)]
mod tests {
    use super::Usage;

    #[test]
    fn free_space_is_never_negative() {
        assert_eq!(Usage { used: 3, total: 10 }.free(), 7);
        assert_eq!(Usage { used: 10, total: 3 }.free(), 0);
    }
}
