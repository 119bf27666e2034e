//! `Doctor` with a device: why a container has it or has it not. From the host to the guest, as far as it goes: what comes
//! after a failure is not asked.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use snug_core::grant::{Grant, Nodes};
use snug_core::name::{ContainerName, Uid};

use super::{Check, Status, follower};
use crate::container::lookup::{self, missing};
use crate::daemon::Daemon;
use crate::error::{Error, Result};
use crate::host::credentials::with;
use crate::host::devices::{DEV, Listing};
use crate::host::{file, owner};

/// Looks at the host's node `given`, for the containers of `uid` or for one of them.
///
/// # Errors
/// The owner has no account, the container does not exist, Incus does not answer.
pub async fn checks(
    daemon: &Arc<Daemon>,
    uid: Uid,
    given: String,
    name: Option<ContainerName>,
) -> Result<Vec<Check>> {
    let (node, mut checks) = tokio::task::spawn_blocking(move || on_host(&given, uid)).await??;
    if let (Some(node), Some(name)) = (node, name) {
        checks.extend(in_container(daemon, uid, name, node).await?);
    }
    Ok(checks)
}

/// The groups that distributions give devices to for people. A hint names no other: who is in `disk` is nearly root.
const GROUPS: [&str; 12] =
    ["audio", "dialout", "input", "kvm", "lp", "plugdev", "render", "scanner", "tty", "usb", "uucp", "video"];

/// The first number of those that an administrator makes (login.defs, `GID_MIN`).
const FIRST_OWN: u32 = 1000;
/// The first after those (login.defs, `GID_MAX`).
const AFTER_OWN: u32 = 60001;

/// Where immutable hosts have their groups (nss-altfiles).
const VENDORS: &str = "/usr/lib";

/// Nodes that Incus binds from the host into each container (`bindMounts` of its `driver_lxc.go`), with the owner and the mode that they have on the host.
const BOUND: [&str; 2] = ["fuse", "net/tun"];

/// Nodes that LXC makes in each container (`lxc_devices` of its `conf.c`, and its terminals).
const OWN: [&str; 9] = ["console", "full", "null", "ptmx", "pts/ptmx", "random", "tty", "urandom", "zero"];

/// What a container has of such a node. Neither the host's root nor its groups are anybody in a container, so nobody there opens what is
/// not everybody's.
fn bound(node: &Path, mode: u32) -> Check {
    let node = node.display();
    if mode & 0o006 == 0o006 {
        return Check::new(
            "node",
            Status::Ok,
            format!("each container has the host's {node}, mode {mode:03o}"),
        );
    }
    let text =
        format!("each container has the host's {node}, and may not open it: its mode is {mode:03o}, not 666");
    Check::new("node", Status::Error, text)
        .hint(format!("udev's own rules set 0666; until the next boot: sudo chmod 666 {node}"))
}

/// What the networks of rootless containers in a container want, when it is not to be had. Blocks.
pub fn tunnel() -> Option<Check> {
    let node = Path::new(DEV).join("net/tun");
    let Ok(about) = fs::metadata(&node) else {
        let text =
            format!("{} is missing: rootless containers in a container have no network", node.display());
        return Some(
            Check::new(TUNNEL, Status::Warning, text).hint("sudo modprobe tun; then restart the containers"),
        );
    };
    closed_tunnel(bound(&node, about.mode() & 0o777))
}

/// Most containers have none in them: no error.
fn closed_tunnel(found: Check) -> Option<Check> {
    let text = format!("{}: rootless containers in it have no network", found.text);
    (found.status != Status::Ok).then_some(Check { check: TUNNEL, status: Status::Warning, text, ..found })
}

/// The name of the check without a device.
const TUNNEL: &str = "nested-networks";

