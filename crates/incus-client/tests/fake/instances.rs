//! Instances.

use fake_incusd::{Fault, Script, When};
use incus_client::{
    ErrorKind, InstancePatch, InstanceSource, InstancesPost, ListOptions, SnapshotsPost, StateChange,
    StatusCode,
};
use serde_json::{Value, json};

use crate::{in_time, route, start, start_with_container};

#[tokio::test]
async fn a_container_lives_from_creation_to_deletion() {
    let (fake, client) = start();
    let instances = client.instances();
    let mut new = InstancesPost::container("c1", InstanceSource::local_alias("debian/13"));
    new.config.insert("user.owner".into(), "1000".into());
    instances.create(&new).await.unwrap().wait().await.unwrap();
    assert_eq!(instances.get("c1").await.unwrap().0.status_code, StatusCode::Stopped);
    instances.set_state("c1", &StateChange::start()).await.unwrap().wait().await.unwrap();
    let (instance, _) = instances.get_full("c1").await.unwrap();
    assert!(instance.status_code.is_running() && instance.expanded_devices.contains_key("root"));
    assert_eq!(instance.state.as_ref().and_then(|state| state.init_pid()), Some(4242));
    assert_eq!(instance.state.as_ref().and_then(|state| state.root_usage()), Some(123_456_789));
    let error = instances.delete("c1").await.unwrap_err();
    assert_eq!(error.status(), Some(400));
    let stop = StateChange::stop().timeout_seconds(3).force(true);
    instances.set_state("c1", &stop).await.unwrap().wait().await.unwrap();
    instances.rename("c1", "c2").await.unwrap().wait().await.unwrap();
    assert!(!instances.exists("c1").await.unwrap() && instances.exists("c2").await.unwrap());
    instances.delete("c2").await.unwrap().wait().await.unwrap();
    assert!(fake.instance_names("default").is_empty());
}

#[tokio::test]
async fn creation_and_start_are_one_operation_when_asked_for() {
    let (fake, client) = start();
    let mut new = InstancesPost::container("c1", InstanceSource::local_alias("debian/13"));
    new.start = true;
    client.instances().create(&new).await.unwrap().wait().await.unwrap();
    assert_eq!(fake.instance("default", "c1").unwrap()["status"], "Running");
}

#[tokio::test]
async fn a_failed_creation_says_why_and_leaves_nothing() {
    let (fake, client) = start();
    fake.script(route("POST", "/1.0/instances"), Script::failure("Failed creating: no space left on device"));
    let new = InstancesPost::container("c1", InstanceSource::local_alias("debian/13"));
    let error = client.instances().create(&new).await.unwrap().wait().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OperationFailed);
    assert!(error.to_string().ends_with("no space left on device"), "{error}");
    assert!(fake.instance("default", "c1").is_none());
}

#[tokio::test]
async fn an_unknown_image_shows_only_at_the_end_of_the_operation() {
    let (_fake, client) = start();
    let new = InstancesPost::container("c1", InstanceSource::local_alias("no/such"));
    let error = client.instances().create(&new).await.unwrap().wait().await.unwrap_err();
    assert!(error.to_string().contains("Image not provided"), "{error}");
}

#[tokio::test]
async fn lists_come_with_names_only_or_with_state_and_by_filter() {
    let (fake, client) = start_with_container();
    fake.add_instance(json!({"name": "c2", "config": {"user.owner": "1001"}}));
    fake.add_instance(json!({"name": "other", "project": "p"}));
    let instances = client.instances();
    assert_eq!(instances.names(&ListOptions::default()).await.unwrap(), ["c1", "c2"]);
    let listed = instances.list(&ListOptions::filter("config.user.owner eq 1001")).await.unwrap();
    assert_eq!(listed.iter().map(|instance| instance.name.as_str()).collect::<Vec<_>>(), ["c2"]);
    assert!(listed[0].state.is_none());
    let full = instances.list_full(&ListOptions::default()).await.unwrap();
    assert!(full.iter().all(|instance| instance.state.is_some() && instance.snapshots.is_some()));
}

