//! A daemon that plays what the test says. A container's name decides what its jobs do:
//!
//! | name begins with | its jobs |
//! |---|---|
//! | `slow` | run until they are cancelled |
//! | `crash` | never end: the daemon leaves the bus |
//! | `denied` | are refused: an administrator would have to agree |
//! | `broken` | fail with a message and hints |
//! | `full` | are done at once, but nothing can be gone back to |
//! | `copied` | are done at once, but snapshots cannot be taken |
//! | `made` | make it as they are told, and change it |
//! | anything else | are done at once |
//!
//! A container that was removed is gone. One that begins with `login` is set to start with its owner's login; one with `stopped` in its name
//! does not run until it is asked for.
//! One with `x-` in its name was made when 2020 began.
//! One with `home` in its name shares its owner's home.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::sync::{Notify, oneshot, watch};
use zbus::{Connection, ObjectServer, OwnedObjectPath, OwnedVariant, Variant};

type Options = HashMap<String, OwnedVariant>;

/// The daemon's thread. It leaves the bus when this is dropped.
pub struct Running {
    calls: Arc<Mutex<Vec<String>>>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.end.take().map(|end| end.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Puts a daemon on the bus; returns when it has its name.
pub fn start(address: &str, containers: &[&str]) -> Running {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (end, ended) = oneshot::channel();
    let (ready, is_ready) = std::sync::mpsc::channel();
    let manager = Manager {
        containers: containers.iter().map(|name| (*name).to_owned()).collect(),
        started: BTreeSet::new(),
        made: HashMap::new(),
        calls: calls.clone(),
        jobs: 0,
        crash: Arc::new(Notify::new()),
    };
    let address = address.to_owned();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let crash = manager.crash.clone();
            let connection: Connection = zbus::connection::Builder::address(address.as_str())
                .serve_at("/org/snug/Snug1", manager)
                .name("org.snug.Snug1")
                .build()
                .await
                .unwrap();
            ready.send(()).unwrap();
            tokio::select! {
                _ = ended => {}
                () = crash.notified() => {}
            }
            drop(connection);
        });
    });
    is_ready.recv().unwrap();
    Running { calls, end: Some(end), thread: Some(thread) }
}

#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.snug.Snug1.Error")]
enum Refusal {
    #[zbus(error)]
    ZBus(zbus::Error),
    NotFound(String),
    NotAuthorized(String),
    InvalidArgument(String),
}

struct Manager {
    containers: Vec<String>,
    started: BTreeSet<String>,
    /// What those are that were made here.
    made: HashMap<String, Made>,
    calls: Arc<Mutex<Vec<String>>>,
    jobs: u32,
    crash: Arc<Notify>,
}

impl Manager {
    fn note(&self, method: &str, name: &str, options: &Options) {
        let mut words: Vec<String> =
            options.iter().map(|(key, value)| format!("{key}={}", shown(value))).collect();
        words.sort();
        let line = [vec![method.to_owned(), name.to_owned()], words].concat().join(" ");
        self.calls.lock().unwrap().push(line.replace("  ", " ").trim_end().to_owned());
    }

    fn must_exist(&self, name: &str) -> Result<(), Refusal> {
        if self.containers.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(Refusal::NotFound(format!("container {name} does not exist")))
    }

    async fn job(
        &mut self,
        server: &ObjectServer,
        name: &str,
        options: &Options,
        administrator: bool,
    ) -> Result<OwnedObjectPath, Refusal> {
        if administrator || name.starts_with("denied") {
            return Err(Refusal::NotAuthorized(format!("{name} needs an administrator")));
        }
        self.jobs += 1;
        let path = OwnedObjectPath::try_from(format!("/org/snug/Snug1/job/{}", self.jobs)).unwrap();
        let end = match name {
            _ if name.starts_with("slow") => "running",
            _ if name.starts_with("crash") => "running",
            _ if name.starts_with("broken") => "failed",
            _ => "done",
        };
        let owned = |text: &str| OwnedVariant::try_from(Variant::from(text)).unwrap();
        let mut result = HashMap::from([("snapshot".to_owned(), owned("snug-20200102T000000Z"))]);
        if !name.starts_with("zfs") {
            result.insert("kept".to_owned(), owned("snug-20200103T000000Z"));
        }
        if options.contains_key("dry-run") {
            result.insert(
                "plan".to_owned(),
                OwnedVariant::try_from(Variant::from(vec!["step one", "step two"])).unwrap(),
            );
        }
        let crash = name.starts_with("crash").then(|| self.crash.clone());
        let state = watch::channel(end.to_owned()).0;
        let job = Job { state, name: name.to_owned(), result, crash, error: "NoSpace" };
        server.at(&path, job).await?;
        Ok(path)
    }

