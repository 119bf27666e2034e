mod undo;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::grant::GrantSet;
use crate::setting::{Setting, SettingKey, Settings};

fn spec(grants: &[&str]) -> Spec {
    let image = "images:debian/13".parse().unwrap();
    Spec::new(&image, "integrated", GrantSet::parse(grants).unwrap(), Settings::new())
}

fn request(grants: &[&str]) -> CreateRequest {
    CreateRequest {
        spec: spec(grants),
        image: "images:debian/13".parse().unwrap(),
        image_present: true,
        start: true,
        replace: false,
        temporary: None,
    }
}

fn state(ready_host: bool, container: Option<ContainerState>) -> State {
    let host = HostState {
        subordinate_ids: ready_host,
        project_name: "snug-1000".into(),
        project: ready_host,
        pool: ready_host.then(|| "default".into()),
        bridge: "snugbr0".into(),
        network: ready_host,
        mirror: true,
        containers: 3,
        most_containers: 4,
    };
    State { name: "dev".parse().unwrap(), host, container }
}

fn container(status: Status, phase: Phase, agent: bool) -> ContainerState {
    let root = [("type", "disk"), ("path", "/"), ("pool", "default")];
    let root = root.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    ContainerState {
        status,
        phase,
        spec: spec(&["home", "network=nat"]),
        instance: InstanceConfig { config: BTreeMap::new(), devices: [("root".to_owned(), root)].into() },
        agent,
        temporary: None,
        client_alive: false,
        restoring: false,
    }
}

/// Steps as words: `set-phase` says which.
fn ids(plan: &Plan) -> String {
    let id = |step: &Step| match step {
        Step::SetPhase { to, .. } => format!("={to}"),
        Step::StopInstance { force: true, .. } => "stop!".to_owned(),
        Step::StopInstance { .. } => "stop".to_owned(),
        step => step.id().to_owned(),
    };
    plan.steps.iter().map(id).collect::<Vec<_>>().join(" ")
}

const BOOT: &str = "prepare-run-directory mount-home write-provision start-instance wait-for-agent =ready";
const REMOVE: &str = "=removing unmount-all delete-instance remove-run-directory";

#[test]
fn creating_makes_what_is_missing_first() {
    let all = format!(
        "ensure-subordinate-ids ensure-pool ensure-project ensure-network pull-image create-instance {BOOT}"
    );
    let fresh = CreateRequest { image_present: false, ..request(&["home", "network=nat"]) };
    assert_eq!(ids(&plan_create(&state(false, None), &fresh).unwrap()), all);
    for (grants, start, wanted) in [
        (&["home", "network=nat"][..], true, format!("create-instance {BOOT}")),
        (&["home"], false, "create-instance =ready".to_owned()),
        (
            &["home=private", "network=none"],
            true,
            format!("create-instance {}", BOOT.replace("mount-home ", "")),
        ),
        (
            &["home", "session"],
            true,
            format!("create-instance {}", BOOT.replace("write", "mount-session write")),
        ),
        (&["home", "gpu"], true, format!("create-instance {}", BOOT.replace("write", "make-devices write"))),
        (&["home", "network=host"], true, format!("hold-host-network create-instance {BOOT}")),
        (&["home", "network=mirror"], true, format!("create-instance {BOOT}")),
    ] {
        let plan = plan_create(&state(true, None), &CreateRequest { start, ..request(grants) }).unwrap();
        assert_eq!(ids(&plan), wanted, "{grants:?}");
    }
}

#[test]
fn a_bridge_is_made_for_a_mirrored_network_where_that_cannot_be_had() {
    for (grant, mirror, bridge) in
        [("home", true, false), ("home", false, true), ("home=private", true, true)]
    {
        let mut host = state(true, None);
        host.host.mirror = mirror;
        host.host.network = false;
        let plan = plan_create(&host, &request(&[grant, "network=mirror"])).unwrap();
        assert_eq!(ids(&plan).contains("ensure-network"), bridge, "{grant}");
    }
}

