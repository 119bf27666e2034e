//! A spec as an Incus instance: configuration and devices. One pure function, [`wanted`].

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::grant::{GrantSet, Home, Network};
use crate::name::ContainerName;
use crate::owner::Account;
use crate::paths::{
    GUEST_AGENT, GUEST_BIN, GUEST_DEVICES, GUEST_DRIVER, GUEST_PLACES, GUEST_RUN, GUEST_SESSION, Paths,
};
use crate::spec::{OWNER_KEY, OwnerTag, PHASE_KEY, Phase, SPEC_KEY, Spec, TEMPORARY_KEY, TemporaryTag};

/// Ids of one container: room for nested rootless maps.
pub const IDMAP_SIZE: u32 = 1_000_000;

/// Keys of Incus' configuration that are Snug's to set and to unset; all others (`volatile.*`, what an administrator
/// added) are left alone. The phase and the temporary mark have steps of their own.
const MANAGED_KEYS: [&str; 13] = [
    OWNER_KEY,
    SPEC_KEY,
    "raw.lxc",
    "raw.idmap",
    "security.idmap.isolated",
    "security.idmap.size",
    "security.idmap.base",
    "security.nesting",
    "security.privileged",
    "boot.autostart",
    "limits.cpu",
    "limits.memory",
    "limits.processes",
];

/// Devices that are Snug's.
const MANAGED_DEVICES: [&str; 10] = [
    "root",
    "snug-bin",
    "snug-run",
    "snug-sys",
    "snug-places",
    "snug-session",
    "snug-devices",
    "snug-driver",
    "home",
    "eth0",
];

/// Keys and values of a device.
pub type Device = BTreeMap<String, String>;

/// Configuration and devices of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstanceConfig {
    /// `config` of the API.
    pub config: BTreeMap<String, String>,
    /// `devices` of the API.
    pub devices: BTreeMap<String, Device>,
}

/// What changes on an instance: `None` unsets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigChange {
    /// Keys of the configuration.
    pub config: BTreeMap<String, Option<String>>,
    /// Whole devices.
    pub devices: BTreeMap<String, Option<Device>>,
}

impl ConfigChange {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.config.is_empty() && self.devices.is_empty()
    }

    /// What brings back the values that `before` has.
    #[must_use]
    pub fn inverse(&self, before: &InstanceConfig) -> Self {
        Self {
            config: self.config.keys().map(|key| (key.clone(), before.config.get(key).cloned())).collect(),
            devices: self
                .devices
                .keys()
                .map(|name| (name.clone(), before.devices.get(name).cloned()))
                .collect(),
        }
    }

    /// Carries the change out on a copy of an instance's configuration.
    pub fn apply(&self, instance: &mut InstanceConfig) {
        merge(&self.config, &mut instance.config);
        merge(&self.devices, &mut instance.devices);
    }

    /// Whether it takes a device away: Incus' PATCH cannot, a PUT of the whole instance can.
    #[must_use]
    pub fn removes_device(&self) -> bool {
        self.devices.values().any(Option::is_none)
    }
}

fn merge<V: Clone>(change: &BTreeMap<String, Option<V>>, into: &mut BTreeMap<String, V>) {
    for (key, value) in change {
        match value {
            Some(value) => drop(into.insert(key.clone(), value.clone())),
            None => drop(into.remove(key)),
        }
    }
}

impl InstanceConfig {
    /// What has to change so that `current` becomes this, in what is Snug's.
    #[must_use]
    pub fn difference(&self, current: &Self) -> ConfigChange {
        let managed_key = |key: &str| MANAGED_KEYS.contains(&key) || key.starts_with("limits.kernel.");
        ConfigChange {
            config: differing(&self.config, &current.config, managed_key),
            devices: differing(&self.devices, &current.devices, |name| MANAGED_DEVICES.contains(&name)),
        }
    }

    /// Adds the phase and, for `run --rm`, the mark of its client.
    #[must_use]
    pub fn tagged(mut self, phase: Phase, temporary: Option<TemporaryTag>) -> Self {
        self.config.insert(PHASE_KEY.to_owned(), phase.to_string());
        if let Some(tag) = temporary {
            self.config.insert(TEMPORARY_KEY.to_owned(), tag.to_string());
        }
        self
    }
}

fn differing<V: Clone + PartialEq>(
    wanted: &BTreeMap<String, V>,
    current: &BTreeMap<String, V>,
    managed: impl Fn(&str) -> bool,
) -> BTreeMap<String, Option<V>> {
    let set = wanted.iter().filter(|(key, value)| current.get(*key) != Some(value));
    let unset = current.keys().filter(|key| managed(key) && !wanted.contains_key(*key));
    set.map(|(key, value)| (key.clone(), Some(value.clone())))
        .chain(unset.map(|key| (key.clone(), None)))
        .collect()
}

