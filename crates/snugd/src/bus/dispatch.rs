//! From path, interface and member to what answers. Standard interfaces of D-Bus are answered here.

use std::collections::HashMap;
use std::sync::Arc;

use snug_core::name::{ContainerName, Uid};
use zbus::{ObjectPath, OwnedObjectPath, Variant};

use super::call::{Answer, Call, Refusal};
use super::polkit::{Action, authorise};
use super::{CONTAINER, MANAGER, ROOT, container_path, introspection, parse_container_path};
use crate::container::{lookup, view};
use crate::daemon::Daemon;
use crate::error::{Error, ErrorKind};
use crate::job::{self, Job};
use crate::manager;

type Properties = HashMap<&'static str, Variant<'static>>;

/// Version of the API within its major number: grows with each addition.
const API_LEVEL: u32 = 1;
/// What a client may look for instead of comparing versions.
const FEATURES: &[&str] = &["containers", "images", "temporary", "prune", "doctor", "undo"];

const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
const PEER: &str = "org.freedesktop.DBus.Peer";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const OBJECT_MANAGER: &str = "org.freedesktop.DBus.ObjectManager";

/// An object that exists for the caller.
enum Object {
    Root,
    Job(Arc<Job>),
    Container(Properties),
    /// A path that only leads on.
    Path(Vec<String>),
}

/// Answers a call.
///
/// # Errors
/// Whatever it is refused with.
pub async fn call(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    let (interface, member, path) = (call.interface(), call.member(), call.path());
    if interface == PEER {
        return peer(call, &member);
    }
    let object = find(daemon, call, &path).await?;
    match (interface.as_str(), member.as_str(), object) {
        (INTROSPECTABLE | "", "Introspect", object) => call.answer(&introspect(daemon, call, &object)),
        (PROPERTIES | "", "Get", object) => get(call, &object),
        (PROPERTIES | "", "GetAll", object) => get_all(call, &object),
        (PROPERTIES | "", "Set", _) => {
            Err(Refusal::Bus("PropertyReadOnly", "all properties are read-only".to_owned()))
        }
        (OBJECT_MANAGER | "", "GetManagedObjects", Object::Root) => managed(daemon, call).await,
        (MANAGER | "", _, Object::Root) => manager::call(daemon, call).await,
        (job::INTERFACE | "", member, Object::Job(job)) => job_call(call, member, &job).await,
        (interface, member, _) => Err(Refusal::no_method(interface, member)),
    }
}

fn peer(call: &Call, member: &str) -> Answer {
    match member {
        "Ping" => call.answer(&()),
        "GetMachineId" => {
            let id = std::fs::read_to_string("/etc/machine-id")
                .or_else(|_| std::fs::read_to_string("/var/lib/dbus/machine-id"))
                .map_err(|error| Error::system("read the machine's id", error))?;
            call.answer(&id.trim())
        }
        other => Err(Refusal::no_method(PEER, other)),
    }
}

/// Whether a call only waits for the end of one of the caller's jobs.
pub fn waits_for_job(daemon: &Daemon, call: &Call) -> bool {
    call.member() == "Wait"
        && matches!(call.interface().as_str(), job::INTERFACE | "")
        && find_job(daemon, call, &call.path()).is_some_and(|job| job.is_some())
}

/// The job that `path` names, when it exists for the caller; nothing where the path is no job's.
fn find_job(daemon: &Daemon, call: &Call, path: &str) -> Option<Option<Arc<Job>>> {
    let id = path.strip_prefix(ROOT)?.strip_prefix("/job/")?;
    Some(id.parse().ok().and_then(|id| daemon.jobs().find(id, call.caller.uid)))
}

