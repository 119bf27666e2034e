//! The storage pool of Snug's containers: one that exists, else one that is made, after a look at the free space.

use std::path::Path;

use incus_client::{Client, StoragePool, StoragePoolsPost};

use crate::error::{Error, ErrorKind, Result};
use crate::host::space::{self, Space};

const GIB: u64 = 1 << 30;
/// Name of the pool that Snug makes.
pub const NAME: &str = "snug";
/// Under this much free space no pool is made: a Debian root file system, its update and its package cache need it.
const LEAST: u64 = 5 * GIB;
/// A loop file is sparse: this is its bound, not its use.
const LOOP_MOST: u64 = 256 * GIB;
/// Where Incus keeps everything.
pub const INCUS_DIR: &str = "/var/lib/incus";

/// How a pool is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Incus' driver.
    pub driver: &'static str,
    /// Its configuration.
    pub config: Vec<(&'static str, String)>,
    /// What a person should know about it.
    pub notice: Option<String>,
}

impl Plan {
    fn directory(why: &str) -> Self {
        let notice = format!(
            "the storage pool is a plain directory: creating copies whole trees and there are no disk limits; {why}"
        );
        Self { driver: "dir", config: Vec::new(), notice: Some(notice) }
    }

    fn post(&self, name: &str) -> StoragePoolsPost {
        StoragePoolsPost {
            name: name.to_owned(),
            driver: self.driver.to_owned(),
            config: self.config.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
            description: "Containers of Snug".to_owned(),
        }
    }
}

/// Which pool to take of those that exist: the one that is configured, else one called like ours, else one that clones
/// cheaply, else any.
#[must_use]
pub fn choose<'a>(pools: &'a [StoragePool], wanted: Option<&str>, ours: &str) -> Option<&'a StoragePool> {
    let usable = |pool: &&StoragePool| pool.status == "Created" || pool.status.is_empty();
    if let Some(name) = wanted {
        return pools.iter().find(|pool| pool.name == name);
    }
    let named = |name: &str| pools.iter().filter(usable).find(|pool| pool.name == name);
    let driver =
        |names: &[&str]| pools.iter().filter(usable).find(|pool| names.contains(&pool.driver.as_str()));
    named(ours)
        .or_else(|| named("default").filter(|pool| pool.driver != "dir"))
        .or_else(|| driver(&["btrfs", "zfs", "lvm"]))
        .or_else(|| driver(&["dir"]))
}

/// How to make a pool where `host` is the file system of `/var/lib/incus` and `drivers` are those that Incus has.
///
/// # Errors
/// [`ErrorKind::NoSpace`] when there is too little room.
pub fn plan(host: Space, drivers: &[String]) -> Result<Plan> {
    if host.free < LEAST {
        return Err(Error::new(
            ErrorKind::NoSpace,
            format!(
                "too little space for a storage pool in {INCUS_DIR}: {:.1} GiB are free, {} GiB are needed",
                gib(host.free),
                LEAST / GIB
            ),
        )
        .hint(
            "free some space, or make a pool on another disk: incus storage create NAME btrfs source=/dev/…",
        ));
    }
    let has = |name: &str| drivers.iter().any(|driver| driver == name);
    if !has("btrfs") {
        return Ok(Plan::directory("install btrfs-progs before the first container for a better one"));
    }
    if host.btrfs {
        // Incus makes a subvolume of its own directory when it gets no source.
        let source = format!("{INCUS_DIR}/storage-pools/snug");
        return Ok(Plan { driver: "btrfs", config: vec![("source", source)], notice: None });
    }
    // Leave a tenth, and never less than 2 GiB, to the host: a full root file system is worse than a full pool.
    let keep = (host.total / 10).max(2 * GIB).min(host.free / 2);
    let size = (host.free - keep).min(LOOP_MOST) / GIB;
    Ok(Plan { driver: "btrfs", config: vec![("size", format!("{}GiB", size.max(1)))], notice: None })
}

#[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB as f64
}