    /// A job that has failed.
    async fn fails(
        &mut self,
        server: &ObjectServer,
        name: &str,
        error: &'static str,
    ) -> Result<OwnedObjectPath, Refusal> {
        self.jobs += 1;
        let path = OwnedObjectPath::try_from(format!("/org/snug/Snug1/job/{}", self.jobs)).unwrap();
        let state = watch::channel("failed".to_owned()).0;
        let (name, result) = (name.to_owned(), HashMap::new());
        server.at(&path, Job { state, name, result, crash: None, error }).await?;
        Ok(path)
    }

    /// A container as it is now.
    fn container(&self, name: &str) -> Options {
        let mut container = container(name);
        if let Some(made) = self.made.get(name) {
            made.add_to(&mut container);
        }
        if self.started.contains(name) {
            container.insert("state".to_owned(), OwnedVariant::try_from(Variant::from("running")).unwrap());
        }
        container
    }
}

fn shown(value: &Variant<'_>) -> String {
    match value {
        Variant::Str(text) => text.to_string(),
        Variant::Bool(on) => on.to_string(),
        Variant::U32(number) => number.to_string(),
        Variant::Array(array) => array.inner().iter().map(shown).collect::<Vec<_>>().join(","),
        Variant::Dict(dict) => dict
            .iter()
            .map(|(key, value)| format!("{}:{}", shown(key), shown(value)))
            .collect::<Vec<_>>()
            .join(","),
        other => format!("{other:?}"),
    }
}

/// A container as it was asked for.
struct Made {
    image: String,
    preset: String,
    grants: Vec<String>,
    settings: HashMap<String, String>,
}

impl Made {
    fn of(options: &Options) -> Self {
        let text = |key: &str| options.get(key).map(|value| shown(value)).unwrap_or_default();
        let list = |key: &str| match options.get(key).map(|value| &**value) {
            Some(Variant::Array(array)) => array.inner().iter().map(shown).collect(),
            _ => Vec::new(),
        };
        let settings = match options.get("settings").map(|value| &**value) {
            Some(Variant::Dict(dict)) => dict.iter().map(|(key, value)| (shown(key), shown(value))).collect(),
            _ => HashMap::new(),
        };
        let config = snug_core::config::Config::built_in();
        let request = snug_core::preset::GrantRequest {
            preset: text("preset"),
            grants: snug_core::grant::GrantSet::parse(list("grants")).unwrap(),
            without: list("no-grants"),
            islands: config.private.clone(),
        };
        let grants = config.presets.resolve(&request).unwrap().grants.words();
        Self { image: text("image"), preset: text("preset"), grants, settings }
    }

    fn add_to(&self, container: &mut Options) {
        let owned = |value: Variant<'_>| OwnedVariant::try_from(value).unwrap();
        container.insert("image".to_owned(), owned(Variant::from(self.image.as_str())));
        container.insert("preset".to_owned(), owned(Variant::from(self.preset.as_str())));
        container.insert("grants".to_owned(), owned(Variant::from(self.grants.clone())));
        container.insert("settings".to_owned(), owned(Variant::from(self.settings.clone())));
        container.insert("created".to_owned(), owned(Variant::from("2020-01-01T00:00:00Z")));
    }
}

