//! What an instance is and what can be sent about one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{InstanceState, Snapshot};
use crate::json::{is_false, null_as_default};
use crate::path::ApiPath;
use crate::{Config, Devices, StatusCode, Timestamp};

/// Container or virtual machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum InstanceType {
    /// A container.
    #[default]
    #[serde(rename = "container")]
    Container,
    /// A virtual machine.
    #[serde(rename = "virtual-machine")]
    VirtualMachine,
    /// Something that this crate does not know.
    #[serde(untagged)]
    Other(String),
}

/// An instance.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Instance {
    /// Name, unique in its project.
    pub name: String,
    /// Project.
    pub project: String,
    /// Container or virtual machine.
    #[serde(rename = "type")]
    pub kind: InstanceType,
    /// Status in Incus' words.
    pub status: String,
    /// Status.
    pub status_code: StatusCode,
    /// Configuration of its own.
    #[serde(deserialize_with = "null_as_default")]
    pub config: Config,
    /// Configuration with that of its profiles.
    #[serde(deserialize_with = "null_as_default")]
    pub expanded_config: Config,
    /// Devices of its own.
    #[serde(deserialize_with = "null_as_default")]
    pub devices: Devices,
    /// Devices with those of its profiles.
    #[serde(deserialize_with = "null_as_default")]
    pub expanded_devices: Devices,
    /// Profiles, later ones win.
    #[serde(deserialize_with = "null_as_default")]
    pub profiles: Vec<String>,
    /// Free text.
    pub description: String,
    /// Architecture, as the kernel names it.
    pub architecture: String,
    /// Whether it is deleted when it stops.
    pub ephemeral: bool,
    /// Whether there is saved runtime state on disk.
    pub stateful: bool,
    /// Cluster member, or `none`.
    pub location: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was started last.
    pub last_used_at: Timestamp,
    /// State; only in full answers.
    pub state: Option<InstanceState>,
    /// Snapshots; only in full answers.
    pub snapshots: Option<Vec<Snapshot>>,
}

impl Instance {
    /// The part that can be changed.
    pub fn into_put(self) -> InstancePut {
        InstancePut {
            architecture: self.architecture,
            config: self.config,
            devices: self.devices,
            ephemeral: self.ephemeral,
            profiles: self.profiles,
            description: self.description,
            stateful: self.stateful,
        }
    }
}

/// All that can be changed of an instance. A `PUT` needs it complete: begin with [`Instance::into_put`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstancePut {
    /// Architecture.
    pub architecture: String,
    /// Configuration of its own, volatile keys included.
    pub config: Config,
    /// Devices of its own.
    pub devices: Devices,
    /// Whether it is deleted when it stops.
    pub ephemeral: bool,
    /// Profiles.
    pub profiles: Vec<String>,
    /// Free text.
    pub description: String,
    /// Whether there is saved runtime state on disk.
    pub stateful: bool,
}

/// What a `PATCH` changes; what is empty or `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InstancePatch {
    /// Keys to set; the empty text unsets.
    #[serde(skip_serializing_if = "Config::is_empty")]
    pub config: Config,
    /// Devices to add or to replace as a whole.
    #[serde(skip_serializing_if = "Devices::is_empty")]
    pub devices: Devices,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Profiles, all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profiles: Option<Vec<String>>,
    /// Whether it is deleted when it stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<bool>,
}

/// What an instance is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceSource {
    /// `image`, `copy` or `none`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Alias of an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Fingerprint of an image, at least its first 12 digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Properties of an image.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// URL of an image server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// `simplestreams`, `incus` or `oci`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// `pull`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Instance or `instance/snapshot` to copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Project of the instance to copy, or of a local image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Whether to copy without snapshots.
    #[serde(skip_serializing_if = "is_false")]
    pub instance_only: bool,
    /// Whether to bring an existing copy up to date.
    #[serde(skip_serializing_if = "is_false")]
    pub refresh: bool,
    /// Whether files that change while they are copied are no error.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_inconsistent: bool,
}

impl InstanceSource {
    /// A local image by alias.
    pub fn local_alias(alias: impl Into<String>) -> Self {
        Self { kind: "image".into(), alias: Some(alias.into()), ..Self::default() }
    }

    /// A local image by fingerprint.
    pub fn local_fingerprint(fingerprint: impl Into<String>) -> Self {
        Self { kind: "image".into(), fingerprint: Some(fingerprint.into()), ..Self::default() }
    }

    /// An image of a remote server by alias; incusd downloads it. `protocol` is `simplestreams`, `incus` or
    /// `oci`.
    pub fn remote_alias(
        server: impl Into<String>,
        protocol: impl Into<String>,
        alias: impl Into<String>,
    ) -> Self {
        Self {
            server: Some(server.into()),
            protocol: Some(protocol.into()),
            mode: Some("pull".into()),
            ..Self::local_alias(alias)
        }
    }

