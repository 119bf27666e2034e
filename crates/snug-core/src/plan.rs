//! Change as a plan: what is, what is wanted, which steps. Planners are pure; the daemon carries the steps out one
//! after the other, and when one fails the undos of those done, the last first.
//!
//! The order inside a plan holds the rules that make it safe to die anywhere: the phase is stored before anything is
//! changed and cleared after everything is; mounts go before the directories that hold them; [`plan_recovery`] brings a
//! container from any phase to a whole one or to none.

mod planner;
mod recovery;
mod step;
mod undo;

use thiserror::Error;

use crate::error::{Explain, Kind};
use crate::image::ImageRef;
use crate::instance::InstanceConfig;
use crate::name::ContainerName;
use crate::setting::SettingError;
use crate::snapshot::SnapshotName;
use crate::spec::{InstanceKind, Phase, Spec, TemporaryTag};
use crate::text;

pub use planner::{
    plan_configure, plan_create, plan_ensure, plan_remove, plan_repair_agent, plan_restart, plan_start,
    plan_stop,
};
pub use recovery::{Recovery, plan_recovery};
pub use step::Step;
pub use undo::{SnapshotRequest, Snapshots, UndoRequest, plan_snapshot, plan_undo};

/// Steps in order; no steps when all is as wanted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// What to do, first to last.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// One sentence a step, for `--dry-run`.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        self.steps.iter().map(Step::to_string).collect()
    }

    /// How to undo the first `done` steps: the last one first.
    #[must_use]
    pub fn undo(&self, done: usize) -> Self {
        let mut steps: Vec<Step> = self.steps.iter().take(done).rev().filter_map(Step::undo).collect();
        // Several mounts are taken away at once.
        steps.dedup();
        Self { steps }
    }
}

/// What the host has, as the daemon found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostState {
    /// `/etc/subuid` and `/etc/subgid` hold what [`crate::subid::wanted`] wants.
    pub subordinate_ids: bool,
    /// Name of the owner's Incus project.
    pub project_name: String,
    /// It exists.
    pub project: bool,
    /// The storage pool to use, if there is one.
    pub pool: Option<String>,
    /// Name of Snug's bridge.
    pub bridge: String,
    /// It exists.
    pub network: bool,
    /// It can have its network mirrored ([`crate::instance::InstanceFacts::pasta`]).
    pub mirror: bool,
    /// Containers that the owner has, those included that are being made.
    pub containers: usize,
    /// The most that he may have.
    pub most_containers: usize,
}

/// Whether an instance runs (Incus' status).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does not.
    Stopped,
    /// It does.
    Running,
    /// All its processes are frozen.
    Frozen,
    /// Incus cannot tell, or says that something is wrong.
    Error,
}

/// A container, as the daemon found it.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerState {
    /// Whether it runs.
    pub status: Status,
    /// The stored phase; one that cannot be read counts as [`Phase::Ready`].
    pub phase: Phase,
    /// The stored spec.
    pub spec: Spec,
    /// The instance's own configuration and devices.
    pub instance: InstanceConfig,
    /// The agent answers on its socket.
    pub agent: bool,
    /// The stored mark of `run --rm`.
    pub temporary: Option<TemporaryTag>,
    /// The client of that mark lives.
    pub client_alive: bool,
    /// An earlier daemon was putting its disk back to a snapshot: what Incus says of its configuration may be the snapshot's.
    pub restoring: bool,
}

/// Everything that planners look at.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The container's name, whether it exists or not.
    pub name: ContainerName,
    /// The host.
    pub host: HostState,
    /// The container, if it exists.
    pub container: Option<ContainerState>,
}

/// A container to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateRequest {
    /// Its spec.
    pub spec: Spec,
    /// The image.
    pub image: ImageRef,
    /// Incus has the image, or its files, already.
    pub image_present: bool,
    /// Start it and wait for its agent.
    pub start: bool,
    /// Remove the one that has the name.
    pub replace: bool,
    /// The client of `run --rm`.
    pub temporary: Option<TemporaryTag>,
}

/// How a stop is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopRequest {
    /// Do not ask the guest's init.
    pub force: bool,
    /// How long its init may take, in seconds; then it is stopped by force.
    pub timeout: u32,
}

impl Default for StopRequest {
    fn default() -> Self {
        Self { force: false, timeout: 30 }
    }
}