/// The object at `path`, when it exists for the caller.
async fn find(daemon: &Arc<Daemon>, call: &Call, path: &str) -> Result<Object, Refusal> {
    let caller = call.caller.uid;
    if path == ROOT {
        return Ok(Object::Root);
    }
    if let Some(job) = find_job(daemon, call, path) {
        return job.map(Object::Job).ok_or_else(|| Refusal::no_object(path));
    }
    if let Some((uid, name)) = parse_container_path(path) {
        let name: Option<ContainerName> = name.parse().ok();
        let Some(name) = name.filter(|_| uid == caller) else { return Err(Refusal::no_object(path)) };
        authorise(daemon.bus(), call.caller.subject(), Action::Use, &HashMap::new()).await?;
        let config = daemon.config().await?;
        let found = match lookup::find_full(daemon.incus(), &config, Uid(uid), &name).await {
            // Whatever else has the name is no object either.
            Err(error) if error.kind == ErrorKind::Exists => None,
            other => other?,
        };
        return found
            .map(|found| Object::Container(view::of(&found, false)))
            .ok_or_else(|| Refusal::no_object(path));
    }
    let below = if path == "/" { "/".to_owned() } else { format!("{path}/") };
    match ROOT.strip_prefix(&below).and_then(|rest| rest.split('/').next()) {
        Some(next) => Ok(Object::Path(vec![next.to_owned()])),
        None if path == format!("{ROOT}/job") || path == format!("{ROOT}/container") => {
            Ok(Object::Path(Vec::new()))
        }
        None => Err(Refusal::no_object(path)),
    }
}

fn introspect(daemon: &Daemon, call: &Call, object: &Object) -> String {
    match object {
        Object::Root => {
            let jobs: Vec<String> =
                daemon.jobs().of(call.caller.uid).iter().map(|job| format!("job/{}", job.id())).collect();
            introspection::root(&jobs)
        }
        Object::Job(_) => introspection::job(),
        Object::Container(_) => introspection::container(),
        Object::Path(children) => introspection::path(children),
    }
}

fn properties(object: &Object) -> (&'static str, Properties) {
    match object {
        Object::Root => (
            MANAGER,
            HashMap::from([
                ("Version", Variant::from(env!("CARGO_PKG_VERSION"))),
                ("ApiLevel", Variant::from(API_LEVEL)),
                ("Features", Variant::from(FEATURES.to_vec())),
            ]),
        ),
        Object::Job(job) => (job::INTERFACE, job.properties()),
        Object::Container(view) => {
            let copy = view.iter().filter_map(|(key, value)| Some((*key, value.try_clone().ok()?)));
            (CONTAINER, copy.collect())
        }
        Object::Path(_) => ("", HashMap::new()),
    }
}

fn get(call: &Call, object: &Object) -> Answer {
    let (interface, name) = call.arguments::<(String, String)>()?;
    let (own, mut properties) = properties(object);
    let value = properties.remove(name.as_str()).filter(|_| interface == own || interface.is_empty());
    match value {
        Some(value) => call.answer(&value),
        None => Err(Refusal::Bus("UnknownProperty", format!("no property {interface}.{name}"))),
    }
}

fn get_all(call: &Call, object: &Object) -> Answer {
    let (interface,) = call.arguments::<(String,)>()?;
    let (own, properties) = properties(object);
    if interface == own || interface.is_empty() {
        call.answer(&properties)
    } else {
        call.answer(&Properties::new())
    }
}

async fn managed(daemon: &Arc<Daemon>, call: &Call) -> Answer {
    authorise(daemon.bus(), call.caller.subject(), Action::Use, &HashMap::new()).await?;
    let uid = call.caller.uid;
    let mut objects: HashMap<OwnedObjectPath, HashMap<&'static str, Properties>> = HashMap::new();
    for job in daemon.jobs().of(uid) {
        objects.insert(path(&job.path())?, HashMap::from([(job::INTERFACE, job.properties())]));
    }
    for view in manager::listing::views(daemon, Uid(uid)).await? {
        let Some(Variant::Str(name)) = view.get("name") else { continue };
        let own = path(&container_path(uid, name.as_str()))?;
        objects.insert(own, HashMap::from([(CONTAINER, view)]));
    }
    call.answer(&objects)
}

fn path(text: &str) -> Result<OwnedObjectPath, Refusal> {
    Ok(ObjectPath::try_from(text.to_owned())?.into())
}

async fn job_call(call: &Call, member: &str, job: &Arc<Job>) -> Answer {
    match member {
        "Cancel" => {
            job.cancel();
            call.answer(&())
        }
        "Wait" => call.answer(&job.ended().await.word()),
        "Log" => call.answer(&job.lines()),
        other => Err(Refusal::no_method(job::INTERFACE, other)),
    }
}
