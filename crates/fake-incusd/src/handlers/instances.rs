//! Instances.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{list, not_found, precondition, script};
use crate::Core;
use crate::answer::Answer;
use crate::record::RecordedRequest;
use crate::world::{
    DAY_ONE, Effect, Instance, Key, NEVER, NewOperation, Snapshot, World, instance_etag, lifecycle, merge,
    start_operation, text,
};

pub(crate) fn handle(core: &Arc<Core>, request: &RecordedRequest, path: &[&str]) -> Answer {
    match path {
        [] if request.method == "GET" => list_all(&core.world(), request),
        [] if request.method == "POST" => create(core, request),
        [] => Answer::error(405, "method not allowed"),
        [name, rest @ ..] => {
            let key = (request.project().to_owned(), (*name).to_owned());
            if !core.world().instances.contains_key(&key) {
                return not_found("Instance not found");
            }
            one(core, request, key, rest)
        }
    }
}

fn one(core: &Arc<Core>, request: &RecordedRequest, key: Key, path: &[&str]) -> Answer {
    match (request.method.as_str(), path) {
        ("GET", []) => {
            let world = core.world();
            let instance = &world.instances[&key];
            let full = request.query.get("recursion").is_some_and(|depth| depth != "0");
            let shown = if full { with_state(instance) } else { instance.json.clone() };
            Answer::sync(shown).header("etag", &instance_etag(&instance.json))
        }
        ("PUT", []) if request.json()["restore"].is_string() => {
            checked(core, request, &key).unwrap_or_else(|| {
                let (snapshot, name) = (text(&request.json(), "restore"), key.1.clone());
                operation(core, request, &name, "Restoring snapshot", move |world| {
                    restore(world, &key, &snapshot)
                })
            })
        }
        ("PUT", []) => checked(core, request, &key).unwrap_or_else(|| {
            let (body, name) = (request.json(), key.1.clone());
            operation(core, request, &name, "Updating instance", move |world| replace(world, &key, &body))
        }),
        ("PATCH", []) => checked(core, request, &key).unwrap_or_else(|| patch(core, &key, &request.json())),
        ("DELETE", []) => {
            if running(&core.world().instances[&key].json) {
                return Answer::error(400, "Instance is running");
            }
            let name = key.1.clone();
            operation(core, request, &name, "Deleting instance", move |world| {
                world.instances.remove(&key).ok_or("Instance not found")?;
                Ok(vec![lifecycle("instance-deleted", &key.0, &key.1)])
            })
        }
        ("POST", []) => rename(core, request, key),
        ("POST", ["rebuild"]) => {
            let name = key.1.clone();
            operation(core, request, &name, "Rebuilding instance", |_| Ok(Vec::new()))
        }
        ("GET", ["state"]) => Answer::sync(state(&core.world().instances[&key].json)),
        ("PUT", ["state"]) => change_state(core, request, key),
        ("GET", ["console"]) => Answer::raw(200, "fake console\n"),
        ("DELETE", ["console"]) => Answer::sync(Value::Null),
        ("GET", ["logs"]) => Answer::sync(json!([format!("/1.0/instances/{}/logs/lxc.log", key.1)])),
        ("GET", ["logs", _]) => Answer::raw(200, "fake log\n"),
        (_, ["snapshots", rest @ ..]) => snapshots(core, request, key, rest),
        _ => not_found("not found"),
    }
}

fn checked(core: &Core, request: &RecordedRequest, key: &Key) -> Option<Answer> {
    precondition(request, &instance_etag(&core.world().instances[key].json))
}

/// Starts an operation about an instance.
fn operation(
    core: &Arc<Core>,
    request: &RecordedRequest,
    name: &str,
    description: &str,
    effect: impl FnOnce(&mut World) -> Result<Vec<Value>, String> + Send + 'static,
) -> Answer {
    let effect: Effect = Box::new(|world| Ok((effect(world)?, Value::Null)));
    let new = NewOperation {
        project: request.project().to_owned(),
        class: "task",
        description: description.to_owned(),
        resources: json!({"instances": [format!("/1.0/instances/{name}")]}),
        metadata: Value::Null,
        script: script(core, request),
        effect,
    };
    Answer::operation(&start_operation(core, new))
}

pub(crate) fn running(instance: &Value) -> bool {
    instance["status_code"] == 103
}

