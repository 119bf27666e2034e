//! What to do about what a dead daemon left.

use super::planner::{is_leftover, removal};
use super::{Plan, State, Status, Step};
use crate::name::ContainerName;
use crate::spec::Phase;

/// What became of a container whose phase was not `ready`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing was under way.
    Untouched,
    /// The interrupted job is taken back.
    Undone,
    /// The interrupted job is brought to its end.
    Finished,
    /// The client of `run --rm` is gone: so is its container.
    Orphaned,
}

/// Brings a container from whatever phase a dead daemon left to a whole one, or to none: `creating` is taken back,
/// `removing` is finished; `starting` is finished when the agent answers and taken back when not; `stopping` is finished.
/// One whose disk was going back to a snapshot gets its present configuration back first, whatever its phase says by now; what
/// runs of it was started with the snapshot's, by somebody else, and is stopped.
#[must_use]
pub fn plan_recovery(state: &State) -> (Recovery, Plan) {
    let name = &state.name;
    let Some(container) = &state.container else {
        return (Recovery::Untouched, Plan::default());
    };
    let mut steps = Vec::new();
    let orphaned = container.temporary.is_some() && !container.client_alive;
    let recovery = match container.phase {
        _ if orphaned || is_leftover(container) => {
            removal(name, container, &mut steps);
            match container.phase {
                Phase::Creating => Recovery::Undone,
                Phase::Removing => Recovery::Finished,
                _ => Recovery::Orphaned,
            }
        }
        _ if container.restoring => {
            if container.status != Status::Stopped {
                steps.push(Step::StopInstance { name: name.clone(), force: true, timeout: 0 });
            }
            steps.push(Step::UnmountAll { name: name.clone() });
            steps.push(Step::PutBackConfig { name: name.clone() });
            ready(name, &mut steps);
            Recovery::Finished
        }
        Phase::Starting if container.status == Status::Running && container.agent => {
            ready(name, &mut steps);
            Recovery::Finished
        }
        phase @ (Phase::Starting | Phase::Stopping) => {
            if container.status != Status::Stopped {
                steps.push(Step::StopInstance { name: name.clone(), force: true, timeout: 0 });
            }
            steps.push(Step::UnmountAll { name: name.clone() });
            ready(name, &mut steps);
            if phase == Phase::Starting { Recovery::Undone } else { Recovery::Finished }
        }
        Phase::Ready | Phase::Creating | Phase::Removing => Recovery::Untouched,
    };
    (recovery, Plan { steps })
}

fn ready(name: &ContainerName, steps: &mut Vec<Step>) {
    steps.push(Step::SetPhase { name: name.clone(), from: None, to: Phase::Ready });
}
