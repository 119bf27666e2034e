//! Files of instances.

use serde_json::{Value, json};

use super::not_found;
use crate::Core;
use crate::answer::Answer;
use crate::record::RecordedRequest;
use crate::world::File;

pub(crate) fn handle(core: &Core, request: &RecordedRequest, name: &str) -> Answer {
    let mut world = core.world();
    let can_delete_all = world.extensions.contains("file_delete_force");
    let Some(instance) = world.instances.get_mut(&(request.project().to_owned(), name.to_owned())) else {
        return not_found("Instance not found");
    };
    let path = request.query.get("path").cloned().unwrap_or_default();
    match request.method.as_str() {
        "GET" | "HEAD" => {
            let Some(file) = instance.files.get(&path) else { return not_found("file does not exist") };
            let answer = match file.kind.as_str() {
                "directory" => {
                    let prefix = format!("{}/", path.trim_end_matches('/'));
                    let below = instance.files.keys().filter_map(|other| other.strip_prefix(&prefix));
                    Answer::sync(
                        below
                            .filter(|rest| !rest.is_empty() && !rest.contains('/'))
                            .map(|name| json!(name))
                            .collect(),
                    )
                }
                _ => Answer::raw(200, file.content.clone()),
            };
            let answer = answer
                .header("x-incus-type", &file.kind)
                .header("x-incus-uid", &file.uid)
                .header("x-incus-gid", &file.gid)
                .header("x-incus-mode", &file.mode);
            if request.method == "HEAD" { Answer { body: Vec::new(), ..answer } } else { answer }
        }
        "POST" => {
            let parent =
                path.rsplit_once('/').map_or("/", |(parent, _)| if parent.is_empty() { "/" } else { parent });
            if !instance.files.contains_key(parent) {
                return not_found("file does not exist");
            }
            let header = |name: &str, default: &str| {
                request.headers.get(name).map_or(default, String::as_str).to_owned()
            };
            let kind = header("x-incus-type", "file");
            if kind == "directory" && instance.files.contains_key(&path) {
                return Answer::error(400, "file already exists");
            }
            // Owner and mode count only for what did not exist.
            let file = instance.files.entry(path).or_insert_with(|| File {
                uid: header("x-incus-uid", "0"),
                gid: header("x-incus-gid", "0"),
                mode: header("x-incus-mode", if kind == "directory" { "0755" } else { "0644" }),
                kind,
                content: Vec::new(),
            });
            if header("x-incus-write", "overwrite") != "append" {
                file.content.clear();
            }
            file.content.extend_from_slice(&request.body);
            Answer::sync(Value::Null)
        }
        "DELETE" => {
            let prefix = format!("{}/", path.trim_end_matches('/'));
            let full = instance.files.keys().any(|other| other.starts_with(&prefix) && *other != path);
            let all = can_delete_all && request.headers.contains_key("x-incus-force");
            if full && !all {
                return Answer::error(400, "directory not empty");
            }
            instance.files.retain(|other, _| !other.starts_with(&prefix));
            match instance.files.remove(&path) {
                Some(_) => Answer::sync(Value::Null),
                None => not_found("file does not exist"),
            }
        }
        _ => Answer::error(405, "method not allowed"),
    }
}