    /// A copy of an instance or of `instance/snapshot`.
    pub fn copy(source: impl Into<String>) -> Self {
        Self { kind: "copy".into(), source: Some(source.into()), ..Self::default() }
    }

    /// Nothing: an empty root disk.
    pub fn none() -> Self {
        Self { kind: "none".into(), ..Self::default() }
    }
}

/// An instance to be made.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InstancesPost {
    /// Name: letters, digits and dashes, at most 63.
    pub name: String,
    /// Container or virtual machine.
    #[serde(rename = "type")]
    pub kind: InstanceType,
    /// Architecture; the image's or the host's when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub architecture: String,
    /// What it is made from.
    pub source: InstanceSource,
    /// Profiles. `None` means the default one; an empty list means none, and then `devices` must have a root
    /// disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profiles: Option<Vec<String>>,
    /// Configuration.
    pub config: Config,
    /// Devices.
    pub devices: Devices,
    /// Whether it is deleted when it stops.
    pub ephemeral: bool,
    /// Free text.
    pub description: String,
    /// Whether it is started at once, in the same operation.
    #[serde(skip_serializing_if = "is_false")]
    pub start: bool,
}

impl InstancesPost {
    /// A container with everything else left to be set.
    pub fn container(name: impl Into<String>, source: InstanceSource) -> Self {
        Self { name: name.into(), source, ..Self::default() }
    }
}

/// What to do to a running or stopped instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Start.
    Start,
    /// Stop.
    Stop,
    /// Stop and start.
    Restart,
    /// Freeze all processes.
    Freeze,
    /// Let them go on.
    Unfreeze,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateChange {
    action: Action,
    timeout: i64,
    force: bool,
    stateful: bool,
}

impl StateChange {
    /// Any action; waits for ever, without force.
    pub fn new(action: Action) -> Self {
        Self { action, timeout: -1, force: false, stateful: false }
    }

    /// Start.
    pub fn start() -> Self {
        Self::new(Action::Start)
    }

    /// Stop by asking the guest's init.
    pub fn stop() -> Self {
        Self::new(Action::Stop)
    }

    /// Restart by asking the guest's init.
    pub fn restart() -> Self {
        Self::new(Action::Restart)
    }

    /// How many seconds the guest has before the operation fails.
    #[must_use]
    pub fn timeout_seconds(mut self, seconds: u32) -> Self {
        self.timeout = i64::from(seconds);
        self
    }

    /// Whether to kill instead of asking.
    #[must_use]
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// Whether to save or to restore the runtime state.
    #[must_use]
    pub fn stateful(mut self, stateful: bool) -> Self {
        self.stateful = stateful;
        self
    }
}

/// Which instances to list.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Filter such as `config.user.owner eq 1000` or `status eq Running`, evaluated by Incus.
    pub filter: Option<String>,
    /// Instances of all projects.
    pub all_projects: bool,
}

impl ListOptions {
    /// Those that a filter selects.
    pub fn filter(filter: impl Into<String>) -> Self {
        Self { filter: Some(filter.into()), all_projects: false }
    }

    pub(super) fn apply(&self, path: ApiPath) -> ApiPath {
        let path = path.query_if("filter", self.filter.as_deref());
        // Naming a project and all of them is refused.
        if self.all_projects { path.query("all-projects", "true").server_wide() } else { path }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Instance, InstancePatch, InstanceSource, InstanceType, InstancesPost, StateChange};
    use crate::StatusCode;

    #[test]
    fn profiles_that_are_not_given_are_not_sent_and_an_empty_list_is() {
        let mut post = InstancesPost::container("c1", InstanceSource::none());
        assert!(serde_json::to_value(&post).unwrap().get("profiles").is_none());
        post.profiles = Some(Vec::new());
        assert_eq!(serde_json::to_value(&post).unwrap()["profiles"], json!([]));
    }

    #[test]
    fn a_patch_sends_only_what_it_changes() {
        assert_eq!(serde_json::to_value(InstancePatch::default()).unwrap(), json!({}));
    }

    #[test]
    fn a_state_change_waits_for_ever_unless_told_otherwise() {
        let change = serde_json::to_value(StateChange::stop().timeout_seconds(5)).unwrap();
        assert_eq!(change, json!({"action": "stop", "timeout": 5, "force": false, "stateful": false}));
        assert_eq!(serde_json::to_value(StateChange::start()).unwrap()["timeout"], -1);
    }

    #[test]
    fn unknown_fields_and_types_are_tolerated() {
        let instance: Instance = serde_json::from_value(json!({
            "name": "c1", "type": "unikernel", "status_code": 103, "config": null, "devices": null,
            "profiles": null, "something_new": {"a": 1}, "state": null}))
        .unwrap();
        assert_eq!(instance.kind, InstanceType::Other("unikernel".into()));
        assert_eq!(instance.status_code, StatusCode::Running);
    }
}