/// What the host adds to a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceFacts {
    /// The container's name.
    pub name: ContainerName,
    /// The Incus project.
    pub project: String,
    /// The storage pool.
    pub pool: String,
    /// The bridge, for `network=nat`.
    pub bridge: String,
    /// The program that mirrors the host's network, where that can be had; else `network=mirror` is `network=nat`.
    pub pasta: Option<PathBuf>,
    /// `snug-hook` is there, which looks at the network of a container behind the bridge; a hook that is not would stop its start.
    pub hook: bool,
    /// The address picked on it; `None` leaves the choice to Incus' DHCP.
    pub address: Option<Ipv4Addr>,
    /// First host id of the container's range. Without it Incus (6.0.4) picks one at each start, the lowest that is free
    /// then, and nobody knows before the start whom the guest's run directory must belong to.
    pub idmap_base: Option<u32>,
    /// Version of the guest's agent: which directory of [`Paths::guest_versions`] is mounted.
    pub version: String,
    /// Snug's places.
    pub paths: Paths,
    /// Incus' state directory, `/var/lib/incus`.
    pub incus_dir: PathBuf,
    /// `limits.kernel.*` after the owner's hard limits, without the prefix: `nofile` → `524288`.
    pub kernel_limits: BTreeMap<String, String>,
}

/// The instance that a spec asks for, as the table in `docs/contributing/architecture.md` says. Without phase and
/// temporary mark: see [`InstanceConfig::tagged`].
#[must_use]
pub fn wanted(spec: &Spec, owner: &Account, facts: &InstanceFacts) -> InstanceConfig {
    InstanceConfig { config: config(spec, owner, facts), devices: devices(spec, owner, facts) }
}

fn config(spec: &Spec, owner: &Account, facts: &InstanceFacts) -> BTreeMap<String, String> {
    let tag = OwnerTag { uid: owner.uid, name: owner.name.clone() };
    let mut config = spec.settings.incus_config();
    let mut set = |key: &str, value: String| drop(config.insert(key.to_owned(), value));
    set(OWNER_KEY, tag.to_string());
    set(SPEC_KEY, spec.to_json());
    set("boot.autostart", "false".to_owned());
    // Its socket tells the guest the keys and devices that Snug stores, and lets it talk to incusd.
    set("security.guestapi", "false".to_owned());
    set("raw.lxc", raw_lxc(spec, owner, facts));
    if spec.grants.privileged() {
        set("security.privileged", "true".to_owned());
    } else {
        set("raw.idmap", raw_idmap(owner));
        set("security.idmap.isolated", "true".to_owned());
        set("security.idmap.size", IDMAP_SIZE.to_string());
        if let Some(base) = facts.idmap_base {
            set("security.idmap.base", base.to_string());
        }
    }
    if spec.grants.nesting() {
        set("security.nesting", "true".to_owned());
    }
    for (limit, value) in &facts.kernel_limits {
        set(&format!("limits.kernel.{limit}"), value.clone());
    }
    config
}

fn raw_idmap(owner: &Account) -> String {
    let (uid, gid) = (owner.uid, owner.gid);
    if uid.0 == gid.0 { format!("both {uid} {uid}") } else { format!("uid {uid} {uid}\ngid {gid} {gid}") }
}

/// What `network=mirror` is on a host, for a container. One that is not trusted is behind the bridge: its root writes any packet, and pasta
/// (2023-03) connects to the host's loopback for one that is addressed to it (`tcp_conn_from_tap` has no check).
#[must_use]
pub fn network(grants: &GrantSet, owner: &Account, pasta: bool) -> Network {
    match grants.network() {
        Network::Mirror if !pasta || !grants.is_trusted(|path| owner.touches_home(path)) => Network::Nat,
        network => network,
    }
}

/// Whether an instance that was made so has the host's network: where that could not be had it has the bridge's interface.
#[must_use]
pub fn is_mirrored(grants: &GrantSet, devices: &BTreeMap<String, Device>) -> bool {
    grants.network() == Network::Mirror && !devices.contains_key("eth0")
}

/// With `network=host` the guest's user namespace does not own its network namespace and may not mount sysfs: the
/// automatic mounts are cleared and made again (facts/incus.md 2.9; clearing drops Incus' own `shmounts`, which
/// hot-plugged disks need). `/sys` is the device `snug-sys` instead. Measured with 6.0.4 and a Debian 13 guest: `/sys`
/// cannot be made writable by `mount -o remount`, below it are the guest's own cgroups only, nothing appears when they
/// are unmounted, and a disk can still be plugged in. `/proc/1/ns/net` in place of the file is refused (EACCES).
fn raw_lxc(spec: &Spec, owner: &Account, facts: &InstanceFacts) -> String {
    let mut lines = vec![format!("lxc.init.cmd = {GUEST_AGENT} init")];
    lines.extend(hooks(spec, owner, facts));
    if spec.grants.network() == Network::Host {
        let namespace = facts.paths.host_network();
        // Incus' name of an instance outside the project `default`.
        let shared = facts.incus_dir.join("shmounts").join(format!("{}_{}", facts.project, facts.name));
        lines.push(format!("lxc.namespace.share.net = {}", namespace.display()));
        lines.push("lxc.mount.auto =".to_owned());
        lines.push("lxc.mount.auto = proc:rw cgroup:rw:force".to_owned());
        lines.push(format!("lxc.mount.auto = shmounts:{}:/dev/.incus-mounts", shared.display()));
    }
    lines.join("\n")
}