#[tokio::test]
async fn a_list_of_all_projects_names_no_project() {
    let (fake, client) = start_with_container();
    fake.add_instance(json!({"name": "other", "project": "p"}));
    let all = ListOptions { all_projects: true, ..ListOptions::default() };
    let listed = client.project("p").instances().list(&all).await.unwrap();
    assert_eq!(listed.len(), 2);
}

#[tokio::test]
async fn a_patch_keeps_the_description_where_incus_would_erase_it() {
    let (fake, client) = start_with_container();
    let mut patch = InstancePatch::default();
    patch.config.insert("user.phase".into(), "ready".into());
    client.instances().patch("c1", &patch, None).await.unwrap();
    let instance = fake.instance("default", "c1").unwrap();
    assert_eq!(
        (&instance["description"], &instance["config"]["user.phase"]),
        (&json!("mine"), &json!("ready"))
    );
}

#[tokio::test]
async fn a_patch_sends_no_description_to_a_server_without_the_bug() {
    let (fake, client) = start_with_container();
    fake.set_version("6.0.6");
    client.instances().patch("c1", &InstancePatch::default(), None).await.unwrap();
    let sent = &fake.requests_of(&route("PATCH", "/1.0/instances/c1"))[0];
    assert_eq!(sent.json().get("description"), None);
    assert_eq!(fake.instance("default", "c1").unwrap()["description"], "mine");
}

#[tokio::test]
async fn a_patch_can_empty_the_description_on_purpose() {
    let (fake, client) = start_with_container();
    let patch = InstancePatch { description: Some(String::new()), ..InstancePatch::default() };
    client.instances().patch("c1", &patch, None).await.unwrap();
    assert_eq!(fake.instance("default", "c1").unwrap()["description"], "");
}

#[tokio::test]
async fn a_key_patched_to_the_empty_text_is_unset() {
    let (fake, client) = start_with_container();
    let mut patch = InstancePatch::default();
    patch.config.insert("user.owner".into(), String::new());
    client.instances().patch("c1", &patch, None).await.unwrap();
    assert_eq!(fake.instance("default", "c1").unwrap()["config"].get("user.owner"), None);
}

#[tokio::test]
async fn a_patch_with_an_old_etag_is_refused_with_412_and_changes_nothing() {
    let (fake, client) = start_with_container();
    let (_, etag) = client.instances().get("c1").await.unwrap();
    let mut patch = InstancePatch::default();
    patch.config.insert("user.phase".into(), "ready".into());
    client.instances().patch("c1", &patch, Some(&etag)).await.unwrap();
    patch.config.insert("user.phase".into(), "stopping".into());
    let error = client.instances().patch("c1", &patch, Some(&etag)).await.unwrap_err();
    assert!(error.is_precondition_failed(), "{error:?}");
    assert_eq!(fake.instance("default", "c1").unwrap()["config"]["user.phase"], "ready");
}

#[tokio::test]
async fn a_put_with_an_old_etag_is_refused_with_412() {
    let (fake, client) = start_with_container();
    let (instance, etag) = client.instances().get("c1").await.unwrap();
    fake.change_instance("default", "c1", |instance| instance["config"]["volatile.x"] = json!("1"));
    let error = client.instances().put("c1", &instance.into_put(), Some(&etag)).await.unwrap_err();
    assert!(error.is_precondition_failed(), "{error}");
}

