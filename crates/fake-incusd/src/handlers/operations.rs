//! Operations.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::not_found;
use crate::Core;
use crate::answer::{Answer, error_envelope};
use crate::record::RecordedRequest;

pub(crate) async fn handle(core: &Core, request: &RecordedRequest, path: &[&str]) -> Answer {
    match (request.method.as_str(), path) {
        ("GET", []) => {
            let world = core.world();
            let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
            for operation in world.operations.values() {
                let status = operation.json["status"].as_str().unwrap_or_default().to_lowercase();
                groups.entry(status).or_default().push(operation.json.clone());
            }
            Answer::sync(json!(groups))
        }
        ("GET", [id]) => match core.world().operations.get(*id) {
            Some(operation) => Answer::sync(operation.json.clone()),
            None => not_found("Operation not found"),
        },
        ("DELETE", [id]) => match core.world().operations.get(*id) {
            Some(operation) if operation.json["may_cancel"] == true => {
                operation.cancelled.send_replace(true);
                Answer::sync(json!({}))
            }
            Some(_) => Answer::error(400, "This operation can't be cancelled"),
            None => not_found("Operation not found"),
        },
        ("GET", [id, "wait"]) => wait(core, request, id).await,
        _ => not_found("not found"),
    }
}

async fn wait(core: &Core, request: &RecordedRequest, id: &str) -> Answer {
    let Some(mut done) = core.world().operations.get(id).map(|operation| operation.done.subscribe()) else {
        return not_found("Operation not found");
    };
    let seconds = request.query.get("timeout").and_then(|text| text.parse::<i64>().ok()).unwrap_or(-1);
    // A negative time is for ever.
    let timeout = u64::try_from(seconds).map_or(Duration::MAX, Duration::from_secs);
    let _ = tokio::time::timeout(timeout, done.wait_for(|done| *done)).await;
    match core.world().operations.get(id) {
        // 200 has been sent by the time that the failure is known.
        Some(operation) if operation.json["status_code"] == 400 => {
            let error = operation.json["err"].as_str().unwrap_or_default();
            Answer::json(200, &error_envelope(operation.err_code, error))
        }
        Some(operation) => Answer::sync(operation.json.clone()),
        None => not_found("Operation not found"),
    }
}
