//! A bus of its own, a fake incusd, a stand-in for polkit, and the real `snugd` between them.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

pub mod going_back;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fake_incusd::FakeIncusd;
use futures_util::StreamExt;
use serde_json::json;
use snugd::host::credentials::{Credentials, with};
use zbus::message::{Message, Type};
use zbus::{Connection, MessageStream, OwnedVariant, Variant};

pub const NAME: &str = "org.snug.Snug1";
pub const ROOT: &str = "/org/snug/Snug1";
pub const MANAGER: &str = "org.snug.Snug1.Manager";
/// `nobody`: an account that every system has, so that it can own what is only looked at.
pub const NOBODY: u32 = 65534;

pub struct Rig {
    pub directory: tempfile::TempDir,
    pub fake: FakeIncusd,
    pub address: String,
    bus: Child,
    daemon: Option<Child>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        for child in self.daemon.iter_mut().chain([&mut self.bus]) {
            let _ = child.kill();
            let _ = child.wait();
        }
        // The daemon mounts below its run directory.
        let _ = snugd::host::mounts::detach_below(self.directory.path());
    }
}

fn bus_config(directory: &Path) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={0}/bus</listen>
  <servicedir>{0}/services</servicedir>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>"#,
        directory.display()
    )
}

impl Rig {
    /// A bus that starts the daemon when it is called; `incus` is its socket, the fake's when `None`.
    pub fn new(config: &str, incus: Option<&Path>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let fake = FakeIncusd::start();
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(root, everybody).unwrap();
        std::fs::create_dir_all(root.join("etc/snug")).unwrap();
        std::fs::create_dir_all(root.join("services")).unwrap();
        std::fs::write(root.join("etc/snug/config.toml"), config).unwrap();
        std::fs::write(root.join("bus.conf"), bus_config(root)).unwrap();
        let service = format!("[D-BUS Service]\nName={NAME}\nExec={}\n", env!("CARGO_BIN_EXE_snugd"));
        std::fs::write(root.join("services/snug.service"), service).unwrap();
        let socket = incus.map_or_else(|| fake.socket(), Path::to_path_buf);
        let mut bus = Command::new("dbus-daemon")
            .arg(format!("--config-file={}/bus.conf", root.display()))
            .args(["--nofork", "--print-address"])
            .env("SNUG_TEST_ROOT", root)
            .env("SNUG_INCUS_SOCKET", socket)
            .env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}/bus", root.display()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon is installed (package dbus)");
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { address: address.trim().to_owned(), directory, fake, bus, daemon: None }
    }

    /// Starts a daemon of the test's own, which dies at the place; the bus starts the next one.
    pub async fn dying_daemon(&mut self, place: &str) {
        let root = self.directory.path();
        let daemon = Command::new(env!("CARGO_BIN_EXE_snugd"))
            .env("SNUG_TEST_ROOT", root)
            .env("SNUG_INCUS_SOCKET", self.fake.socket())
            .env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}/bus", root.display()))
            .env("SNUG_FAILPOINT", place)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        let bus = self.connect().await;
        let dbus = Some("org.freedesktop.DBus");
        let deadline = soon();
        loop {
            let answer = bus.call_method(dbus, "/org/freedesktop/DBus", dbus, "NameHasOwner", &NAME).await;
            if answer.unwrap().body().deserialize().unwrap() {
                return;
            }
            assert!(Instant::now() < deadline, "the daemon does not come");
            tokio::task::yield_now().await;
        }
    }

    /// Waits for the end of the daemon that was to die.
    pub fn died(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        let deadline = soon();
        while daemon.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the failpoint is never reached");
            std::thread::yield_now();
        }
    }

    /// Adds an instance to the fake as if Snug had made it for `tag` (`UID:NAME`).
    pub fn add_container(&self, tag: &str, name: &str) {
        let uid = tag.split(':').next().unwrap();
        let spec = json!({"version": 1, "image": "local:debian/13", "preset": "isolated", "grants": ["home=private"]});
        self.fake.add_instance(json!({
            "name": name, "project": format!("snug-{uid}"), "status": "Stopped", "status_code": 102,
            "config": {"user.snug.owner": tag, "user.snug.spec": spec.to_string(), "user.snug.phase": "ready"},
            "devices": {"root": {"type": "disk", "path": "/", "pool": "default"}},
        }));
    }

    pub async fn connect(&self) -> Connection {
        zbus::connection::Builder::address(self.address.as_str()).build().await.unwrap()
    }

    /// Runs `work` with a connection of `uid`, on a thread that has only that user's rights.
    pub fn as_user<T, F>(&self, uid: u32, work: impl FnOnce(Connection) -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        let address = self.address.clone();
        with(Credentials { uid, gid: uid, groups: vec![uid] }, move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let bus = zbus::connection::Builder::address(address.as_str()).build().await.unwrap();
                work(bus).await
            })
        })
        .unwrap()
    }

    /// Serves as polkit: everybody may use his own, nobody may more.
    pub fn serve_polkit(&self) {
        let address = self.address.clone();
        let (ready, wait) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let bus = zbus::connection::Builder::address(address.as_str()).build().await.unwrap();
                let mut messages = MessageStream::from(&bus);
                let dbus = Some("org.freedesktop.DBus");
                let body = ("org.freedesktop.PolicyKit1", 4u32);
                bus.call_method(dbus, "/org/freedesktop/DBus", dbus, "RequestName", &body).await.unwrap();
                ready.send(()).unwrap();
                while let Some(Ok(message)) = messages.next().await {
                    if message.message_type() == Type::MethodCall {
                        let answer = decide(&message);
                        bus.send(&answer).await.unwrap();
                    }
                }
            });
        });
        wait.recv().unwrap();
    }

    /// Waits until the daemon is no longer on the bus.
    pub async fn daemon_left(&self, bus: &Connection, patience: Duration) -> bool {
        let dbus = Some("org.freedesktop.DBus");
        let mut messages = MessageStream::from(bus);
        let rule = format!("type='signal',member='NameOwnerChanged',arg0='{NAME}',arg2=''");
        bus.call_method(dbus, "/org/freedesktop/DBus", dbus, "AddMatch", &rule).await.unwrap();
        let left = async {
            loop {
                let message = messages.next().await.unwrap().unwrap();
                if message.header().member().is_some_and(|member| member.as_str() == "NameOwnerChanged")
                    && message
                        .body()
                        .deserialize::<(String, String, String)>()
                        .is_ok_and(|(name, _, new)| name == NAME && new.is_empty())
                {
                    return;
                }
            }
        };
        tokio::time::timeout(patience, left).await.is_ok()
    }
}

