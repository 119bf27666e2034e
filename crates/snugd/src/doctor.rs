//! `Doctor`: what is missing on this host, and how to get it. Each check goes on where another fails.

mod device;
mod driver;
mod follower;
mod network;
mod watches;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use snug_core::grant::PLACES;
use snug_core::name::Uid;
use snug_core::setting::SettingKey;
use zbus::Variant;

use crate::bus::call::{Answer, Call};
use crate::container::lookup;
use crate::daemon::Daemon;
use crate::error::{Error, Result};
use crate::host::cgroups::Hierarchy;
use crate::host::mount_table::Table;
use crate::host::{guest_bin, owner, space, subid};
use crate::incus::{network as bridged, pool, requirements};
use crate::manager::unnamed;
use crate::work::cleanup;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As it must be.
    Ok,
    /// Good to know.
    Notice,
    /// Works, but not well.
    Warning,
    /// Containers do not work.
    Error,
}

/// One check.
#[derive(Debug, Clone)]
pub struct Check {
    check: &'static str,
    status: Status,
    text: String,
    hint: String,
    /// What a container that runs has, or has something of its own in place of: below `/dev`. Only in the guest it can be seen.
    node: Option<String>,
}

impl Check {
    fn new(check: &'static str, status: Status, text: impl Into<String>) -> Self {
        Self { check, status, text: text.into(), hint: String::new(), node: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    fn failed(check: &'static str, error: &Error) -> Self {
        Self::new(check, Status::Error, error.message.clone()).hint(error.hints.join("; "))
    }

    fn view(self) -> HashMap<&'static str, Variant<'static>> {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Notice => "notice",
            Status::Warning => "warning",
            Status::Error => "error",
        };
        let mut view = HashMap::from([
            ("check", Variant::from(self.check)),
            ("status", Variant::from(status)),
            ("text", Variant::from(self.text)),
            ("hint", Variant::from(self.hint)),
        ]);
        if let Some(node) = self.node {
            view.insert("node", Variant::from(node));
        }
        view
    }
}

/// `Doctor`. Open to all: it tells nothing about other users.
///
/// # Errors
/// Unknown options; of a device: whatever its containers cannot be asked for.
pub async fn call(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    let mut options = unnamed(call)?;
    let uid = Uid(call.caller.uid);
    let (device, name) = (options.string("device")?, options.string("name")?);
    options.finish()?;
    if let Some(device) = device {
        let name = name.map(|name| name.parse()).transpose().map_err(Error::from)?;
        let checks = device::checks(daemon, uid, device, name).await?;
        return call.answer(&checks.into_iter().map(Check::view).collect::<Vec<_>>());
    }
    let mut checks = Vec::new();
    checks.push(configuration(daemon).await);
    checks.push(polkit(daemon).await);
    checks.extend(incus(daemon).await);
    let places = daemon.places().clone();
    let host = tokio::task::spawn_blocking(move || {
        let mut checks = vec![later_mounts(), agent(&places.paths), state_space(&places.paths)];
        checks.extend(device::tunnel());
        checks.extend(watches::check());
        if uid.0 != 0 {
            checks.push(eligibility(uid, &places.subids));
            checks.extend(driver::check(uid));
        }
        checks
    });
    checks.extend(host.await.map_err(Error::from)?);
    checks.push(network::mirror(daemon).await);
    checks.extend(network::containers(daemon, uid).await);
    checks.push(mounts(daemon).await);
    checks.push(follower::check(daemon).await);
    let views: Vec<_> = checks.into_iter().map(Check::view).collect();
    call.answer(&views)
}

async fn configuration(daemon: &Daemon) -> Check {
    match daemon.config().await {
        Ok(config) if config.warnings().is_empty() => {
            Check::new("configuration", Status::Ok, "the configuration is valid")
        }
        Ok(config) => {
            let texts: Vec<String> = config.warnings().iter().map(ToString::to_string).collect();
            Check::new("configuration", Status::Warning, texts.join("; "))
        }
        Err(error) => Check::failed("configuration", &error),
    }
}

async fn polkit(daemon: &Daemon) -> Check {
    let name = "org.freedesktop.PolicyKit1";
    let authority = "/org/freedesktop/PolicyKit1/Authority";
    let interface = Some("org.freedesktop.DBus.Peer");
    match daemon.bus().call_method(Some(name), authority, interface, "Ping", &()).await {
        Ok(_) if Path::new("/usr/share/polkit-1/actions/org.snug.policy").exists() => {
            Check::new("polkit", Status::Ok, "polkit answers and knows Snug's actions")
        }
        Ok(_) => {
            Check::new("polkit", Status::Error, "polkit does not know Snug's actions: it refuses everybody")
                .hint("install /usr/share/polkit-1/actions/org.snug.policy (reinstall Snug)")
        }
        Err(error) => Check::new("polkit", Status::Error, format!("polkit does not answer: {error}"))
            .hint("install the package 'polkitd'; until then only root may use Snug"),
    }
}

async fn incus(daemon: &Arc<Daemon>) -> Vec<Check> {
    let client = daemon.incus();
    let server = match client.refresh_server().await {
        Ok(server) => server,
        Err(error) => return vec![Check::failed("incus", &error.into())],
    };
    let version = &server.environment.server_version;
    let mut checks = vec![match requirements::check(client).await {
        Ok(()) => Check::new("incus", Status::Ok, format!("Incus {version} answers")),
        Err(error) => Check::failed("incus", &error),
    }];
    let pid = server.environment.server_pid;
    match tokio::task::spawn_blocking(move || Hierarchy::of(pid)).await {
        Ok(hierarchy) => {
            checks.extend(hierarchy.as_ref().ok().and_then(nested_limits));
            checks.push(cgroups(hierarchy));
        }
        Err(error) => checks.push(Check::failed("cgroups", &error.into())),
    }
    let idmapped = server.environment.kernel_features.get("idmapped_mounts").map(String::as_str);
    checks.push(match idmapped {
        Some("true") => Check::new("idmapped-mounts", Status::Ok, "the kernel maps ids of mounts"),
        _ => Check::new(
            "idmapped-mounts",
            Status::Warning,
            "the kernel cannot map ids of mounts: creating containers is slow",
        )
        .hint("a kernel of 5.15 or newer can"),
    });
    checks.push(match server.environment.firewall.as_str() {
        "nftables" => Check::new("firewall", Status::Ok, "Incus filters with nftables"),
        other => Check::new(
            "firewall",
            Status::Warning,
            format!("Incus has not found nftables ('{other}'): a container with a network may not start"),
        )
        .hint("install the package 'nftables' and restart incus.service, or use network=none"),
    });
    checks.push(match storage(daemon).await {
        Ok(check) => check,
        Err(error) => Check::failed("storage", &error),
    });
    checks.push(match bridge(daemon).await {
        Ok(check) => check,
        Err(error) => Check::failed("bridge", &error),
    });
    checks
}

/// A bridge that an administrator made has what he gave it.
async fn bridge(daemon: &Daemon) -> Result<Check> {
    let name = daemon.config().await?.bridge;
    let network = match daemon.incus().networks().get(&name).await {
        Ok((network, _)) => network,
        Err(error) if error.is_not_found() => {
            return Ok(Check::new(
                "bridge",
                Status::Ok,
                format!("the first container makes the bridge '{name}'"),
            ));
        }
        Err(error) => return Err(error.into()),
    };
    if is_used(daemon, &name).await? && !bridged::is_separate(daemon.incus(), &name).await? {
        let text = format!(
            "containers behind '{name}' may reach each other through the host: its rules of routing lead there, or cannot be made"
        );
        return Ok(Check::new("bridge", Status::Warning, text)
            .hint("the next start of one of them mends that, or tells why not (`ip rule` shows the rules)"));
    }
    Ok(match network.config.get("dns.mode").map(String::as_str) {
        Some("none") => Check::new("bridge", Status::Ok, format!("the bridge '{name}' is used")),
        _ => Check::new(
            "bridge",
            Status::Warning,
            format!("the bridge '{name}' gives its containers names: those of two users may be the same"),
        )
        .hint(format!("incus network set {name} dns.mode=none")),
    })
}

/// Whether a container runs behind it: until one starts there is nobody to keep apart.
async fn is_used(daemon: &Daemon, bridge: &str) -> Result<bool> {
    let config = daemon.config().await?;
    let all = lookup::all(daemon.incus(), &config).await?;
    let behind = |found: &lookup::Found| {
        let device = found.instance.devices.get("eth0").and_then(|nic| nic.get("network"));
        found.instance.status_code.is_running() && device.is_some_and(|network| network == bridge)
    };
    Ok(all.iter().any(behind))
}

async fn storage(daemon: &Daemon) -> Result<Check> {
    let config = daemon.config().await?;
    let pools = daemon.incus().storage_pools().list().await?;
    let Some(pool) = pool::choose(&pools, config.pool.as_deref(), pool::NAME) else {
        let server = daemon.incus().server().await?;
        let drivers: Vec<String> =
            server.environment.storage_supported_drivers.iter().map(|driver| driver.name.clone()).collect();
        let directory = daemon.places().incus_dir.clone();
        let host = tokio::task::spawn_blocking(move || space::of(&directory)).await??;
        let plan = pool::plan(host, &drivers)?;
        return Ok(Check::new(
            "storage",
            Status::Notice,
            format!("no storage pool yet: the first container makes one ({})", plan.driver),
        )
        .hint(plan.notice.unwrap_or_default()));
    };
    pool::check_space(daemon.incus(), &pool.name).await?;
    let text = format!("the storage pool '{}' ({}) is used", pool.name, pool.driver);
    Ok(if pool.driver == "dir" {
        Check::new(
            "storage",
            Status::Notice,
            format!("{text}: creating copies whole trees, and there are no disk limits"),
        )
        .hint("a btrfs, zfs or lvm pool clones; set 'pool' in snug's configuration to use it")
    } else {
        Check::new("storage", Status::Ok, text)
    })
}

/// What Incus sees of the control groups, and which settings have no effect for that.
fn cgroups(hierarchy: std::io::Result<Hierarchy>) -> Check {
    let unified = "boot with systemd.unified_cgroup_hierarchy=1";
    let hierarchy = match hierarchy {
        Ok(hierarchy) => hierarchy,
        Err(error) => {
            return Check::new("cgroups", Status::Notice, format!("Incus' cgroups cannot be seen: {error}"));
        }
    };
    if hierarchy == Hierarchy::Other {
        let text = "Incus does not see cgroup v2: guests with a new systemd may not boot";
        return Check::new("cgroups", Status::Warning, text).hint(unified);
    }
    let without_effect: Vec<&str> = SettingKey::ALL
        .into_iter()
        .filter(|key| key.controller().is_some_and(|controller| hierarchy.lacks(controller)))
        .map(SettingKey::word)
        .collect();
    if without_effect.is_empty() {
        return Check::new("cgroups", Status::Ok, "Incus sees cgroup v2 with the controllers it needs");
    }
    let text = format!(
        "Incus lacks controllers of cgroup v2: the settings {} have no effect",
        without_effect.join(", ")
    );
    Check::new("cgroups", Status::Warning, text)
        .hint(format!("{unified}, and without cgroup_disable=: what cgroup v1 has is missing in v2"))
}

/// Podman bounds the processes of each container, asked or not.
fn nested_limits(hierarchy: &Hierarchy) -> Option<Check> {
    hierarchy.lacks("pids").then(|| {
        Check::new(
            "nested-limits",
            Status::Warning,
            "Incus has no cgroup controller 'pids' to hand down: in a container, `podman run` fails",
        )
        .hint("podman run --pids-limit=0 …")
    })
}

/// Whether what is plugged in later reaches a running container that has `places`.
fn later_mounts() -> Check {
    let private = |table: Table| -> Vec<&str> {
        let real = |place: &&str| std::fs::canonicalize(place).ok();
        PLACES.into_iter().filter(|place| real(place).is_some_and(|real| !table.passes_on(&real))).collect()
    };
    match Table::of_the_first_process().map(private) {
        Ok(private) if private.is_empty() => {
            Check::new("later-mounts", Status::Ok, "what is mounted later appears in running containers")
        }
        Ok(private) => Check::new(
            "later-mounts",
            Status::Warning,
            format!(
                "what is mounted later below {} does not appear in running containers: mounts are private there",
                private.join(", ")
            ),
        )
        .hint("mount --make-rshared / (systemd does so at boot), then restart the containers"),
        Err(error) => Check::failed("later-mounts", &error),
    }
}

fn agent(paths: &snug_core::paths::Paths) -> Check {
    let sources = guest_bin::PROGRAMS.map(|name| paths.guest_source().join(name));
    for source in &sources {
        if let Err(error) = std::fs::metadata(source) {
            return Check::new("agent", Status::Error, format!("{}: {error}", source.display()))
                .hint("reinstall Snug");
        }
    }
    let [agent, _] = sources;
    Check::new("agent", Status::Ok, format!("{} is installed", agent.display()))
}

fn state_space(paths: &snug_core::paths::Paths) -> Check {
    let existing = paths.state.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    match space::of(existing) {
        Ok(space) if space.free < 64 << 20 => {
            Check::new("state", Status::Error, format!("{} is full", existing.display()))
                .hint("free some space")
        }
        Ok(_) => Check::new("state", Status::Ok, format!("there is room in {}", existing.display())),
        Err(error) => Check::failed("state", &error),
    }
}

fn eligibility(uid: Uid, files: &subid::Files) -> Check {
    let owner = match owner::eligible(uid) {
        Ok(owner) => owner,
        Err(error) => return Check::failed("owner", &error),
    };
    match subid::missing(files, uid, owner.account.gid) {
        Ok(false) => Check::new("owner", Status::Ok, format!("{} may own containers", owner.account.name)),
        Ok(true) => Check::new(
            "owner",
            Status::Notice,
            format!(
                "{} may own containers; the first one adds lines to /etc/subuid and /etc/subgid",
                owner.account.name
            ),
        ),
        Err(error) => Check::failed("owner", &error),
    }
}

async fn mounts(daemon: &Arc<Daemon>) -> Check {
    let stale = async {
        let config = daemon.config().await?;
        let all = lookup::all(daemon.incus(), &config).await?;
        let daemon = daemon.clone();
        tokio::task::spawn_blocking(move || cleanup::stale_mounts(&daemon, &all)).await?
    };
    match stale.await {
        Ok(stale) if stale.is_empty() => Check::new("mounts", Status::Ok, "no mount is left over"),
        Ok(stale) => Check::new(
            "mounts",
            Status::Warning,
            format!("{} mounts are left over from containers that are gone", stale.len()),
        )
        .hint("snug prune"),
        // Told by the check of Incus already.
        Err(error) => Check::new("mounts", Status::Notice, format!("not looked at: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_that_podman_wants_is_missed() {
        let with =
            |controllers: &[&str]| Hierarchy::V2(controllers.iter().map(|&one| one.to_owned()).collect());
        assert!(nested_limits(&with(&["cpu", "pids"])).is_none());
        assert!(nested_limits(&Hierarchy::Other).is_none());
        assert_eq!(nested_limits(&with(&["cpu"])).unwrap().status, Status::Warning);
    }
}
