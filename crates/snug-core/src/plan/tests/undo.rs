//! Snapshots, and the way back.

use super::*;
use crate::snapshot::{Ability, Keep, Occasion, Snapshot, SnapshotName};

/// 2026-07-17T10:15:02Z.
const NOW: u64 = 1_784_283_302;
const DAY: u64 = 86_400;

fn occasion(words: &str) -> Occasion {
    words.parse().unwrap()
}

fn name(days_ago: u64) -> SnapshotName {
    SnapshotName::new(NOW - days_ago * DAY, [])
}

fn own(days_ago: u64) -> Snapshot {
    Snapshot::Own { name: name(days_ago), before: occasion(&format!("install {days_ago}")), starts: false }
}

fn foreign(name: &str) -> Snapshot {
    Snapshot::Foreign(name.to_owned())
}

fn kept(driver: &str, all: Vec<Snapshot>) -> Snapshots {
    let ability = Ability::of(driver, &BTreeMap::new());
    Snapshots { pool: "default".into(), driver: driver.into(), ability, all }
}

fn take() -> SnapshotRequest {
    SnapshotRequest { before: occasion("install ripgrep"), now: NOW, keep: Keep { most: 10, days: 30 } }
}

fn back(to: Option<SnapshotName>) -> UndoRequest {
    UndoRequest {
        to,
        stop: StopRequest::default(),
        keep_present: true,
        now: NOW,
        keep: Keep { most: 10, days: 30 },
    }
}

fn running() -> State {
    state(true, Some(container(Status::Running, Phase::Ready, true)))
}

fn stopped() -> State {
    state(true, Some(container(Status::Stopped, Phase::Ready, false)))
}