#[tokio::test]
async fn an_update_that_meets_a_start_begins_again_and_loses_nothing() {
    let (fake, client) = start_with_container();
    let mut calls = 0;
    let instances = client.instances();
    let changed = instances.update("c1", |put| {
        calls += 1;
        if calls < 3 {
            // A start between reading and writing sets volatile keys.
            fake.change_instance("default", "c1", |instance| {
                instance["config"][format!("volatile.{calls}")] = json!("x");
            });
        }
        put.devices.insert("d".into(), [("type".to_owned(), "none".to_owned())].into());
    });
    assert!(in_time(changed).await.unwrap());
    let instance = fake.instance("default", "c1").unwrap();
    assert_eq!(calls, 3);
    assert_eq!(instance["devices"]["d"]["type"], "none");
    assert_eq!(
        (&instance["config"]["volatile.1"], &instance["config"]["volatile.2"]),
        (&json!("x"), &json!("x"))
    );
    assert_eq!(instance["description"], "mine");
}

#[tokio::test]
async fn an_update_gives_up_when_the_object_never_stands_still() {
    let (fake, client) = start_with_container();
    fake.fault(route("PUT", "/1.0/instances/c1"), When::Always, Fault::PreconditionFailed);
    let instances = client.instances();
    let change = instances.update("c1", |put| put.description = "new".into());
    assert!(in_time(change).await.unwrap_err().is_precondition_failed());
    assert_eq!(fake.requests_of(&route("PUT", "/1.0/instances/c1")).len(), 10);
}

#[tokio::test]
async fn an_update_that_changes_nothing_writes_nothing() {
    let (fake, client) = start_with_container();
    assert!(!client.instances().update("c1", |_| {}).await.unwrap());
    assert!(fake.requests_of(&route("PUT", "/1.0/instances/c1")).is_empty());
}

#[tokio::test]
async fn an_update_removes_a_device_which_a_patch_cannot() {
    let (fake, client) = start_with_container();
    fake.change_instance("default", "c1", |instance| instance["devices"]["old"] = json!({"type": "none"}));
    client.instances().update("c1", |put| drop(put.devices.remove("old"))).await.unwrap();
    assert_eq!(fake.instance("default", "c1").unwrap()["devices"].get("old"), None::<&Value>);
}

#[tokio::test]
async fn snapshots_are_made_listed_restored_and_deleted() {
    let (fake, client) = start_with_container();
    let instances = client.instances();
    let snapshot = SnapshotsPost { name: "s1".into(), ..SnapshotsPost::default() };
    instances.create_snapshot("c1", &snapshot).await.unwrap().wait().await.unwrap();
    let again = instances.create_snapshot("c1", &snapshot).await.unwrap();
    assert!(again.wait().await.unwrap_err().is_conflict());
    let listed = instances.snapshots("c1").await.unwrap();
    assert_eq!((listed.len(), listed[0].name.as_str(), listed[0].expires_at.is_never()), (1, "s1", true));
    instances.update("c1", |put| put.description = "changed".into()).await.unwrap();
    instances.restore_snapshot("c1", "s1", None).await.unwrap().wait().await.unwrap();
    assert_eq!(fake.instance("default", "c1").unwrap()["description"], "mine");
    let (_, before) = instances.get("c1").await.unwrap();
    instances.update("c1", |put| drop(put.config.insert("user.x".into(), "y".into()))).await.unwrap();
    let late = instances.restore_snapshot("c1", "s1", Some(&before)).await;
    assert!(late.unwrap_err().is_precondition_failed());
    assert_eq!(fake.instance("default", "c1").unwrap()["config"]["user.x"], "y");
    instances.delete_snapshot("c1", "s1").await.unwrap().wait().await.unwrap();
    assert!(instances.snapshots("c1").await.unwrap().is_empty());
}

#[tokio::test]
async fn console_and_logs_are_plain_bytes() {
    let (_fake, client) = start_with_container();
    let instances = client.instances();
    assert_eq!(instances.console_log("c1").await.unwrap(), "fake console\n");
    assert_eq!(instances.logs("c1").await.unwrap(), ["lxc.log"]);
    assert_eq!(instances.log("c1", "lxc.log").await.unwrap(), "fake log\n");
}
