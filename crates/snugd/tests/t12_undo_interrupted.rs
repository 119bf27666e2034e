//! A daemon that dies between any two steps of an undo: the next one gives the container its present configuration back
//! before anything else is done with it. Needs root, and the daemon's failpoints.
#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::path::PathBuf;

use common::going_back::{
    CONTAINER, PROJECT, ask, begin, changed_since_a_snapshot, configuration, disk, key, listed, settle,
    snapshots,
};
use common::{NOBODY, Rig, list};
use fake_incusd::Route;
use serde_json::json;
use snug_core::name::Uid;
use snug_core::paths::Paths;
use snug_core::snapshot::SnapshotName;
use zbus::Variant;

/// Each place at which a daemon may die, and whether the disk has gone back by then.
const PLACES: [(&str, bool); 16] = [
    ("unmount-all:after", false),
    ("take-snapshot", false),
    ("take-snapshot:during", false),
    ("take-snapshot:after", false),
    ("set-phase-stopping", false),
    ("set-phase:after", false),
    ("restore-snapshot", false),
    ("restore-snapshot:recorded", false),
    ("restore-snapshot:during", true),
    ("restore-snapshot:after", true),
    ("put-back-config", true),
    ("put-back-config:during", true),
    ("put-back-config:after", true),
    ("set-phase-ready", true),
    ("delete-snapshot", true),
    ("delete-snapshot:during", true),
];

fn record(rig: &Rig) -> PathBuf {
    Paths::below(rig.directory.path()).present_file(Uid(NOBODY), &CONTAINER.parse().unwrap())
}

/// A container whose daemon has died in the middle of an undo, and what it had before.
async fn interrupted(place: &str) -> (Rig, serde_json::Value) {
    let mut rig = Rig::new("idle_seconds = 1\nsnapshot_days = 30\n", None);
    // Gone with the next one that is taken.
    changed_since_a_snapshot(&rig);
    rig.fake.add_snapshot_first(PROJECT, CONTAINER, SnapshotName::new(86_400, []).as_str());
    let before = configuration(&rig);
    let watcher = rig.connect().await;
    assert!(rig.daemon_left(&watcher, std::time::Duration::from_secs(20)).await);
    rig.dying_daemon(place).await;
    rig.fake.forget_requests();
    begin(&rig, "Undo", vec![]);
    rig.died();
    (rig, before)
}

#[tokio::test]
async fn whatever_a_dead_daemon_left_the_next_job_finds_the_present_configuration() {
    for (place, gone_back) in PLACES {
        let (rig, before) = interrupted(place).await;
        settle(&rig).done();
        assert_eq!(configuration(&rig), before, "{place}");
        assert_eq!(key(&rig, "user.snug.phase"), "ready", "{place}");
        assert_eq!(disk(&rig), if gone_back { "then" } else { "now" }, "{place}");
        assert!(!record(&rig).exists(), "{place}");
        // And it goes on from there: to before the last change, which the undo is only where it was done.
        ask(&rig, "Undo", vec![]).done();
        assert_eq!(configuration(&rig), before, "{place}");
        assert_eq!(disk(&rig), if gone_back { "now" } else { "then" }, "{place}");
    }
}

#[tokio::test]
async fn a_daemon_that_starts_puts_it_right_without_being_asked() {
    for place in ["restore-snapshot:during", "restore-snapshot:after", "put-back-config"] {
        let (rig, before) = interrupted(place).await;
        // As the snapshot had it, which says that all is well.
        rig.fake
            .until(|fake| fake.instance(PROJECT, CONTAINER).unwrap()["config"]["limits.memory"] == "1GiB")
            .await;
        assert_eq!(key(&rig, "security.privileged"), "true", "{place}");
        // About nothing of this container.
        list(&rig.connect().await, common::Options::new()).await.unwrap();
        rig.fake.until(|_| !record(&rig).exists()).await;
        assert_eq!(configuration(&rig), before, "{place}");
    }
}

#[tokio::test]
async fn nothing_is_started_as_the_snapshot_had_it() {
    let (rig, before) = interrupted("restore-snapshot:after").await;
    rig.fake.forget_requests();
    // Not this one's to start (he is not eligible), and still the first that happens is that it is put right.
    ask(&rig, "Start", vec![]);
    settle(&rig).done();
    assert_eq!(configuration(&rig), before);
    let starts = rig.fake.requests_of(&Route::new("PUT", "/1.0/instances/mine/state"));
    assert_eq!(starts.len(), 0);
}

