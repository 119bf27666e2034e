//! The planners of snapshots and of going back.

use super::planner::{existing, start, stop, supported};
use super::{ContainerState, Plan, PlanError, State, Status, Step, StopRequest};
use crate::name::ContainerName;
use crate::snapshot::{Ability, Keep, Occasion, Snapshot, SnapshotName, outdated};
use crate::spec::Phase;

/// A container's snapshots and the pool that they are in, as the daemon found them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshots {
    /// The pool's name.
    pub pool: String,
    /// Its driver, as Incus calls it.
    pub driver: String,
    /// What it makes of snapshots.
    pub ability: Ability,
    /// All snapshots, the oldest first.
    pub all: Vec<Snapshot>,
}

impl Snapshots {
    /// Snug's own, the oldest first.
    fn own(&self) -> Vec<SnapshotName> {
        self.all.iter().filter_map(Snapshot::own).cloned().collect()
    }

    /// Never earlier than those that there are: by their names they follow each other, whatever the clock does.
    fn next(&self, now: u64) -> SnapshotName {
        let latest = self.all.iter().filter_map(Snapshot::own).map(SnapshotName::time).max();
        SnapshotName::new(now.max(latest.unwrap_or_default()), self.all.iter().map(Snapshot::name))
    }
}

/// A snapshot to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// What comes after it.
    pub before: Occasion,
    /// Seconds since 1970.
    pub now: u64,
    /// Which older ones go then.
    pub keep: Keep,
}

/// A way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoRequest {
    /// To which snapshot; when there is none, the newest of Snug's that was taken before something which has been done.
    pub to: Option<SnapshotName>,
    /// How it is stopped if it runs.
    pub stop: StopRequest,
    /// Take a snapshot of what is there now, so that the undo can be undone; where the pool can go back to each.
    pub keep_present: bool,
    /// Seconds since 1970.
    pub now: u64,
    /// Which older ones go.
    pub keep: Keep,
}

/// Take a snapshot, and let old ones go.
///
/// # Errors
/// [`PlanError::NoSnapshots`] where the pool would have to copy, [`PlanError::Temporary`]; [`PlanError::NotFound`].
pub fn plan_snapshot(
    state: &State,
    snapshots: &Snapshots,
    request: &SnapshotRequest,
) -> Result<Plan, PlanError> {
    able(state, snapshots)?;
    let taken = snapshots.next(request.now);
    let mut own = snapshots.own();
    own.push(taken.clone());
    let mut steps = vec![Step::TakeSnapshot {
        name: state.name.clone(),
        snapshot: taken,
        before: request.before.clone(),
    }];
    prune(&state.name, &own, request.now, request.keep, None, &mut steps);
    Ok(Plan { steps })
}

/// Go back to a snapshot: the disk alone. Grants, settings and all else that Incus has of the container stay as they are now. One
/// that runs is stopped and started again.
///
/// # Errors
/// [`PlanError::NoSnapshot`] when there is nothing to go back to; [`PlanError::StartsByItself`]; [`PlanError::NewerSnapshot`] where
/// the pool would have to delete a person's; those of [`plan_snapshot`].
pub fn plan_undo(state: &State, snapshots: &Snapshots, request: &UndoRequest) -> Result<Plan, PlanError> {
    let container = able(state, snapshots)?;
    let name = &state.name;
    let at = snapshots.all.iter().rposition(|snapshot| match (&request.to, snapshot) {
        (Some(wanted), Snapshot::Own { name, .. }) => wanted == name,
        (None, Snapshot::Own { before, .. }) => !before.is_unfinished(),
        (_, Snapshot::Foreign(_)) => false,
    });
    let Some((at, Snapshot::Own { name: target, before, starts })) = at.map(|at| (at, &snapshots.all[at]))
    else {
        return Err(PlanError::NoSnapshot { name: name.clone(), snapshot: request.to.clone() });
    };
    if *starts {
        return Err(PlanError::StartsByItself { name: name.clone(), snapshot: target.clone() });
    }
    let in_the_way =
        if snapshots.ability == Ability::Latest { &snapshots.all[at + 1..] } else { &snapshots.all[..0] };
    if let Some(Snapshot::Foreign(newer)) = in_the_way.iter().find(|newer| newer.own().is_none()) {
        return Err(PlanError::NewerSnapshot {
            name: name.clone(),
            snapshot: target.clone(),
            newer: newer.clone(),
        });
    }
    let mut steps = Vec::new();
    let ran = container.status != Status::Stopped;
    if ran {
        supported(name, &container.spec)?;
        stop(name, container, request.stop, &mut steps);
    } else {
        steps.push(Step::UnmountAll { name: name.clone() });
    }
    let mut own = snapshots.own();
    let kept =
        (request.keep_present && snapshots.ability == Ability::Each).then(|| snapshots.next(request.now));
    if let Some(kept) = &kept {
        own.push(kept.clone());
        // Marked as ready: a person may go back to it by Incus' own means.
        steps.push(Step::TakeSnapshot {
            name: name.clone(),
            snapshot: kept.clone(),
            before: before.undone().unfinished(),
        });
    }
    for newer in in_the_way.iter().rev().filter_map(Snapshot::own) {
        steps.push(Step::DeleteSnapshot { name: name.clone(), snapshot: newer.clone(), needed: true });
    }
    // Whoever wants to use it meanwhile waits, as for one that is being stopped.
    steps.push(Step::SetPhase { name: name.clone(), from: Some(Phase::Ready), to: Phase::Stopping });
    steps.push(Step::RestoreSnapshot { name: name.clone(), snapshot: target.clone(), kept });
    steps.push(Step::PutBackConfig { name: name.clone() });
    steps.push(Step::SetPhase { name: name.clone(), from: None, to: Phase::Ready });
    if snapshots.ability == Ability::Each {
        prune(name, &own, request.now, request.keep, Some(target), &mut steps);
    }
    if ran {
        start(state, container, &mut steps)?;
    }
    Ok(Plan { steps })
}

/// The container, if it is one that can go back.
fn able<'a>(state: &'a State, snapshots: &Snapshots) -> Result<&'a ContainerState, PlanError> {
    let container = existing(state)?;
    if container.temporary.is_some() {
        return Err(PlanError::Temporary(state.name.clone()));
    }
    if snapshots.ability == Ability::None {
        let (pool, driver) = (snapshots.pool.clone(), snapshots.driver.clone());
        return Err(PlanError::NoSnapshots { name: state.name.clone(), pool, driver });
    }
    Ok(container)
}

fn prune(
    name: &ContainerName,
    own: &[SnapshotName],
    now: u64,
    keep: Keep,
    spared: Option<&SnapshotName>,
    steps: &mut Vec<Step>,
) {
    for old in outdated(own, now, keep, spared) {
        steps.push(Step::DeleteSnapshot { name: name.clone(), snapshot: old, needed: false });
    }
}
