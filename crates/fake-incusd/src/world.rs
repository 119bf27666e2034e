//! The state.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::Core;
use crate::answer::Answer;
use crate::exec::{ExecLog, Program};
use crate::fault::Planned;
use crate::record::RecordedRequest;
use crate::route::Route;
use crate::script::{Outcome, Script, Step};

/// When everything here was made.
pub(crate) const DAY_ONE: &str = "2026-01-01T00:00:00Z";
/// Go's zero time.
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

/// Project and name.
pub(crate) type Key = (String, String);

#[derive(Debug, Default)]
pub(crate) struct Instance {
    pub(crate) json: Value,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) files: BTreeMap<String, File>,
}

/// An instance at that time, its disk included.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) json: Value,
    pub(crate) files: BTreeMap<String, File>,
}

#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) kind: String,
    pub(crate) uid: String,
    pub(crate) gid: String,
    pub(crate) mode: String,
    pub(crate) content: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) json: Value,
    /// Code of its error; told only to those who wait.
    pub(crate) err_code: u16,
    /// True when it has ended.
    pub(crate) done: watch::Sender<bool>,
    pub(crate) cancelled: watch::Sender<bool>,
    /// Sockets of an exec.
    pub(crate) exec: Option<Arc<crate::socket::ExecSockets>>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) version: String,
    pub(crate) patch_erases_description: bool,
    pub(crate) extensions: BTreeSet<String>,
    pub(crate) operation_linger: Duration,
    pub(crate) exec_barrier: bool,
    pub(crate) instances: BTreeMap<Key, Instance>,
    pub(crate) images: BTreeMap<Key, Value>,
    pub(crate) aliases: BTreeMap<Key, Value>,
    /// Projects, profiles, pools, networks, volumes: collection to name to object.
    pub(crate) collections: BTreeMap<String, BTreeMap<String, Value>>,
    pub(crate) records: BTreeMap<String, Vec<u8>>,
    pub(crate) operations: BTreeMap<String, Operation>,
    pub(crate) answers: Vec<(Route, Option<u32>, Answer)>,
    pub(crate) faults: Vec<Planned>,
    pub(crate) scripts: Vec<(Route, Script)>,
    pub(crate) programs: BTreeMap<String, Program>,
    pub(crate) requests: Vec<RecordedRequest>,
    pub(crate) execs: Vec<ExecLog>,
    pub(crate) pongs: u64,
    pub(crate) event_sockets: usize,
    pub(crate) connections: u64,
    serial: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut world = Self {
            version: String::new(),
            patch_erases_description: false,
            extensions: [
                "instance_create_start",
                "instances_rebuild",
                "instance_state_started_at",
                "projects_force_delete",
                "api_filtering_extended",
                "storage_initial_owner",
                "image_import_alias",
            ]
            .map(str::to_owned)
            .into(),
            operation_linger: Duration::from_millis(500),
            exec_barrier: false,
            instances: BTreeMap::new(),
            images: BTreeMap::new(),
            aliases: BTreeMap::new(),
            collections: BTreeMap::new(),
            records: BTreeMap::new(),
            operations: BTreeMap::new(),
            answers: Vec::new(),
            faults: Vec::new(),
            scripts: Vec::new(),
            programs: BTreeMap::new(),
            requests: Vec::new(),
            execs: Vec::new(),
            pongs: 0,
            event_sockets: 0,
            connections: 0,
            serial: 0,
        };
        world.set_version("6.0.4");
        let on = json!({"features.images": "true", "features.profiles": "true",
            "features.storage.volumes": "true", "features.storage.buckets": "true", "features.networks": "true"});
        world.insert("projects", json!({"name": "default", "description": "Default project", "config": on}));
        let devices = json!({"root": {"type": "disk", "path": "/", "pool": "default"},
            "eth0": {"type": "nic", "name": "eth0", "network": "incusbr0"}});
        world.insert("profiles@default", json!({"name": "default", "config": {}, "devices": devices}));
        world.insert(
            "storage-pools",
            json!({"name": "default", "driver": "btrfs", "status": "Created",
            "config": {"source": "/var/lib/incus/disks/default.img", "size": "30GiB"}}),
        );
        world.insert(
            "networks",
            json!({"name": "incusbr0", "type": "bridge", "managed": true, "status": "Created",
            "config": {"ipv4.address": "10.0.0.1/24", "ipv4.nat": "true"}}),
        );
        world
    }

    pub(crate) fn set_version(&mut self, version: &str) {
        self.version = version.to_owned();
        let numbers: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
        self.patch_erases_description = match numbers[..] {
            [6, 0, patch, ..] => patch < 6,
            [6, 0] => true,
            [6, minor, ..] => minor < 17,
            _ => false,
        };
    }

    pub(crate) fn insert(&mut self, collection: &str, mut object: Value) {
        let name = object["name"].as_str().unwrap_or_default().to_owned();
        if let Some(object) = object.as_object_mut() {
            object.entry("config").or_insert_with(|| json!({}));
            object.entry("description").or_insert_with(|| json!(""));
            object.entry("used_by").or_insert_with(|| json!([]));
        }
        self.collections.entry(collection.to_owned()).or_default().insert(name, object);
    }

    /// A number that was not used before, as a UUID.
    pub(crate) fn next_id(&mut self) -> String {
        self.serial += 1;
        format!("00000000-0000-4000-8000-{:012}", self.serial)
    }

    /// The driver of the pool that an instance's root disk is in.
    pub(crate) fn pool_driver(&self, key: &Key) -> String {
        let root = self.instances.get(key).map(|instance| instance.json["expanded_devices"]["root"].clone());
        let pool = root.map(|root| text(&root, "pool")).unwrap_or_default();
        let pool = self.collections.get("storage-pools").and_then(|pools| pools.get(&pool));
        pool.map(|pool| text(pool, "driver")).unwrap_or_default()
    }

    /// The project whose images (or profiles) a project uses.
    pub(crate) fn feature_project(&self, project: &str, feature: &str) -> String {
        let config = self.collections.get("projects").and_then(|projects| projects.get(project));
        let own = config.is_some_and(|project| project["config"][feature] == "true");
        if own { project.to_owned() } else { "default".to_owned() }
    }

    pub(crate) fn add_image(&mut self, project: &str, fingerprint: &str, properties: Value) {
        let image = json!({"fingerprint": fingerprint, "architecture": "x86_64", "type": "container",
            "cached": false, "public": false, "auto_update": false, "filename": "rootfs.squashfs", "size": 1000,
            "properties": properties, "created_at": DAY_ONE, "uploaded_at": DAY_ONE, "last_used_at": NEVER,
            "expires_at": NEVER, "project": project, "profiles": ["default"]});
        self.images.insert((project.to_owned(), fingerprint.to_owned()), image);
    }

    pub(crate) fn set_alias(&mut self, project: &str, name: &str, target: &str, description: &str) {
        let alias = json!({"name": name, "target": target, "description": description, "type": "container"});
        self.aliases.insert((project.to_owned(), name.to_owned()), alias);
    }

    /// An image with its aliases, by fingerprint or its beginning.
    pub(crate) fn image(&self, project: &str, fingerprint: &str) -> Option<Value> {
        let project = self.feature_project(project, "features.images");
        let matches =
            |key: &&Key| key.0 == project && key.1.starts_with(fingerprint) && !fingerprint.is_empty();
        let key = self.images.keys().find(matches)?;
        let mut image = self.images.get(key)?.clone();
        let aliases = self.aliases.iter().filter(|((in_project, _), alias)| {
            *in_project == project && alias["target"] == image["fingerprint"]
        });
        image["aliases"] = aliases
            .map(|(_, alias)| json!({"name": alias["name"], "description": alias["description"]}))
            .collect();
        Some(image)
    }

    pub(crate) fn add_instance(&mut self, given: Value) {
        let mut instance = json!({"project": "default", "type": "container", "architecture": "x86_64",
            "config": {}, "devices": {}, "profiles": ["default"], "description": "", "ephemeral": false,
            "stateful": false, "status": "Stopped", "status_code": 102, "created_at": DAY_ONE,
            "last_used_at": NEVER, "location": "none"});
        merge(&mut instance, &given);
        for (null, empty) in [("config", json!({})), ("devices", json!({})), ("description", json!(""))] {
            if instance[null].is_null() {
                instance[null] = empty;
            }
        }
        self.expand(&mut instance);
        let key = (text(&instance, "project"), text(&instance, "name"));
        let mut files = BTreeMap::new();
        for directory in ["/", "/root", "/tmp", "/etc"] {
            files.insert(directory.to_owned(), File::directory());
        }
        self.instances.insert(key, Instance { json: instance, snapshots: Vec::new(), files });
    }

    /// Sets the expanded configuration and devices.
    pub(crate) fn expand(&self, instance: &mut Value) {
        let project = self.feature_project(&text(instance, "project"), "features.profiles");
        let profiles = self.collections.get(&format!("profiles@{project}"));
        let (mut config, mut devices) = (json!({}), json!({}));
        for profile in instance["profiles"].as_array().cloned().unwrap_or_default() {
            let name = profile.as_str().unwrap_or_default();
            if let Some(profile) = profiles.and_then(|profiles| profiles.get(name)) {
                merge(&mut config, &profile["config"]);
                merge(&mut devices, &profile["devices"]);
            }
        }
        merge(&mut config, &instance["config"]);
        merge(&mut devices, &instance["devices"]);
        instance["expanded_config"] = config;
        instance["expanded_devices"] = devices;
    }
}

