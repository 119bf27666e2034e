//! Snapshots and the way back. These tests take on other users' uids, which only root can.
#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::going_back::{
    CONTAINER, PROJECT, ask, begin, changed_since_a_snapshot, configuration, disk, end, instance_route, key,
    listed, restores, settle, snapshots,
};
use common::{NOBODY, Options, Rig, manager};
use fake_incusd::{Fault, Gate, Route, Script, When};
use serde_json::json;
use snug_core::paths::Paths;
use snug_core::snapshot::SnapshotName;
use zbus::Variant;

const CONFIG: &str = "idle_seconds = 60\n";
const RESERVE: &str = "/var/lib/snug/reserve";

fn taking() -> Route {
    Route::new("POST", "/1.0/instances/mine/snapshots")
}

fn plain(rig: &Rig) {
    rig.serve_polkit();
    rig.add_container(&format!("{NOBODY}:nobody"), CONTAINER);
}

#[tokio::test]
async fn the_disk_goes_back_and_all_that_incus_knows_stays() {
    let rig = Rig::new(CONFIG, None);
    let taken = changed_since_a_snapshot(&rig);
    let before = configuration(&rig);
    let ended = ask(&rig, "Undo", vec![]).done();
    assert_eq!(ended.text("snapshot"), taken);
    assert_eq!(disk(&rig), "then");
    assert_eq!(configuration(&rig), before);
    // A right that was taken away since does not come back, and one that was given since is not lost.
    assert_eq!((key(&rig, "security.privileged").as_str(), key(&rig, "user.mine").as_str()), ("", "kept"));
    // Whose ids the files have is the disk's own matter.
    assert_eq!(key(&rig, "volatile.last_state.idmap"), "then");
    // What came late would find another instance than was seen.
    assert!(restores(&rig).iter().all(|request| request.headers.contains_key("if-match")));
    assert!(
        !Paths::below(rig.directory.path())
            .present_file(snug_core::name::Uid(NOBODY), &CONTAINER.parse().unwrap())
            .exists()
    );
}

#[tokio::test]
async fn an_undo_can_be_undone_and_done_again() {
    let rig = Rig::new(CONFIG, None);
    let taken = changed_since_a_snapshot(&rig);
    let before = configuration(&rig);
    let kept = ask(&rig, "Undo", vec![]).done().text("kept");
    assert_eq!(
        listed(&rig),
        [(kept, "undo of install x".to_owned()), (taken.clone(), "install x".to_owned())]
    );
    assert_eq!(disk(&rig), "then");
    ask(&rig, "Undo", vec![]).done();
    assert_eq!((disk(&rig).as_str(), configuration(&rig) == before), ("now", true));
    assert_eq!(listed(&rig)[0].1, "redo of install x");
    ask(&rig, "Undo", vec![("to", Variant::from(taken))]).done();
    assert_eq!((disk(&rig).as_str(), configuration(&rig) == before), ("then", true));
}

#[tokio::test]
async fn the_limit_of_a_btrfs_disk_is_set_anew() {
    let rig = Rig::new(CONFIG, None);
    changed_since_a_snapshot(&rig);
    ask(&rig, "Undo", vec![]).done();
    let puts = rig.fake.requests_of(&instance_route("PUT"));
    let sizes: Vec<_> = puts
        .iter()
        .filter(|put| !put.json()["restore"].is_string())
        .map(|put| put.json()["devices"]["root"]["size"].clone())
        .collect();
    assert_eq!(sizes, [json!(null), json!("9GiB")]);
}

