//! What jobs do to one container.

use std::sync::Arc;

use jiff::Timestamp;
use snug_core::name::{ContainerName, Uid};
use snug_core::plan::{
    ContainerState, Plan, SnapshotRequest, State, Status, Step, StopRequest, UndoRequest, plan_configure,
    plan_create, plan_ensure, plan_remove, plan_repair_agent, plan_restart, plan_snapshot, plan_start,
    plan_stop, plan_undo,
};
use snug_core::setting::{Setting, SettingKey};
use snug_core::snapshot::{Occasion, SnapshotName};
use snug_core::spec::{Phase, TemporaryTag};
use zbus::{OwnedVariant, Variant};

use super::creation::Request;
use crate::container::lookup::missing;
use crate::container::record;
use crate::daemon::Daemon;
use crate::error::{Error, ErrorKind, Result};
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
    /// Take a snapshot of it.
    TakeSnapshot {
        /// What comes next.
        before: Occasion,
    },
    /// Put its disk back.
    Undo {
        /// To which snapshot; `None`: the newest.
        to: Option<SnapshotName>,
        /// How it is stopped.
        stop: StopRequest,
        /// Keep what is there now.
        keep_present: bool,
    },
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
            Self::TakeSnapshot { .. } => "take-snapshot",
            Self::Undo { .. } => "undo",
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
            Self::TakeSnapshot { .. } => "TakeSnapshot",
            Self::Undo { .. } => "Undo",
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
            Self::Configure { .. } | Self::RepairAgent | Self::TakeSnapshot { .. } | Self::Undo { .. } => {
                "changed"
            }
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
            Self::TakeSnapshot { before } => {
                exists(state)?;
                let request = SnapshotRequest {
                    before: before.clone(),
                    now: now(),
                    keep: work.config.keep_snapshots(),
                };
                plan_snapshot(state, &work.snapshots().await?, &request)?
            }
            Self::Undo { to, stop, keep_present } => {
                let container = exists(state)?;
                // It is started again.
                if container.status != Status::Stopped {
                    let uid = work.uid();
                    tokio::task::spawn_blocking(move || owner::eligible(uid)).await??;
                }
                let request = UndoRequest {
                    to: to.clone(),
                    stop: *stop,
                    keep_present: *keep_present,
                    now: now(),
                    keep: work.config.keep_snapshots(),
                };
                plan_undo(state, &work.snapshots().await?, &request)?
            }
        })
    }

    /// What the job answers beside what all do.
    fn answer(&self, plan: &Plan) -> Result<Answer> {
        let mut answer = Answer::new();
        for step in &plan.steps {
            match (self, step) {
                (Self::TakeSnapshot { .. }, Step::TakeSnapshot { snapshot, .. })
                | (Self::Undo { .. }, Step::RestoreSnapshot { snapshot, .. }) => {
                    answer.insert("snapshot".to_owned(), value(snapshot.to_string())?);
                }
                (Self::Undo { .. }, Step::TakeSnapshot { snapshot, .. }) => {
                    answer.insert("kept".to_owned(), value(snapshot.to_string())?);
                }
                _ => {}
            }
        }
        Ok(answer)
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or_default()
}

/// What is asked of Incus next needs it.
fn exists(state: &State) -> Result<&ContainerState> {
    state.container.as_ref().ok_or_else(|| missing(&state.name))
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
    let state = if dry_run { work.discover().await? } else { settled(&work, change).await? };
    let existed = state.container.is_some();
    let plan = change.plan(&work, &state).await?;
    if dry_run {
        let mut answer = change.answer(&plan)?;
        answer.insert("plan".to_owned(), value(plan.sentences())?);
        return Ok(answer);
    }
    match change {
        Change::Undo { .. } => go_back(&work, &plan).await?,
        _ => work.carry_out(&plan).await?,
    }
    if let Change::Create { client: Some(tag), .. } = change {
        temporary::watch(daemon, uid, name.clone(), *tag);
    }
    if !plan.is_empty() {
        let (daemon, config) = (daemon.clone(), work.config.clone());
        let (name, what) = (name.clone(), change.outcome(existed));
        // Beside the job: whoever waits for the container need not wait for the news of it.
        tokio::spawn(async move { daemon.announce(&config, uid, &name, what).await });
    }
    change.answer(&plan)
}

/// What is, after what an earlier daemon left was put right; what cannot be put right can still be removed.
async fn settled(work: &Work, change: &Change) -> Result<State> {
    match work.settled().await {
        Err(error) if matches!(change, Change::Remove { .. }) => {
            work.notice(error.to_string());
            work.discover().await
        }
        settled => settled,
    }
}

/// Carries an undo out. One that ran and whose disk could not be put back is started again as it was; one whose disk has gone back
/// stays so, whether it starts or not.
async fn go_back(work: &Work, plan: &Plan) -> Result<()> {
    // The configuration is put back, the phase is ready, old snapshots go: the rest is a start.
    let is_back = |step: &Step| matches!(step, Step::PutBackConfig { .. } | Step::DeleteSnapshot { .. });
    let last = plan.steps.iter().rposition(is_back).map_or(0, |at| at + 1);
    let is_marked = |step: &Step| matches!(step, Step::SetPhase { to: Phase::Ready, .. });
    let marked = plan.steps.get(last).is_some_and(is_marked);
    let (back, start) = plan.steps.split_at(last + usize::from(marked));
    if let Err(mut error) = work.carry_out(&Plan { steps: back.to_vec() }).await {
        if error.kind == ErrorKind::NoSpace
            && back.iter().any(|step| matches!(step, Step::TakeSnapshot { .. }))
        {
            error = error.hint(format!(
                "`snug undo -c {} --discard` goes back without keeping what is there now",
                work.name
            ));
        }
        if !start.is_empty() {
            start_again(work).await;
        }
        return Err(error);
    }
    let started = work.carry_out(&Plan { steps: start.to_vec() }).await;
    started.map_err(|error| error.context(format!("'{}' has gone back, but does not run", work.name)))
}

/// Makes it run as before, whatever its job has come to.
async fn start_again(work: &Work) {
    let again = async {
        let unasked = Work::new(&work.daemon, work.uid(), work.name.clone(), None).await?;
        let plan = plan_start(&unasked.settled().await?)?;
        unasked.carry_out(&plan).await
    };
    if let Err(error) = again.await {
        work.notice(format!("'{}' was not started again: {error}", work.name));
    }
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
    error: Option<&Error>,
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
