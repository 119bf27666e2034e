//! The process: its printer, configuration, user and paths. What is dear is made when it is first asked for.

use std::cell::OnceCell;

use snug_client::{Target, host_service};
use snug_core::config::Config;
use snug_core::name::{ContainerName, Uid};
use snug_core::paths::Paths;

use crate::bus::Bus;
use crate::configuration;
use crate::env_vars;
use crate::error::CommandError;
use crate::printer::Printer;

/// This program, also when its file has been replaced.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// What every command gets.
pub struct Context {
    /// All output goes through it.
    pub printer: Printer,
    /// Where everything is.
    pub paths: Paths,
    config: OnceCell<Config>,
}

impl Context {
    /// A context for this process.
    pub fn new(printer: Printer) -> Self {
        let root = if cfg!(debug_assertions) { env_vars::non_empty(env_vars::SNUG_TEST_ROOT) } else { None };
        let paths = root.map_or_else(Paths::default, |root| Paths::below(root.as_ref()));
        Self { printer, paths, config: OnceCell::new() }
    }

    /// The merged configuration; read once.
    pub fn config(&self) -> Result<&Config, CommandError> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = configuration::read(&self.paths, self.printer)?;
        Ok(self.config.get_or_init(|| config))
    }

    /// A connection to the daemon.
    pub fn bus(&self) -> Result<Bus, CommandError> {
        Bus::connect(self.printer)
    }

    /// The user whose containers are meant.
    pub fn uid(&self) -> Uid {
        Uid(rustix::process::getuid().as_raw())
    }

    /// Where a container's commands run.
    pub fn target(&self, container: &ContainerName) -> Target {
        Target::Container {
            directory: self.paths.container_dir(self.uid(), container),
            name: container.to_string(),
            service: OWN_PROGRAM.into(),
        }
    }

    /// Has the user's session serve a container that runs, if its grants say so: its own services may ask for the host before
    /// anybody enters it.
    pub fn offer_host(&self, container: &ContainerName) {
        let target = self.target(container);
        if let Err(error) = target.wake_host(&target.policy()) {
            self.printer.notice(&format!("{container} cannot be offered the host: {error}"));
        }
    }

    /// Has the user's session serve what is exported as the index says now, and waits until it has looked.
    pub fn serve_exports(&self, container: &ContainerName) -> Result<(), CommandError> {
        host_service::wake_and_wait(OWN_PROGRAM.as_ref(), container.as_str())
            .map_err(|error| CommandError::failed("what is exported cannot be served").caused_by(error))
    }

    /// Refuses to take a path for one of the host where it was typed in a container.
    pub fn require_host_paths(&self) -> Result<(), CommandError> {
        if env_vars::non_empty(env_vars::SNUG_GUEST_DIRECTORY).is_none() {
            return Ok(());
        }
        Err(CommandError::usage("files are named as the host has them: in a container that is not clear")
            .hint("`host-exec snug …` takes them for the host's"))
    }

    /// The container that was named, or the configured default.
    pub fn container(&self, given: Option<&str>) -> Result<ContainerName, CommandError> {
        match given {
            Some(name) => parse_name(name),
            None => self.default_container(),
        }
    }

    /// The configured default container.
    pub fn default_container(&self) -> Result<ContainerName, CommandError> {
        match self.config.get() {
            Some(config) => Ok(config.default_container.clone()),
            None => configuration::default_container(&self.paths, self.printer),
        }
    }
}

/// A name as it was typed. What is rather an image gets the hint that says so.
pub fn parse_name(name: &str) -> Result<ContainerName, CommandError> {
    name.parse().map_err(|error| {
        let error = CommandError::from(error);
        if name.contains([':', '/']) {
            error.hint(format!("for an image: `snug create -i {name}`"))
        } else {
            error
        }
    })
}