#[tokio::test]
async fn what_cannot_be_undone_is_refused_before_anything_is_done() {
    let rig = Rig::new(CONFIG, None);
    plain(&rig);
    let other = rig.as_user(NOBODY, |bus| async move {
        let missing = manager(&bus, "Snapshots", &("nowhere", Options::new())).await.unwrap_err().0;
        let owner = Options::from([("owner", Variant::from(1u32))]);
        let foreign = manager(&bus, "Undo", &(CONTAINER, owner)).await.unwrap_err().0;
        let name = Options::from([("to", Variant::from("snap0"))]);
        let odd = manager(&bus, "Undo", &(CONTAINER, name)).await.unwrap_err().0;
        let words = Options::from([("before", Variant::from("a\nb"))]);
        [missing, foreign, odd, manager(&bus, "TakeSnapshot", &(CONTAINER, words)).await.unwrap_err().0]
    });
    assert_eq!(other, ["NotFound", "InvalidArgument", "InvalidArgument", "InvalidArgument"]);
    // A person's own is nothing of ours.
    rig.fake.add_snapshot(PROJECT, CONTAINER, "snap0");
    ask(&rig, "Undo", vec![]).failed("NotFound");
    ask(&rig, "Undo", vec![("to", Variant::from("snug-20260717T101502Z"))]).failed("NotFound");
    assert_eq!(listed(&rig), []);
    rig.fake.set_pool("default", "dir");
    let refused = ask(&rig, "TakeSnapshot", vec![]).failed("Unsupported");
    assert!(refused.message.contains("would copy the whole disk"), "{refused:?}");
    ask(&rig, "Undo", vec![]).failed("Unsupported");
    assert_eq!(snapshots(&rig), ["snap0"]);
    assert_eq!((rig.fake.requests_of(&taking()).len(), restores(&rig).len()), (0, 0));
}

#[tokio::test]
async fn nobody_goes_back_in_anothers_name() {
    let rig = Rig::new(CONFIG, None);
    changed_since_a_snapshot(&rig);
    let refused = rig.as_user(1, |bus| async move {
        let job = manager(&bus, "Undo", &(CONTAINER, Options::new())).await.unwrap();
        let seen = manager(&bus, "Snapshots", &(CONTAINER, Options::new())).await.unwrap_err().0;
        (common::finish(&bus, &job).await.0, seen)
    });
    assert_eq!(refused, ("failed".into(), "NotFound".into()));
    // Not even root.
    let bus = rig.connect().await;
    let job = manager(&bus, "Undo", &(CONTAINER, Options::new())).await.unwrap();
    assert_eq!(common::finish(&bus, &job).await.0, "failed");
    assert_eq!((disk(&rig).as_str(), restores(&rig).len()), ("now", 0));
}

#[tokio::test]
async fn a_container_that_goes_with_its_command_has_nothing_to_go_back_to() {
    let rig = Rig::new(CONFIG, None);
    plain(&rig);
    // A client that lives as long as the test.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let start = stat.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap().to_owned();
    rig.fake.change_instance(PROJECT, CONTAINER, |instance| {
        instance["config"]["user.snug.temporary"] = json!(format!("{}:{start}", std::process::id()));
    });
    for method in ["TakeSnapshot", "Undo"] {
        ask(&rig, method, vec![]).failed("Unsupported");
    }
    assert_eq!(snapshots(&rig), [""; 0]);
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let rig = Rig::new(CONFIG, None);
    let taken = changed_since_a_snapshot(&rig);
    let (before, requests) = (configuration(&rig), rig.fake.requests().len());
    let plan = ask(&rig, "Undo", vec![("dry-run", Variant::from(true))]).done().texts("plan");
    assert!(plan.contains(&format!("put the disk of 'mine' back to the snapshot '{taken}'")), "{plan:?}");
    assert!(plan.contains(&"leave grants and settings of 'mine' as they are now".to_owned()), "{plan:?}");
    let plan = ask(&rig, "TakeSnapshot", vec![("dry-run", Variant::from(true))]).done().texts("plan");
    assert!(plan[0].starts_with("take the snapshot 'snug-"), "{plan:?}");
    let later = rig.fake.requests().split_off(requests);
    assert!(later.iter().all(|request| request.method == "GET"), "{later:?}");
    assert_eq!((configuration(&rig), disk(&rig).as_str(), snapshots(&rig)), (before, "now", vec![taken]));
}

