//! What all calls share.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use incus_client::Client;
use snug_core::config::Config;
use snug_core::name::{ContainerName, Uid};
use snug_core::paths::Paths;
use tokio::sync::watch;
use zbus::{Connection, Variant};

use crate::agent::{self, Hello};
use crate::bus::admission::Admission;
use crate::bus::outbox::Outbox;
use crate::bus::subscribers::Subscribers;
use crate::bus::{self, CONTAINER, MANAGER};
use crate::configuration;
use crate::container::expected::Expected;
use crate::container::{lookup, view};
use crate::error::Result;
use crate::host::subid;
use crate::incus::pool;
use crate::job::table::Table;
use crate::place::{Counts, Place};
use crate::reservation::Reservations;
use crate::temporary::Temporaries;
use crate::turns::Turns;

/// Agents of one owner that are asked at once.
const PROBES: usize = 8;
/// Homes of one owner that are looked at once: each by a thread of ours, for as long as the server or process behind it
/// likes.
const HOMES: usize = 4;
/// Searches for what services of one owner's guests left, and removals of it, at once: files that he may have made a million of.
const LEFTOVERS: usize = 1;
/// Looks at one of the host's places at once, whoever asks: one that does not answer keeps so many threads, and no more.
const HOST_PLACES: usize = 4;

/// Where the daemon finds things, for tests other than on a real host.
#[derive(Debug, Clone)]
pub struct Places {
    /// Snug's own directories.
    pub paths: Paths,
    /// Incus' socket; `None`: where Incus is usually.
    pub incus_socket: Option<PathBuf>,
    /// Incus' state directory.
    pub incus_dir: PathBuf,
    /// Subordinate ids.
    pub subids: subid::Files,
}

impl Places {
    /// Incus, in its default project. That it does not answer is found out by the calls that need it.
    #[must_use]
    pub fn incus(&self) -> Client {
        match &self.incus_socket {
            Some(socket) => Client::connect(socket),
            None => {
                Client::discover().unwrap_or_else(|_| Client::connect(self.incus_dir.join("unix.socket")))
            }
        }
    }
}

impl Default for Places {
    fn default() -> Self {
        Self {
            paths: Paths::default(),
            incus_socket: None,
            incus_dir: pool::INCUS_DIR.into(),
            subids: subid::Files::default(),
        }
    }
}

/// The daemon.
pub struct Daemon {
    bus: Connection,
    outbox: Outbox,
    subscribers: Subscribers,
    admission: Admission,
    jobs: Arc<Table>,
    temporaries: Temporaries,
    incus: Client,
    places: Places,
    addresses: Reservations<Ipv4Addr>,
    id_bases: Reservations<u32>,
    probes: Turns<Uid>,
    homes: Turns<Uid>,
    host_places: Turns<&'static str>,
    leftovers: Turns<Uid>,
    imports: Counts<Uid>,
    expected: Expected,
    foundation: tokio::sync::Mutex<()>,
}

impl Daemon {
    /// A daemon on `bus` that has not begun to serve.
    #[must_use]
    pub fn new(bus: Connection, places: Places) -> Arc<Self> {
        let outbox = Outbox::new(bus.clone());
        let incus = places.incus();
        Arc::new(Self {
            bus,
            jobs: Table::new(outbox.clone()),
            outbox,
            subscribers: Subscribers::default(),
            admission: Admission::default(),
            temporaries: Temporaries::default(),
            incus,
            places,
            addresses: Reservations::default(),
            id_bases: Reservations::default(),
            probes: Turns::new(PROBES),
            homes: Turns::new(HOMES),
            host_places: Turns::new(HOST_PLACES),
            leftovers: Turns::new(LEFTOVERS),
            imports: Counts::default(),
            expected: Expected::default(),
            foundation: tokio::sync::Mutex::default(),
        })
    }

    /// The bus.
    pub fn bus(&self) -> &Connection {
        &self.bus
    }

