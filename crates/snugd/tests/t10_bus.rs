//! Who may call what, and what exists for whom. These tests take on other users' uids, which only root can.
#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{MANAGER, NAME, NOBODY, Options, ROOT, Rig, at, finish, list, manager};
use fake_incusd::{Gate, Route, Script};
use snug_core::name::{ContainerName, Uid};
use snug_core::paths::Paths;
use snug_wire::policy::Policy;
use snugd::host::rundir;
use zbus::message::{Flags, Message};
use zbus::{Connection, OwnedVariant, Variant};

const CONFIG: &str = "idle_seconds = 60\n";

fn none() -> Options<'static> {
    HashMap::new()
}

#[tokio::test]
async fn without_polkit_only_root_may() {
    let rig = Rig::new(CONFIG, None);
    let (name, text) = rig.as_user(NOBODY, |bus| async move { list(&bus, none()).await }).unwrap_err();
    assert_eq!(name, "NotAuthorized");
    assert!(text.contains("\nhint: is polkit installed"), "{text}");
    assert_eq!(list(&rig.connect().await, none()).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn what_belongs_to_others_does_not_exist() {
    let rig = Rig::new(CONFIG, None);
    rig.serve_polkit();
    rig.add_container(&format!("{NOBODY}:nobody"), "mine");
    rig.add_container("1:daemon", "theirs");
    let seen = rig.as_user(NOBODY, |bus| async move {
        let theirs = format!("{ROOT}/container/1/theirs");
        let properties = "org.freedesktop.DBus.Properties";
        let whole = HashMap::from([("all-users", Variant::from(true))]);
        let owner = HashMap::from([("owner", Variant::from(1u32))]);
        (
            list(&bus, none()).await.unwrap(),
            at(&bus, &theirs, properties, "GetAll", &("org.snug.Snug1.Container",)).await.unwrap_err().0,
            list(&bus, whole).await.unwrap_err().0,
            manager(&bus, "Remove", &("theirs", owner)).await.unwrap_err().0,
            manager(&bus, "Get", &("theirs", none())).await.unwrap_err().0,
        )
    });
    assert_eq!(seen.0, ["mine"]);
    assert_eq!(seen.1, "UnknownObject");
    assert_eq!((seen.2.as_str(), seen.3.as_str()), ("NotAuthorized", "NotAuthorized"));
    assert_eq!(seen.4, "NotFound");
    let all = list(&rig.connect().await, HashMap::from([("all-users", Variant::from(true))])).await.unwrap();
    assert_eq!(all, ["theirs", "mine"]);
}

#[tokio::test]
async fn a_reused_uid_inherits_nothing_and_foreign_instances_are_never_touched() {
    let rig = Rig::new(CONFIG, None);
    rig.serve_polkit();
    rig.add_container(&format!("{NOBODY}:somebody-before"), "old");
    let project = format!("snug-{NOBODY}");
    rig.fake.add_instance(serde_json::json!({"name": "foreign", "project": project, "status_code": 102}));
    let seen = rig.as_user(NOBODY, |bus| async move {
        let force = || HashMap::from([("force", Variant::from(true))]);
        let old = manager(&bus, "Remove", &("old", force())).await.unwrap();
        let foreign = manager(&bus, "Remove", &("foreign", force())).await.unwrap();
        (list(&bus, none()).await.unwrap(), finish(&bus, &old).await, finish(&bus, &foreign).await)
    });
    assert_eq!(seen.0, Vec::<String>::new());
    assert_eq!(seen.1, ("failed".into(), "Exists".into()));
    assert_eq!(seen.2, ("failed".into(), "Exists".into()));
    assert_eq!(rig.fake.instance_names(&project).len(), 2);
}

#[tokio::test]
async fn an_account_that_may_not_own_creates_nothing() {
    let rig = Rig::new(CONFIG, None);
    rig.fake.add_image("default", "debian/13");
    let bus = rig.connect().await;
    let image = || HashMap::from([("image", Variant::from("local:debian/13"))]);
    let job = manager(&bus, "Create", &("dev", image())).await.unwrap();
    assert_eq!(finish(&bus, &job).await, ("failed".into(), "NotEligible".into()));
    let mut nobodys = image();
    nobodys.insert("owner", Variant::from(NOBODY));
    let job = manager(&bus, "Create", &("dev", nobodys)).await.unwrap();
    assert_eq!(finish(&bus, &job).await, ("failed".into(), "NotEligible".into()));
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_said_at_once() {
    let rig = Rig::new(CONFIG, None);
    let bus = rig.connect().await;
    let colour = HashMap::from([("colour", Variant::from("red"))]);
    let (name, text) = manager(&bus, "Start", &("dev", colour)).await.unwrap_err();
    assert!(name == "InvalidArgument" && text.contains("'colour'"), "{name} {text}");
    let (name, text) = manager(&bus, "Start", &("My Dev", none())).await.unwrap_err();
    assert!(name == "InvalidArgument" && text.contains("hint: "), "{name} {text}");
    let preset = HashMap::from([("preset", Variant::from("integratd"))]);
    let (name, text) = manager(&bus, "Create", &("dev", preset)).await.unwrap_err();
    assert!(name == "InvalidArgument" && text.contains("integrated"), "{name} {text}");
    assert_eq!(at(&bus, ROOT, MANAGER, "Dance", &()).await.unwrap_err().0, "UnknownMethod");
    assert_eq!(manager(&bus, "Start", &(7u32,)).await.unwrap_err().0, "InvalidArgs");
    assert_eq!(
        at(&bus, "/org/snug/Snug1/job/1", "org.snug.Snug1.Job", "Wait", &()).await.unwrap_err().0,
        "UnknownObject"
    );
    let job = manager(&bus, "Start", &("dev", none())).await;
    // uid 0 has no containers of its own.
    assert_eq!(finish(&bus, &job.unwrap()).await.1, "NotEligible");
}

#[tokio::test]
async fn without_incus_the_error_says_how_to_get_it() {
    let rig = Rig::new(CONFIG, Some(Path::new("/nonexistent/incus.socket")));
    let (name, text) = list(&rig.connect().await, none()).await.unwrap_err();
    assert_eq!(name, "NoIncus");
    assert!(text.contains("hint: install Incus"), "{text}");
}

#[tokio::test]
async fn a_job_of_another_user_does_not_exist() {
    let rig = Rig::new(CONFIG, None);
    rig.serve_polkit();
    rig.add_container(&format!("{NOBODY}:nobody"), "mine");
    let bus = rig.connect().await;
    let owner = HashMap::from([("owner", Variant::from(NOBODY)), ("dry-run", Variant::from(true))]);
    let job = manager(&bus, "Remove", &("mine", owner)).await.unwrap();
    let path: zbus::OwnedObjectPath = job.body().deserialize().unwrap();
    assert_eq!(finish(&bus, &job).await.0, "done");
    let path = path.as_str().to_owned();
    let seen = rig.as_user(NOBODY, move |bus| async move {
        at(&bus, &path, "org.snug.Snug1.Job", "Log", &()).await.unwrap_err().0
    });
    assert_eq!(seen, "UnknownObject");
    assert_eq!(rig.fake.instance_names(&format!("snug-{NOBODY}")), ["mine"]);
}

/// What `Get` says of a container of nobody's under this key.
async fn told(bus: &Connection, key: &str) -> String {
    let owner = HashMap::from([("owner", Variant::from(NOBODY))]);
    let answer = manager(bus, "Get", &("mine", owner)).await.unwrap();
    let mut all: HashMap<String, OwnedVariant> = answer.body().deserialize().unwrap();
    all.remove(key).unwrap().try_into().unwrap()
}

/// A container of nobody's that runs, and of which clients are told so.
fn running_container(rig: &Rig) -> (Paths, ContainerName) {
    rig.add_container(&format!("{NOBODY}:nobody"), "mine");
    rig.fake.change_instance(&format!("snug-{NOBODY}"), "mine", |instance| {
        instance["status"] = "Running".into();
        instance["status_code"] = 103.into();
    });
    let (paths, name) = (Paths::below(rig.directory.path()), "mine".parse().unwrap());
    rundir::make(&paths, Uid(NOBODY), &name).unwrap();
    rundir::write_policy(&paths, Uid(NOBODY), &name, trusted()).unwrap();
    (paths, name)
}

fn trusted() -> Policy {
    Policy { trusted: true, ..Policy::default() }
}

#[tokio::test]
async fn clients_are_told_that_a_container_is_being_stopped_until_it_is() {
    let rig = Rig::new(CONFIG, None);
    let (paths, name) = running_container(&rig);
    let policy = || Policy::of(&paths.container_dir(Uid(NOBODY), &name));
    let state = Route::new("PUT", "/1.0/instances/mine/state");
    let gate = Gate::new();
    rig.fake.script(state.clone(), Script::success().wait(&gate));
    let bus = rig.connect().await;
    assert_eq!(told(&bus, "state").await, "running");
    let owner = || HashMap::from([("owner", Variant::from(NOBODY))]);
    let job = manager(&bus, "Stop", &("mine", owner())).await.unwrap();
    rig.fake.until(|fake| !fake.requests_of(&state).is_empty()).await;
    assert_eq!(told(&bus, "state").await, "stopping");
    assert_eq!(policy(), Policy { stopping: true, ..trusted() });
    gate.open();
    assert_eq!(finish(&bus, &job).await.0, "done");
    assert_eq!(told(&bus, "state").await, "stopped");
    assert_eq!(policy(), trusted());
}

#[tokio::test]
async fn clients_are_told_when_a_container_was_not_stopped() {
    let rig = Rig::new(CONFIG, None);
    let (paths, name) = running_container(&rig);
    let policy = || Policy::of(&paths.container_dir(Uid(NOBODY), &name));
    let state = Route::new("PUT", "/1.0/instances/mine/state");
    rig.fake.script(state.clone(), Script::failure("it will not"));
    let bus = rig.connect().await;
    for (method, force) in [("Stop", false), ("Stop", true), ("Remove", true)] {
        let options = HashMap::from([("owner", Variant::from(NOBODY)), ("force", Variant::from(force))]);
        let job = manager(&bus, method, &("mine", options)).await.unwrap();
        assert_eq!(finish(&bus, &job).await.0, "failed");
        assert_eq!((told(&bus, "state").await.as_str(), policy()), ("running", trusted()), "{method}");
    }
    // One whose phase could not be stored, of a daemon that has died since.
    rundir::tell_stopping(&paths, Uid(NOBODY), &name, true).unwrap();
    let owner = HashMap::from([("owner", Variant::from(NOBODY))]);
    let job =
        manager(&bus, "Configure", &("mine", HashMap::<&str, &str>::new(), Vec::<&str>::new(), owner)).await;
    assert_eq!(finish(&bus, &job.unwrap()).await.0, "done");
    assert_eq!(policy(), trusted());
}

#[tokio::test]
async fn the_daemon_leaves_when_idle() {
    let rig = Rig::new("idle_seconds = 1\n", None);
    let bus = rig.connect().await;
    let watcher = rig.connect().await;
    list(&bus, none()).await.unwrap();
    assert!(rig.daemon_left(&watcher, Duration::from_secs(20)).await);
}

#[tokio::test]
async fn no_call_is_lost_while_the_daemon_leaves() {
    let rig = Rig::new("idle_seconds = 1\n", None);
    let bus = rig.connect().await;
    // Calls that come around the moment at which it leaves: each must be answered, by it or by the next one.
    let begin = Instant::now();
    let mut gap = Duration::from_millis(990);
    while begin.elapsed() < Duration::from_secs(8) {
        tokio::time::timeout(Duration::from_secs(20), list(&bus, none())).await.unwrap().unwrap();
        tokio::time::sleep(gap).await;
        gap += Duration::from_millis(3);
    }
}

#[tokio::test]
async fn a_flood_of_one_user_keeps_nobody_else_waiting() {
    let rig = Rig::new(CONFIG, None);
    rig.serve_polkit();
    let flood = |count: usize| {
        rig.as_user(1, move |bus| async move {
            for _ in 0..count {
                let call = Message::method_call(ROOT, "List")
                    .destination(NAME)
                    .interface(MANAGER)
                    .with_flags(Flags::NO_REPLY_EXPECTED)
                    .build(&none())
                    .unwrap();
                bus.send(&call).await.unwrap();
            }
            // The daemon has read what the bus has taken in.
            tokio::time::sleep(Duration::from_millis(500)).await;
        });
    };
    // The daemon runs before: what waits for its start is the bus' business, which bounds it itself.
    let _ = rig.as_user(NOBODY, |bus| async move { list(&bus, none()).await });
    flood(20_000);
    let answer = rig.as_user(NOBODY, |bus| async move {
        tokio::time::timeout(Duration::from_secs(20), list(&bus, none())).await
    });
    assert_eq!(answer.expect("another user waits for the flood's end").unwrap(), [""; 0]);
}
