//! An incusd for tests: in-process, on a unix socket in a temporary directory, without root.
//!
//! It answers the parts of the REST API that a client of containers needs, keeps a small state (instances,
//! images, projects, profiles, pools, networks, files), runs operations that vanish soon after their end, speaks
//! the event and exec websockets, and misbehaves on demand.
//!
//! ```
//! use fake_incusd::{FakeIncusd, Fault, Route, When};
//!
//! let fake = FakeIncusd::start();
//! fake.add_image("default", "debian/13");
//! fake.fault(Route::new("POST", "/1.0/instances"), When::Nth(1), Fault::Drop);
//! // … a client connects to fake.socket() …
//! assert!(fake.requests().is_empty());
//! ```
//!
//! # Modules
//!
//! - [`route`]: which requests; [`answer`]: answers of one's own; [`fault`]: misbehaviour; [`record`]: what came in
//! - [`script`]: how an operation goes; [`gate`]: holding it until the test says so
//! - [`exec`]: what commands do
//! - inside: `world` (the state), `service` (HTTP), `handlers` (the API), `socket` (websockets)
//!
//! The server runs on a thread of its own, so it can be used from tests without a runtime and by child processes.

pub mod answer;
pub mod exec;
pub mod fault;
pub mod gate;
mod handlers;
pub mod record;
pub mod route;
pub mod script;
mod service;
mod socket;
mod world;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, watch};

pub use answer::Answer;
pub use exec::{ExecLog, Program};
pub use fault::{Fault, When};
pub use gate::Gate;
pub use record::RecordedRequest;
pub use route::Route;
pub use script::{Outcome, Script, Step};

use world::World;

/// Shared by the handle and everything that serves.
#[derive(Debug)]
pub(crate) struct Core {
    world: Mutex<World>,
    /// Counts up with everything that a test may wait for.
    changes: watch::Sender<u64>,
    /// Events for the event sockets.
    events: broadcast::Sender<Value>,
    /// Incremented to cut every connection.
    generation: watch::Sender<u64>,
    /// Incremented to ping every event socket.
    pings: watch::Sender<u64>,
}

impl Core {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn emit(&self, event: Value) {
        // Nobody listening is no error.
        let _ = self.events.send(event);
        self.changed();
    }
}

/// A running fake. Dropping it ends its thread and removes its directory.
#[derive(Debug)]
pub struct FakeIncusd {
    core: Arc<Core>,
    directory: TempDir,
    runtime: Handle,
    listening: Mutex<Option<watch::Sender<bool>>>,
    shutdown: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl FakeIncusd {
    /// Starts a fake incusd 6.0.4.
    ///
    /// # Panics
    /// When no thread, directory or socket can be had: a test cannot go on then.
    pub fn start() -> Self {
        let core = Arc::new(Core {
            world: Mutex::new(World::new()),
            changes: watch::Sender::new(0),
            events: broadcast::Sender::new(1024),
            generation: watch::Sender::new(0),
            pings: watch::Sender::new(0),
        });
        let (shutdown, ended) = tokio::sync::oneshot::channel::<()>();
        let (send_handle, handle) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("fake-incusd".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a test can have a runtime");
                // The receiver waits below.
                let _ = send_handle.send(runtime.handle().clone());
                let _ = runtime.block_on(ended);
                runtime.shutdown_background();
            })
            .expect("a test can have a thread");
        let fake = Self {
            core,
            directory: TempDir::with_prefix("fake-incusd-").expect("a test can have a directory"),
            runtime: handle.recv().expect("the thread sends its runtime first"),
            listening: Mutex::new(None),
            shutdown: Some(shutdown),
            thread: Some(thread),
        };
        fake.listen();
        fake
    }

