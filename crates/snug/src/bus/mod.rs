//! `snugd` over the system bus. Only what needs the daemon comes here: running a command in a running container does not.
//!
//! | module | what |
//! |---|---|
//! | [`proxy`] | the interfaces of `docs/reference/dbus.md` |
//! | [`options`] | `a{sv}` |
//! | [`change`] | what can be asked for as a job |
//! | [`job`] | following jobs to their end |
//! | [`snapshot`] | a snapshot before a change |
//! | [`view`] | containers, images and checks as the daemon describes them |
//! | [`error`] | errors of the bus and of the daemon in a person's words |
//! | [`authentication`] | the text agent by which an administrator agrees |

pub mod authentication;
pub mod change;
pub mod error;
pub mod job;
pub mod options;
pub mod proxy;
pub mod snapshot;
pub mod view;

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Runtime;
use zbus::Connection;

use crate::error::{CommandError, Kind, out_of_descriptors};
use crate::printer::Printer;
use authentication::Agent;
use change::Change;
use job::Ended;
use options::Options;
use proxy::ManagerProxy;
use view::{Check, Container, Image, Port, Snapshot};

/// What the executor, the bus and a job take, and some more: the executor panics when it gets none (tokio, `signal`).
const DESCRIPTORS: usize = 16;

/// Whether so many can be opened, tried out: a limit alone does not tell how many were inherited.
fn are_descriptors_left() -> bool {
    let Ok(first) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC) else { return false };
    let copies: Vec<_> =
        (2..DESCRIPTORS).map_while(|_| rustix::io::fcntl_dupfd_cloexec(&first.0, 3).ok()).collect();
    copies.len() == DESCRIPTORS - 2
}

/// A connection to the system bus, with the executor that it needs.
pub struct Bus {
    runtime: Runtime,
    connection: Connection,
    manager: ManagerProxy<'static>,
    printer: Printer,
    agent: std::cell::OnceCell<Option<Agent>>,
}

impl Bus {
    /// Connects. The daemon itself is started by the bus at the first call.
    pub fn connect(printer: Printer) -> Result<Self, CommandError> {
        if !are_descriptors_left() {
            return Err(out_of_descriptors());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| CommandError::failed(format!("the bus cannot be used: {error}")))?;
        let (connection, manager) = runtime
            .block_on(async {
                let connection = Connection::system().await?;
                let manager = ManagerProxy::builder(&connection)
                    .cache_properties(zbus::proxy::CacheProperties::No)
                    .build()
                    .await?;
                Ok((connection, manager))
            })
            .map_err(error::connecting)?;
        Ok(Self { runtime, connection, manager, printer, agent: std::cell::OnceCell::new() })
    }

    /// An administrator will have to agree: bring the text agent before anything is asked.
    pub fn expect_administrator(&self) {
        self.agent.get_or_init(|| Agent::start(self.printer));
    }

