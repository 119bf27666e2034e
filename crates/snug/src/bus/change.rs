//! What can be asked of the daemon as a job.

use std::collections::HashMap;

use zbus::OwnedObjectPath;

use super::options::Options;
use super::proxy::ManagerProxy;

/// One change.
pub struct Change {
    /// What the progress line calls it: the container or the image.
    pub subject: String,
    /// Ctrl-C asks the daemon to undo it. Not for what has to be done anyway.
    pub cancellable: bool,
    /// An administrator has to agree, as far as can be known before.
    pub administrator: bool,
    verb: Verb,
    options: Options,
}

enum Verb {
    Create,
    Ensure,
    Start,
    Stop,
    Restart,
    Remove,
    Configure { set: Vec<(String, String)>, unset: Vec<String> },
    TakeSnapshot,
    Undo,
    Prune,
    PullImage,
    ImportImage,
    RemoveImage,
}

impl Change {
    fn new(verb: Verb, subject: &str, options: Options) -> Self {
        Self { subject: subject.to_owned(), cancellable: true, administrator: false, verb, options }
    }

    /// Make a container.
    pub fn create(name: &str, options: Options) -> Self {
        Self::new(Verb::Create, name, options)
    }

    /// Make a container run and answer.
    pub fn ensure(name: &str, options: Options) -> Self {
        Self::new(Verb::Ensure, name, options)
    }

    /// Start a container.
    pub fn start(name: &str, options: Options) -> Self {
        Self::new(Verb::Start, name, options)
    }

    /// Stop a container.
    pub fn stop(name: &str, options: Options) -> Self {
        Self::new(Verb::Stop, name, options)
    }

    /// Stop a container and start it.
    pub fn restart(name: &str, options: Options) -> Self {
        Self::new(Verb::Restart, name, options)
    }

    /// Remove a container.
    pub fn remove(name: &str, options: Options) -> Self {
        Self::new(Verb::Remove, name, options)
    }

    /// Change settings of a container.
    pub fn configure(name: &str, set: Vec<(String, String)>, unset: Vec<String>, options: Options) -> Self {
        Self::new(Verb::Configure { set, unset }, name, options)
    }

    /// Take a snapshot of a container.
    #[allow(dead_code, reason = "see the module `snapshot`")]
    pub fn take_snapshot(name: &str, options: Options) -> Self {
        Self::new(Verb::TakeSnapshot, name, options)
    }

    /// Put a container's disk back to a snapshot.
    pub fn undo(name: &str, options: Options) -> Self {
        Self::new(Verb::Undo, name, options)
    }

    /// Remove what was left over.
    pub fn prune(options: Options) -> Self {
        Self::new(Verb::Prune, "leftovers", options)
    }

    /// Fetch an image.
    pub fn pull_image(reference: &str, options: Options) -> Self {
        Self::new(Verb::PullImage, reference, options)
    }

    /// Take in an image from files.
    pub fn import_image(alias: &str, options: Options) -> Self {
        Self::new(Verb::ImportImage, alias, options)
    }

    /// Remove an image.
    pub fn remove_image(reference: &str, options: Options) -> Self {
        Self::new(Verb::RemoveImage, reference, options)
    }

    /// Ctrl-C does not stop it.
    #[must_use]
    pub fn uncancellable(mut self) -> Self {
        self.cancellable = false;
        self
    }

    /// An administrator has to agree.
    #[must_use]
    pub fn with_administrator(mut self, needed: bool) -> Self {
        self.administrator = needed;
        self
    }

    /// Whether an administrator has to agree.
    pub fn needs_administrator(&self) -> bool {
        self.administrator
    }

    /// What it is doing, for a progress line, until the daemon says it better.
    pub fn doing(&self) -> &'static str {
        match self.verb {
            Verb::Create => "creating",
            Verb::Ensure => "preparing",
            Verb::Start => "starting",
            Verb::Stop => "stopping",
            Verb::Restart => "restarting",
            Verb::Remove | Verb::RemoveImage | Verb::Prune => "removing",
            Verb::Configure { .. } => "changing settings",
            Verb::TakeSnapshot => "taking a snapshot",
            Verb::Undo => "going back",
            Verb::PullImage => "fetching",
            Verb::ImportImage => "importing",
        }
    }

    /// Calls the daemon; the answer is the job.
    pub async fn ask(&self, manager: &ManagerProxy<'_>) -> zbus::Result<OwnedObjectPath> {
        let (name, options) = (self.subject.as_str(), self.options.borrowed());
        match &self.verb {
            Verb::Create => manager.create(name, options).await,
            Verb::Ensure => manager.ensure(name, options).await,
            Verb::Start => manager.start(name, options).await,
            Verb::Stop => manager.stop(name, options).await,
            Verb::Restart => manager.restart(name, options).await,
            Verb::Remove => manager.remove(name, options).await,
            Verb::Configure { set, unset } => {
                let set: HashMap<&str, &str> =
                    set.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
                let unset: Vec<&str> = unset.iter().map(String::as_str).collect();
                manager.configure(name, set, &unset, options).await
            }
            Verb::TakeSnapshot => manager.take_snapshot(name, options).await,
            Verb::Undo => manager.undo(name, options).await,
            Verb::Prune => manager.prune(options).await,
            Verb::PullImage => manager.pull_image(name, options).await,
            Verb::ImportImage => manager.import_image(name, options).await,
            Verb::RemoveImage => manager.remove_image(name, options).await,
        }
    }
}
