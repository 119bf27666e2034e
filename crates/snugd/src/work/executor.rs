//! Steps in order; when one fails, or the caller cancels, the undos of those done, the last first.

use snug_core::plan::{Plan, Step};
use snug_core::spec::Phase;

use super::Work;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::job::cancelled;

impl Work {
    /// Carries the plan out, or nothing of it. What has no undo stays done: an image that was fetched, a container that was
    /// removed to be replaced.
    ///
    /// # Errors
    /// What the failed step says; what was done is undone then, where it can be.
    pub async fn carry_out(&self, plan: &Plan) -> Result<()> {
        let mut steps = plan.steps.iter().enumerate().peekable();
        while let Some((done, step)) = steps.next() {
            let next = steps.peek().map(|(_, next)| *next);
            let outcome = match (step, next) {
                _ if self.is_cancelled() && is_cancellable(step, done) => Err(cancelled()),
                (Step::WaitForAgent { .. }, Some(last @ Step::SetPhase { to: Phase::Ready, .. })) => {
                    steps.next();
                    self.wait_and_mark(step, last).await
                }
                _ => self.step(step).await,
            };
            if let Err(error) = outcome {
                tracing::info!(container = %self.name, step = step.id(), "failed: {error}");
                // The step that failed may be half done.
                self.undo(plan, done + 1).await;
                return Err(error);
            }
            tracing::debug!(container = %self.name, "done: {step}");
        }
        Ok(())
    }

    /// Stores that all is well while the agent comes up: Incus needs 20 ms for it, which nobody then waits for. When the
    /// agent does not come, the phase goes back before anything is undone.
    async fn wait_and_mark(&self, wait: &Step, mark: &Step) -> Result<()> {
        let before = self.found().await?.phase;
        let (answered, marked) = tokio::join!(self.step(wait), self.step(mark));
        if answered.is_err()
            && marked.is_ok()
            && let Err(error) = self.set_phase(before).await
        {
            // Why the agent did not answer is what counts.
            self.notice(format!("could not mark '{}' as {before} again: {error}", self.name));
        }
        answered.and(marked)
    }