#[tokio::test]
async fn old_ones_go_and_a_persons_stay() {
    let rig = Rig::new("idle_seconds = 60\nmax_snapshots = 2\nsnapshot_days = 30\n", None);
    plain(&rig);
    let old = SnapshotName::new(86_400, []).to_string();
    for name in ["mine-1", &old, "snug", "snug-20260717"] {
        rig.fake.add_snapshot(PROJECT, CONTAINER, name);
    }
    for _ in 0..3 {
        ask(&rig, "TakeSnapshot", vec![]).done();
    }
    let left = snapshots(&rig);
    assert_eq!(left.len(), 5, "{left:?}");
    assert_eq!(left[..3], ["mine-1", "snug", "snug-20260717"]);
    // One that stays is no reason to fail.
    rig.fake.script(Route::new("DELETE", "/1.0/instances/mine/snapshots/*"), Script::failure("it will not"));
    let notices = ask(&rig, "TakeSnapshot", vec![]).done().texts("notices");
    assert!(notices[0].contains("stays: ") && notices[0].contains("it will not"), "{notices:?}");
    assert_eq!(snapshots(&rig).len(), 6);
}

#[tokio::test]
async fn zfs_deletes_what_is_newer_of_snugs_and_nothing_of_a_persons() {
    let rig = Rig::new(CONFIG, None);
    let taken = changed_since_a_snapshot(&rig);
    rig.fake.set_pool("default", "zfs");
    ask(&rig, "TakeSnapshot", vec![]).done();
    let to = || vec![("to", Variant::from(taken.clone()))];
    rig.fake.add_snapshot(PROJECT, CONTAINER, "a-persons");
    let refused = ask(&rig, "Undo", to()).failed("InvalidArgument");
    assert!(refused.message.contains("'a-persons'"), "{refused:?}");
    assert_eq!((snapshots(&rig).len(), disk(&rig).as_str()), (3, "now"));
    rig.fake.remove_snapshot(PROJECT, CONTAINER, "a-persons");
    let ended = ask(&rig, "Undo", to()).done();
    assert_eq!(
        (snapshots(&rig), disk(&rig).as_str(), ended.text("kept").as_str()),
        (vec![taken], "then", "")
    );
}

#[tokio::test]
async fn a_full_pool_keeps_nobody_from_going_back_for_good() {
    let rig = Rig::new(CONFIG, None);
    let taken = changed_since_a_snapshot(&rig);
    rig.fake.script(taking(), Script::failure("Failed to create: no space left on device"));
    let before = configuration(&rig);
    let refused = ask(&rig, "Undo", vec![]).failed("NoSpace");
    assert!(refused.hints.iter().any(|hint| hint.contains("--discard")), "{refused:?}");
    assert_eq!((disk(&rig).as_str(), configuration(&rig), restores(&rig).len()), ("now", before.clone(), 0));
    ask(&rig, "TakeSnapshot", vec![]).failed("NoSpace");
    ask(&rig, "Undo", vec![("keep", Variant::from(false))]).done();
    assert_eq!((disk(&rig).as_str(), configuration(&rig), snapshots(&rig)), ("then", before, vec![taken]));
}

#[tokio::test]
async fn a_guest_that_fills_its_disk_gets_no_other_configuration_by_it() {
    let rig = Rig::new(CONFIG, None);
    changed_since_a_snapshot(&rig);
    let before = configuration(&rig);
    let full = || Fault::Status(500, "Failed to write backup file: disk quota exceeded".into());
    rig.fake.set_file(PROJECT, CONTAINER, "/var/lib/snug", Some(b""));
    rig.fake.set_file(PROJECT, CONTAINER, RESERVE, Some(b"room"));
    rig.fake.fault(taking(), When::Nth(1), full());
    let notices = ask(&rig, "TakeSnapshot", vec![]).done().texts("notices");
    assert!(notices.iter().any(|notice| notice.contains("has filled its disk")), "{notices:?}");
    // The restore is the first, what is given back the second.
    rig.fake.set_file(PROJECT, CONTAINER, RESERVE, Some(b"room"));
    ask(&rig, "TakeSnapshot", vec![]).done();
    rig.fake.fault(instance_route("PUT"), When::Nth(2), full());
    ask(&rig, "Undo", vec![]).done();
    assert_eq!((configuration(&rig), rig.fake.file(PROJECT, CONTAINER, RESERVE)), (before, None));
}