/// A plan that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// There is none of that name.
    #[error("there is no container '{_0}'")]
    NotFound(ContainerName),
    /// The name is taken.
    #[error("a container '{_0}' exists already")]
    Exists(ContainerName),
    /// It runs, and may not for what was asked.
    #[error("the container '{_0}' is running")]
    Running(ContainerName),
    /// It does not run, and must for what was asked.
    #[error("the container '{_0}' is not running")]
    NotRunning(ContainerName),
    /// A kind of instance that this version cannot make.
    #[error("the container '{name}' cannot be a {kind}: this version of Snug makes containers only")]
    Kind {
        /// Which.
        name: ContainerName,
        /// What was asked for.
        kind: InstanceKind,
    },
    /// The owner has as many as he may.
    #[error("the container '{name}' would be one too many: a user may have {most}")]
    TooMany {
        /// Which.
        name: ContainerName,
        /// The bound.
        most: usize,
    },
    /// The pool could only copy the whole disk.
    #[error(
        "no snapshot of '{name}' is taken: the storage pool '{}' ({}) would copy the whole disk",
        text::escape(pool),
        text::escape(driver)
    )]
    NoSnapshots {
        /// Which.
        name: ContainerName,
        /// The pool.
        pool: String,
        /// Its driver.
        driver: String,
    },
    /// It goes with the client that made it.
    #[error("'{_0}' goes with the command that it was made for: there is nothing to go back to")]
    Temporary(ContainerName),
    /// There is none to go back to, or not that one.
    #[error("{}", no_snapshot(name, snapshot.as_ref()))]
    NoSnapshot {
        /// Of which container.
        name: ContainerName,
        /// The one that was asked for.
        snapshot: Option<SnapshotName>,
    },
    /// Incus would start it before its configuration of today is back.
    #[error(
        "as '{snapshot}' has it, Incus would start '{name}' by itself before Snug could put its configuration back"
    )]
    StartsByItself {
        /// Which container.
        name: ContainerName,
        /// Where it was to go back to.
        snapshot: SnapshotName,
    },
    /// The pool goes back to the latest one alone, and that is a person's.
    #[error(
        "'{name}' cannot go back to '{snapshot}': the snapshot '{}', which Snug did not take, is newer, and zfs would have to \
         delete it",
        text::escape(newer)
    )]
    NewerSnapshot {
        /// Which container.
        name: ContainerName,
        /// Where it was to go back to.
        snapshot: SnapshotName,
        /// What is in the way.
        newer: String,
    },
    /// A setting that cannot be.
    #[error(transparent)]
    Setting(#[from] SettingError),
}

fn no_snapshot(name: &ContainerName, snapshot: Option<&SnapshotName>) -> String {
    match snapshot {
        Some(snapshot) => format!("'{name}' has no snapshot '{snapshot}'"),
        None => format!("there is nothing in '{name}' to undo: no snapshot of it was taken"),
    }
}

impl Explain for PlanError {
    fn kind(&self) -> Kind {
        Kind::User
    }

    fn hints(&self) -> Vec<String> {
        match self {
            // Whether making it would help, whoever asked knows.
            Self::NotFound(_) => vec!["`snug list` shows those there are".to_owned()],
            Self::Exists(name) => {
                vec![
                    format!("`snug enter {name}` uses it"),
                    "--replace removes it and makes a new one".to_owned(),
                ]
            }
            Self::Running(name) => {
                vec![format!("`snug stop {name}` stops it; `snug rm -f {name}` removes it as it is")]
            }
            Self::NotRunning(name) => vec![format!("`snug start {name}` starts it")],
            Self::Kind { .. } => vec!["leave the kind out, or use a newer version of Snug".to_owned()],
            Self::TooMany { .. } => vec![
                "`snug rm` removes those that are not needed any more".to_owned(),
                "an administrator may allow more: `max_containers` in /etc/snug/config.toml".to_owned(),
            ],
            Self::NoSnapshots { .. } => {
                vec![
                    "pools of btrfs, zfs or lvm (thin) can: `incus storage list` shows what there is"
                        .to_owned(),
                ]
            }
            Self::Temporary(_) => Vec::new(),
            Self::NoSnapshot { snapshot: None, .. } => {
                vec!["one is taken before each change of what is installed".to_owned()]
            }
            Self::NoSnapshot { name, .. } => {
                vec![format!("`snug undo -c {name} --list` shows those there are")]
            }
            Self::StartsByItself { name, .. } => vec![format!(
                "it was taken while boot.autostart was set: `snug undo -c {name} --list` shows others"
            )],
            Self::NewerSnapshot { newer, .. } => {
                vec![format!(
                    "delete it if it is not needed any more: incus snapshot delete … {}",
                    text::escape(newer)
                )]
            }
            Self::Setting(error) => error.hints(),
        }
    }
}

#[cfg(test)]
mod tests;