/// The path below `/dev`, when the owner may have it. Blocks.
fn on_host(given: &str, uid: Uid) -> Result<(Option<PathBuf>, Vec<Check>)> {
    let wrong =
        |text: String, hint: &str| Ok((None, vec![Check::new("node", Status::Error, text).hint(hint)]));
    let outside = || wrong(format!("{given} is no device of the host: it lies outside of {DEV}"), "");
    // By its text: what lies elsewhere is not looked at, root sees more than the caller.
    let is_plain = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    if !Path::new(given).strip_prefix(DEV).is_ok_and(is_plain) {
        return outside();
    }
    let owner = owner::find(uid)?;
    let resolve = given.to_owned();
    let real = match with(owner.credentials.clone(), move || fs::canonicalize(resolve))? {
        Ok(real) => real,
        Err(error) => {
            let hint = "plug it in; the host's kernel says whether a driver took it: sudo dmesg";
            return wrong(format!("{given}: {error}"), hint);
        }
    };
    let Ok(path) = real.strip_prefix(DEV).map(Path::to_owned) else { return outside() };
    let system = |error: std::io::Error| Error::system(format!("look at {}", real.display()), error);
    let about = fs::symlink_metadata(&real).map_err(system)?;
    if about.file_type().is_block_device() {
        return wrong(format!("{} is a disk or the like: containers get none", real.display()), "");
    }
    if !about.file_type().is_char_device() {
        return wrong(format!("{} is no device", real.display()), "");
    }
    if BOUND.iter().any(|bound| path == Path::new(bound)) {
        return Ok((None, vec![bound(&real, about.mode() & 0o777)]));
    }
    if OWN.iter().any(|own| path == Path::new(own)) {
        let text = format!("each container has {} of its own", real.display());
        return Ok((None, vec![Check::new("node", Status::Ok, text)]));
    }
    if !Nodes::ALL.has(&path) {
        return wrong(
            format!("{} is the host's alone: containers have their own or none", real.display()),
            "",
        );
    }
    let account = owner.account.name;
    let mode = about.mode() & 0o777;
    let of = |base: &str, id: u32| {
        let named = |directory: &str| named(&Path::new(directory).join(base), id);
        named("/etc").map(|name| (name, true)).or_else(|| named(VENDORS).map(|name| (name, false)))
    };
    let shown = |base: &str, id: u32| of(base, id).map_or_else(|| id.to_string(), |(name, _)| name);
    let (user, group) = (shown("passwd", about.uid()), shown("group", about.gid()));
    let found = format!("{} is there, of {user}:{group}, mode {mode:03o}", real.display());
    let mut checks = vec![Check::new("node", Status::Ok, found)];
    let group = of("group", about.gid()).filter(|_| mode & 0o060 == 0o060);
    let hint = opened_by(group.as_ref().map(|(name, own)| (name.as_str(), *own)), about.gid(), &account);
    let Some(rights) = Listing::for_owner(owner.credentials, Nodes::ALL)?.rights(&path) else {
        checks.push(Check::new("owner", Status::Error, format!("{account} may not open it")).hint(hint));
        return Ok((None, checks));
    };
    checks.push(match rights.owner {
        0o6 => Check::new("owner", Status::Ok, format!("{account} may read and write it")),
        0o2 => Check::new("owner", Status::Warning, format!("{account} may only write it")).hint(hint),
        _ => Check::new("owner", Status::Warning, format!("{account} may only read it")).hint(hint),
    });
    Ok((Some(path), checks))
}

/// What opens a node for `account`: its group, where that is one for it and may do everything, which comes with whether it is in
/// the host's own file; and udev's rule for whoever sits there.
fn opened_by(group: Option<(&str, bool)>, id: u32, account: &str) -> String {
    let rule = "a rule of udev on the host gives it to whoever sits there: TAG+=\"uaccess\"";
    let is_shared =
        |name: &str| (FIRST_OWN..AFTER_OWN).contains(&id) && !is_somebodys(id) || GROUPS.contains(&name);
    let Some((name, is_own)) = group.filter(|(name, _)| is_shared(name)) else {
        return rule.to_owned();
    };
    // usermod knows none that is in the vendor's file alone.
    let copied = format!("grep '^{name}:' {VENDORS}/group | sudo tee --append /etc/group; ");
    let copied = if is_own { "" } else { &copied };
    format!(
        "{copied}sudo usermod --append --groups {name} {account}; on the host it counts from the next login on\n\
         or {rule}"
    )
}

/// Whether it is the group that an account has alone: nobody joins it for a device.
fn is_somebodys(group: u32) -> bool {
    let text = file::read_or_empty(Path::new("/etc/passwd")).unwrap_or_default();
    text.lines().any(|line| line.split(':').nth(3).is_some_and(|number| number.parse() == Ok(group)))
}

