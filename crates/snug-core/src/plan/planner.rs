//! The planners of what a person asks for.

use super::{ContainerState, CreateRequest, Plan, PlanError, State, Status, Step, StopRequest};
use crate::grant::{Home, Network};
use crate::instance::ConfigChange;
use crate::name::ContainerName;
use crate::setting::{Setting, SettingKey};
use crate::spec::{InstanceKind, Phase, SPEC_KEY, Spec};

/// Make a container, and start it if asked for. The phase stays `creating` until all is done: until then a failure, or
/// the daemon's death, means that it is removed.
///
/// # Errors
/// The name is taken ([`PlanError::Exists`]; what an interrupted job left is not in the way), or the kind cannot be made.
pub fn plan_create(state: &State, request: &CreateRequest) -> Result<Plan, PlanError> {
    let name = &state.name;
    supported(name, &request.spec)?;
    if state.container.as_ref().is_some_and(|old| !request.replace && !is_leftover(old)) {
        return Err(PlanError::Exists(name.clone()));
    }
    let most = state.host.most_containers;
    if state.container.is_none() && state.host.containers >= most {
        return Err(PlanError::TooMany { name: name.clone(), most });
    }
    let mut steps = Vec::new();
    host_steps(state, &request.spec, &mut steps);
    // Before the old one goes: an image that cannot be had must not cost a container.
    if !request.image_present {
        steps.push(Step::PullImage { image: request.image.clone() });
    }
    if let Some(old) = &state.container {
        removal(name, old, &mut steps);
    }
    steps.push(Step::CreateInstance {
        name: name.clone(),
        image: request.image.clone(),
        spec: Box::new(request.spec.clone()),
        temporary: request.temporary,
    });
    if request.start {
        boot(name, &request.spec, &mut steps);
    }
    steps.push(Step::SetPhase { name: name.clone(), from: None, to: Phase::Ready });
    Ok(Plan { steps })
}

/// Whether this version can make and start such an instance; a newer one may have written the spec.
pub(super) fn supported(name: &ContainerName, spec: &Spec) -> Result<(), PlanError> {
    match spec.kind {
        InstanceKind::Container => Ok(()),
        _ => Err(PlanError::Kind { name: name.clone(), kind: spec.kind.clone() }),
    }
}

/// Make it run and answer; make it first when it is missing and `create` says how.
///
/// # Errors
/// It is missing and `create` is `None`.
pub fn plan_ensure(state: &State, create: Option<&CreateRequest>) -> Result<Plan, PlanError> {
    match (&state.container, create) {
        (Some(container), _) if !is_leftover(container) => plan_start(state),
        (_, Some(request)) => plan_create(state, &CreateRequest { start: true, ..request.clone() }),
        (_, None) => Err(PlanError::NotFound(state.name.clone())),
    }
}

/// Start it; nothing to do when it runs and answers, the agent's repair when it only runs.
///
/// # Errors
/// [`PlanError::NotFound`].
pub fn plan_start(state: &State) -> Result<Plan, PlanError> {
    let container = existing(state)?;
    let name = &state.name;
    let mut steps = Vec::new();
    match container.status {
        Status::Running if container.agent => {}
        Status::Running => repair(name, &mut steps),
        Status::Frozen => {
            steps.push(Step::Unfreeze { name: name.clone() });
            steps.push(Step::WaitForAgent { name: name.clone() });
        }
        Status::Stopped | Status::Error => start(state, container, &mut steps)?,
    }
    Ok(Plan { steps })
}

/// Stop it. What was mounted for one that has stopped by itself is taken away.
///
/// # Errors
/// [`PlanError::NotFound`].
pub fn plan_stop(state: &State, request: &StopRequest) -> Result<Plan, PlanError> {
    let container = existing(state)?;
    let mut steps = Vec::new();
    if container.status == Status::Stopped {
        steps.push(Step::UnmountAll { name: state.name.clone() });
    } else {
        stop(&state.name, container, *request, &mut steps);
    }
    Ok(Plan { steps })
}