    fn call<T, F>(&self, call: impl Fn(ManagerProxy<'static>) -> F) -> Result<T, CommandError>
    where
        F: Future<Output = zbus::Result<T>>,
    {
        let first =
            self.runtime.block_on(call(self.manager.clone())).map_err(|error| error::from_call(&error));
        match first {
            Err(error) if error.kind == Kind::NotAuthorized && self.may_bring_agent() => {
                self.expect_administrator();
                if self.agent.get().is_none_or(Option::is_none) {
                    return Err(error);
                }
                self.runtime.block_on(call(self.manager.clone())).map_err(|error| error::from_call(&error))
            }
            result => result,
        }
    }

    /// A graphical session has asked already by its own agent: a second question would only annoy.
    fn may_bring_agent(&self) -> bool {
        self.agent.get().is_none() && self.printer.can_ask() && !authentication::graphical_session()
    }

    /// All containers of the caller, or of everybody.
    pub fn list(&self, options: &Options) -> Result<Vec<Container>, CommandError> {
        let found = self.call(|manager| async move { manager.list(options.borrowed()).await })?;
        Ok(found.into_iter().map(Container::from).collect())
    }

    /// The same for a shell's completion: nobody waits longer than this.
    pub fn list_within(&self, deadline: Duration) -> Option<Vec<Container>> {
        let options = Options::new();
        let listed = self
            .runtime
            .block_on(async { tokio::time::timeout(deadline, self.manager.list(options.borrowed())).await });
        listed.ok()?.ok().map(|found| found.into_iter().map(Container::from).collect())
    }

    /// One container.
    pub fn get(&self, name: &str, options: &Options) -> Result<Container, CommandError> {
        self.call(|manager| async move { manager.get(name, options.borrowed()).await }).map(Container::from)
    }

    /// A container's console, or the log of its jobs.
    pub fn log(&self, name: &str, options: &Options) -> Result<String, CommandError> {
        self.call(|manager| async move { manager.log(name, options.borrowed()).await })
    }

    /// Images that containers can be made from.
    pub fn images(&self, options: &Options) -> Result<Vec<Image>, CommandError> {
        let found = self.call(|manager| async move { manager.list_images(options.borrowed()).await })?;
        Ok(found.into_iter().map(Image::from).collect())
    }

    /// The same for a shell's completion.
    pub fn images_within(&self, deadline: Duration) -> Option<Vec<Image>> {
        let options = Options::new();
        let listed = self.runtime.block_on(async {
            tokio::time::timeout(deadline, self.manager.list_images(options.borrowed())).await
        });
        listed.ok()?.ok().map(|found| found.into_iter().map(Image::from).collect())
    }

    /// Ports of containers, and what there is to say of those without.
    pub fn ports(&self, options: &Options) -> Result<(Vec<Port>, Vec<String>), CommandError> {
        let (found, notices) = self.call(|manager| async move { manager.ports(options.borrowed()).await })?;
        Ok((found.into_iter().map(Port::from).collect(), notices))
    }

    /// Snapshots that a container can go back to, the newest first.
    pub fn snapshots(&self, name: &str) -> Result<Vec<Snapshot>, CommandError> {
        let options = &Options::new();
        let found = self.call(|manager| async move { manager.snapshots(name, options.borrowed()).await })?;
        Ok(found.into_iter().map(Snapshot::from).collect())
    }

    /// The same for a shell's completion.
    pub fn snapshots_within(&self, name: &str, deadline: Duration) -> Option<Vec<Snapshot>> {
        let options = Options::new();
        let listed = self.runtime.block_on(async {
            tokio::time::timeout(deadline, self.manager.snapshots(name, options.borrowed())).await
        });
        listed.ok()?.ok().map(|found| found.into_iter().map(Snapshot::from).collect())
    }

    /// What the daemon finds on this host; with `device`, why a container has that one or has it not.
    pub fn doctor(&self, options: &Options) -> Result<Vec<Check>, CommandError> {
        let found = self.call(|manager| async move { manager.doctor(options.borrowed()).await })?;
        Ok(found.into_iter().map(Check::from).collect())
    }

    /// Asks for one change and waits for its end.
    pub fn change(&self, change: &Change) -> Result<Ended, CommandError> {
        let mut ended = self.changes(std::slice::from_ref(change));
        ended.pop().unwrap_or_else(|| Err(CommandError::failed("the daemon gave no answer")))
    }

    /// Asks for several changes at once and waits for all of them; the answers are in the order of the changes.
    pub fn changes(&self, changes: &[Change]) -> Vec<Result<Ended, CommandError>> {
        if changes.iter().any(Change::needs_administrator) {
            self.expect_administrator();
        }
        let mut ended = self.follow(changes);
        // Whom the daemon refused may be asked again, now that there is somebody to ask.
        let refused: Vec<usize> = (0..ended.len())
            .filter(|index| matches!(&ended[*index], Err(error) if error.kind == Kind::NotAuthorized))
            .collect();
        if !refused.is_empty() && self.may_bring_agent() {
            self.expect_administrator();
            if self.agent.get().is_some_and(Option::is_some) {
                for index in refused {
                    let again = self.follow(&changes[index..=index]).pop();
                    if let Some(again) = again {
                        ended[index] = again;
                    }
                }
            }
        }
        ended
    }

    fn follow(&self, changes: &[Change]) -> Vec<Result<Ended, CommandError>> {
        let progress = self.printer.progress();
        let work = job::follow_all(&self.connection, &self.manager, changes, &progress, self.printer);
        match self.runtime.block_on(work) {
            Ok(ended) => ended,
            // Nobody was asked: no change may count as made.
            Err(error) => {
                let untried = changes.iter().skip(1);
                let untried = untried.map(|change| {
                    Err(CommandError::failed(format!("{}: not asked for either", change.subject)))
                });
                std::iter::once(Err(error)).chain(untried).collect()
            }
        }
    }
}
