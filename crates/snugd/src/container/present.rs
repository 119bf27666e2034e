//! The configuration of a container whose disk is going back to a snapshot, in `STATE/undo/UID/NAME.present`: Incus brings the
//! snapshot's configuration and devices back with the disk, and a grant that was revoked since would be there again. Written,
//! synced, before Incus is asked; removed when the instance has it back. Where a daemon dies in between, the next one finds it.

use std::collections::BTreeSet;

use incus_client::{Config, Instance, InstancePut};
use serde::{Deserialize, Serialize};
use snug_core::name::{ContainerName, Uid};
use snug_core::paths::Paths;
use snug_core::snapshot::SnapshotName;
use snug_core::spec::{PHASE_KEY, Phase};

use super::{occasions, record};
use crate::error::{Error, Result, failed};
use crate::host::file;

/// Says which ids the files on the disk have: it belongs to the disk, whichever that is.
const DISK_IDS: &str = "volatile.last_state.idmap";
/// New with each restore (`instanceSnapRestore`, 6.0.4), so that guests can tell.
const GENERATION: &str = "volatile.uuid.generation";
/// The instance itself, whatever it is called.
const IDENTITY: &str = "volatile.uuid";
/// What nobody may take away (`Update` in `driver_lxc.go`, 6.0.4).
const STAYING: &str = "volatile.idmap.";

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// Where the disk goes back to, for whoever reads this.
    pub snapshot: SnapshotName,
    /// The snapshot of what was there before, if one was taken.
    #[serde(default)]
    pub kept: Option<SnapshotName>,
    /// Of which instance; another one may have the name by now.
    #[serde(default)]
    identity: Option<String>,
    put: InstancePut,
}

impl Present {
    /// Of the instance as it is. Its phase is `ready` when it is put back: it then differs from what the instance had while the
    /// restore was asked for, so that one that comes late (`If-Match`) finds something else and is refused.
    #[must_use]
    pub fn of(instance: Instance, snapshot: &SnapshotName, kept: Option<&SnapshotName>) -> Self {
        let identity = instance.config.get(IDENTITY).cloned();
        let mut put = instance.into_put();
        put.config.insert(PHASE_KEY.to_owned(), Phase::Ready.to_string());
        Self { snapshot: snapshot.clone(), kept: kept.cloned(), identity, put }
    }

    /// Whether it is that of the instance with this configuration.
    #[must_use]
    pub fn is_of(&self, instance: &Config) -> bool {
        self.identity.as_ref() == instance.get(IDENTITY)
    }

    /// Whether the disk has gone back since.
    #[must_use]
    pub fn is_older_than(&self, instance: &InstancePut) -> bool {
        self.put.config.get(GENERATION) != instance.config.get(GENERATION)
    }