#[test]
fn a_taken_name_is_refused_unless_it_is_replaced_or_left_over() {
    let asked = request(&["home", "network=nat"]);
    let there = state(true, Some(container(Status::Running, Phase::Ready, true)));
    assert_eq!(plan_create(&there, &asked), Err(PlanError::Exists("dev".parse().unwrap())));
    let replace = CreateRequest { replace: true, image_present: false, ..asked.clone() };
    let stopped = REMOVE.replace("unmount", "stop! unmount");
    let plan = plan_create(&there, &replace).unwrap();
    assert_eq!(ids(&plan), format!("pull-image {stopped} create-instance {BOOT}"));
    let left = state(true, Some(container(Status::Stopped, Phase::Creating, false)));
    assert_eq!(ids(&plan_create(&left, &asked).unwrap()), format!("{REMOVE} create-instance {BOOT}"));
}

#[test]
fn a_user_may_have_so_many_and_replacing_is_not_one_more() {
    let full = |container| {
        let mut state = state(true, container);
        state.host.containers = 4;
        state
    };
    assert!(plan_create(&state(true, None), &request(&[])).is_ok());
    let error = plan_create(&full(None), &request(&[])).unwrap_err();
    assert_eq!(error.to_string(), "the container 'dev' would be one too many: a user may have 4");
    let replace = CreateRequest { replace: true, ..request(&[]) };
    assert!(plan_create(&full(Some(container(Status::Stopped, Phase::Ready, false))), &replace).is_ok());
}

#[test]
fn an_instance_of_a_kind_that_this_version_does_not_know_is_not_started() {
    let mut machine = container(Status::Stopped, Phase::Ready, false);
    machine.spec.kind = InstanceKind::VirtualMachine;
    let state = state(true, Some(machine));
    for plan in [plan_start(&state), plan_ensure(&state, None), plan_restart(&state, &StopRequest::default())]
    {
        assert!(matches!(plan, Err(PlanError::Kind { .. })), "{plan:?}");
    }
    assert!(plan_remove(&state, false).is_ok());
}

#[test]
fn virtual_machines_are_refused() {
    let mut asked = request(&[]);
    asked.spec.kind = InstanceKind::VirtualMachine;
    let error = plan_create(&state(true, None), &asked).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the container 'dev' cannot be a virtual-machine: this version of Snug makes containers only"
    );
}

#[test]
fn ensuring_does_as_little_as_it_can() {
    let boot = format!("=starting update-instance {BOOT}");
    for (status, agent, wanted) in [
        (Status::Running, true, ""),
        (Status::Running, false, "repair-agent wait-for-agent"),
        (Status::Frozen, false, "unfreeze wait-for-agent"),
        (Status::Stopped, false, boot.as_str()),
    ] {
        let state = state(true, Some(container(status, Phase::Ready, agent)));
        assert_eq!(ids(&plan_ensure(&state, None).unwrap()), wanted, "{status:?}");
        assert_eq!(ids(&plan_start(&state).unwrap()), wanted, "{status:?}");
    }
    let nothing = state(true, None);
    assert!(matches!(plan_ensure(&nothing, None), Err(PlanError::NotFound(_))));
    let asked = CreateRequest { start: false, ..request(&["home", "network=nat"]) };
    assert_eq!(ids(&plan_ensure(&nothing, Some(&asked)).unwrap()), format!("create-instance {BOOT}"));
}

#[test]
fn stopping_hangs_up_first_and_unmounts_last() {
    let force = StopRequest { force: true, timeout: 30 };
    for (status, agent, how, wanted) in [
        (Status::Running, true, StopRequest::default(), "=stopping hang-up-commands stop unmount-all =ready"),
        (Status::Running, false, StopRequest::default(), "=stopping stop unmount-all =ready"),
        (Status::Running, true, force, "=stopping stop! unmount-all =ready"),
        (Status::Frozen, false, StopRequest::default(), "=stopping stop! unmount-all =ready"),
        // It may have stopped by itself.
        (Status::Stopped, false, StopRequest::default(), "unmount-all"),
    ] {
        let state = state(true, Some(container(status, Phase::Ready, agent)));
        assert_eq!(ids(&plan_stop(&state, &how).unwrap()), wanted, "{status:?} {how:?}");
        let boot = format!("=starting update-instance {BOOT}");
        let restart = ids(&plan_restart(&state, &how).unwrap());
        let stop = if status == Status::Stopped { "" } else { wanted };
        assert_eq!(restart, format!("{stop} {boot}").trim_start(), "{status:?} {how:?}");
    }
}