    /// Path of the socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("unix.socket")
    }

    /// The directory that the socket is in; what is put there goes with the fake.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    // --- what it is ---

    /// Sets the version and with it the version's bugs (`PATCH` erases the description before 6.0.6 and 6.17).
    pub fn set_version(&self, version: &str) {
        self.core.world().set_version(version);
    }

    /// Adds an API extension.
    pub fn add_extension(&self, name: &str) {
        self.core.world().extensions.insert(name.to_owned());
    }

    /// Removes an API extension.
    pub fn remove_extension(&self, name: &str) {
        self.core.world().extensions.remove(name);
    }

    /// How long a finished operation can still be found. Real: 5 s; here 500 ms unless set.
    pub fn set_operation_linger(&self, linger: Duration) {
        self.core.world().operation_linger = linger;
    }

    /// Whether a socket of an exec is answered only when all of them have been asked for: a client that opens
    /// them one after the other then hangs.
    pub fn set_exec_barrier(&self, on: bool) {
        self.core.world().exec_barrier = on;
    }

    // --- what is in it ---

    /// Adds an image with an alias to a project; returns its fingerprint.
    pub fn add_image(&self, project: &str, alias: &str) -> String {
        let mut world = self.core.world();
        let fingerprint = world::digest(alias.as_bytes());
        world.add_image(project, &fingerprint, json!({"os": alias}));
        world.set_alias(project, alias, &fingerprint, "");
        fingerprint
    }

    /// Adds an instance from a JSON object with at least `name`; `project` and all else have defaults.
    pub fn add_instance(&self, instance: Value) {
        self.core.world().add_instance(instance);
    }

    /// An instance as `GET` would show it, if it exists.
    pub fn instance(&self, project: &str, name: &str) -> Option<Value> {
        self.core.world().instances.get(&(project.to_owned(), name.to_owned())).map(|i| i.json.clone())
    }

    /// Changes an instance behind everyone's back, as another client or incusd itself would.
    pub fn change_instance(&self, project: &str, name: &str, change: impl FnOnce(&mut Value)) {
        if let Some(instance) = self.core.world().instances.get_mut(&(project.to_owned(), name.to_owned())) {
            change(&mut instance.json);
        }
    }

    /// Adds a storage pool, or makes one another one: `driver` is `btrfs`, `zfs`, `dir` and so on.
    pub fn set_pool(&self, name: &str, driver: &str) {
        let pool = json!({"name": name, "driver": driver, "status": "Created"});
        self.core.world().insert("storage-pools", pool);
    }

    /// Names of an instance's snapshots, the oldest first.
    pub fn snapshot_names(&self, project: &str, name: &str) -> Vec<String> {
        let world = self.core.world();
        let instance = world.instances.get(&(project.to_owned(), name.to_owned()));
        let snapshots = instance.map(|instance| instance.snapshots.as_slice()).unwrap_or_default();
        snapshots.iter().map(|snapshot| world::text(&snapshot.json, "name")).collect()
    }

    /// Takes a snapshot behind everyone's back.
    pub fn add_snapshot(&self, project: &str, name: &str, snapshot: &str) {
        let mut world = self.core.world();
        if let Some(instance) = world.instances.get_mut(&(project.to_owned(), name.to_owned())) {
            let mut json = instance.json.clone();
            json["name"] = json!(snapshot);
            instance.snapshots.push(world::Snapshot { json, files: instance.files.clone() });
        }
    }

    /// The same, as if it had been the first of all.
    pub fn add_snapshot_first(&self, project: &str, name: &str, snapshot: &str) {
        self.add_snapshot(project, name, snapshot);
        let mut world = self.core.world();
        if let Some(instance) = world.instances.get_mut(&(project.to_owned(), name.to_owned())) {
            instance.snapshots.rotate_right(1);
        }
    }

    /// Deletes one behind everyone's back.
    pub fn remove_snapshot(&self, project: &str, name: &str, snapshot: &str) {
        let mut world = self.core.world();
        if let Some(instance) = world.instances.get_mut(&(project.to_owned(), name.to_owned())) {
            instance.snapshots.retain(|known| known.json["name"] != snapshot);
        }
    }

    /// Writes a file on an instance's disk, or removes it.
    pub fn set_file(&self, project: &str, name: &str, path: &str, content: Option<&[u8]>) {
        let mut world = self.core.world();
        if let Some(instance) = world.instances.get_mut(&(project.to_owned(), name.to_owned())) {
            match content {
                Some(content) => {
                    let (kind, mode) = ("file".to_owned(), "0644".to_owned());
                    let file =
                        world::File { kind, mode, content: content.to_vec(), ..world::File::directory() };
                    instance.files.insert(path.to_owned(), file);
                }
                None => drop(instance.files.remove(path)),
            }
        }
    }

    /// What a file on an instance's disk holds; `None` when it is not there.
    pub fn file(&self, project: &str, name: &str, path: &str) -> Option<Vec<u8>> {
        let world = self.core.world();
        let instance = world.instances.get(&(project.to_owned(), name.to_owned()))?;
        instance.files.get(path).map(|file| file.content.clone())
    }

    /// Names of all instances of a project.
    pub fn instance_names(&self, project: &str) -> Vec<String> {
        let world = self.core.world();
        world
            .instances
            .keys()
            .filter(|(in_project, _)| in_project == project)
            .map(|(_, name)| name.clone())
            .collect()
    }

    // --- what it does ---

    /// Answers requests of a route by this, always.
    pub fn answer(&self, route: Route, answer: Answer) {
        self.core.world().answers.push((route, None, answer));
    }

    /// Answers the next request of a route by this; several are used up in order.
    pub fn answer_once(&self, route: Route, answer: Answer) {
        self.core.world().answers.push((route, Some(1), answer));
    }

    /// Adds recorded answers: a JSON list of `{method, path, status, headers?, body}`, body as JSON.
    ///
    /// # Panics
    /// When the text is no such list.
    pub fn play(&self, recording: &str) {
        for (route, answer) in
            answer::read_recording(recording).expect("a recording is a JSON list of answers")
        {
            self.answer(route, answer);
        }
    }

    /// Misbehaves at requests of a route.
    pub fn fault(&self, route: Route, when: When, fault: Fault) {
        self.core.world().faults.push(fault::Planned::new(route, when, fault));
    }

    /// Lets operations started by a route go by a script; what they do is done when the script succeeds.
    pub fn script(&self, route: Route, script: Script) {
        self.core.world().scripts.push((route, script));
    }

    /// Lets a command of exec, by its first word, do this.
    pub fn program(&self, command: &str, program: Program) {
        self.core.world().programs.insert(command.to_owned(), program);
    }

    /// Sends an event to all event sockets: `{type, timestamp, metadata, project}`.
    pub fn emit(&self, event: Value) {
        self.core.emit(event);
    }

    /// Sends a lifecycle event about an instance.
    pub fn emit_lifecycle(&self, action: &str, project: &str, instance: &str) {
        self.core.emit(world::lifecycle(action, project, instance));
    }

    /// Pings all event sockets; see [`FakeIncusd::pongs`].
    pub fn ping_events(&self) {
        self.core.pings.send_modify(|count| *count += 1);
    }

    /// Cuts all connections, event and exec sockets included, and goes on listening.
    pub fn cut_connections(&self) {
        self.core.generation.send_modify(|generation| *generation += 1);
    }

    /// Stops listening, cuts all connections and forgets all operations, as when incusd is stopped. The socket
    /// stays in the file system and refuses.
    pub fn stop(&self) {
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listening) = listening {
            let _ = listening.send(true);
            // The listener is closed when its task has dropped the receiver.
            let closed = self.runtime.spawn(async move { listening.closed().await });
            while !closed.is_finished() {
                std::thread::yield_now();
            }
        }
        self.core.world().operations.clear();
        self.cut_connections();
    }

    /// Listens again after [`FakeIncusd::stop`].
    pub fn listen(&self) {
        let _ = std::fs::remove_file(self.socket());
        let listener =
            std::os::unix::net::UnixListener::bind(self.socket()).expect("the directory is the fake's own");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let (stop, stopped) = watch::channel(false);
        *self.listening.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop);
        self.runtime.spawn(service::accept(Arc::clone(&self.core), listener, stopped));
    }

    /// Stops and listens again: instances stay, operations and connections do not.
    pub fn restart(&self) {
        self.stop();
        self.listen();
    }

    // --- what happened ---

    /// All requests, in the order of their arrival.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.core.world().requests.clone()
    }

    /// Requests of a route.
    pub fn requests_of(&self, route: &Route) -> Vec<RecordedRequest> {
        let world = self.core.world();
        world
            .requests
            .iter()
            .filter(|request| route.matches(&request.method, &request.path))
            .cloned()
            .collect()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.core.world().requests.clear();
    }

    /// All execs, in the order of their start.
    pub fn execs(&self) -> Vec<ExecLog> {
        self.core.world().execs.clone()
    }

    /// How many pings of the event sockets were answered.
    pub fn pongs(&self) -> u64 {
        self.core.world().pongs
    }

    /// How many event sockets are open.
    pub fn event_sockets(&self) -> usize {
        self.core.world().event_sockets
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.core.world().connections
    }

    /// Operations that can still be found, as `GET` would show them.
    pub fn operations(&self) -> Vec<Value> {
        self.core.world().operations.values().map(|operation| operation.json.clone()).collect()
    }

    /// Waits until a condition holds; it is asked anew after every request, event and change of an operation.
    ///
    /// # Panics
    /// After 20 s: the test has failed then.
    pub async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let mut changes = self.core.changes.subscribe();
        let wait = async {
            loop {
                changes.mark_unchanged();
                if condition(self) {
                    return;
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        assert!(
            tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(),
            "the condition does not come true"
        );
    }
}

impl Drop for FakeIncusd {
    fn drop(&mut self) {
        if let Some(shutdown) = self.shutdown.take() {
            let _ = shutdown.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