impl File {
    pub(crate) fn directory() -> Self {
        let (uid, gid, mode) = ("0".into(), "0".into(), "0755".into());
        Self { kind: "directory".into(), uid, gid, mode, content: Vec::new() }
    }
}

/// Copies the keys of one object over those of another.
pub(crate) fn merge(into: &mut Value, from: &Value) {
    if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
        into.extend(from.clone());
    }
}

pub(crate) fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// The ETag of an instance: all that Incus takes for it, so not the description.
pub(crate) fn instance_etag(instance: &Value) -> String {
    let parts =
        ["architecture", "ephemeral", "profiles", "devices", "config"].map(|key| instance[key].to_string());
    digest(parts.join("\n").as_bytes())
}

/// 64 hexadecimal digits that depend on the bytes; no SHA-256.
pub(crate) fn digest(bytes: &[u8]) -> String {
    (0_u8..4)
        .map(|round| {
            let mut hasher = DefaultHasher::new();
            (round, bytes).hash(&mut hasher);
            format!("{:016x}", hasher.finish())
        })
        .collect()
}

pub(crate) fn lifecycle(action: &str, project: &str, instance: &str) -> Value {
    let query = if project == "default" { String::new() } else { format!("?project={project}") };
    json!({"type": "lifecycle", "timestamp": DAY_ONE, "project": project, "location": "none",
        "metadata": {"action": action, "source": format!("/1.0/instances/{instance}{query}"), "name": instance,
            "project": project, "context": {}, "requestor": {"username": "root", "protocol": "unix", "address": "@"}}})
}