#[test]
fn removing_a_running_container_needs_force() {
    let running = state(true, Some(container(Status::Running, Phase::Ready, true)));
    assert!(matches!(plan_remove(&running, false), Err(PlanError::Running(_))));
    assert_eq!(ids(&plan_remove(&running, true).unwrap()), REMOVE.replace("unmount", "stop! unmount"));
    let stopped = state(true, Some(container(Status::Stopped, Phase::Ready, false)));
    assert_eq!(ids(&plan_remove(&stopped, false).unwrap()), REMOVE);
    assert!(matches!(plan_remove(&state(true, None), true), Err(PlanError::NotFound(_))));
}

#[test]
fn settings_change_their_keys_and_the_spec_and_can_be_taken_back() {
    let state = state(true, Some(container(Status::Running, Phase::Ready, true)));
    let set: Vec<Setting> =
        ["memory=4G", "disk=20G", "autostart=login"].map(|text| text.parse().unwrap()).into();
    let plan = plan_configure(&state, &set, &[SettingKey::Cpu]).unwrap();
    assert_eq!(
        plan.sentences(),
        ["set memory=4GiB, set disk=20GiB, set autostart=login, unset cpu for 'dev'"]
    );
    let Step::SetConfig { change, .. } = &plan.steps[0] else { panic!("{plan:?}") };
    assert_eq!(change.config.keys().collect::<Vec<_>>(), ["limits.memory", "user.snug.spec"]);
    assert_eq!(change.devices["root"].as_ref().unwrap()["size"], "20GiB");
    let before = &state.container.as_ref().unwrap().instance;
    let mut after = before.clone();
    change.apply(&mut after);
    assert_eq!(after.config["limits.memory"], "4GiB");
    let Some(Step::SetConfig { change: back, .. }) = plan.steps[0].undo() else { panic!("{plan:?}") };
    back.apply(&mut after);
    assert_eq!(after, *before);
    assert!(plan_configure(&state, &[], &[SettingKey::Cpu]).unwrap().is_empty());
}

#[test]
fn a_failed_plan_is_undone_backwards() {
    let plan = plan_create(&state(false, None), &request(&["home", "network=nat"])).unwrap();
    assert_eq!(
        ids(&plan.undo(plan.steps.len() - 1)),
        "stop! unmount-all remove-run-directory delete-instance"
    );
    assert!(plan.undo(4).is_empty());
    let plan = plan_create(&state(true, None), &request(&["home", "places"])).unwrap();
    let undone = ids(&plan.undo(plan.steps.len()));
    assert_eq!(undone.matches("unmount-all").count(), 1, "{undone}");
    let stopped = state(true, Some(container(Status::Stopped, Phase::Ready, false)));
    let plan = plan_start(&stopped).unwrap();
    assert_eq!(ids(&plan.undo(6)), "stop! unmount-all remove-run-directory =ready");
}