fn state(instance: &Value) -> Value {
    let running = running(instance);
    json!({"status": instance["status"], "status_code": instance["status_code"],
        "pid": if running { 4242 } else { 0 }, "processes": if running { 7 } else { 0 },
        "started_at": if running { DAY_ONE } else { NEVER },
        "cpu": {"usage": 1_000_000, "allocated_time": 0}, "disk": {"root": {"usage": 123_456_789, "total": 0}},
        "memory": {"usage": 12_000_000, "usage_peak": 0, "total": 0, "swap_usage": 0, "swap_usage_peak": 0},
        "network": null, "os_info": null})
}

fn with_state(instance: &Instance) -> Value {
    let mut json = instance.json.clone();
    json["state"] = state(&instance.json);
    json["snapshots"] = instance.snapshots.iter().map(|snapshot| snapshot.json.clone()).collect();
    json["backups"] = Value::Null;
    json
}

fn list_all(world: &World, request: &RecordedRequest) -> Answer {
    let all_projects = request.query.contains_key("all-projects");
    let filter = request.query.get("filter").map(String::as_str).unwrap_or_default();
    let full = request.query.get("recursion").is_some_and(|depth| depth == "2");
    let objects = world
        .instances
        .iter()
        .filter(|((project, _), _)| all_projects || project == request.project())
        .filter(|(_, instance)| selected(&instance.json, filter))
        .map(|(_, instance)| if full { with_state(instance) } else { instance.json.clone() })
        .collect();
    list(request, "/1.0/instances", objects, "name")
}

/// `FIELD eq VALUE` joined by `and`; `config.KEY` looks into the configuration.
fn selected(instance: &Value, filter: &str) -> bool {
    filter.split(" and ").filter(|clause| !clause.trim().is_empty()).all(|clause| {
        let (field, value) = clause.split_once(" eq ").unwrap_or((clause, ""));
        let found = match field.trim().split_once("config.") {
            Some((_, key)) => &instance["expanded_config"][key],
            None => &instance[field.trim()],
        };
        found.as_str().unwrap_or_default().eq_ignore_ascii_case(value.trim().trim_matches('"'))
    })
}

/// What 6.0.4 says about a name that is taken.
const TAKEN: &str = "Failed creating instance record: Add instance info to the database: Failed to create \
    \"instances\" entry: UNIQUE constraint failed: instances.project_id, instances.name";

fn create(core: &Arc<Core>, request: &RecordedRequest) -> Answer {
    let mut body = request.json();
    let (name, project) = (text(&body, "name"), request.project().to_owned());
    if name.is_empty()
        || name.len() > 63
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        return Answer::error(400, "Invalid instance name");
    }
    let world = core.world();
    if !world.collections["projects"].contains_key(&project) {
        return not_found("Project not found");
    }
    // 6.0.4 finds both of these only in the operation.
    let mut refusal = world.instances.contains_key(&(project.clone(), name.clone())).then_some(TAKEN);
    let source = body["source"].clone();
    if source["type"] == "image" && source["server"].is_null() {
        let images = world.feature_project(&project, "features.images");
        let fingerprint = match source["alias"].as_str() {
            Some(alias) => world.aliases.get(&(images, alias.to_owned())).map(|alias| text(alias, "target")),
            None => source["fingerprint"].as_str().map(str::to_owned),
        };
        if body["config"].is_null() {
            body["config"] = json!({});
        }
        match fingerprint.and_then(|fingerprint| world.image(&project, &fingerprint)) {
            Some(image) => body["config"]["volatile.base_image"] = image["fingerprint"].clone(),
            None => refusal = Some("Image not provided for instance creation"),
        }
    }
    drop(world);
    let start = body["start"] == true;
    if let Some(body) = body.as_object_mut() {
        body.retain(|key, _| key != "source" && key != "start");
    }
    body["project"] = json!(project);
    if body["profiles"].is_null() {
        body["profiles"] = json!(["default"]);
    }
    let in_operation = name.clone();
    operation(core, request, &name, "Creating instance", move |world| {
        let key = (project.clone(), in_operation);
        if let Some(refusal) = refusal {
            return Err(refusal.to_owned());
        }
        world.add_instance(body);
        let mut events = vec![lifecycle("instance-created", &project, &key.1)];
        if start {
            set_running(world, &key, true)?;
            events.push(lifecycle("instance-started", &project, &key.1));
        }
        Ok(events)
    })
}