/// What an operation does when it succeeds; returns events and an addition to its metadata.
pub(crate) type Effect = Box<dyn FnOnce(&mut World) -> Result<(Vec<Value>, Value), String> + Send>;

/// An operation to be started.
pub(crate) struct NewOperation {
    pub(crate) project: String,
    pub(crate) class: &'static str,
    pub(crate) description: String,
    pub(crate) resources: Value,
    pub(crate) metadata: Value,
    pub(crate) script: Script,
    pub(crate) effect: Effect,
}

/// Starts an operation and returns it as it is then.
pub(crate) fn start_operation(core: &Arc<Core>, new: NewOperation) -> Value {
    let (id, json) = insert_operation(
        core,
        &new.project,
        new.class,
        &new.description,
        new.resources,
        new.metadata,
        new.script.may_cancel,
        None,
    );
    let core = Arc::clone(core);
    tokio::spawn(async move { run_operation(&core, &id, &new.project, new.script, new.effect).await });
    json
}

#[expect(clippy::too_many_arguments, reason = "the fields of an operation, named at both call sites")]
pub(crate) fn insert_operation(
    core: &Arc<Core>,
    project: &str,
    class: &str,
    description: &str,
    resources: Value,
    metadata: Value,
    may_cancel: bool,
    exec: Option<Arc<crate::socket::ExecSockets>>,
) -> (String, Value) {
    let mut world = core.world();
    let id = world.next_id();
    let json = json!({"id": id, "class": class, "description": description, "created_at": DAY_ONE,
        "updated_at": DAY_ONE, "status": "Running", "status_code": 103, "resources": resources,
        "metadata": metadata, "may_cancel": may_cancel, "err": "", "location": "none"});
    let (done, cancelled) = (watch::Sender::new(false), watch::Sender::new(false));
    world
        .operations
        .insert(id.clone(), Operation { json: json.clone(), err_code: 500, done, cancelled, exec });
    drop(world);
    announce(core, project, json.clone());
    (id, json)
}