/// The pool of Snug's containers, made when there is none. Answers its name and what a person should know.
///
/// # Errors
/// [`ErrorKind::NoSpace`], or what Incus says.
pub async fn ensure(client: &Client, wanted: Option<&str>, ours: &str) -> Result<(String, Option<String>)> {
    let pools = client.storage_pools();
    let existing = pools.list().await?;
    if let Some(pool) = choose(&existing, wanted, ours) {
        return Ok((pool.name.clone(), None));
    }
    if let Some(name) = wanted {
        return Err(Error::new(ErrorKind::InvalidArgument, format!("there is no storage pool '{name}'"))
            .hint(format!(
                "make it: incus storage create {name} btrfs; or take another one in snug's configuration"
            )));
    }
    let host = tokio::task::spawn_blocking(|| space::of(Path::new(INCUS_DIR))).await??;
    let server = client.server().await?;
    let drivers: Vec<String> =
        server.environment.storage_supported_drivers.iter().map(|driver| driver.name.clone()).collect();
    let plan = plan(host, &drivers)?;
    match pools.create(&plan.post(ours)).await {
        Ok(()) => Ok((ours.to_owned(), plan.notice)),
        // Another first use was quicker.
        Err(error) if error.is_conflict() => Ok((ours.to_owned(), plan.notice)),
        // No loop devices, as in a container, or a kernel without btrfs.
        Err(error) if plan.driver != "dir" && error.kind() == incus_client::ErrorKind::Refused => {
            let instead = Plan::directory(&format!("a {} pool could not be made: {error}", plan.driver));
            let made = pools.create(&instead.post(ours)).await;
            made.map_err(|_| Error::from(error).context("make a storage pool"))?;
            Ok((ours.to_owned(), instead.notice))
        }
        Err(error) => Err(Error::from(error).context("make a storage pool")),
    }
}

/// Refuses to put something new into a pool that is nearly full.
///
/// # Errors
/// [`ErrorKind::NoSpace`].
pub async fn check_space(client: &Client, pool: &str) -> Result<()> {
    // A driver that cannot tell is no reason to refuse.
    let Ok(resources) = client.storage_pools().resources(pool).await else { return Ok(()) };
    let free = resources.space.free();
    if resources.space.total > 0 && free < GIB / 4 {
        return Err(Error::new(
            ErrorKind::NoSpace,
            format!("the storage pool '{pool}' is full: {:.1} GiB of {:.1} are free", gib(free), gib(resources.space.total)),
        )
        .hint(format!("remove what is not needed (snug list --size; snug rm), or enlarge it: incus storage set {pool} size=…")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str, driver: &str) -> StoragePool {
        let mut pool = StoragePool::default();
        (pool.name, pool.driver) = (name.into(), driver.into());
        pool
    }

    fn drivers() -> Vec<String> {
        vec!["dir".into(), "btrfs".into()]
    }

    #[test]
    fn an_existing_pool_is_taken_and_a_cloning_one_first() {
        let pools = [pool("a", "dir"), pool("b", "zfs")];
        assert_eq!(choose(&pools, None, "snug").unwrap().name, "b");
        assert_eq!(choose(&pools, Some("a"), "snug").unwrap().name, "a");
        assert_eq!(choose(&pools[..1], None, "snug").unwrap().name, "a");
        assert!(choose(&pools, Some("c"), "snug").is_none());
        assert!(choose(&[], None, "snug").is_none());
    }

    #[test]
    fn a_small_disk_gets_no_pool() {
        let host = Space { free: 4 * GIB, total: 100 * GIB, btrfs: false };
        assert_eq!(plan(host, &drivers()).unwrap_err().kind, ErrorKind::NoSpace);
    }

    #[test]
    fn a_loop_file_leaves_room_for_the_host() {
        let host = Space { free: 50 * GIB, total: 100 * GIB, btrfs: false };
        assert_eq!(plan(host, &drivers()).unwrap().config, [("size", "40GiB".to_owned())]);
    }

    #[test]
    fn btrfs_below_needs_no_loop_file() {
        let host = Space { free: 50 * GIB, total: 100 * GIB, btrfs: true };
        let plan = plan(host, &drivers()).unwrap();
        assert_eq!((plan.driver, plan.config[0].0), ("btrfs", "source"));
    }

    #[test]
    fn without_btrfs_there_is_a_notice() {
        let host = Space { free: 50 * GIB, total: 100 * GIB, btrfs: false };
        let plan = plan(host, &["dir".into()]).unwrap();
        assert!(plan.driver == "dir" && plan.notice.is_some());
    }
}