/// Stop and start it; a stopped one is started.
///
/// # Errors
/// [`PlanError::NotFound`].
pub fn plan_restart(state: &State, request: &StopRequest) -> Result<Plan, PlanError> {
    let container = existing(state)?;
    let mut steps = Vec::new();
    if container.status != Status::Stopped {
        stop(&state.name, container, *request, &mut steps);
    }
    start(state, container, &mut steps)?;
    Ok(Plan { steps })
}

/// Remove it with its disk. The owner's home on the host is unmounted first, and never touched.
///
/// # Errors
/// It is missing, or it runs and `force` is not given.
pub fn plan_remove(state: &State, force: bool) -> Result<Plan, PlanError> {
    let container = state.container.as_ref().ok_or_else(|| PlanError::NotFound(state.name.clone()))?;
    if container.status != Status::Stopped && !force && !is_leftover(container) {
        return Err(PlanError::Running(state.name.clone()));
    }
    let mut steps = Vec::new();
    removal(&state.name, container, &mut steps);
    Ok(Plan { steps })
}

/// Start the agent's server again.
///
/// # Errors
/// It is missing or does not run.
pub fn plan_repair_agent(state: &State) -> Result<Plan, PlanError> {
    let container = existing(state)?;
    if container.status != Status::Running {
        return Err(PlanError::NotRunning(state.name.clone()));
    }
    let mut steps = Vec::new();
    repair(&state.name, &mut steps);
    Ok(Plan { steps })
}

/// Change settings; live where Incus can. Nothing to do when they are so already.
///
/// # Errors
/// [`PlanError::NotFound`].
pub fn plan_configure(state: &State, set: &[Setting], unset: &[SettingKey]) -> Result<Plan, PlanError> {
    let container = existing(state)?;
    let mut spec = container.spec.clone();
    unset.iter().for_each(|key| spec.settings.unset(*key));
    set.iter().for_each(|setting| spec.settings.set(setting));
    let change = settings_change(container, &spec);
    if change.is_empty() {
        return Ok(Plan::default());
    }
    let inverse = change.inverse(&container.instance);
    let (set, unset) = (set.to_vec(), unset.to_vec());
    Ok(Plan { steps: vec![Step::SetConfig { name: state.name.clone(), change, inverse, set, unset }] })
}

/// What new settings change on the instance: their own keys, the root disk's size, and the stored spec.
fn settings_change(container: &ContainerState, spec: &Spec) -> ConfigChange {
    let mut change = ConfigChange::default();
    let current = &container.instance;
    let limits = spec.settings.incus_config();
    for key in SettingKey::ALL.into_iter().filter_map(SettingKey::incus_key) {
        if limits.get(key) != current.config.get(key) {
            change.config.insert(key.to_owned(), limits.get(key).cloned());
        }
    }
    if let Some(root) = current.devices.get("root") {
        let mut resized = root.clone();
        match spec.settings.root_size() {
            Some(size) => drop(resized.insert("size".to_owned(), size)),
            None => drop(resized.remove("size")),
        }
        if resized != *root {
            change.devices.insert("root".to_owned(), Some(resized));
        }
    }
    if *spec != container.spec {
        change.config.insert(SPEC_KEY.to_owned(), Some(spec.to_json()));
    }
    change
}

/// What an interrupted job left of a container that was never whole, or is not any more.
pub(super) fn is_leftover(container: &ContainerState) -> bool {
    matches!(container.phase, Phase::Creating | Phase::Removing)
}

pub(super) fn existing(state: &State) -> Result<&ContainerState, PlanError> {
    let container = state.container.as_ref().filter(|container| !is_leftover(container));
    container.ok_or_else(|| PlanError::NotFound(state.name.clone()))
}