type Subject = (String, HashMap<String, OwnedVariant>);

fn decide(message: &Message) -> Message {
    let body = message.body();
    let (_, action, ..): (Subject, String, HashMap<String, String>, u32, String) =
        body.deserialize().unwrap();
    let details: HashMap<&str, &str> = HashMap::new();
    let verdict = (action == "org.snug.use", false, details);
    Message::method_return(&message.header()).build(&(verdict,)).unwrap()
}

pub type Options<'a> = HashMap<&'a str, Variant<'a>>;

pub async fn manager<B: serde::Serialize + zbus::DynamicType>(
    bus: &Connection,
    method: &str,
    body: &B,
) -> Result<Message, (String, String)> {
    at(bus, ROOT, MANAGER, method, body).await
}

/// A call; a refusal as the error's name without its prefix, and its text.
pub async fn at<B: serde::Serialize + zbus::DynamicType>(
    bus: &Connection,
    path: &str,
    interface: &str,
    method: &str,
    body: &B,
) -> Result<Message, (String, String)> {
    bus.call_method(Some(NAME), path, Some(interface), method, body).await.map_err(|error| match error {
        zbus::Error::MethodError(name, text, _) => {
            let name = name.as_str().rsplit('.').next().unwrap_or_default().to_owned();
            (name, text.unwrap_or_default())
        }
        zbus::Error::FDO(error) => {
            (format!("{error:?}").split('(').next().unwrap().to_owned(), error.to_string())
        }
        other => panic!("{other}"),
    })
}

/// The containers' names that `List` gives.
pub async fn list(bus: &Connection, options: Options<'_>) -> Result<Vec<String>, (String, String)> {
    let answer = manager(bus, "List", &options).await?;
    let all: Vec<HashMap<String, OwnedVariant>> = answer.body().deserialize().unwrap();
    Ok(all.into_iter().map(|mut one| one.remove("name").unwrap().try_into().unwrap()).collect())
}

/// Waits for a job's end: its state, and its error's name.
pub async fn finish(bus: &Connection, job: &Message) -> (String, String) {
    let path: zbus::OwnedObjectPath = job.body().deserialize().unwrap();
    let state = at(bus, path.as_str(), "org.snug.Snug1.Job", "Wait", &()).await.unwrap();
    let properties = "org.freedesktop.DBus.Properties";
    let error = at(bus, path.as_str(), properties, "Get", &("org.snug.Snug1.Job", "Error")).await.unwrap();
    let error: OwnedVariant = error.body().deserialize().unwrap();
    let error = String::try_from(error).unwrap();
    (state.body().deserialize().unwrap(), error.rsplit('.').next().unwrap_or_default().to_owned())
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}