/// Steps as words, with the snapshots' days.
fn words(plan: &Plan) -> String {
    let days = |snapshot: &SnapshotName| (NOW - snapshot.time()) / DAY;
    let one = |step: &Step| match step {
        Step::TakeSnapshot { snapshot, .. } => format!("take:{}", days(snapshot)),
        Step::RestoreSnapshot { snapshot, .. } => format!("restore:{}", days(snapshot)),
        Step::DeleteSnapshot { snapshot, needed, .. } => {
            format!("delete{}:{}", if *needed { "!" } else { "" }, days(snapshot))
        }
        Step::PutBackConfig { .. } => "put-back".to_owned(),
        other => ids(&Plan { steps: vec![other.clone()] }),
    };
    plan.steps.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn taking_one_lets_old_ones_go_and_leaves_a_persons_alone() {
    for (all, most, wanted) in [
        (vec![], 10, "take:0"),
        (vec![own(3), own(2)], 10, "take:0"),
        (vec![own(3), own(2)], 2, "take:0 delete:3"),
        (vec![own(40), own(2)], 10, "take:0 delete:40"),
        (vec![foreign("a"), foreign("b"), own(2), foreign("c")], 2, "take:0"),
        (vec![foreign("snap0"), own(3), foreign("mine"), own(2)], 1, "take:0 delete:3 delete:2"),
    ] {
        let request = SnapshotRequest { keep: Keep { most, days: 30 }, ..take() };
        for driver in ["btrfs", "zfs", "lvm"] {
            let plan = plan_snapshot(&running(), &kept(driver, all.clone()), &request).unwrap();
            assert_eq!(words(&plan), wanted, "{driver} {all:?}");
        }
    }
    // The name is nobody's yet.
    let plan = plan_snapshot(&stopped(), &kept("btrfs", vec![own(0)]), &take()).unwrap();
    assert_eq!(
        plan.sentences(),
        ["take the snapshot 'snug-20260717T101502Z-2' of 'dev', before: install ripgrep"]
    );
}

#[test]
fn one_that_is_taken_after_the_clock_went_back_is_the_newest() {
    let later = SnapshotName::new(NOW + 7200, []);
    let all = vec![own(1), Snapshot::Own { name: later.clone(), before: Occasion::default(), starts: false }];
    let plan = plan_snapshot(&running(), &kept("btrfs", all.clone()), &take()).unwrap();
    let Step::TakeSnapshot { snapshot, .. } = &plan.steps[0] else { panic!("{plan:?}") };
    assert_eq!(snapshot.as_str(), format!("{later}-2"));
    let plan = plan_undo(&running(), &kept("btrfs", all), &back(None)).unwrap();
    let restores = |step: &Step| matches!(step, Step::RestoreSnapshot { snapshot, .. } if *snapshot == later);
    assert!(plan.steps.iter().any(restores), "{plan:?}");
}

#[test]
fn where_it_cannot_be_had_is_told_apart_from_a_failure() {
    let nothing = state(true, None);
    let half_made = state(true, Some(container(Status::Stopped, Phase::Creating, false)));
    for state in [&nothing, &half_made] {
        let error = plan_snapshot(state, &kept("btrfs", vec![]), &take()).unwrap_err();
        assert!(matches!(error, PlanError::NotFound(_)), "{error}");
        let error = plan_undo(state, &kept("btrfs", vec![own(1)]), &back(None)).unwrap_err();
        assert!(matches!(error, PlanError::NotFound(_)), "{error}");
    }
    for driver in ["dir", "ceph"] {
        let error = plan_snapshot(&running(), &kept(driver, vec![]), &take()).unwrap_err();
        assert!(matches!(error, PlanError::NoSnapshots { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            format!(
                "no snapshot of 'dev' is taken: the storage pool 'default' ({driver}) would copy the whole disk"
            )
        );
        let error = plan_undo(&running(), &kept(driver, vec![own(1)]), &back(None)).unwrap_err();
        assert!(matches!(error, PlanError::NoSnapshots { .. }), "{error}");
    }
    let mut temporary = container(Status::Running, Phase::Ready, true);
    temporary.temporary = Some(TemporaryTag { pid: 5, start_time: 9 });
    temporary.client_alive = true;
    let temporary = state(true, Some(temporary));
    let error = plan_snapshot(&temporary, &kept("btrfs", vec![]), &take()).unwrap_err();
    assert!(matches!(error, PlanError::Temporary(_)), "{error}");
    let error = plan_undo(&temporary, &kept("btrfs", vec![own(1)]), &back(None)).unwrap_err();
    assert!(matches!(error, PlanError::Temporary(_)), "{error}");
}

#[test]
fn going_back_needs_one_of_snugs_own() {
    for all in [vec![], vec![foreign("snap0"), foreign("mine")]] {
        let error = plan_undo(&stopped(), &kept("btrfs", all), &back(None)).unwrap_err();
        assert_eq!(error.to_string(), "there is nothing in 'dev' to undo: no snapshot of it was taken");
    }
    let all = kept("btrfs", vec![own(3), own(2)]);
    let error = plan_undo(&stopped(), &all, &back(Some(name(1)))).unwrap_err();
    assert_eq!(error.to_string(), "'dev' has no snapshot 'snug-20260716T101502Z'");
}

#[test]
fn going_back_stops_restores_and_starts_again() {
    let boot = format!("=starting update-instance {BOOT}");
    let halt = "=stopping hang-up-commands stop unmount-all =ready";
    for (state, all, to, wanted) in [
        (
            stopped(),
            vec![own(3), own(2)],
            None,
            "unmount-all take:0 =stopping restore:2 put-back =ready".into(),
        ),
        (
            stopped(),
            vec![own(3), own(2)],
            Some(3),
            "unmount-all take:0 =stopping restore:3 put-back =ready".to_owned(),
        ),
        // A person's newer one is neither gone back to nor in the way.
        (
            stopped(),
            vec![own(2), foreign("mine")],
            None,
            "unmount-all take:0 =stopping restore:2 put-back =ready".to_owned(),
        ),
        (running(), vec![own(2)], None, format!("{halt} take:0 =stopping restore:2 put-back =ready {boot}")),
    ] {
        let plan = plan_undo(&state, &kept("btrfs", all), &back(to.map(name))).unwrap();
        assert_eq!(words(&plan), wanted);
    }
    let frozen = state(true, Some(container(Status::Frozen, Phase::Ready, false)));
    let plan = plan_undo(&frozen, &kept("lvm", vec![own(2)]), &back(None)).unwrap();
    assert!(words(&plan).starts_with("=stopping stop! unmount-all =ready take:0"), "{}", words(&plan));
}

#[test]
fn what_is_gone_back_to_is_not_pruned_on_the_way() {
    let request = UndoRequest { keep: Keep { most: 2, days: 30 }, ..back(Some(name(40))) };
    let all = kept("btrfs", vec![own(40), own(3), own(2)]);
    let plan = plan_undo(&stopped(), &all, &request).unwrap();
    assert_eq!(words(&plan), "unmount-all take:0 =stopping restore:40 put-back =ready delete:3");
}

#[test]
fn what_was_taken_for_an_undo_that_was_not_done_is_passed_over() {
    let unfinished = |days| match own(days) {
        Snapshot::Own { name, before, starts } => {
            Snapshot::Own { name, before: before.undone().unfinished(), starts }
        }
        foreign @ Snapshot::Foreign(_) => foreign,
    };
    let all = kept("btrfs", vec![own(3), unfinished(2), unfinished(1)]);
    let plan = plan_undo(&stopped(), &all, &back(None)).unwrap();
    assert_eq!(words(&plan), "unmount-all take:0 =stopping restore:3 put-back =ready");
    // Whoever names it gets it.
    let plan = plan_undo(&stopped(), &all, &back(Some(name(1)))).unwrap();
    assert_eq!(words(&plan), "unmount-all take:0 =stopping restore:1 put-back =ready");
    // It is one itself until its disk is back, and says which.
    let taken = plan.steps.iter().find_map(|step| match step {
        Step::TakeSnapshot { snapshot, before, .. } => Some((snapshot.clone(), before.is_unfinished())),
        _ => None,
    });
    let told = plan.steps.iter().find_map(|step| match step {
        Step::RestoreSnapshot { kept, .. } => kept.clone(),
        _ => None,
    });
    assert_eq!(taken, told.map(|kept| (kept, true)));
    let all = kept("btrfs", vec![unfinished(1)]);
    assert!(matches!(
        plan_undo(&stopped(), &all, &back(None)),
        Err(PlanError::NoSnapshot { snapshot: None, .. })
    ));
}

#[test]
fn one_that_incus_would_start_is_refused_before_anything_is_stopped() {
    let Snapshot::Own { name: newer, before, .. } = own(2) else { unreachable!() };
    let all = kept("btrfs", vec![own(3), Snapshot::Own { name: newer, before, starts: true }]);
    let error = plan_undo(&running(), &all, &back(None)).unwrap_err();
    assert!(matches!(error, PlanError::StartsByItself { .. }), "{error}");
    assert!(plan_undo(&running(), &all, &back(Some(name(3)))).is_ok());
}

#[test]
fn zfs_goes_back_to_the_latest_alone() {
    let undo = |all: Vec<Snapshot>, to: Option<u64>| {
        plan_undo(&stopped(), &kept("zfs", all), &back(to.map(name))).map(|plan| words(&plan))
    };
    // What is there now cannot be kept: it would be newer.
    assert_eq!(undo(vec![own(3), own(2)], None).unwrap(), "unmount-all =stopping restore:2 put-back =ready");
    assert_eq!(
        undo(vec![own(3), own(2), own(1)], Some(3)).unwrap(),
        "unmount-all delete!:1 delete!:2 =stopping restore:3 put-back =ready"
    );
    assert!(undo(vec![foreign("mine"), own(3), own(2)], Some(3)).is_ok());
    let error = undo(vec![own(3), foreign("mine"), own(2)], Some(3)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "'dev' cannot go back to 'snug-20260714T101502Z': the snapshot 'mine', which Snug did not take, is newer, and zfs \
         would have to delete it"
    );
    assert!(undo(vec![own(3), foreign("mine"), own(2)], None).is_ok());
}

#[test]
fn without_keeping_nothing_is_taken() {
    let request = UndoRequest { keep_present: false, ..back(None) };
    let plan = plan_undo(&stopped(), &kept("btrfs", vec![own(2)]), &request).unwrap();
    assert_eq!(words(&plan), "unmount-all =stopping restore:2 put-back =ready");
}

#[test]
fn the_steps_of_going_back_are_sentences() {
    let plan = plan_undo(&stopped(), &kept("btrfs", vec![own(2)]), &back(None)).unwrap();
    assert_eq!(
        plan.sentences(),
        [
            "unmount what was mounted for 'dev'",
            "take the snapshot 'snug-20260717T101502Z' of 'dev', before: undo of install 2",
            "mark 'dev' as stopping",
            "put the disk of 'dev' back to the snapshot 'snug-20260715T101502Z'",
            "leave grants and settings of 'dev' as they are now",
            "mark 'dev' as ready",
        ]
    );
}

#[test]
fn a_failed_way_back_keeps_what_was_there_and_the_present_configuration() {
    let plan = plan_undo(&running(), &kept("btrfs", vec![own(2)]), &back(None)).unwrap();
    let undone = |id: &str| {
        let at = plan.steps.iter().rposition(|step| step.id() == id).unwrap();
        words(&plan.undo(at + 1))
    };
    assert_eq!(undone("restore-snapshot"), "put-back =ready");
    // The disk has gone back by now: the snapshot of what was there before must stay.
    let started = undone("start-instance");
    assert!(started.starts_with("stop! unmount-all") && !started.contains("delete"), "{started}");
}

#[test]
fn a_dead_daemons_restore_is_put_right_before_anything_else() {
    use Recovery::{Finished, Orphaned};
    for (phase, status, agent, wanted) in [
        // The phase is whatever the snapshot had.
        (Phase::Ready, Status::Stopped, false, "unmount-all put-back =ready"),
        (Phase::Stopping, Status::Stopped, false, "unmount-all put-back =ready"),
        (Phase::Starting, Status::Stopped, false, "unmount-all put-back =ready"),
        // Somebody else started it, as the snapshot had it.
        (Phase::Ready, Status::Running, true, "stop! unmount-all put-back =ready"),
        (Phase::Starting, Status::Running, true, "stop! unmount-all put-back =ready"),
    ] {
        let mut found = container(status, phase, agent);
        found.restoring = true;
        let (what, plan) = plan_recovery(&state(true, Some(found)));
        assert_eq!((what, words(&plan).as_str()), (Finished, wanted), "{phase} {status:?}");
    }
    // What goes anyway needs no configuration.
    let mut found = container(Status::Stopped, Phase::Removing, false);
    found.restoring = true;
    assert!(
        ids(&plan_recovery(&state(true, Some(found))).1).ends_with("delete-instance remove-run-directory")
    );
    let mut found = container(Status::Stopped, Phase::Ready, false);
    (found.restoring, found.temporary) = (true, Some(TemporaryTag { pid: 5, start_time: 9 }));
    assert_eq!(plan_recovery(&state(true, Some(found))).0, Orphaned);
}
