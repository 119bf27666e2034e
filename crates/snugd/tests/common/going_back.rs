//! A container with a snapshot, and its owner's calls.

use std::collections::HashMap;

use fake_incusd::Route;
use serde_json::{Value, json};
use zbus::{OwnedObjectPath, OwnedVariant, Variant};

use super::{NOBODY, Options, Rig, at, manager};

pub const PROJECT: &str = "snug-65534";
pub const CONTAINER: &str = "mine";
pub const FILE: &str = "/etc/changed";

/// How a job ended.
#[derive(Debug)]
pub struct Ended {
    pub state: String,
    /// The last part of the error's name.
    pub error: String,
    pub message: String,
    pub hints: Vec<String>,
    pub result: HashMap<String, OwnedVariant>,
}

impl Ended {
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.state, "done", "{self:?}");
        self
    }

    #[track_caller]
    pub fn failed(self, error: &str) -> Self {
        assert_eq!((self.state.as_str(), self.error.as_str()), ("failed", error), "{self:?}");
        self
    }

    pub fn text(&self, key: &str) -> String {
        self.result
            .get(key)
            .map(|value| String::try_from(value.try_clone().unwrap()).unwrap())
            .unwrap_or_default()
    }

    pub fn texts(&self, key: &str) -> Vec<String> {
        let texts = self.result.get(key).map(|value| Vec::try_from(value.try_clone().unwrap()).unwrap());
        texts.unwrap_or_default()
    }
}

/// A stopped container of nobody's with a snapshot, and what has changed since: on its disk, and in its configuration.
pub fn changed_since_a_snapshot(rig: &Rig) -> String {
    rig.serve_polkit();
    rig.add_container(&format!("{NOBODY}:nobody"), CONTAINER);
    rig.fake.change_instance(PROJECT, CONTAINER, |instance| {
        instance["config"]["security.privileged"] = json!("true");
        instance["config"]["limits.memory"] = json!("1GiB");
        instance["config"]["volatile.last_state.idmap"] = json!("then");
        instance["devices"]["old"] = json!({"type": "disk", "source": "/", "path": "/host"});
        instance["devices"]["root"]["size"] = json!("5GiB");
        instance["description"] = json!("then");
    });
    rig.fake.set_file(PROJECT, CONTAINER, FILE, Some(b"then"));
    let taken =
        ask(rig, "TakeSnapshot", vec![("before", Variant::from("install x"))]).done().text("snapshot");
    rig.fake.change_instance(PROJECT, CONTAINER, |instance| {
        let config = instance["config"].as_object_mut().unwrap();
        config.remove("security.privileged");
        config.insert("limits.memory".into(), json!("2GiB"));
        config.insert("user.mine".into(), json!("kept"));
        config.insert("volatile.last_state.idmap".into(), json!("now"));
        let devices = instance["devices"].as_object_mut().unwrap();
        devices.remove("old");
        devices.insert("new".into(), json!({"type": "none"}));
        devices["root"]["size"] = json!("9GiB");
        instance["description"] = json!("now");
    });
    rig.fake.set_file(PROJECT, CONTAINER, FILE, Some(b"now"));
    taken
}

/// What the container has, but for what changes with every restore, and for what belongs to the disk.
pub fn configuration(rig: &Rig) -> Value {
    let mut instance = rig.fake.instance(PROJECT, CONTAINER).unwrap();
    let config = instance["config"].as_object_mut().unwrap();
    config.retain(|key, _| key != "volatile.uuid.generation" && key != "volatile.last_state.idmap");
    json!({"config": config, "devices": instance["devices"], "description": instance["description"],
        "profiles": instance["profiles"]})
}

/// A key of its configuration.
pub fn key(rig: &Rig, key: &str) -> String {
    let instance = rig.fake.instance(PROJECT, CONTAINER).unwrap();
    instance["config"][key].as_str().unwrap_or_default().to_owned()
}

pub fn disk(rig: &Rig) -> String {
    String::from_utf8(rig.fake.file(PROJECT, CONTAINER, FILE).unwrap_or_default()).unwrap()
}

pub fn snapshots(rig: &Rig) -> Vec<String> {
    rig.fake.snapshot_names(PROJECT, CONTAINER)
}

/// What the daemon lists: name and what came after it, the newest first.
pub fn listed(rig: &Rig) -> Vec<(String, String)> {
    let views = rig.as_user(NOBODY, |bus| async move {
        let answer = manager(&bus, "Snapshots", &(CONTAINER, Options::new())).await.unwrap();
        answer.body().deserialize::<Vec<HashMap<String, OwnedVariant>>>().unwrap()
    });
    let text = |view: &HashMap<String, OwnedVariant>, key: &str| {
        String::try_from(view[key].try_clone().unwrap()).unwrap()
    };
    views.iter().map(|view| (text(view, "name"), text(view, "before"))).collect()
}

/// Restores that were asked for.
pub fn restores(rig: &Rig) -> Vec<fake_incusd::RecordedRequest> {
    let mut puts = rig.fake.requests_of(&instance_route("PUT"));
    puts.retain(|request| request.json()["restore"].is_string());
    puts
}

pub fn instance_route(method: &str) -> Route {
    Route::new(method, "/1.0/instances/mine")
}

/// Asks for a job of the container as its owner, without waiting for it.
pub fn begin(rig: &Rig, method: &'static str, options: Vec<(&'static str, Variant<'static>)>) -> String {
    rig.as_user(NOBODY, move |bus| async move {
        let options: Options<'_> = options.into_iter().collect();
        let job = manager(&bus, method, &(CONTAINER, options)).await.unwrap();
        job.body().deserialize::<OwnedObjectPath>().unwrap().as_str().to_owned()
    })
}

/// Waits for its end.
pub fn end(rig: &Rig, job: String) -> Ended {
    rig.as_user(NOBODY, |bus| async move {
        let state = at(&bus, &job, "org.snug.Snug1.Job", "Wait", &()).await.unwrap();
        let properties = "org.freedesktop.DBus.Properties";
        let all = at(&bus, &job, properties, "GetAll", &("org.snug.Snug1.Job",)).await.unwrap();
        let mut all: HashMap<String, OwnedVariant> = all.body().deserialize().unwrap();
        let mut take = |key: &str| all.remove(key).unwrap();
        let error = String::try_from(take("Error")).unwrap();
        Ended {
            state: state.body().deserialize().unwrap(),
            error: error.rsplit('.').next().unwrap_or_default().to_owned(),
            message: take("Message").try_into().unwrap(),
            hints: take("Hints").try_into().unwrap(),
            result: take("Result").try_into().unwrap(),
        }
    })
}

/// Both.
pub fn ask(rig: &Rig, method: &'static str, options: Vec<(&'static str, Variant<'static>)>) -> Ended {
    let job = begin(rig, method, options);
    end(rig, job)
}

/// A job that changes nothing of one that is stopped, and so waits until the container is whole.
pub fn settle(rig: &Rig) -> Ended {
    ask(rig, "Stop", vec![])
}