/// The name of a number in the host's files; `None` for one that is in none of them.
fn named(file: &Path, id: u32) -> Option<String> {
    let text = file::read_or_empty(file).ok()?;
    let line = text.lines().find(|line| line.split(':').nth(2) == Some(id.to_string().as_str()))?;
    line.split(':').next().map(ToOwned::to_owned)
}

async fn in_container(
    daemon: &Arc<Daemon>,
    uid: Uid,
    name: ContainerName,
    node: PathBuf,
) -> Result<Vec<Check>> {
    let config = daemon.config().await?;
    let found = lookup::find(daemon.incus(), &config, uid, &name).await?.ok_or_else(|| missing(&name))?;
    let grants = &found.spec()?.grants;
    if grants.want_trust_for(&node) {
        let text = format!(
            "'{name}' has `devices` and is not trusted: whoever has {DEV}/{} can type for you, hear your keys, or sign for you",
            node.display()
        );
        let hint = "`input` makes a container trusted, and then `devices` has it: snug create --grant devices --grant input …";
        return Ok(vec![Check::new("grant", Status::Error, text).hint(hint)]);
    }
    if !grants.nodes().has(&node) {
        let text = format!("'{name}' was made without a grant for it");
        let grant = if Nodes::of(&Grant::Input).has(&node) { "input" } else { "devices" };
        let hint = format!(
            "`{grant}` is the grant: snug create --grant {grant} …; `snug grants` shows what there is"
        );
        return Ok(vec![Check::new("grant", Status::Error, text).hint(hint)]);
    }
    let mut checks = vec![Check::new("grant", Status::Ok, format!("'{name}' has a grant for it"))];
    if !found.instance.status_code.is_running() {
        checks.push(Check::new(
            "guest",
            Status::Ok,
            format!("'{name}' does not run: it has it when it does"),
        ));
        return Ok(checks);
    }
    let shared = daemon.paths().device_nodes(uid, &name).join(&node);
    let is_there = tokio::task::spawn_blocking(move || fs::symlink_metadata(shared).is_ok()).await?;
    checks.push(if is_there {
        let text =
            format!("'{name}' has it at {DEV}/{}, unless it has something of its own there", node.display());
        Check { node: node.to_str().map(str::to_owned), ..Check::new("guest", Status::Ok, text) }
    } else {
        let text = format!("'{name}' runs, and nobody has told it");
        let hint = format!("{}; or `snug restart {name}`", follower::starting(daemon.paths()));
        Check::new("guest", Status::Error, text).hint(hint)
    });
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_opens_a_node_where_people_are_in_it_for_that() {
        let hint = |group, id| opened_by(group, id, "anna");
        for (group, id) in [(None, 20), (Some(("root", true)), 0), (Some(("disk", true)), 6)] {
            assert!(hint(group, id).starts_with("a rule of udev"), "{group:?}");
        }
        for (name, id) in [("dialout", 20), ("boards", 1005)] {
            let told = hint(Some((name, true)), id);
            assert!(told.starts_with(&format!("sudo usermod --append --groups {name} anna; ")), "{told}");
            assert!(told.contains("\nor a rule of udev"), "{told}");
        }
        let told = hint(Some(("dialout", false)), 18);
        assert!(told.starts_with("grep '^dialout:' /usr/lib/group | sudo tee --append /etc/group; sudo"));
    }

    #[test]
    fn a_node_that_each_container_has_must_be_everybodys() {
        let tun = Path::new("/dev/net/tun");
        assert_eq!(bound(tun, 0o666).status, Status::Ok);
        for mode in [0o600, 0o660, 0o664] {
            let check = bound(tun, mode);
            assert_eq!(check.status, Status::Error, "{mode:o}");
            assert!(check.text.contains("may not open it"), "{check:?}");
        }
        assert!(closed_tunnel(bound(tun, 0o666)).is_none());
        let told = closed_tunnel(bound(tun, 0o600)).unwrap();
        assert_eq!((told.check, told.status), (TUNNEL, Status::Warning));
        assert!(told.hint.contains("chmod 666 /dev/net/tun"), "{told:?}");
    }
}
