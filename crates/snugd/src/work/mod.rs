//! A change to one container, carried out: what is, the plan (of `snug-core`), its steps, their undos.
//!
//! | module | what |
//! |---|---|
//! | [`cleanup`] | what dead daemons and dead clients left |
//! | [`devices`] | the step of the grants of devices |
//! | [`discovery`] | what is: the state that planners look at |
//! | [`driver`] | the files of the host's graphics driver |
//! | [`executor`] | steps in order, undos when one fails |
//! | [`guest`] | steps on the running guest: agent, stop |
//! | [`host_places`] | steps of the grant `places` |
//! | [`images`] | images: looked for, fetched |
//! | [`instance`] | steps on the Incus instance |
//! | [`limits`] | settings against what the host has |
//! | [`preparation`] | steps on the host |
//! | [`session`] | the step of the grant `session` |
//! | [`snapshots`] | steps on snapshots |
//! | [`provision`] | what the agent is told |

pub mod cleanup;
mod devices;
pub mod discovery;
mod driver;
pub mod executor;
pub mod guest;
pub mod host_places;
pub mod images;
pub mod instance;
pub mod limits;
pub mod preparation;
pub mod provision;
pub mod session;
pub mod snapshots;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use incus_client::Client;
use snug_core::config::Config;
use snug_core::name::{ContainerName, Uid};
use snug_core::spec::{OwnerTag, Phase};
use snug_wire::provision::Place;

use self::images::Images;

use crate::container::expected::Announcement;
use crate::container::lookup::{self, Found, missing};
use crate::daemon::Daemon;
use crate::error::Result;
use crate::host::home::Home;
use crate::host::owner::Owner;
use crate::host::{home, owner, patience};
use crate::incus::viewer::Viewer;
use crate::job::Job;

/// The agent's version: that of the release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One change to one container.
pub struct Work {
    /// What all share.
    pub daemon: Arc<Daemon>,
    /// The configuration when it began.
    pub config: Config,
    /// Whose container.
    pub owner: Owner,
    /// Which.
    pub name: ContainerName,
    /// Who is told; `None` for work that nobody asked for.
    pub job: Option<Arc<Job>>,
    home: Mutex<Option<Arc<Home>>>,
    /// The host's places, once they are mounted.
    places: Mutex<Option<Vec<Place>>>,
    known: Mutex<Option<Found>>,
    /// What the phase is where it could not be stored.
    phase: Mutex<Option<Phase>>,
    /// Where it may make the container.
    announcement: Option<Announcement>,
}

impl Work {
    /// Begins.
    ///
    /// # Errors
    /// The configuration cannot be read, or the owner has no account.
    pub async fn new(
        daemon: &Arc<Daemon>,
        uid: Uid,
        name: ContainerName,
        job: Option<Arc<Job>>,
    ) -> Result<Self> {
        let config = daemon.config().await?;
        let owner = tokio::task::spawn_blocking(move || owner::find(uid)).await??;
        Ok(Self {
            daemon: daemon.clone(),
            config,
            owner,
            name,
            job,
            home: Mutex::default(),
            places: Mutex::default(),
            known: Mutex::default(),
            phase: Mutex::default(),
            announcement: None,
        })
    }

    /// The same, which may make the container: until it ends, that one counts among the owner's.
    #[must_use]
    pub fn announced(mut self) -> Self {
        self.announcement = Some(self.daemon.expected().announce(self.uid(), self.name.clone()));
        self
    }

    /// The owner's uid.
    #[must_use]
    pub fn uid(&self) -> Uid {
        self.owner.account.uid
    }

    /// Incus, in the owner's project.
    #[must_use]
    pub fn incus(&self) -> Client {
        self.daemon.incus().project(self.config.project(self.uid()))
    }

    /// The owner's images.
    #[must_use]
    pub fn images(&self) -> Images<'_> {
        let viewer = Viewer::new(OwnerTag { uid: self.uid(), name: self.owner.account.name.clone() });
        Images { incus: self.daemon.incus(), config: &self.config, viewer, job: self.job.as_ref() }
    }

    /// The container as it was last seen or made by this work.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::NotFound`].
    pub async fn found(&self) -> Result<Found> {
        if let Some(found) = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(found);
        }
        self.look().await?.ok_or_else(|| missing(&self.name))
    }

    /// The container as Incus has it now.
    ///
    /// # Errors
    /// What Incus says.
    pub async fn look(&self) -> Result<Option<Found>> {
        let mut found = lookup::find(self.daemon.incus(), &self.config, self.uid(), &self.name).await?;
        if let (Some(found), Some(phase)) = (&mut found, *self.kept_phase()) {
            found.phase = phase;
        }
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&found);
        Ok(found)
    }

    /// Forgets what was seen: the work itself changed it.
    pub(crate) fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A phase that could not be stored; none where it was.
    fn keep_phase(&self, phase: Option<Phase>) {
        *self.kept_phase() = phase;
    }

    fn kept_phase(&self) -> MutexGuard<'_, Option<Phase>> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw_phase(&self, phase: Phase) {
        if let Some(found) = self.known.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            found.phase = phase;
        }
    }

    /// Says what goes on.
    pub fn stage(&self, words: impl Into<String>) {
        if let Some(job) = &self.job {
            job.stage(words);
        }
    }

    /// Something that a person should know.
    pub fn notice(&self, words: impl Into<String>) {
        let words = words.into();
        tracing::info!(uid = self.uid().0, container = %self.name, "{words}");
        if let Some(job) = &self.job {
            job.notice(words);
        }
    }

    /// The owner's home, opened as the owner; once for the whole work, so that what was looked at is what is mounted.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::NotEligible`].
    pub async fn home(&self) -> Result<Arc<Home>> {
        if let Some(home) = self.home.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(home);
        }
        let (credentials, path) = (self.owner.credentials.clone(), self.owner.account.home.clone());
        let opened = Arc::new(self.in_home(move || home::open(credentials, &path)).await??);
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened.clone());
        Ok(opened)
    }

    /// Runs what looks at the owner's home, which may lie on a server that is away.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Busy`] when it takes too long; it goes on by itself then.
    pub async fn in_home<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let what = format!("the home directory {}", self.owner.account.home.display());
        Ok(patience::within(&what, self.daemon.homes().take(self.uid()), work).await?.0)
    }

    /// Runs what blocks.
    ///
    /// # Errors
    /// What `work` says.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        tokio::task::spawn_blocking(work).await?
    }
}
