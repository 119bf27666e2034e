//! Change as a plan: what is, what is wanted, which steps. Planners are pure; the daemon carries the steps out one
//! after the other, and when one fails the undos of those done, the last first.
//!
//! The order inside a plan holds the rules that make it safe to die anywhere: the phase is stored before anything is
//! changed and cleared after everything is; mounts go before the directories that hold them; [`plan_recovery`] brings a
//! container from any phase to a whole one or to none.

mod planner;
mod recovery;
mod step;

use thiserror::Error;

use crate::error::{Explain, Kind};
use crate::image::ImageRef;
use crate::instance::InstanceConfig;
use crate::name::ContainerName;
use crate::setting::SettingError;
use crate::spec::{InstanceKind, Phase, Spec, TemporaryTag};

pub use planner::{
    plan_configure, plan_create, plan_ensure, plan_remove, plan_repair_agent, plan_restart, plan_start,
    plan_stop,
};
pub use recovery::{Recovery, plan_recovery};
pub use step::Step;

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
    /// A setting that cannot be.
    #[error(transparent)]
    Setting(#[from] SettingError),
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
            Self::Setting(error) => error.hints(),
        }
    }
}

#[cfg(test)]
mod tests;
