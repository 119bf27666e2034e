//! What is only stored: projects, profiles, storage pools and volumes, networks.

use serde_json::{Value, json};

use super::{list, not_found, precondition};
use crate::Core;
use crate::answer::Answer;
use crate::record::RecordedRequest;
use crate::world::{World, digest, merge, text};

pub(crate) fn handle(core: &Core, request: &RecordedRequest, path: &[&str]) -> Answer {
    let mut world = core.world();
    let profiles = format!("profiles@{}", world.feature_project(request.project(), "features.profiles"));
    match path {
        [kind @ ("projects" | "storage-pools" | "networks")] => all(&mut world, request, kind, kind),
        [kind @ ("projects" | "storage-pools" | "networks"), name] => {
            one(&mut world, request, kind, kind, name)
        }
        ["profiles"] => all(&mut world, request, &profiles, "profiles"),
        ["profiles", name] => one(&mut world, request, &profiles, "profiles", name),
        ["storage-pools", pool, "resources"] => {
            if !exists(&world, "storage-pools", pool) {
                return not_found("Storage pool not found");
            }
            Answer::sync(json!({"space": {"used": 1_000_000_000_u64, "total": 30_000_000_000_u64},
                "inodes": {"used": 0, "total": 0}}))
        }
        ["storage-pools", pool, "volumes"] | ["storage-pools", pool, "volumes", "custom"] => {
            all(&mut world, request, &format!("volumes@{pool}"), "volumes")
        }
        ["storage-pools", pool, "volumes", "custom", name] => {
            one(&mut world, request, &format!("volumes@{pool}"), "volumes", name)
        }
        ["networks", name, "leases"] if exists(&world, "networks", name) => Answer::sync(json!([
            {"hostname": "c1", "hwaddr": "00:16:3e:00:00:01", "address": "10.0.0.2", "type": "dynamic",
                "location": "none"}])),
        ["networks", name, "state"] if exists(&world, "networks", name) => Answer::sync(json!({
            "addresses": [{"family": "inet", "address": "10.0.0.1", "netmask": "24", "scope": "global"}],
            "counters": {"bytes_received": 1, "bytes_sent": 2, "packets_received": 3, "packets_sent": 4},
            "hwaddr": "00:16:3e:00:00:00", "mtu": 1500, "state": "up", "type": "broadcast", "bond": null})),
        _ => not_found("not found"),
    }
}

fn exists(world: &World, collection: &str, name: &str) -> bool {
    world.collections.get(collection).is_some_and(|objects| objects.contains_key(name))
}

fn all(world: &mut World, request: &RecordedRequest, collection: &str, kind: &str) -> Answer {
    match request.method.as_str() {
        "GET" => {
            let objects =
                world.collections.get(collection).map(|objects| objects.values().cloned().collect());
            list(request, &format!("/1.0/{kind}"), objects.unwrap_or_default(), "name")
        }
        "POST" => {
            let mut object = request.json();
            let name = text(&object, "name");
            if name.is_empty() {
                return Answer::error(400, "No name provided");
            }
            if exists(world, collection, &name) {
                return Answer::error(409, &format!("The {kind} entry {name:?} already exists"));
            }
            complete(kind, &mut object);
            world.insert(collection, object);
            if kind == "projects" {
                let empty = json!({"name": "default", "config": {}, "devices": {}});
                world.insert(&format!("profiles@{name}"), empty);
            }
            Answer::sync(Value::Null)
        }
        _ => Answer::error(405, "method not allowed"),
    }
}

/// What the server adds to a new object.
fn complete(kind: &str, object: &mut Value) {
    match kind {
        "projects" => {
            let mut config = json!({"features.images": "true", "features.profiles": "true",
                "features.storage.volumes": "true", "features.storage.buckets": "true"});
            merge(&mut config, &object["config"]);
            object["config"] = config;
        }
        "networks" => merge(object, &json!({"managed": true, "status": "Created"})),
        "storage-pools" => merge(object, &json!({"status": "Created"})),
        "volumes" => merge(object, &json!({"type": "custom"})),
        _ => {}
    }
}

fn one(world: &mut World, request: &RecordedRequest, collection: &str, kind: &str, name: &str) -> Answer {
    let Some(object) = world.collections.get(collection).and_then(|objects| objects.get(name)).cloned()
    else {
        return not_found(&format!("{kind} {name:?} not found"));
    };
    let etag = digest(
        [&object["config"], &object["devices"], &object["description"]]
            .map(Value::to_string)
            .join("\n")
            .as_bytes(),
    );
    if request.method != "GET"
        && let Some(refusal) = precondition(request, &etag)
    {
        return refusal;
    }
    match request.method.as_str() {
        "GET" => Answer::sync(object).header("etag", &etag),
        "PUT" | "PATCH" => {
            let mut object = object;
            merge(&mut object, &request.json());
            world.insert(collection, object);
            Answer::sync(Value::Null)
        }
        "DELETE" => {
            if kind == "projects" {
                let in_it = world.instances.keys().any(|(project, _)| project == name);
                if in_it && !request.query.contains_key("force") {
                    return Answer::error(400, "Only empty projects can be removed");
                }
                world.instances.retain(|(project, _), _| project != name);
                world.images.retain(|(project, _), _| project != name);
                world.aliases.retain(|(project, _), _| project != name);
            }
            if let Some(objects) = world.collections.get_mut(collection) {
                objects.remove(name);
            }
            Answer::sync(Value::Null)
        }
        _ => Answer::error(405, "method not allowed"),
    }
}
