//! The API: one request to one answer.

mod collections;
mod execs;
mod files;
mod images;
mod instances;
mod operations;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::Core;
use crate::answer::Answer;
use crate::record::{RecordedRequest, decode};
use crate::script::Script;

/// Answers a request.
pub(crate) async fn handle(core: &Arc<Core>, request: &RecordedRequest) -> Answer {
    let decoded: Vec<String> = request.path.trim_matches('/').split('/').map(decode).collect();
    let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
    if request.query.contains_key("project") && request.query.contains_key("all-projects") {
        return Answer::error(400, "Cannot specify a project when requesting all projects");
    }
    let ["1.0", rest @ ..] = &segments[..] else { return not_found("not found") };
    match rest {
        [] => server(core, request),
        ["operations", rest @ ..] => operations::handle(core, request, rest).await,
        ["instances", name, "files"] => files::handle(core, request, name),
        ["instances", name, "exec"] => execs::handle(core, request, name),
        ["instances", name, "logs", "exec-output", file] => execs::record(core, request, name, file),
        ["instances", rest @ ..] => instances::handle(core, request, rest),
        ["images", rest @ ..] => images::handle(core, request, rest),
        rest => collections::handle(core, request, rest),
    }
}

fn server(core: &Core, request: &RecordedRequest) -> Answer {
    if request.method != "GET" {
        return Answer::error(501, "not in this fake");
    }
    let world = core.world();
    Answer::sync(json!({
        "api_extensions": world.extensions, "api_status": "stable", "api_version": "1.0", "auth": "trusted",
        "auth_methods": ["tls"], "auth_user_name": "root", "auth_user_method": "unix", "public": false,
        "config": {},
        "environment": {"server": "incus", "server_version": world.version, "server_name": "fake",
            "server_clustered": false, "driver": "lxc", "driver_version": "6.0.4", "firewall": "nftables",
            "kernel": "Linux", "kernel_version": "6.12.0", "kernel_features": {"idmapped_mounts": "true"},
            "lxc_features": {"pidfd": "true"}, "architectures": ["x86_64", "i686"], "storage": "btrfs",
            "storage_supported_drivers": [{"Name": "btrfs", "Version": "6.14", "Remote": false},
                {"Name": "dir", "Version": "1", "Remote": false}]}}))
}

pub(crate) fn not_found(text: &str) -> Answer {
    Answer::error(404, text)
}

/// 412 when the request names another version of the object.
pub(crate) fn precondition(request: &RecordedRequest, etag: &str) -> Option<Answer> {
    let wanted = request.headers.get("if-match")?;
    (wanted.trim_matches('"') != etag)
        .then(|| Answer::error(412, &format!("ETag doesn't match: {etag} vs {wanted}")))
}

/// The script for operations of this request.
pub(crate) fn script(core: &Core, request: &RecordedRequest) -> Script {
    let world = core.world();
    let set = world.scripts.iter().rev().find(|(route, _)| route.matches(&request.method, &request.path));
    set.map_or_else(|| Script::success().may_cancel(false), |(_, script)| script.clone())
}

/// A list of URLs, or of objects with `recursion`.
pub(crate) fn list(request: &RecordedRequest, base: &str, objects: Vec<Value>, name: &str) -> Answer {
    if request.query.get("recursion").is_some_and(|depth| depth != "0") {
        return Answer::sync(Value::Array(objects));
    }
    let url = |object: &Value| json!(format!("{base}/{}", object[name].as_str().unwrap_or_default()));
    Answer::sync(objects.iter().map(url).collect())
}
