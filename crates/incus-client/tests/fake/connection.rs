//! Reaching the server, and what its answers may look like.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use fake_incusd::{Answer, FakeIncusd, Fault, Gate, When};
use incus_client::{Client, ErrorKind, InstanceSource, InstancesPost, ListOptions, UnavailableReason};
use serde_json::json;

use crate::{in_time, route, start, start_with_container};

#[tokio::test]
async fn a_missing_socket_is_unavailable_because_it_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let error = Client::connect(directory.path().join("unix.socket")).server().await.unwrap_err();
    assert_eq!(error.unavailable_reason(), Some(UnavailableReason::Missing));
    assert!(error.to_string().contains("unix.socket"), "{error}");
}

#[tokio::test]
async fn a_socket_nobody_listens_on_is_unavailable_because_it_refuses() {
    let (fake, client) = start();
    fake.stop();
    let error = client.server().await.unwrap_err();
    assert_eq!(error.unavailable_reason(), Some(UnavailableReason::Refused));
}

#[tokio::test]
async fn a_socket_without_permission_is_unavailable_because_of_that() {
    // Root may do everything, so the kernel's answer is put in by a transport.
    #[derive(Debug)]
    struct Denied;
    impl incus_client::transport::Transport for Denied {
        fn connect(&self) -> incus_client::transport::Connecting<'_> {
            Box::pin(async { Err(std::io::ErrorKind::PermissionDenied.into()) })
        }
        fn endpoint(&self) -> String {
            "/s".into()
        }
    }
    let error = Client::builder().build(Denied).server().await.unwrap_err();
    assert_eq!(error.unavailable_reason(), Some(UnavailableReason::PermissionDenied));
    assert_eq!(error.to_string(), "cannot reach Incus at /s: permission denied");
}

#[tokio::test]
async fn a_connection_that_is_never_accepted_ends_at_its_deadline() {
    #[derive(Debug)]
    struct Silent;
    impl incus_client::transport::Transport for Silent {
        fn connect(&self) -> incus_client::transport::Connecting<'_> {
            Box::pin(std::future::pending())
        }
        fn endpoint(&self) -> String {
            "/s".into()
        }
    }
    let client = Client::builder().connect_timeout(Duration::from_millis(20)).build(Silent);
    let error = in_time(client.server()).await.unwrap_err();
    assert_eq!(error.unavailable_reason(), Some(UnavailableReason::TimedOut));
}

#[tokio::test]
async fn an_answer_that_never_comes_ends_at_its_deadline() {
    let (fake, _) = start();
    fake.fault(route("GET", "/1.0"), When::Always, Fault::Hang);
    let client = Client::builder()
        .request_timeout(Duration::from_millis(50))
        .build(incus_client::transport::UnixTransport::new(fake.socket()));
    let error = in_time(client.server()).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    assert_eq!(error.to_string(), "GET /1.0: no answer within 50ms");
}

#[tokio::test]
async fn a_slow_answer_is_waited_for() {
    let (fake, client) = start();
    let gate = Gate::new();
    fake.fault(route("GET", "/1.0"), When::Always, Fault::Hold(gate.clone()));
    let asked = tokio::spawn(async move { client.server().await });
    fake.until(|fake| !fake.requests().is_empty()).await;
    gate.open();
    assert_eq!(in_time(asked).await.unwrap().unwrap().environment.server_version, "6.0.4");
}

#[tokio::test]
async fn connections_are_reused_one_after_the_other() {
    let (fake, client) = start();
    for _ in 0..10 {
        client.refresh_server().await.unwrap();
    }
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_does_no_harm() {
    let (fake, client) = start();
    for _ in 0..5 {
        client.refresh_server().await.unwrap();
        fake.restart();
    }
    client.refresh_server().await.unwrap();
    assert_eq!(fake.requests_of(&route("GET", "/1.0")).len(), 6);
}

#[tokio::test]
async fn many_requests_side_by_side_all_get_their_own_answer() {
    let (fake, client) = start();
    for n in 0..32 {
        fake.add_instance(json!({"name": format!("c{n}")}));
    }
    let asked: Vec<_> = (0..32)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move { client.instances().get(&format!("c{n}")).await })
        })
        .collect();
    for (n, asked) in asked.into_iter().enumerate() {
        assert_eq!(in_time(asked).await.unwrap().unwrap().0.name, format!("c{n}"));
    }
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_not_repeated_and_its_outcome_is_unknown() {
    let (fake, client) = start();
    // The connection is kept before, so that a repetition would be possible.
    client.server().await.unwrap();
    fake.fault(route("POST", "/1.0/instances"), When::Nth(1), Fault::DropAfter);
    let new = InstancesPost::container("c1", InstanceSource::local_alias("debian/13"));
    let error = client.instances().create(&new).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown);
    assert_eq!(fake.requests_of(&route("POST", "/1.0/instances")).len(), 1);
    fake.until(|fake| fake.instance("default", "c1").is_some()).await;
}