    /// Who gets signals.
    #[must_use]
    pub fn subscribers(&self) -> &Subscribers {
        &self.subscribers
    }

    /// How many calls of whom are under way.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// All jobs.
    #[must_use]
    pub fn jobs(&self) -> &Arc<Table> {
        &self.jobs
    }

    /// Containers that go with their client.
    #[must_use]
    pub fn temporaries(&self) -> &Temporaries {
        &self.temporaries
    }

    /// Incus, in its default project.
    #[must_use]
    pub fn incus(&self) -> &Client {
        &self.incus
    }

    /// Where things are.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Snug's own directories.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.places.paths
    }

    /// Held while something is made that all users share (pool, bridge): for the first of them, it takes a second.
    pub async fn lay_foundation(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.foundation.lock().await
    }

    /// The configuration as it is now.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub async fn config(&self) -> Result<Config> {
        let paths = self.paths().clone();
        tokio::task::spawn_blocking(move || configuration::load(&paths)).await?
    }

    /// Whether something would be lost if the daemon left now.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        *self.jobs.active().borrow() > 0 || !self.temporaries.is_empty()
    }

    /// Changes when work begins or ends.
    #[must_use]
    pub fn work(&self) -> watch::Receiver<usize> {
        self.jobs.active()
    }

    /// Asks a container's agent who it is. A hostile guest answers late or never, each time on a thread of ours: only so
    /// many of one owner's are asked at once.
    pub async fn probe(&self, uid: Uid, name: &ContainerName) -> Option<Hello> {
        let _turn = self.probes.take(uid).await;
        agent::probe(self.paths().agent_socket(uid, name)).await
    }

    /// Turns at looking at an owner's home.
    #[must_use]
    pub fn homes(&self) -> &Turns<Uid> {
        &self.homes
    }

    /// Turns at what services of an owner's guests left.
    #[must_use]
    pub fn leftovers(&self) -> &Turns<Uid> {
        &self.leftovers
    }

    /// Turns at looking at one of the host's places.
    #[must_use]
    pub fn host_places(&self) -> &Turns<&'static str> {
        &self.host_places
    }

    /// The turn of a user's import; `None` while another one of his has it.
    #[must_use]
    pub fn imports(&self, uid: Uid) -> Option<Place<Uid>> {
        Place::take(&self.imports, uid, 1)
    }

    /// Containers that are being made.
    #[must_use]
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Addresses of the bridge that are being given away.
    pub fn addresses(&self) -> &Reservations<Ipv4Addr> {
        &self.addresses
    }

    /// First ids of the ranges that are being given away.
    pub fn id_bases(&self) -> &Reservations<u32> {
        &self.id_bases
    }

    /// Tells the owner's connections that a container changed: the manager's signal, and the object's own.
    pub async fn announce(&self, config: &Config, uid: Uid, name: &ContainerName, what: &str) {
        let path = bus::container_path(uid.0, name.as_str());
        let connections = self.subscribers.of(uid.0);
        if connections.is_empty() {
            return;
        }
        let found = match what {
            "removed" => None,
            _ => lookup::find_full(&self.incus, config, uid, name).await.ok().flatten(),
        };
        let properties = found.map(|found| view::of(&found, false));
        for connection in connections {
            self.outbox.signal(&connection, bus::ROOT, MANAGER, "ContainerChanged", &(name.as_str(), what));
            match (what, &properties) {
                ("created", Some(properties)) => {
                    let interfaces = HashMap::from([(CONTAINER, properties)]);
                    self.outbox.object_added(&connection, &path, &interfaces);
                }
                ("removed", _) => self.outbox.object_removed(&connection, &path, CONTAINER),
                (_, Some(properties)) => {
                    let changes: HashMap<&str, Variant<'_>> = properties
                        .iter()
                        .filter_map(|(key, value)| Some((*key, value.try_clone().ok()?)))
                        .collect();
                    self.outbox.properties_changed(&connection, &path, CONTAINER, &changes);
                }
                _ => {}
            }
        }
    }
}