#[test]
fn a_dead_daemon_leaves_a_whole_container_or_none() {
    use Recovery::{Finished, Orphaned, Undone, Untouched};
    let remove = REMOVE;
    let rest = "unmount-all delete-instance remove-run-directory";
    for (phase, status, agent, recovery, wanted) in [
        (Phase::Ready, Status::Running, true, Untouched, String::new()),
        (Phase::Ready, Status::Stopped, false, Untouched, String::new()),
        (Phase::Creating, Status::Stopped, false, Undone, remove.to_owned()),
        (Phase::Creating, Status::Running, true, Undone, remove.replace("unmount", "stop! unmount")),
        (Phase::Starting, Status::Running, true, Finished, "=ready".to_owned()),
        (Phase::Starting, Status::Running, false, Undone, "stop! unmount-all =ready".to_owned()),
        (Phase::Starting, Status::Stopped, false, Undone, "unmount-all =ready".to_owned()),
        (Phase::Stopping, Status::Running, true, Finished, "stop! unmount-all =ready".to_owned()),
        (Phase::Stopping, Status::Stopped, false, Finished, "unmount-all =ready".to_owned()),
        (Phase::Removing, Status::Running, false, Finished, format!("stop! {rest}")),
        (Phase::Removing, Status::Stopped, false, Finished, rest.to_owned()),
    ] {
        let (what, plan) = plan_recovery(&state(true, Some(container(status, phase, agent))));
        assert_eq!((what, ids(&plan)), (recovery, wanted), "{phase} {status:?}");
    }
    assert_eq!(plan_recovery(&state(true, None)), (Untouched, Plan::default()));
    let mut orphan = container(Status::Running, Phase::Ready, true);
    orphan.temporary = Some(TemporaryTag { pid: 5, start_time: 9 });
    let (what, plan) = plan_recovery(&state(true, Some(orphan.clone())));
    assert_eq!((what, ids(&plan)), (Orphaned, remove.replace("unmount", "stop! unmount")));
    orphan.client_alive = true;
    assert_eq!(plan_recovery(&state(true, Some(orphan))).0, Untouched);
}

#[test]
fn a_step_is_a_sentence() {
    let plan = plan_create(&state(false, None), &request(&["home", "network=nat"])).unwrap();
    assert_eq!(
        plan.sentences(),
        [
            "write the missing lines of /etc/subuid and /etc/subgid",
            "make a storage pool",
            "make the Incus project 'snug-1000'",
            "make the network 'snugbr0'",
            "make the container 'dev' from 'images:debian/13'",
            "prepare the run directory of 'dev'",
            "mount the home for 'dev'",
            "write down for 'dev' whom it serves",
            "start 'dev'",
            "wait for the agent of 'dev'",
            "mark 'dev' as ready",
        ]
    );
    let mut wanted = request(&["home"]);
    wanted.spec.settings.set(&"disk=5GiB".parse().unwrap());
    wanted.spec.settings.set(&"cpu=2".parse().unwrap());
    let plan = plan_create(&state(false, None), &wanted).unwrap();
    assert!(
        plan.sentences()
            .contains(&"make the container 'dev' from 'images:debian/13' with cpu=2, disk=5GiB".into())
    );
}

fn any_state() -> impl Strategy<Value = State> {
    let status = prop::sample::select(vec![Status::Stopped, Status::Running, Status::Frozen, Status::Error]);
    let phase = prop::sample::select(Phase::ALL.to_vec());
    let container = (status, phase, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(status, phase, agent, alive, restoring)| {
            let temporary = agent.then_some(TemporaryTag { pid: 1, start_time: 1 });
            ContainerState { client_alive: alive, temporary, restoring, ..container(status, phase, agent) }
        },
    );
    (any::<bool>(), prop::option::of(container)).prop_map(|(ready, container)| state(ready, container))
}

proptest! {
    #[test]
    fn every_plan_ends_with_nothing_under_way(state in any_state(), force in any::<bool>(), replace in any::<bool>()) {
        let asked = CreateRequest { replace, ..request(&["home", "network=nat"]) };
        let stop = StopRequest { force, timeout: 1 };
        let plans = [
            plan_create(&state, &asked), plan_ensure(&state, Some(&asked)), plan_start(&state), plan_stop(&state, &stop),
            plan_restart(&state, &stop), plan_remove(&state, force), Ok(plan_recovery(&state).1),
        ];
        for plan in plans.into_iter().flatten() {
            let last = plan.steps.iter().rev().find_map(|step| match step {
                Step::SetPhase { to, .. } => Some(*to == Phase::Ready),
                Step::DeleteInstance { .. } => Some(true),
                _ => None,
            });
            prop_assert!(last != Some(false), "{:?}", plan.sentences());
            // A directory is removed only after what is mounted below it is gone.
            let at = |wanted: &str| plan.steps.iter().position(|step| step.id() == wanted);
            if let Some(removed) = at("remove-run-directory") {
                prop_assert!(at("unmount-all").is_some_and(|unmounted| unmounted < removed));
            }
        }
    }
}