/// Starting writes volatile keys, which belong to the ETag.
fn set_running(world: &mut World, key: &Key, running: bool) -> Result<(), String> {
    let starts = world.next_id();
    let instance = world.instances.get_mut(key).ok_or("Instance not found")?;
    let (status, code) = if running { ("Running", 103) } else { ("Stopped", 102) };
    merge(&mut instance.json, &json!({"status": status, "status_code": code}));
    if running {
        instance.json["last_used_at"] = json!(DAY_ONE);
        instance.json["config"]["volatile.uuid.generation"] = json!(starts);
    }
    let mut json = instance.json.clone();
    world.expand(&mut json);
    world.instances.get_mut(key).ok_or("Instance not found")?.json = json;
    Ok(())
}

fn change_state(core: &Arc<Core>, request: &RecordedRequest, key: Key) -> Answer {
    let action = text(&request.json(), "action");
    let was_running = running(&core.world().instances[&key].json);
    let (description, event, is_running) = match (action.as_str(), was_running) {
        ("start", true) => return Answer::error(400, "The instance is already running"),
        ("stop", false) => return Answer::error(400, "The instance is already stopped"),
        ("restart" | "freeze", false) => return Answer::error(400, "The instance is not running"),
        ("start", false) => ("Starting instance", "instance-started", true),
        ("stop", true) => ("Stopping instance", "instance-stopped", false),
        ("restart", true) => ("Restarting instance", "instance-restarted", true),
        ("freeze" | "unfreeze", _) => ("Freezing instance", "instance-paused", true),
        _ => return Answer::error(400, "Unknown state change action"),
    };
    let name = key.1.clone();
    operation(core, request, &name, description, move |world| {
        set_running(world, &key, is_running)?;
        let ephemeral = world.instances.get(&key).is_some_and(|instance| instance.json["ephemeral"] == true);
        if ephemeral && !is_running {
            world.instances.remove(&key);
        }
        Ok(vec![lifecycle(event, &key.0, &key.1)])
    })
}

/// What no client may take away (`Update` in `driver_lxc.go`, 6.0.4).
const KEPT: [&str; 4] =
    ["volatile.idmap.base", "volatile.idmap.current", "volatile.idmap.next", "volatile.last_state.idmap"];

fn replace(world: &mut World, key: &Key, body: &Value) -> Result<Vec<Value>, String> {
    let mut json = world.instances.get(key).ok_or("Instance not found")?.json.clone();
    if KEPT.iter().any(|key| json["config"][key].is_string() && body["config"][key].is_null()) {
        return Err("Volatile idmap keys can't be deleted by the user".into());
    }
    for field in ["architecture", "config", "devices", "ephemeral", "profiles", "description", "stateful"] {
        json[field] = body[field].clone();
    }
    for (field, empty) in [("config", json!({})), ("devices", json!({})), ("profiles", json!([]))] {
        if json[field].is_null() {
            json[field] = empty;
        }
    }
    world.expand(&mut json);
    world.instances.get_mut(key).ok_or("Instance not found")?.json = json;
    Ok(vec![lifecycle("instance-updated", &key.0, &key.1)])
}

fn patch(core: &Core, key: &Key, body: &Value) -> Answer {
    let mut world = core.world();
    let mut json = world.instances[key].json.clone();
    merge(&mut json["config"], &body["config"]);
    if let Some(config) = json["config"].as_object_mut() {
        config.retain(|_, value| value != "");
    }
    merge(&mut json["devices"], &body["devices"]);
    for field in ["profiles", "ephemeral", "architecture"] {
        if !body[field].is_null() {
            json[field] = body[field].clone();
        }
    }
    if body["description"].is_string() {
        json["description"] = body["description"].clone();
    } else if world.patch_erases_description {
        json["description"] = json!("");
    }
    world.expand(&mut json);
    if let Some(instance) = world.instances.get_mut(key) {
        instance.json = json;
    }
    drop(world);
    core.emit(lifecycle("instance-updated", &key.0, &key.1));
    Answer::sync(Value::Null)
}