/// What LXC runs on the host. It gives each line to a shell (`run_script`): its words are numbers, names, and paths of the build and of
/// the configuration.
fn hooks(spec: &Spec, owner: &Account, facts: &InstanceFacts) -> Vec<String> {
    let how = match (network(&spec.grants, owner, facts.pasta.is_some()), &facts.pasta) {
        (Network::Mirror, Some(pasta)) => format!("--pasta {}", pasta.display()),
        (Network::Nat, _) if facts.hook => "--bridged".to_owned(),
        _ => return Vec::new(),
    };
    let (program, directory) = (facts.paths.hook(), facts.paths.container_dir(owner.uid, &facts.name));
    let (program, directory) = (program.display(), directory.display());
    vec![
        format!(
            "lxc.hook.start-host = {program} start-host {how} --owner {}:{} --run-dir {directory}",
            owner.uid, owner.gid
        ),
        format!("lxc.hook.stop = {program} stop --run-dir {directory}"),
    ]
}

fn devices(spec: &Spec, owner: &Account, facts: &InstanceFacts) -> BTreeMap<String, Device> {
    let (paths, name, uid) = (&facts.paths, &facts.name, owner.uid);
    let mut root = device(&[("type", "disk"), ("path", "/"), ("pool", &facts.pool)]);
    if let Some(size) = spec.settings.root_size() {
        root.insert("size".to_owned(), size);
    }
    let mut devices = BTreeMap::from([
        ("root".to_owned(), root),
        (
            "snug-bin".to_owned(),
            mount(&paths.guest_bin(&facts.version), Path::new(GUEST_BIN), &[("readonly", "true")]),
        ),
        ("snug-run".to_owned(), mount(&paths.guest_dir(uid, name), Path::new(GUEST_RUN), &[])),
    ]);
    if spec.grants.home() != Home::Private {
        let home = mount(&paths.home_mount(uid, name), &owner.home_real, &[("recursive", "true")]);
        devices.insert("home".to_owned(), home);
    }
    if spec.grants.places() {
        let places = mount(&paths.place_mounts(uid, name), Path::new(GUEST_PLACES), &[("recursive", "true")]);
        devices.insert("snug-places".to_owned(), places);
    }
    if spec.grants.session() {
        let session =
            mount(&paths.session_mounts(uid, name), Path::new(GUEST_SESSION), &[("recursive", "true")]);
        devices.insert("snug-session".to_owned(), session);
    }
    if !spec.grants.nodes().is_empty() {
        let nodes = mount(&paths.device_nodes(uid, name), Path::new(GUEST_DEVICES), &[("readonly", "true")]);
        devices.insert("snug-devices".to_owned(), nodes);
    }
    if spec.grants.nodes().has_graphics() {
        // Nothing in it can be written wherever it is mounted; Incus takes no device that is both `recursive` and `readonly`.
        let driver =
            mount(&paths.driver_mounts(uid, name), Path::new(GUEST_DRIVER), &[("recursive", "true")]);
        devices.insert("snug-driver".to_owned(), driver);
    }
    match network(&spec.grants, owner, facts.pasta.is_some()) {
        Network::Nat => {
            // One bridge for all users. Without isolation a guest reaches what another user's guests listen on; without
            // the filters it takes another's place for the host, by ARP or by its hardware address (measured).
            let mut nic = device(&[
                ("type", "nic"),
                ("name", "eth0"),
                ("network", &facts.bridge),
                ("security.port_isolation", "true"),
                ("security.mac_filtering", "true"),
                ("security.ipv4_filtering", "true"),
                ("security.ipv6_filtering", "true"),
            ]);
            if let Some(address) = facts.address {
                nic.insert("ipv4.address".to_owned(), address.to_string());
            }
            devices.insert("eth0".to_owned(), nic);
        }
        // Not recursive: the host's cgroups below /sys stay out, else `umount` shows them and cgroup.kill reaches
        // the owner's processes (design, section 6, rule 3).
        Network::Host => {
            let sys = mount(Path::new("/sys"), Path::new("/sys"), &[("readonly", "true")]);
            devices.insert("snug-sys".to_owned(), sys);
        }
        // A network namespace with a loopback alone; pasta makes an interface in it.
        Network::Mirror | Network::None => {}
    }
    devices
}

fn device(pairs: &[(&str, &str)]) -> Device {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn mount(source: &Path, target: &Path, more: &[(&str, &str)]) -> Device {
    let (source, target) = (source.to_string_lossy(), target.to_string_lossy());
    let mut mount = device(&[("type", "disk"), ("source", &source), ("path", &target)]);
    mount.extend(device(more));
    mount
}

#[cfg(test)]
mod tests;