#[tokio::test]
async fn one_that_somebody_started_as_the_snapshot_had_it_is_stopped() {
    let (rig, before) = interrupted("restore-snapshot:after").await;
    rig.fake.change_instance(PROJECT, CONTAINER, |instance| {
        (instance["status"], instance["status_code"]) = (json!("Running"), json!(103));
    });
    settle(&rig).done();
    assert_eq!(configuration(&rig), before);
    assert_eq!(rig.fake.instance(PROJECT, CONTAINER).unwrap()["status_code"], 102);
    // Stopped first: what runs has the rights that it was started with.
    let puts: Vec<String> = rig
        .fake
        .requests()
        .into_iter()
        .filter(|request| request.method == "PUT")
        .map(|request| request.path)
        .collect();
    assert_eq!(puts[..2], ["/1.0/instances/mine", "/1.0/instances/mine/state"], "{puts:?}");
}

#[tokio::test]
async fn a_restore_that_reaches_incus_late_is_refused() {
    let (rig, before) = interrupted("restore-snapshot:recorded").await;
    // As the dead daemon saw it, whose request is still on its way.
    let instances = incus_client::Client::connect(rig.fake.socket()).project(PROJECT).instances();
    let (_, seen) = instances.get(CONTAINER).await.unwrap();
    let snapshot = snapshots(&rig).into_iter().find(|name| !name.starts_with("snug-1970")).unwrap();
    settle(&rig).done();
    let late = instances.restore_snapshot(CONTAINER, &snapshot, Some(&seen)).await;
    assert!(late.unwrap_err().is_precondition_failed());
    assert_eq!((configuration(&rig), disk(&rig).as_str()), (before, "now"));
}

#[tokio::test]
async fn what_was_kept_of_another_instance_of_the_name_is_nothing() {
    let (rig, _) = interrupted("restore-snapshot:after").await;
    rig.fake.change_instance(PROJECT, CONTAINER, |instance| {
        instance["config"]["volatile.uuid"] = json!("another");
        (instance["status"], instance["status_code"]) = (json!("Running"), json!(103));
    });
    let another = configuration(&rig);
    ask(&rig, "TakeSnapshot", vec![]).done();
    assert_eq!((configuration(&rig), record(&rig).exists()), (another, false));
    // It runs on: nothing of it goes back.
    let stops = rig.fake.requests_of(&Route::new("PUT", "/1.0/instances/mine/state"));
    assert_eq!(stops.len(), 0);
}

#[tokio::test]
async fn a_removed_container_leaves_nothing_of_it() {
    let (rig, _) = interrupted("restore-snapshot:after").await;
    ask(&rig, "Remove", vec![("force", Variant::from(true))]).done();
    let undo = Paths::below(rig.directory.path()).undo().join(NOBODY.to_string());
    assert_eq!(std::fs::read_dir(undo).unwrap().count(), 0);
}

#[tokio::test]
async fn a_daemon_killed_while_it_takes_one_leaves_it_or_nothing() {
    for (place, count) in [("take-snapshot", 1), ("take-snapshot:during", 2), ("take-snapshot:after", 2)] {
        let mut rig = Rig::new("idle_seconds = 1\n", None);
        changed_since_a_snapshot(&rig);
        let before = configuration(&rig);
        let watcher = rig.connect().await;
        assert!(rig.daemon_left(&watcher, std::time::Duration::from_secs(20)).await);
        rig.dying_daemon(place).await;
        begin(&rig, "TakeSnapshot", vec![("before", Variant::from("install y"))]);
        rig.died();
        rig.fake.until(|fake| fake.snapshot_names(PROJECT, CONTAINER).len() == count).await;
        settle(&rig).done();
        assert_eq!(
            (configuration(&rig), snapshots(&rig).len(), listed(&rig).len()),
            (before, count, count),
            "{place}"
        );
        if count == 2 {
            assert_eq!(listed(&rig)[0].1, "install y", "{place}");
        }
    }
}
