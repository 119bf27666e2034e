//! Operations.

use std::time::Duration;

use fake_incusd::{Fault, Gate, Script, When};
use incus_client::{Error, ErrorKind, Progress, StateChange, StatusCode};

use crate::{in_time, route, start_with_container};

const STATE: &str = "/1.0/instances/c1/state";
const WAIT: &str = "/1.0/operations/*/wait";

#[tokio::test]
async fn an_operation_that_vanished_before_anyone_asked_is_still_told() {
    let (fake, client) = start_with_container();
    fake.set_operation_linger(Duration::ZERO);
    let gate = Gate::new();
    fake.script(route("PUT", STATE), Script::success().wait(&gate));
    let operation = client.instances().set_state("c1", &StateChange::restart()).await.unwrap();
    // The wait is on its way without anyone calling wait().
    fake.until(|fake| !fake.requests_of(&route("GET", WAIT)).is_empty()).await;
    gate.open();
    fake.until(|fake| fake.operations().is_empty()).await;
    // The answer to the wait was built before the operation vanished, or it says that it is gone; both tell.
    match in_time(operation.wait_end()).await {
        Ok(info) => assert_eq!(info.status_code, StatusCode::Success),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unknown),
    }
}

#[tokio::test]
async fn waiting_long_after_the_end_gives_the_end() {
    let (fake, client) = start_with_container();
    let operation = client.instances().set_state("c1", &StateChange::restart()).await.unwrap();
    fake.until(|fake| fake.operations().is_empty()).await;
    for _ in 0..2 {
        assert_eq!(in_time(operation.wait()).await.unwrap().status_code, StatusCode::Success);
    }
    assert!(operation.refresh().await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn http_200_with_an_error_envelope_is_a_failed_operation_with_its_code() {
    let (fake, client) = start_with_container();
    fake.script(route("PUT", STATE), Script::failure_with_code(409, "busy"));
    let operation = client.instances().set_state("c1", &StateChange::restart()).await.unwrap();
    let error = in_time(operation.wait()).await.unwrap_err();
    assert_eq!((error.status(), error.kind()), (Some(409), ErrorKind::OperationFailed));
    assert_eq!(error.to_string(), "Restarting instance: busy");
    let ended = operation.wait_end().await.unwrap();
    assert_eq!((ended.status_code, ended.err_code), (StatusCode::Failure, Some(409)));
    assert_eq!(ended.resources["instances"], ["/1.0/instances/c1"]);
    assert_eq!(ended.request, format!("PUT {STATE}"));
}

#[tokio::test]
async fn a_failure_is_kept_even_when_the_operation_has_vanished_meanwhile() {
    let (fake, client) = start_with_container();
    fake.script(route("PUT", STATE), Script::failure("busy"));
    fake.fault(
        route("GET", "/1.0/operations/*"),
        When::Always,
        Fault::Status(404, "Operation not found".into()),
    );
    let operation = client.instances().set_state("c1", &StateChange::restart()).await.unwrap();
    let error = in_time(operation.wait()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::OperationFailed, "Restarting instance: busy".into())
    );
    assert_eq!(operation.wait_end().await.unwrap().request, format!("PUT {STATE}"));
}

#[tokio::test]
async fn an_error_of_the_wait_alone_is_not_taken_for_a_failed_operation() {
    let (fake, client) = start_with_container();
    let gate = Gate::new();
    fake.script(route("PUT", STATE), Script::success().wait(&gate));
    fake.fault(route("GET", WAIT), When::Nth(1), Fault::ErrorAfter200(500, "context canceled".into()));
    let operation = client.instances().set_state("c1", &StateChange::restart()).await.unwrap();
    fake.until(|fake| fake.requests_of(&route("GET", WAIT)).len() == 2).await;
    gate.open();
    in_time(operation.wait()).await.unwrap();
}

#[tokio::test]
async fn a_wait_whose_connection_drops_is_resumed() {
    let (fake, client) = start_with_container();
    fake.fault(route("GET", WAIT), When::First(2), Fault::Drop);
    let operation = client.instances().set_state("c1", &StateChange::restart()).await.unwrap();
    in_time(operation.wait()).await.unwrap();
    assert_eq!(fake.requests_of(&route("GET", WAIT)).len(), 3);
}

#[tokio::test]
async fn half_a_reply_to_a_wait_is_asked_again() {
    let (fake, client) = start_with_container();
    fake.fault(route("GET", WAIT), When::Nth(1), Fault::HalfReply);
    let operation = client.instances().set_state("c1", &StateChange::restart()).await.unwrap();
    in_time(operation.wait()).await.unwrap();
}

#[tokio::test]
async fn an_operation_that_is_gone_after_a_restart_has_an_unknown_outcome() {
    let (fake, client) = start_with_container();
    fake.script(route("PUT", STATE), Script::never());
    let operation = client.instances().set_state("c1", &StateChange::restart()).await.unwrap();
    fake.until(|fake| !fake.requests_of(&route("GET", WAIT)).is_empty()).await;
    fake.restart();
    let error = in_time(operation.wait()).await.unwrap_err();
    assert!(matches!(&error, Error::OperationUnknown { id, .. } if id == operation.id()), "{error}");
    assert!(error.is_outcome_unknown() && !error.is_not_found());
}

#[tokio::test]
async fn an_operation_whose_server_stays_away_has_an_unknown_outcome() {
    let (fake, client) = start_with_container();
    fake.script(route("PUT", STATE), Script::never());
    let operation = client.instances().set_state("c1", &StateChange::restart()).await.unwrap();
    fake.until(|fake| !fake.requests_of(&route("GET", WAIT)).is_empty()).await;
    fake.stop();
    assert_eq!(in_time(operation.wait()).await.unwrap_err().kind(), ErrorKind::Unknown);
}

#[tokio::test]
async fn progress_is_told_in_order_and_each_state_once() {
    let (fake, client) = start_with_container();
    let gates = [Gate::new(), Gate::new()];
    let script = Script::success()
        .progress("download", 10, "rootfs: 10% (1MB/s)")
        .wait(&gates[0])
        .progress("download", 90, "rootfs: 90% (1MB/s)")
        .wait(&gates[1])
        .progress("unpack", 50, "Unpacking: 50%");
    fake.script(route("PUT", STATE), script);
    let operation = client.instances().set_state("c1", &StateChange::restart()).await.unwrap();
    let mut seen = Vec::new();
    let wait = operation.wait_with_progress(|progress: Progress| {
        seen.push((progress.stage, progress.percent));
        // The next step is let through when this one has been seen.
        if let Some(gate) = gates.get(seen.len() - 1) {
            gate.open();
        }
    });
    in_time(wait).await.unwrap();
    assert_eq!(seen[..2], [("download".into(), Some(10)), ("download".into(), Some(90))]);
}

#[tokio::test]
async fn waiting_with_progress_works_without_an_event_stream() {
    let (fake, client) = start_with_container();
    fake.fault(route("GET", "/1.0/events"), When::Always, Fault::Status(403, "not for you".into()));
    let gate = Gate::new();
    fake.script(route("PUT", STATE), Script::success().wait(&gate));
    let operation = client.instances().set_state("c1", &StateChange::restart()).await.unwrap();
    fake.fault(route("GET", "/1.0/operations/*"), When::Nth(1), Fault::DropAfter);
    let waiting = tokio::spawn(async move { operation.wait_with_progress(|_| {}).await });
    fake.until(|fake| !fake.requests_of(&route("GET", "/1.0/events")).is_empty()).await;
    gate.open();
    in_time(waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cancelled_operation_ends_as_cancelled() {
    let (fake, client) = start_with_container();
    fake.script(route("PUT", STATE), Script::never());
    let operation = client.instances().set_state("c1", &StateChange::restart()).await.unwrap();
    assert!(operation.info().may_cancel);
    let waiting = tokio::spawn({
        let operation = operation.clone();
        async move { operation.wait().await }
    });
    operation.cancel().await.unwrap();
    assert_eq!(in_time(waiting).await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn an_operation_that_cannot_be_cancelled_says_so() {
    let (fake, client) = start_with_container();
    fake.script(route("PUT", STATE), Script::never().may_cancel(false));
    let operation = client.instances().set_state("c1", &StateChange::restart()).await.unwrap();
    assert_eq!(operation.cancel().await.unwrap_err().status(), Some(400));
}

#[tokio::test]
async fn operations_are_listed_and_taken_up_by_id() {
    let (fake, client) = start_with_container();
    let gate = Gate::new();
    fake.script(route("PUT", STATE), Script::success().wait(&gate));
    let started = client.instances().set_state("c1", &StateChange::restart()).await.unwrap();
    let listed = client.operations().await.unwrap();
    assert_eq!((listed.len(), listed[0].id.as_str()), (1, started.id()));
    assert_eq!(listed[0].resources["instances"], ["/1.0/instances/c1"]);
    let again = client.operation(started.id()).await.unwrap();
    gate.open();
    in_time(again.wait()).await.unwrap();
}

#[tokio::test]
async fn dropping_the_handle_neither_cancels_nor_keeps_a_connection() {
    let (fake, client) = start_with_container();
    let gate = Gate::new();
    fake.script(route("PUT", STATE), Script::success().wait(&gate));
    drop(client.instances().set_state("c1", &StateChange::stop()).await.unwrap());
    gate.open();
    fake.until(|fake| fake.instance("default", "c1").unwrap()["status"] == "Stopped").await;
}
