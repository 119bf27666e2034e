//! Steps: each a sentence, each with its undo.

use std::fmt;

use crate::image::ImageRef;
use crate::instance::ConfigChange;
use crate::name::ContainerName;
use crate::setting::{Setting, SettingKey};
use crate::snapshot::{Occasion, SnapshotName};
use crate::spec::{Phase, Spec, TemporaryTag};
use crate::text;

/// One step. All but [`Step::CreateInstance`], which refuses a name that is taken, are idempotent: carried out twice, or after
/// a half-made first time, they end in the same state.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// Write what is missing in `/etc/subuid` and `/etc/subgid`, both before Incus sees either.
    EnsureSubordinateIds,
    /// Make the owner's Incus project.
    EnsureProject {
        /// Its name.
        project: String,
    },
    /// Make a storage pool, after looking for free space.
    EnsurePool,
    /// Make the bridge.
    EnsureNetwork {
        /// Its name.
        bridge: String,
    },
    /// Bind the host's network namespace to [`crate::paths::Paths::host_network`] (`network=host`), where incusd sees it
    /// too: a mount namespace of its own must share the state directory.
    HoldHostNetwork,
    /// Download the image, or import it from its file, with progress.
    PullImage {
        /// Which.
        image: ImageRef,
    },
    /// Make the instance, stopped, with the phase `creating`.
    CreateInstance {
        /// Its name.
        name: ContainerName,
        /// From what.
        image: ImageRef,
        /// What it is to be; [`crate::instance::wanted`] makes the request of it.
        spec: Box<Spec>,
        /// The client of `run --rm`.
        temporary: Option<TemporaryTag>,
    },
    /// Bring the instance up to date with the spec: agent's version, address, devices.
    UpdateInstance {
        /// Its name.
        name: ContainerName,
    },
    /// The run directory with its ACL, the policy, the agent of this version.
    PrepareRunDirectory {
        /// Whose.
        name: ContainerName,
    },
    /// The owner's home, opened as the owner, mounted where Incus' device has its source.
    MountHome {
        /// Whose.
        name: ContainerName,
    },
    /// The host's places (`/tmp`, `/media`, …), mounted where Incus' device has its source.
    MountPlaces {
        /// Whose.
        name: ContainerName,
    },
    /// The host's runtime directories and X11 sockets, mounted where Incus' device has its source.
    MountSession {
        /// Whose.
        name: ContainerName,
    },
    /// The host's device nodes that the owner may open, made where Incus' device has its source.
    MakeDevices {
        /// Whose.
        name: ContainerName,
    },
    /// The small tmpfs that the guest sees, with `provision.json` in it.
    WriteProvision {
        /// Whose.
        name: ContainerName,
    },
    /// Start the instance.
    StartInstance {
        /// Its name.
        name: ContainerName,
    },
    /// Thaw a frozen instance.
    Unfreeze {
        /// Its name.
        name: ContainerName,
    },
    /// Wait until the agent answers.
    WaitForAgent {
        /// Whose.
        name: ContainerName,
    },
    /// Start the agent's server again (`snug-agent serve`).
    RepairAgent {
        /// Whose.
        name: ContainerName,
    },
    /// SIGHUP for all commands, their end after the grace.
    HangUpCommands {
        /// Whose.
        name: ContainerName,
    },
    /// Stop the instance: its init is asked, and after the time it is stopped by force.
    StopInstance {
        /// Its name.
        name: ContainerName,
        /// Do not ask.
        force: bool,
        /// Seconds until it is stopped by force.
        timeout: u32,
    },
    /// Change configuration and devices.
    SetConfig {
        /// Whose.
        name: ContainerName,
        /// What changes.
        change: ConfigChange,
        /// What brings it back.
        inverse: ConfigChange,
        /// For the sentence: what a person changed.
        set: Vec<Setting>,
        /// For the sentence: what a person took away.
        unset: Vec<SettingKey>,
    },
    /// Take a snapshot of the disk.
    TakeSnapshot {
        /// Of which container.
        name: ContainerName,
        /// The snapshot's name.
        snapshot: SnapshotName,
        /// What comes after it.
        before: Occasion,
    },
    /// Put the disk of a stopped container back to a snapshot. Incus brings the snapshot's configuration back with it: the present
    /// one is written down before, and [`Step::PutBackConfig`] comes next.
    RestoreSnapshot {
        /// Of which container.
        name: ContainerName,
        /// To which.
        snapshot: SnapshotName,
        /// The one that was taken of what is there now, if one was: its undo is done with this step.
        kept: Option<SnapshotName>,
    },
    /// Put back the configuration that [`Step::RestoreSnapshot`] wrote down; nothing to do where none is.
    PutBackConfig {
        /// Whose.
        name: ContainerName,
    },
    /// Delete a snapshot; none is fine.
    DeleteSnapshot {
        /// Of which container.
        name: ContainerName,
        /// Which.
        snapshot: SnapshotName,
        /// What comes after cannot be done with it; else it is old, and one that stays is no failure.
        needed: bool,
    },
    /// Store the phase; an instance that is gone is fine when this undoes another step.
    SetPhase {
        /// Whose.
        name: ContainerName,
        /// The one before; `None` when there is nothing to go back to.
        from: Option<Phase>,
        /// The new one.
        to: Phase,
    },
    /// Delete the instance; none is fine.
    DeleteInstance {
        /// Its name.
        name: ContainerName,
    },
    /// Unmount everything below the container's directory, lazily where it is busy.
    UnmountAll {
        /// Whose.
        name: ContainerName,
    },
    /// Remove the container's directory; never across a mount.
    RemoveRunDirectory {
        /// Whose.
        name: ContainerName,
    },
}