    /// What the instance, which is `current` now, is to have.
    #[must_use]
    pub fn over(&self, current: &InstancePut) -> InstancePut {
        let mut put = self.put.clone();
        for key in [DISK_IDS, GENERATION] {
            match current.config.get(key) {
                Some(value) => drop(put.config.insert(key.to_owned(), value.clone())),
                None => drop(put.config.remove(key)),
            }
        }
        let staying = |(key, _): &(&String, &String)| key.starts_with(STAYING);
        let missing: Config = current
            .config
            .iter()
            .filter(staying)
            .filter(|(key, _)| !put.config.contains_key(*key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        put.config.extend(missing);
        put
    }

    /// The same with the limit that the disk has in `current`, or with none where it has none there.
    #[must_use]
    pub fn over_with_its_limit(&self, current: &InstancePut) -> InstancePut {
        let mut put = self.over(current);
        let limit = |put: &InstancePut| put.devices.get("root").and_then(|root| root.get("size")).cloned();
        unlimit(&mut put);
        if let (Some(limit), Some(root)) = (limit(current), put.devices.get_mut("root")) {
            root.insert("size".to_owned(), limit);
        }
        put
    }

    /// Whether the disk has a limit.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.put.devices.get("root").is_some_and(|root| root.contains_key("size"))
    }

    /// The same with another source of a device.
    pub fn set_source(&mut self, device: &str, source: &str) {
        if let Some(device) = self.put.devices.get_mut(device) {
            device.insert("source".to_owned(), source.to_owned());
        }
    }

    /// The source of a device.
    #[must_use]
    pub fn source(&self, device: &str) -> Option<&str> {
        self.put.devices.get(device)?.get("source").map(String::as_str)
    }
}

/// Takes the limit of the disk away.
pub fn unlimit(put: &mut InstancePut) {
    if let Some(root) = put.devices.get_mut("root") {
        root.remove("size");
    }
}

/// Writes it, so that it outlives a crash. Blocks.
///
/// # Errors
/// What the system says.
pub fn write(paths: &Paths, uid: Uid, name: &ContainerName, present: &Present) -> Result<()> {
    let text = serde_json::to_vec(present)
        .map_err(|error| failed(format!("write down the configuration of '{name}': {error}")))?;
    occasions::directory(paths, uid)?;
    file::replace(&paths.present_file(uid, name), &text, 0o600)
}

/// Reads it. Blocks.
///
/// # Errors
/// What the system says; a file that cannot be understood, which nothing may go on with.
pub fn read(paths: &Paths, uid: Uid, name: &ContainerName) -> Result<Option<Present>> {
    let path = paths.present_file(uid, name);
    let text = file::read_or_empty(&path)?;
    // An empty one is none that can be understood: a disk that was repaired has such.
    if text.is_empty() && !is_there(paths, uid, name) {
        return Ok(None);
    }
    serde_json::from_str(&text).map(Some).map_err(|error| {
        failed(format!(
            "the configuration that '{name}' is to have cannot be read: {}: {error}",
            path.display()
        ))
        .hint(format!(
            "look at it and at `incus config show {name}`; `snug rm -f {name}` removes the container"
        ))
    })
}

/// Whether there is one. Blocks.
#[must_use]
pub fn is_there(paths: &Paths, uid: Uid, name: &ContainerName) -> bool {
    // What cannot be looked at is no reason to go on without.
    paths.present_file(uid, name).try_exists().unwrap_or(true)
}

/// Forgets it, for good. Blocks.
///
/// # Errors
/// What the system says.
pub fn forget(paths: &Paths, uid: Uid, name: &ContainerName) -> Result<()> {
    let path = paths.present_file(uid, name);
    file::remove_if_there(&path)
        .map_err(|error| Error::system(format!("remove {}", path.display()), error))?;
    file::sync_parent(&path);
    Ok(())
}

/// The containers of which there is one. Blocks.
///
/// # Errors
/// What the system says.
pub fn all(paths: &Paths) -> Result<BTreeSet<(Uid, ContainerName)>> {
    let mut found = BTreeSet::new();
    record::files_of(&paths.undo(), |uid, name, extension| {
        if extension == "present" {
            found.insert((uid, name));
        }
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn snapshot() -> SnapshotName {
        SnapshotName::new(86_400, [])
    }

    fn instance(config: serde_json::Value, devices: serde_json::Value) -> Instance {
        serde_json::from_value(json!({
            "name": "dev", "config": config, "devices": devices, "profiles": ["p"], "description": "mine",
        }))
        .unwrap()
    }

    #[test]
    fn what_is_put_back_is_all_but_what_belongs_to_the_disk() {
        let now = instance(
            json!({"user.snug.phase": "stopping", "user.snug.spec": "new", "volatile.uuid": "u", "volatile.eth0.hwaddr": "a",
                "volatile.last_state.idmap": "now", "volatile.uuid.generation": "g1", "volatile.idmap.next": "n1"}),
            json!({"root": {"type": "disk", "size": "5GiB"}}),
        );
        let restored = instance(
            json!({"user.snug.phase": "ready", "user.snug.spec": "old", "security.privileged": "true", "volatile.uuid": "u",
                "volatile.last_state.idmap": "then", "volatile.uuid.generation": "g2", "volatile.idmap.next": "n0",
                "volatile.idmap.current": "c0"}),
            json!({"root": {"type": "disk"}, "home": {"type": "disk"}}),
        )
        .into_put();
        let present = Present::of(now, &snapshot(), None);
        assert!(present.is_of(&restored.config) && present.is_limited() && present.is_older_than(&restored));
        let put = present.over(&restored);
        let wanted = json!({"user.snug.phase": "ready", "user.snug.spec": "new", "volatile.uuid": "u", "volatile.eth0.hwaddr": "a",
            "volatile.last_state.idmap": "then", "volatile.uuid.generation": "g2", "volatile.idmap.next": "n1",
            "volatile.idmap.current": "c0"});
        assert_eq!(serde_json::to_value(&put.config).unwrap(), wanted);
        assert_eq!(
            serde_json::to_value(&put.devices).unwrap(),
            json!({"root": {"type": "disk", "size": "5GiB"}})
        );
        assert_eq!((put.profiles.as_slice(), put.description.as_str()), (&["p".to_owned()][..], "mine"));
        // A disk that cannot be made smaller keeps the limit that it has, or none.
        assert_eq!(present.over_with_its_limit(&restored).devices["root"].get("size"), None);
        let mut larger = restored.clone();
        larger.devices.get_mut("root").unwrap().insert("size".into(), "9GiB".into());
        let put_larger = present.over_with_its_limit(&larger);
        assert_eq!((&put_larger.config, put_larger.devices["root"]["size"].as_str()), (&put.config, "9GiB"));
        // It is a fixed point: put back twice is put back.
        assert_eq!(present.over(&put), put);
        assert!(!present.is_older_than(&present.put));
    }

    #[test]
    fn another_instance_of_the_name_is_another() {
        let of = |identity: &str| instance(json!({"volatile.uuid": identity}), json!({}));
        assert!(!Present::of(of("a"), &snapshot(), None).is_of(&of("b").config));
    }

    #[test]
    fn it_is_there_until_it_is_forgotten_and_spoiled_it_is_no_nothing() {
        let base = tempfile::tempdir().unwrap();
        let (paths, uid, name) = (Paths::below(base.path()), Uid(7), "dev".parse().unwrap());
        assert_eq!((read(&paths, uid, &name).unwrap(), is_there(&paths, uid, &name)), (None, false));
        let present = Present::of(instance(json!({"a": "b"}), json!({})), &snapshot(), None);
        write(&paths, uid, &name, &present).unwrap();
        assert_eq!(read(&paths, uid, &name).unwrap(), Some(present));
        assert_eq!(all(&paths).unwrap(), BTreeSet::from([(uid, name.clone())]));
        assert_eq!(record::kept(&paths).unwrap(), BTreeSet::from([(uid, name.clone())]));
        std::fs::write(paths.present_file(uid, &name), "{").unwrap();
        assert!(read(&paths, uid, &name).is_err() && is_there(&paths, uid, &name));
        forget(&paths, uid, &name).unwrap();
        forget(&paths, uid, &name).unwrap();
        assert!(all(&paths).unwrap().is_empty() && !is_there(&paths, uid, &name));
    }
}