fn rename(core: &Arc<Core>, request: &RecordedRequest, key: Key) -> Answer {
    let new = text(&request.json(), "name");
    let world = core.world();
    if running(&world.instances[&key].json) {
        return Answer::error(400, "Renaming of running instance not allowed");
    }
    if world.instances.contains_key(&(key.0.clone(), new.clone())) {
        return Answer::error(409, &format!("Name {new:?} already in use"));
    }
    drop(world);
    let name = key.1.clone();
    operation(core, request, &name, "Renaming instance", move |world| {
        let mut instance = world.instances.remove(&key).ok_or("Instance not found")?;
        instance.json["name"] = json!(new);
        world.instances.insert((key.0.clone(), new.clone()), instance);
        Ok(vec![lifecycle("instance-renamed", &key.0, &new)])
    })
}

fn snapshots(core: &Arc<Core>, request: &RecordedRequest, key: Key, path: &[&str]) -> Answer {
    let snapshots: Vec<Value> =
        core.world().instances[&key].snapshots.iter().map(|snapshot| snapshot.json.clone()).collect();
    let found = |name: &str| snapshots.iter().position(|snapshot| snapshot["name"] == name);
    let name = key.1.clone();
    match (request.method.as_str(), path) {
        ("GET", []) => list(request, &format!("/1.0/instances/{name}/snapshots"), snapshots, "name"),
        ("POST", []) => {
            let snapshot = text(&request.json(), "name");
            let taken = found(&snapshot).is_some();
            operation(core, request, &name, "Snapshotting instance", move |world| {
                if taken {
                    return Err("UNIQUE constraint failed: instances_snapshots.instance_id".into());
                }
                let instance = world.instances.get_mut(&key).ok_or("Instance not found")?;
                let mut made = instance.json.clone();
                merge(
                    &mut made,
                    &json!({"name": snapshot, "created_at": DAY_ONE, "expires_at": NEVER, "size": -1}),
                );
                instance.snapshots.push(Snapshot { json: made, files: instance.files.clone() });
                Ok(vec![lifecycle("instance-snapshot-created", &key.0, &key.1)])
            })
        }
        ("GET", [snapshot]) => match found(snapshot) {
            Some(at) => Answer::sync(snapshots[at].clone()),
            None => not_found("Instance snapshot not found"),
        },
        ("DELETE", [snapshot]) => {
            if found(snapshot).is_none() {
                return not_found("Instance snapshot not found");
            }
            let snapshot = (*snapshot).to_owned();
            operation(core, request, &name, "Deleting snapshot", move |world| {
                let instance = world.instances.get_mut(&key).ok_or("Instance not found")?;
                instance.snapshots.retain(|known| known.json["name"] != snapshot.as_str());
                Ok(vec![lifecycle("instance-snapshot-deleted", &key.0, &key.1)])
            })
        }
        _ => not_found("not found"),
    }
}

/// As Incus does it: the disk first, then architecture, configuration, devices and profiles of the snapshot, whatever the
/// instance had; `volatile.uuid.generation` is new. A running one is stopped and started again.
fn restore(world: &mut World, key: &Key, snapshot: &str) -> Result<Vec<Value>, String> {
    let generation = world.next_id();
    let only_latest = world.pool_driver(key) == "zfs";
    let instance = world.instances.get_mut(key).ok_or("Instance not found")?;
    let at = instance.snapshots.iter().position(|known| known.json["name"] == snapshot);
    let at = at.ok_or_else(|| format!("Snapshot {}/{snapshot} does not exist", key.1))?;
    if only_latest && at + 1 < instance.snapshots.len() {
        return Err(format!(
            "Failed to restore snapshot rootfs: Snapshot {snapshot:?} cannot be restored due to subsequent snapshot(s). \
             Set zfs.remove_snapshots to override"
        ));
    }
    let made = instance.snapshots[at].clone();
    instance.files = made.files;
    for field in ["architecture", "config", "devices", "ephemeral", "profiles", "description"] {
        instance.json[field] = made.json[field].clone();
    }
    instance.json["config"]["volatile.uuid.generation"] = json!(generation);
    let mut json = instance.json.clone();
    world.expand(&mut json);
    world.instances.get_mut(key).ok_or("Instance not found")?.json = json;
    Ok(vec![lifecycle("instance-restored", &key.0, &key.1)])
}