#[tokio::test]
async fn a_configuration_that_cannot_be_given_back_is_before_anything_else() {
    let rig = Rig::new(CONFIG, None);
    changed_since_a_snapshot(&rig);
    let before = configuration(&rig);
    // The restore comes first; then the step and its undo, both in vain.
    for nth in [2, 3] {
        rig.fake.fault(instance_route("PUT"), When::Nth(nth), Fault::Status(500, "not now".into()));
    }
    ask(&rig, "Undo", vec![]).failed("Failed");
    assert_eq!(key(&rig, "security.privileged"), "true");
    settle(&rig).done();
    assert_eq!((configuration(&rig), disk(&rig).as_str()), (before, "then"));
}

#[tokio::test]
async fn what_cannot_be_put_right_can_be_removed() {
    let rig = Rig::new(CONFIG, None);
    changed_since_a_snapshot(&rig);
    for nth in 2..10 {
        rig.fake.fault(instance_route("PUT"), When::Nth(nth), Fault::Status(500, "not now".into()));
    }
    ask(&rig, "Undo", vec![]).failed("Failed");
    settle(&rig).failed("Failed");
    ask(&rig, "Remove", vec![("force", Variant::from(true))]).done();
    assert_eq!(rig.fake.instance_names(PROJECT), [""; 0]);
    let undo = Paths::below(rig.directory.path()).undo().join(NOBODY.to_string());
    assert_eq!(std::fs::read_dir(undo).unwrap().count(), 0);
}

#[tokio::test]
async fn what_incus_would_start_by_itself_is_not_gone_back_to() {
    let rig = Rig::new(CONFIG, None);
    changed_since_a_snapshot(&rig);
    let autostart = |value: &'static str| {
        rig.fake.change_instance(PROJECT, CONTAINER, |instance| {
            instance["config"]["boot.autostart"] = json!(value);
        });
    };
    autostart("true");
    ask(&rig, "TakeSnapshot", vec![]).done();
    autostart("false");
    let before = configuration(&rig);
    let refused = ask(&rig, "Undo", vec![]).failed("Failed");
    assert!(refused.message.contains("by itself"), "{refused:?}");
    assert_eq!((configuration(&rig), restores(&rig).len()), (before, 0));
}

#[tokio::test]
async fn an_undo_waits_for_the_job_before_it() {
    let rig = Rig::new(CONFIG, None);
    changed_since_a_snapshot(&rig);
    let gate = Gate::new();
    rig.fake.script(taking(), Script::success().wait(&gate));
    let first = begin(&rig, "TakeSnapshot", vec![("before", Variant::from("install y"))]);
    rig.fake.until(|fake| fake.requests_of(&taking()).len() == 2).await;
    let second = begin(&rig, "Undo", vec![("keep", Variant::from(false))]);
    assert_eq!(restores(&rig).len(), 0);
    gate.open();
    let taken = end(&rig, first).done().text("snapshot");
    assert_eq!(end(&rig, second).done().text("snapshot"), taken);
}

#[tokio::test]
async fn one_that_runs_is_not_touched_for_an_owner_who_could_not_start_it() {
    let rig = Rig::new(CONFIG, None);
    changed_since_a_snapshot(&rig);
    rig.fake.change_instance(PROJECT, CONTAINER, |instance| {
        (instance["status"], instance["status_code"]) = (json!("Running"), json!(103));
    });
    ask(&rig, "Undo", vec![]).failed("NotEligible");
    assert_eq!((disk(&rig).as_str(), key(&rig, "user.snug.phase").as_str()), ("now", "ready"));
    // Taking one disturbs nobody.
    ask(&rig, "TakeSnapshot", vec![]).done();
    assert_eq!(rig.fake.instance(PROJECT, CONTAINER).unwrap()["status_code"], 103);
}
