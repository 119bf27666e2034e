//! What jobs do to one container.

use std::sync::Arc;

use snug_core::name::{ContainerName, Uid};
use snug_core::plan::{
    Plan, State, StopRequest, plan_configure, plan_create, plan_ensure, plan_remove, plan_repair_agent,
    plan_restart, plan_start, plan_stop,
};
use snug_core::setting::{Setting, SettingKey};
use snug_core::spec::TemporaryTag;
use zbus::{OwnedVariant, Variant};

use super::creation::Request;
use crate::container::record;
use crate::daemon::Daemon;
use crate::error::Result;
use crate::host::owner;
use crate::job::{Answer, Job};
use crate::temporary;
use crate::work::Work;

/// What is asked for.
#[derive(Debug, Clone)]
pub enum Change {
    /// Make it.
    Create {
        /// Of what.
        request: Request,
        /// The client that it goes with.
        client: Option<TemporaryTag>,
    },
    /// Make it run and answer.
    Ensure {
        /// How to make it when it is missing.
        request: Option<Request>,
    },
    /// Start it.
    Start,
    /// Stop and start it.
    Restart(StopRequest),
    /// Stop it.
    Stop(StopRequest),
    /// Remove it.
    Remove {
        /// Also when it runs.
        force: bool,
    },
    /// Change its settings.
    Configure {
        /// New values.
        set: Vec<Setting>,
        /// Back to the default.
        unset: Vec<SettingKey>,
    },
    /// Start its agent again.
    RepairAgent,
}

impl Change {
    fn verb(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Ensure { .. } => "ensure",
            Self::Start => "start",
            Self::Restart(_) => "restart",
            Self::Stop(_) => "stop",
            Self::Remove { .. } => "remove",
            Self::Configure { .. } => "configure",
            Self::RepairAgent => "repair-agent",
        }
    }

    /// The method that asks for it, and the verb of its job.
    pub(super) fn method(&self) -> &'static str {
        match self {
            Self::Create { .. } => "Create",
            Self::Ensure { .. } => "Ensure",
            Self::Start => "Start",
            Self::Restart(_) => "Restart",
            Self::Stop(_) => "Stop",
            Self::Remove { .. } => "Remove",
            Self::Configure { .. } => "Configure",
            Self::RepairAgent => "RepairAgent",
        }
    }

    /// The word of the signal `ContainerChanged`.
    fn outcome(&self, existed: bool) -> &'static str {
        match self {
            Self::Create { .. } => "created",
            Self::Ensure { .. } if !existed => "created",
            Self::Ensure { .. } | Self::Start | Self::Restart(_) => "started",
            Self::Stop(_) => "stopped",
            Self::Remove { .. } => "removed",
            Self::Configure { .. } | Self::RepairAgent => "changed",
        }
    }

    /// Whether it gives the owner something that only an eligible one may have.
    fn needs_eligibility(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Ensure { .. } | Self::Start | Self::Restart(_))
    }

    fn may_create(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Ensure { .. })
    }

    async fn plan(&self, work: &Work, state: &State) -> Result<Plan> {
        Ok(match self {
            Self::Create { request, client } => plan_create(state, &request.resolve(work, *client).await?)?,
            Self::Ensure { request } => {
                let create = match (request, &state.container) {
                    (Some(request), None) => Some(request.resolve(work, None).await?),
                    _ => None,
                };
                plan_ensure(state, create.as_ref())?
            }
            Self::Start => plan_start(state)?,
            Self::Restart(stop) => plan_restart(state, stop)?,
            Self::Stop(stop) => plan_stop(state, stop)?,
            Self::Remove { force } => plan_remove(state, *force)?,
            Self::Configure { set, unset } => {
                let plan = plan_configure(state, set, unset)?;
                work.check_settings(set, true).await?;
                plan
            }
            Self::RepairAgent => plan_repair_agent(state)?,
        })
    }
}

/// Carries a change out, or tells its plan.
///
/// # Errors
/// What failed; nothing of it remains then.
pub async fn run(
    daemon: &Arc<Daemon>,
    uid: Uid,
    name: ContainerName,
    change: Change,
    dry_run: bool,
    job: Arc<Job>,
) -> Result<Answer> {
    let _ended_client = match &change {
        Change::Create { client: Some(tag), .. } => Some(cancel_with(*tag, job.clone())),
        _ => None,
    };
    let outcome = carry_out(daemon, uid, &name, &change, dry_run, job.clone()).await;
    // Of what does not exist nothing is kept: any name can be asked for.
    if !dry_run && daemon.paths().container_dir(uid, &name).exists() {
        keep_log(daemon, uid, &name, &change, &job, outcome.as_ref().err()).await;
    }
    outcome
}

async fn carry_out(
    daemon: &Arc<Daemon>,
    uid: Uid,
    name: &ContainerName,
    change: &Change,
    dry_run: bool,
    job: Arc<Job>,
) -> Result<Answer> {
    if change.needs_eligibility() {
        tokio::task::spawn_blocking(move || owner::eligible(uid)).await??;
    }
    let work = Work::new(daemon, uid, name.clone(), Some(job)).await?;
    let work = if change.may_create() && !dry_run { work.announced() } else { work };
    let state = if dry_run { work.discover().await? } else { work.settled().await? };
    let existed = state.container.is_some();
    let plan = change.plan(&work, &state).await?;
    if dry_run {
        return Ok(Answer::from([("plan".to_owned(), value(plan.sentences())?)]));
    }
    work.carry_out(&plan).await?;
    if let Change::Create { client: Some(tag), .. } = change {
        temporary::watch(daemon, uid, name.clone(), *tag);
    }
    if !plan.is_empty() {
        let (daemon, config) = (daemon.clone(), work.config.clone());
        let (name, what) = (name.clone(), change.outcome(existed));
        // Beside the job: whoever waits for the container need not wait for the news of it.
        tokio::spawn(async move { daemon.announce(&config, uid, &name, what).await });
    }
    Ok(Answer::new())
}

fn value<'a>(value: impl Into<Variant<'a>>) -> Result<OwnedVariant> {
    Ok(OwnedVariant::try_from(value.into())?)
}

/// Cancels the job when the client of a temporary container ends before it.
fn cancel_with(tag: TemporaryTag, job: Arc<Job>) -> AbortOnDrop {
    AbortOnDrop(tokio::spawn(async move {
        temporary::ended(tag).await;
        job.cancel();
    }))
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn keep_log(
    daemon: &Arc<Daemon>,
    uid: Uid,
    name: &ContainerName,
    change: &Change,
    job: &Job,
    error: Option<&crate::error::Error>,
) {
    let mut lines = job.lines();
    if let Some(error) = error {
        lines.push(format!("error: {error}"));
    }
    if lines.is_empty() {
        return;
    }
    let (paths, name, verb) = (daemon.paths().clone(), name.clone(), change.verb());
    let kept = tokio::task::spawn_blocking(move || record::append(&paths, uid, &name, verb, &lines));
    tokio::spawn(async move {
        if let Ok(Err(error)) = kept.await {
            tracing::warn!("a job's log was not kept: {error}");
        }
    });
}