impl Step {
    /// What takes it back; `None` where nothing has to be, or can be.
    #[must_use]
    pub fn undo(&self) -> Option<Self> {
        match self {
            Self::CreateInstance { name, .. } => Some(Self::DeleteInstance { name: name.clone() }),
            Self::PrepareRunDirectory { name } => Some(Self::RemoveRunDirectory { name: name.clone() }),
            Self::MountHome { name }
            | Self::MountPlaces { name }
            | Self::MountSession { name }
            | Self::MakeDevices { name } => Some(Self::UnmountAll { name: name.clone() }),
            Self::StartInstance { name } => {
                Some(Self::StopInstance { name: name.clone(), force: true, timeout: 0 })
            }
            Self::SetConfig { name, change, inverse, .. } => Some(Self::SetConfig {
                name: name.clone(),
                change: inverse.clone(),
                inverse: change.clone(),
                set: Vec::new(),
                unset: Vec::new(),
            }),
            Self::RestoreSnapshot { name, .. } => Some(Self::PutBackConfig { name: name.clone() }),
            Self::SetPhase { name, from: Some(from), to } => {
                Some(Self::SetPhase { name: name.clone(), from: Some(*to), to: *from })
            }
            // What serves other containers too stays, an image stays in the cache, an updated instance is as good as
            // the old one, and what was ended is not brought back. A snapshot harms nobody, and may be all that there is
            // of what was on a disk that has gone back.
            Self::EnsureSubordinateIds
            | Self::EnsureProject { .. }
            | Self::EnsurePool
            | Self::EnsureNetwork { .. }
            | Self::HoldHostNetwork
            | Self::PullImage { .. }
            | Self::UpdateInstance { .. }
            | Self::WriteProvision { .. }
            | Self::Unfreeze { .. }
            | Self::WaitForAgent { .. }
            | Self::RepairAgent { .. }
            | Self::HangUpCommands { .. }
            | Self::StopInstance { .. }
            | Self::SetPhase { from: None, .. }
            | Self::TakeSnapshot { .. }
            | Self::PutBackConfig { .. }
            | Self::DeleteSnapshot { .. }
            | Self::DeleteInstance { .. }
            | Self::UnmountAll { .. }
            | Self::RemoveRunDirectory { .. } => None,
        }
    }