fn container(name: &str) -> Options {
    let owned = |value: Variant<'_>| OwnedVariant::try_from(value).unwrap();
    let state = ["stopped", "stopping"].into_iter().find(|state| name.contains(state)).unwrap_or("running");
    let settings: HashMap<&str, &str> =
        name.starts_with("login").then_some(("autostart", "login")).into_iter().collect();
    let size = (!name.starts_with("btrfs")).then(|| ("size".to_owned(), owned(Variant::from(5_u64 << 30))));
    let preset = if name.contains("yesterday") { "of-yesterday" } else { "integrated" };
    let mut container = HashMap::from([
        ("name".to_owned(), owned(Variant::from(name))),
        ("state".to_owned(), owned(Variant::from(state))),
        ("image".to_owned(), owned(Variant::from("images:debian/13"))),
        ("preset".to_owned(), owned(Variant::from(preset))),
        ("owner".to_owned(), owned(Variant::from(1000_u32))),
        ("owner-name".to_owned(), owned(Variant::from("me"))),
        ("settings".to_owned(), owned(Variant::from(settings))),
        ("trusted".to_owned(), owned(Variant::from(true))),
        ("snapshots".to_owned(), owned(Variant::from(2_u32))),
        ("last-start".to_owned(), owned(Variant::from("2020-01-01T00:00:00Z"))),
    ]);
    container.extend(size);
    if name.contains("x-") {
        container.insert("created".to_owned(), owned(Variant::from("2020-01-01T00:00:00Z")));
    }
    if name.contains("brief") {
        container.insert("temporary".to_owned(), owned(Variant::from(true)));
    }
    if name.contains("home") {
        container.insert("grants".to_owned(), owned(Variant::from(vec!["home"])));
    }
    container
}