/// What the host must have before a container of this spec can be made or started.
fn host_steps(state: &State, spec: &Spec, steps: &mut Vec<Step>) {
    let host = &state.host;
    if !host.subordinate_ids && !spec.grants.privileged() {
        steps.push(Step::EnsureSubordinateIds);
    }
    if host.pool.is_none() {
        steps.push(Step::EnsurePool);
    }
    if !host.project {
        steps.push(Step::EnsureProject { project: host.project_name.clone() });
    }
    match spec.grants.network() {
        // One that is not trusted is behind the bridge (`crate::instance::network`).
        Network::Mirror if host.mirror && spec.grants.is_trusted(|_| true) => {}
        Network::Nat | Network::Mirror if !host.network => {
            steps.push(Step::EnsureNetwork { bridge: host.bridge.clone() });
        }
        Network::Host => steps.push(Step::HoldHostNetwork),
        _ => {}
    }
}

/// From a stopped instance to an agent that answers; the phase is the caller's.
fn boot(name: &ContainerName, spec: &Spec, steps: &mut Vec<Step>) {
    let name = || name.clone();
    steps.push(Step::PrepareRunDirectory { name: name() });
    if spec.grants.home() != Home::Private {
        steps.push(Step::MountHome { name: name() });
    }
    if spec.grants.places() {
        steps.push(Step::MountPlaces { name: name() });
    }
    if spec.grants.session() {
        steps.push(Step::MountSession { name: name() });
    }
    if !spec.grants.nodes().is_empty() {
        steps.push(Step::MakeDevices { name: name() });
    }
    steps.push(Step::WriteProvision { name: name() });
    steps.push(Step::StartInstance { name: name() });
    steps.push(Step::WaitForAgent { name: name() });
}

pub(super) fn start(
    state: &State,
    container: &ContainerState,
    steps: &mut Vec<Step>,
) -> Result<(), PlanError> {
    let name = &state.name;
    supported(name, &container.spec)?;
    host_steps(state, &container.spec, steps);
    steps.push(Step::SetPhase { name: name.clone(), from: Some(Phase::Ready), to: Phase::Starting });
    steps.push(Step::UpdateInstance { name: name.clone() });
    boot(name, &container.spec, steps);
    steps.push(Step::SetPhase { name: name.clone(), from: None, to: Phase::Ready });
    Ok(())
}

pub(super) fn stop(
    name: &ContainerName,
    container: &ContainerState,
    request: StopRequest,
    steps: &mut Vec<Step>,
) {
    steps.push(Step::SetPhase { name: name.clone(), from: Some(Phase::Ready), to: Phase::Stopping });
    halt(name, container, request, steps);
    steps.push(Step::UnmountAll { name: name.clone() });
    steps.push(Step::SetPhase { name: name.clone(), from: None, to: Phase::Ready });
}

/// From whatever runs to nothing that runs.
pub(super) fn halt(
    name: &ContainerName,
    container: &ContainerState,
    request: StopRequest,
    steps: &mut Vec<Step>,
) {
    if container.status == Status::Running && container.agent && !request.force {
        steps.push(Step::HangUpCommands { name: name.clone() });
    }
    // A frozen init answers no request.
    let force = request.force || container.status != Status::Running;
    let timeout = if force { 0 } else { request.timeout };
    steps.push(Step::StopInstance { name: name.clone(), force, timeout });
}

pub(super) fn removal(name: &ContainerName, container: &ContainerState, steps: &mut Vec<Step>) {
    if container.phase != Phase::Removing {
        // A failed removal leaves a whole, stopped container; of a half-made one there is no way back.
        let from = (!is_leftover(container)).then_some(Phase::Ready);
        steps.push(Step::SetPhase { name: name.clone(), from, to: Phase::Removing });
    }
    if container.status != Status::Stopped {
        steps.push(Step::StopInstance { name: name.clone(), force: true, timeout: 0 });
    }
    // The mounts go first: deleting must find nothing of the owner's below the instance or its directory.
    steps.push(Step::UnmountAll { name: name.clone() });
    steps.push(Step::DeleteInstance { name: name.clone() });
    steps.push(Step::RemoveRunDirectory { name: name.clone() });
}

fn repair(name: &ContainerName, steps: &mut Vec<Step>) {
    steps.push(Step::RepairAgent { name: name.clone() });
    steps.push(Step::WaitForAgent { name: name.clone() });
}