    fn is_cancelled(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.is_cancelled())
    }

    /// One step.
    async fn step(&self, step: &Step) -> Result<()> {
        failpoint::reach(step.id());
        if let Step::SetPhase { to, .. } = step {
            failpoint::reach(&format!("set-phase-{to}"));
        }
        if let Some(words) = words(step) {
            self.stage(words);
        }
        self.apply(step).await?;
        failpoint::reach(&format!("{}:after", step.id()));
        Ok(())
    }

    async fn apply(&self, step: &Step) -> Result<()> {
        match step {
            Step::EnsureSubordinateIds => self.ensure_subordinate_ids().await,
            Step::EnsureProject { .. } => self.ensure_project().await,
            Step::EnsurePool => self.ensure_pool().await,
            Step::EnsureNetwork { .. } => self.ensure_network().await,
            Step::HoldHostNetwork => self.hold_host_network().await,
            Step::PullImage { image } => self.images().pull(image).await,
            Step::CreateInstance { image, spec, temporary, .. } => {
                self.create_instance(image, spec, *temporary).await
            }
            Step::UpdateInstance { .. } => self.update_instance().await,
            Step::PrepareRunDirectory { .. } => self.prepare_run_directory().await,
            Step::MountHome { .. } => self.mount_home().await,
            Step::MountPlaces { .. } => self.mount_places().await.map(drop),
            Step::MountSession { .. } => self.mount_session().await,
            Step::MakeDevices { .. } => self.make_devices().await,
            Step::WriteProvision { .. } => self.write_provision().await,
            Step::StartInstance { .. } => self.start_instance().await,
            Step::Unfreeze { .. } => self.unfreeze().await,
            Step::WaitForAgent { .. } => self.wait_for_agent().await,
            Step::RepairAgent { .. } => self.repair_agent().await,
            Step::HangUpCommands { .. } => self.hang_up_commands().await,
            Step::StopInstance { force, timeout, .. } => self.stop_instance(*force, *timeout).await,
            Step::SetConfig { change, .. } => self.set_config(change).await,
            Step::TakeSnapshot { snapshot, before, .. } => self.take_snapshot(snapshot, before).await,
            Step::RestoreSnapshot { snapshot, kept, .. } => {
                self.restore_snapshot(snapshot, kept.as_ref()).await
            }
            Step::PutBackConfig { .. } => self.put_back_config().await,
            Step::DeleteSnapshot { snapshot, needed, .. } => self.delete_snapshot(snapshot, *needed).await,
            Step::SetPhase { to, .. } => self.set_phase(*to).await,
            Step::DeleteInstance { .. } => self.delete_instance().await,
            Step::UnmountAll { .. } => self.unmount_all().await,
            Step::RemoveRunDirectory { .. } => self.remove_run_directory().await,
            other => Err(crate::error::failed(format!("the step '{}' is not known here", other.id()))),
        }
    }

    /// Takes back the first `done` steps; goes on after a failure. What stays is found by the phase and repaired before
    /// the next work on this container.
    async fn undo(&self, plan: &Plan, done: usize) {
        let undo = plan.undo(done);
        if undo.is_empty() {
            return;
        }
        self.stage(format!("undoing what was done to {}", self.name));
        let mut whole = true;
        // The directory of a container that exists stays: Incus looks at the sources of its devices with every change
        // of the instance. That of one that does not goes below.
        let kept = |step: &&Step| !matches!(step, Step::RemoveRunDirectory { .. });
        let mut is_foreign = false;
        for step in undo.steps.iter().filter(kept) {
            // With a snapshot's configuration it is not ready: whoever needs it comes to the daemon, which puts its own back first.
            if is_foreign && matches!(step, Step::SetPhase { .. }) {
                continue;
            }
            if let Err(error) = self.apply(step).await {
                whole = false;
                is_foreign |= matches!(step, Step::PutBackConfig { .. });
                self.notice(format!("could not undo ({step}): {error}"));
            }
        }
        if whole && let Err(error) = self.settle_after_undo().await {
            self.notice(format!("could not clean up: {error}"));
        }
    }

    /// An undone start leaves a whole container; an undone creation leaves no directory.
    async fn settle_after_undo(&self) -> Result<()> {
        match self.look().await? {
            None => self.remove_directory().await,
            Some(found) if found.phase == Phase::Starting => self.set_phase(Phase::Ready).await,
            Some(_) => Ok(()),
        }
    }
}

/// What ends or removes is not left half-way because somebody pressed Ctrl-C: going on is quicker than going back.
fn is_cancellable(step: &Step, done: usize) -> bool {
    done == 0
        || !matches!(
            step,
            Step::StopInstance { .. }
                | Step::DeleteInstance { .. }
                | Step::UnmountAll { .. }
                | Step::RemoveRunDirectory { .. }
                | Step::HangUpCommands { .. }
                | Step::PutBackConfig { .. }
                | Step::DeleteSnapshot { .. }
                | Step::SetPhase { .. }
        )
}

/// What a person is told while the step goes on; `None` for those that are over before they could be read.
fn words(step: &Step) -> Option<String> {
    Some(match step {
        Step::EnsurePool => "making a storage pool".into(),
        Step::EnsureNetwork { .. } => "making a network".into(),
        Step::PullImage { image } => format!("fetching {image}"),
        Step::CreateInstance { name, image, .. } => format!("creating {name} from {image}"),
        Step::StartInstance { name } => format!("starting {name}"),
        Step::WaitForAgent { name } => format!("waiting for {name}"),
        Step::RepairAgent { name } => format!("starting the agent of {name} again"),
        Step::HangUpCommands { name } => format!("hanging up the commands in {name}"),
        Step::StopInstance { name, .. } => format!("stopping {name}"),
        Step::TakeSnapshot { name, .. } => format!("taking a snapshot of {name}"),
        Step::RestoreSnapshot { name, .. } => format!("putting the disk of {name} back"),
        Step::DeleteInstance { name } => format!("removing {name}"),
        _ => return None,
    })
}

/// The failure of a job whose container an earlier daemon left in the middle.
#[must_use]
pub fn interrupted(error: Error) -> Error {
    error.context("repair what was interrupted earlier")
}