#[zbus::interface(name = "org.snug.Snug1.Manager")]
impl Manager {
    async fn create(
        &mut self,
        name: &str,
        options: Options,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath, Refusal> {
        self.note("Create", name, &options);
        let job = self.job(server, name, &options, false).await?;
        if name.starts_with("made") && !options.contains_key("dry-run") {
            self.containers.push(name.to_owned());
            self.made.insert(name.to_owned(), Made::of(&options));
        }
        Ok(job)
    }

    async fn ensure(
        &mut self,
        name: &str,
        options: Options,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath, Refusal> {
        self.note("Ensure", name, &options);
        if !options.contains_key("create") {
            self.must_exist(name)?;
        }
        self.started.insert(name.to_owned());
        self.job(server, name, &options, false).await
    }

    async fn start(
        &mut self,
        name: &str,
        options: Options,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath, Refusal> {
        self.note("Start", name, &options);
        self.must_exist(name)?;
        self.job(server, name, &options, false).await
    }

    async fn stop(
        &mut self,
        name: &str,
        options: Options,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath, Refusal> {
        self.note("Stop", name, &options);
        self.must_exist(name)?;
        self.started.remove(name);
        self.job(server, name, &options, false).await
    }

    async fn restart(
        &mut self,
        name: &str,
        options: Options,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath, Refusal> {
        self.note("Restart", name, &options);
        self.must_exist(name)?;
        self.job(server, name, &options, false).await
    }

    async fn remove(
        &mut self,
        name: &str,
        options: Options,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath, Refusal> {
        self.note("Remove", name, &options);
        self.must_exist(name)?;
        let job = self.job(server, name, &options, false).await?;
        if !name.starts_with("broken") && !options.contains_key("dry-run") {
            self.containers.retain(|known| known != name);
        }
        Ok(job)
    }

    async fn configure(
        &mut self,
        name: &str,
        set: HashMap<String, String>,
        unset: Vec<String>,
        options: Options,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath, Refusal> {
        if let Some(made) = self.made.get_mut(name) {
            made.settings.extend(set.clone());
            made.settings.retain(|key, _| !unset.contains(key));
        }
        let mut set: Vec<String> = set.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        set.sort();
        self.note("Configure", &format!("{name} {} -{}", set.join(","), unset.join(",")), &options);
        self.must_exist(name)?;
        self.job(server, name, &options, false).await
    }

    async fn take_snapshot(
        &mut self,
        name: &str,
        options: Options,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath, Refusal> {
        self.note("TakeSnapshot", name, &options);
        self.must_exist(name)?;
        if name.starts_with("copied") {
            return self.fails(server, name, "Unsupported").await;
        }
        self.job(server, name, &options, false).await
    }

    async fn undo(
        &mut self,
        name: &str,
        options: Options,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath, Refusal> {
        self.note("Undo", name, &options);
        self.must_exist(name)?;
        if name.starts_with("full") {
            return self.fails(server, name, "NoSpace").await;
        }
        self.job(server, name, &options, false).await
    }

    async fn snapshots(&mut self, name: &str, options: Options) -> Result<Vec<Options>, Refusal> {
        self.note("Snapshots", name, &options);
        self.must_exist(name)?;
        if name.starts_with("new") {
            return Ok(Vec::new());
        }
        let owned = |text: &str| OwnedVariant::try_from(Variant::from(text)).unwrap();
        let snapshot = |name: &str, taken: &str, before: &str| {
            HashMap::from([
                ("name".to_owned(), owned(name)),
                ("taken".to_owned(), owned(taken)),
                ("before".to_owned(), owned(before)),
            ])
        };
        Ok(vec![
            snapshot("snug-20200102T000000Z", "2020-01-02T00:00:00Z", "install ripgrep"),
            snapshot("snug-20200101T000000Z", "2020-01-01T00:00:00Z", "\u{1b}[2J"),
        ])
    }

    async fn list(&mut self, options: Options) -> Result<Vec<Options>, Refusal> {
        self.note("List", "", &options);
        if options.contains_key("all-users") {
            return Err(Refusal::NotAuthorized(
                "everybody's containers are an administrator's matter".into(),
            ));
        }
        Ok(self.containers.iter().map(|name| self.container(name)).collect())
    }

    async fn get(&mut self, name: &str, options: Options) -> Result<Options, Refusal> {
        self.note("Get", name, &options);
        self.must_exist(name)?;
        Ok(self.container(name))
    }

    async fn log(&mut self, name: &str, options: Options) -> Result<String, Refusal> {
        self.note("Log", name, &options);
        self.must_exist(name)?;
        Ok("booting\x1b[2J\r\n".to_owned())
    }

    async fn import_image(
        &mut self,
        alias: &str,
        options: Options,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath, Refusal> {
        self.note("ImportImage", alias, &options);
        self.job(server, alias, &options, false).await
    }

    async fn list_images(&mut self, options: Options) -> Result<Vec<Options>, Refusal> {
        self.note("ListImages", "", &options);
        let reference = OwnedVariant::try_from(Variant::from("local:debian/13")).unwrap();
        Ok(vec![HashMap::from([("reference".to_owned(), reference)])])
    }

    async fn doctor(&mut self, options: Options) -> Result<Vec<Options>, Refusal> {
        self.note("Doctor", "", &options);
        let owned = |text: &str| OwnedVariant::try_from(Variant::from(text)).unwrap();
        let check = |check: &str, status: &str, hint: &str| {
            HashMap::from([
                ("check".to_owned(), owned(check)),
                ("status".to_owned(), owned(status)),
                ("text".to_owned(), owned("what was found")),
                ("hint".to_owned(), owned(hint)),
            ])
        };
        Ok(vec![check("incus", "ok", ""), check("space", "warning", "buy a disk")])
    }
}

struct Job {
    state: watch::Sender<String>,
    name: String,
    result: HashMap<String, OwnedVariant>,
    /// Told as soon as somebody waits for the job's end.
    crash: Option<Arc<Notify>>,
    error: &'static str,
}

#[zbus::interface(name = "org.snug.Snug1.Job")]
impl Job {
    async fn cancel(&self) {
        self.state.send_replace("cancelled".to_owned());
    }

    async fn wait(&self) -> String {
        if let Some(crash) = &self.crash {
            crash.notify_one();
        }
        let mut state = self.state.subscribe();
        state.wait_for(|state| state != "running").await.unwrap().clone()
    }

    #[zbus(property)]
    async fn state(&self) -> String {
        self.state.borrow().clone()
    }

    #[zbus(property)]
    async fn stage(&self) -> String {
        "doing this".to_owned()
    }

    #[zbus(property)]
    async fn percent(&self) -> f64 {
        42.0
    }

    #[zbus(property)]
    async fn result(&self) -> HashMap<String, OwnedVariant> {
        self.result.iter().map(|(key, value)| (key.clone(), value.try_clone().unwrap())).collect()
    }

    #[zbus(property)]
    async fn error(&self) -> String {
        format!("org.snug.Snug1.Error.{}", self.error)
    }

    #[zbus(property)]
    async fn message(&self) -> String {
        format!("no space for {}", self.name)
    }

    #[zbus(property)]
    async fn hints(&self) -> Vec<String> {
        vec!["remove something".to_owned()]
    }
}