    /// A short name without values, for failpoints and logs: `create-instance`.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::EnsureSubordinateIds => "ensure-subordinate-ids",
            Self::EnsureProject { .. } => "ensure-project",
            Self::EnsurePool => "ensure-pool",
            Self::EnsureNetwork { .. } => "ensure-network",
            Self::HoldHostNetwork => "hold-host-network",
            Self::PullImage { .. } => "pull-image",
            Self::CreateInstance { .. } => "create-instance",
            Self::UpdateInstance { .. } => "update-instance",
            Self::PrepareRunDirectory { .. } => "prepare-run-directory",
            Self::MountHome { .. } => "mount-home",
            Self::MountPlaces { .. } => "mount-places",
            Self::MountSession { .. } => "mount-session",
            Self::MakeDevices { .. } => "make-devices",
            Self::WriteProvision { .. } => "write-provision",
            Self::StartInstance { .. } => "start-instance",
            Self::Unfreeze { .. } => "unfreeze",
            Self::WaitForAgent { .. } => "wait-for-agent",
            Self::RepairAgent { .. } => "repair-agent",
            Self::HangUpCommands { .. } => "hang-up-commands",
            Self::StopInstance { .. } => "stop-instance",
            Self::SetConfig { .. } => "set-config",
            Self::TakeSnapshot { .. } => "take-snapshot",
            Self::RestoreSnapshot { .. } => "restore-snapshot",
            Self::PutBackConfig { .. } => "put-back-config",
            Self::DeleteSnapshot { .. } => "delete-snapshot",
            Self::SetPhase { .. } => "set-phase",
            Self::DeleteInstance { .. } => "delete-instance",
            Self::UnmountAll { .. } => "unmount-all",
            Self::RemoveRunDirectory { .. } => "remove-run-directory",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EnsureSubordinateIds => write!(f, "write the missing lines of /etc/subuid and /etc/subgid"),
            Self::EnsureProject { project } => {
                write!(f, "make the Incus project '{}'", text::escape(project))
            }
            Self::EnsurePool => write!(f, "make a storage pool"),
            Self::EnsureNetwork { bridge } => write!(f, "make the network '{}'", text::escape(bridge)),
            Self::HoldHostNetwork => write!(f, "hold the host's network for containers"),
            Self::PullImage { image } => write!(f, "fetch the image '{}'", text::escape(&image.to_string())),
            Self::CreateInstance { name, image, spec, .. } => {
                write!(f, "make the container '{name}' from '{}'", text::escape(&image.to_string()))?;
                let settings: Vec<String> = SettingKey::ALL
                    .into_iter()
                    .filter_map(|key| Some(spec.settings.get(key)?.to_string()))
                    .collect();
                if settings.is_empty() { Ok(()) } else { write!(f, " with {}", settings.join(", ")) }
            }
            Self::UpdateInstance { name } => write!(f, "bring '{name}' up to date"),
            Self::PrepareRunDirectory { name } => write!(f, "prepare the run directory of '{name}'"),
            Self::MountHome { name } => write!(f, "mount the home for '{name}'"),
            Self::MountPlaces { name } => write!(f, "mount the host's places for '{name}'"),
            Self::MountSession { name } => write!(f, "mount the host's session for '{name}'"),
            Self::MakeDevices { name } => write!(f, "make the host's devices for '{name}'"),
            Self::WriteProvision { name } => write!(f, "write down for '{name}' whom it serves"),
            Self::StartInstance { name } => write!(f, "start '{name}'"),
            Self::Unfreeze { name } => write!(f, "thaw '{name}'"),
            Self::WaitForAgent { name } => write!(f, "wait for the agent of '{name}'"),
            Self::RepairAgent { name } => write!(f, "start the agent of '{name}' again"),
            Self::HangUpCommands { name } => write!(f, "hang up the commands in '{name}'"),
            Self::StopInstance { name, force: true, .. } => write!(f, "stop '{name}' by force"),
            Self::StopInstance { name, timeout, .. } => {
                write!(f, "stop '{name}', by force after {timeout} seconds")
            }
            Self::SetConfig { name, set, unset, .. } if !set.is_empty() || !unset.is_empty() => {
                let set = set.iter().map(|setting| format!("set {setting}"));
                let all: Vec<String> = set.chain(unset.iter().map(|key| format!("unset {key}"))).collect();
                write!(f, "{} for '{name}'", all.join(", "))
            }
            Self::SetConfig { name, .. } => write!(f, "change the configuration of '{name}'"),
            Self::TakeSnapshot { name, snapshot, before } => {
                write!(f, "take the snapshot '{snapshot}' of '{name}'")?;
                let before = before.finished();
                if before.as_str().is_empty() { Ok(()) } else { write!(f, ", before: {before}") }
            }
            Self::RestoreSnapshot { name, snapshot, .. } => {
                write!(f, "put the disk of '{name}' back to the snapshot '{snapshot}'")
            }
            Self::PutBackConfig { name } => {
                write!(f, "leave grants and settings of '{name}' as they are now")
            }
            Self::DeleteSnapshot { name, snapshot, .. } => {
                write!(f, "delete the snapshot '{snapshot}' of '{name}'")
            }
            Self::SetPhase { name, to, .. } => write!(f, "mark '{name}' as {to}"),
            Self::DeleteInstance { name } => write!(f, "delete the container '{name}' and its disk"),
            Self::UnmountAll { name } => write!(f, "unmount what was mounted for '{name}'"),
            Self::RemoveRunDirectory { name } => write!(f, "remove the run directory of '{name}'"),
        }
    }
}