async fn run_operation(core: &Arc<Core>, id: &str, project: &str, script: Script, effect: Effect) {
    let Some(mut cancelled) =
        core.world().operations.get(id).map(|operation| operation.cancelled.subscribe())
    else {
        return;
    };
    let steps = async {
        for step in &script.steps {
            match step {
                Step::Wait(gate) => gate.passed().await,
                Step::Progress { stage, percent, text } => {
                    let mut metadata = Map::new();
                    metadata.insert(format!("{stage}_progress"), json!(text));
                    metadata.insert(
                        "progress".into(),
                        json!({"stage": stage, "percent": percent.to_string(),
                        "processed": "0", "speed": "0"}),
                    );
                    update_operation(core, id, project, &Value::Object(metadata));
                }
            }
        }
        if matches!(script.outcome, Outcome::Never) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = steps => {}
        _ = cancelled.wait_for(|cancelled| *cancelled) => {
            end_operation(core, id, project, 401, "", &Value::Null);
            return;
        }
    }
    match script.outcome {
        Outcome::Failure(code, error) => {
            set_err_code(core, id, code);
            end_operation(core, id, project, 400, &error, &Value::Null);
        }
        Outcome::Success(addition) => {
            let done = effect(&mut core.world());
            match done {
                Ok((events, mut metadata)) => {
                    events.into_iter().for_each(|event| core.emit(event));
                    if metadata.is_null() {
                        metadata = json!({});
                    }
                    merge(&mut metadata, &addition);
                    end_operation(core, id, project, 200, "", &metadata);
                }
                Err(error) => end_operation(core, id, project, 400, &error, &Value::Null),
            }
        }
        Outcome::Never => {}
    }
}

pub(crate) fn set_err_code(core: &Core, id: &str, code: u16) {
    if let Some(operation) = core.world().operations.get_mut(id) {
        operation.err_code = code;
    }
}

fn update_operation(core: &Core, id: &str, project: &str, metadata: &Value) {
    let mut world = core.world();
    let Some(operation) = world.operations.get_mut(id) else { return };
    if operation.json["metadata"].is_null() {
        operation.json["metadata"] = json!({});
    }
    merge(&mut operation.json["metadata"], metadata);
    let json = operation.json.clone();
    drop(world);
    announce(core, project, json);
}

/// Ends an operation; it vanishes a little later.
pub(crate) fn end_operation(
    core: &Arc<Core>,
    id: &str,
    project: &str,
    code: u16,
    error: &str,
    metadata: &Value,
) {
    let mut world = core.world();
    let linger = world.operation_linger;
    let Some(operation) = world.operations.get_mut(id) else { return };
    let status = match code {
        200 => "Success",
        401 => "Cancelled",
        _ => "Failure",
    };
    if operation.json["metadata"].is_null() {
        operation.json["metadata"] = json!({});
    }
    merge(&mut operation.json["metadata"], metadata);
    merge(
        &mut operation.json,
        &json!({"status": status, "status_code": code, "err": error, "may_cancel": false}),
    );
    let json = operation.json.clone();
    operation.done.send_replace(true);
    drop(world);
    announce(core, project, json);
    let (core, id) = (Arc::clone(core), id.to_owned());
    tokio::spawn(async move {
        tokio::time::sleep(linger).await;
        core.world().operations.remove(&id);
        core.changed();
    });
}

fn announce(core: &Core, project: &str, operation: Value) {
    core.emit(json!({"type": "operation", "timestamp": DAY_ONE, "project": project, "location": "none",
        "metadata": operation}));
}