#[tokio::test]
async fn half_a_reply_is_a_lost_connection_and_not_a_short_answer() {
    let (fake, client) = start_with_container();
    fake.fault(route("GET", "/1.0/instances"), When::Always, Fault::HalfReply);
    let error = in_time(client.instances().list(&ListOptions::default())).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
}

#[tokio::test]
async fn a_server_error_keeps_method_path_status_and_text() {
    let (fake, client) = start();
    fake.fault(route("GET", "/1.0/instances/c1"), When::Always, Fault::Status(500, "disk on fire".into()));
    let error = client.project("p").instances().get("c1").await.unwrap_err();
    assert_eq!(error.to_string(), "GET /1.0/instances/c1?project=p: disk on fire (status 500)");
    assert_eq!((error.status(), error.kind()), (Some(500), ErrorKind::Refused));
}

#[tokio::test]
async fn a_server_error_that_is_no_json_keeps_its_text() {
    let (fake, client) = start();
    fake.fault(route("GET", "/1.0"), When::Always, Fault::NoJson(502, "bad gateway".into()));
    assert_eq!(client.server().await.unwrap_err().to_string(), "GET /1.0: bad gateway (status 502)");
}

#[tokio::test]
async fn an_error_envelope_behind_http_200_is_an_error() {
    let (fake, client) = start();
    fake.fault(route("GET", "/1.0"), When::Always, Fault::ErrorAfter200(403, "not you".into()));
    assert!(client.server().await.unwrap_err().is_forbidden());
}

#[tokio::test]
async fn an_endless_answer_is_refused_at_its_limit() {
    let (fake, _) = start();
    fake.fault(route("GET", "/1.0"), When::Always, Fault::HugeReply(100_000));
    let client =
        Client::builder().max_reply(50_000).build(incus_client::transport::UnixTransport::new(fake.socket()));
    let error = client.server().await.unwrap_err();
    assert_eq!(error.to_string(), "GET /1.0: the answer is larger than 50000 bytes");
}

#[tokio::test]
async fn not_found_and_conflict_are_told_apart() {
    let (fake, client) = start();
    assert!(client.instances().get("none").await.unwrap_err().is_not_found());
    fake.add_instance(json!({"name": "c1"}));
    let new = InstancesPost::container("c1", InstanceSource::local_alias("debian/13"));
    let operation = client.instances().create(&new).await.unwrap();
    let error = in_time(operation.wait()).await.unwrap_err();
    assert!(error.is_conflict() && error.kind() == ErrorKind::OperationFailed, "{error:?}");
    client.projects().create("p", &incus_client::ProjectPut::default()).await.unwrap();
    assert!(client.images().create_alias("debian/13", "x", "").await.unwrap_err().is_conflict());
}

#[tokio::test]
async fn a_name_cannot_reach_another_resource() {
    let (fake, client) = start_with_container();
    for name in ["c1/state", "../instances/c1", "c1?recursion=1", "c1#", "c1%2Fstate", ".."] {
        assert!(client.instances().get(name).await.unwrap_err().is_not_found(), "{name}");
    }
    let paths: Vec<_> = fake.requests().into_iter().map(|request| request.path).collect();
    assert!(paths.iter().all(|path| path.matches('/').count() == 3), "{paths:?}");
}

#[tokio::test]
async fn a_programmed_answer_with_unknown_fields_and_nulls_is_read() {
    let (fake, client) = start();
    fake.answer_once(
        route("GET", "/1.0/instances/c1"),
        Answer::sync(json!({"name": "c1", "config": null, "devices": null, "profiles": null, "state": null,
            "snapshots": null, "future": {"x": [1]}, "status_code": 777})),
    );
    let (instance, _) = client.instances().get("c1").await.unwrap();
    assert_eq!((instance.name.as_str(), instance.status_code.code()), ("c1", 777));
}

#[tokio::test]
async fn a_recording_is_played_back() {
    let (fake, client) = start();
    fake.play(
        r#"[{"method": "GET", "path": "/1.0/networks/br0/leases", "status": 200,
             "body": {"type": "sync", "metadata": [{"hostname": "c1", "address": "10.1.1.1", "type": "dynamic"}]}}]"#,
    );
    assert_eq!(client.networks().leases("br0").await.unwrap()[0].address, "10.1.1.1");
}

#[tokio::test]
async fn projects_are_views_of_one_server_that_share_its_connections() {
    let (fake, client) = start();
    let (a, b) = (client.project("a"), client.project("b"));
    for view in [&a, &b, &client] {
        view.instances().list(&ListOptions::default()).await.unwrap();
    }
    let projects: Vec<_> = fake
        .requests()
        .iter()
        .map(|request| request.query.get("project").cloned().unwrap_or_default())
        .collect();
    assert_eq!((projects, fake.connections()), (vec!["a".into(), "b".into(), String::new()], 1));
}

#[test]
fn a_fake_needs_no_runtime_and_leaves_nothing() {
    let fake = FakeIncusd::start();
    let directory = fake.directory().to_owned();
    assert!(std::fs::metadata(fake.socket()).unwrap().permissions().mode() != 0);
    drop(fake);
    assert!(!directory.exists());
}
