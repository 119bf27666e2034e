//! What can be done for containers to be as a list says, and what cannot.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use snug_core::name::ContainerName;

/// What the host has of a container, in words of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Commands.
    pub commands: Vec<String>,
    /// Applications, by their ids.
    pub applications: Vec<String>,
    /// Sockets.
    pub sockets: Vec<String>,
}

impl Exported {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.applications.is_empty() && self.sockets.is_empty()
    }

    /// All of it.
    fn words(&self) -> String {
        [&self.commands[..], &self.applications, &self.sockets].concat().join(", ")
    }
}

/// One thing to do. Its JSON shape is documented in `docs/reference/json.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Step {
    /// Make a container.
    Create {
        /// Its name.
        container: ContainerName,
        /// In its full spelling.
        image: String,
        /// What it is made as.
        preset: String,
        /// `+kvm`, `-gpu`
        grants: Vec<String>,
        /// By key.
        settings: BTreeMap<String, String>,
    },
    /// Change settings.
    Set {
        /// Whose.
        container: ContainerName,
        /// By key.
        settings: BTreeMap<String, String>,
    },
    /// Take settings back.
    Unset {
        /// Whose.
        container: ContainerName,
        /// Their keys.
        settings: Vec<String>,
    },
    /// Take back commands and sockets of the host's.
    Unexport {
        /// Whose.
        container: ContainerName,
        /// Commands by their names on the host, sockets by their paths in the container.
        #[serde(flatten)]
        what: Exported,
    },
    /// Remove packages.
    Uninstall {
        /// Whose.
        container: ContainerName,
        /// Their names.
        packages: Vec<String>,
    },
    /// Install packages.
    Install {
        /// Whose.
        container: ContainerName,
        /// Names, perhaps with a version.
        packages: Vec<String>,
        /// The host gets their commands and applications: the list does not say which.
        export: bool,
    },
    /// Let the host have commands and sockets.
    Export {
        /// Whose.
        container: ContainerName,
        /// `fdfind=fd`, `/run/docker.sock`
        #[serde(flatten)]
        what: Exported,
    },
    /// Remove a container that the list does not name.
    Remove {
        /// Its name.
        container: ContainerName,
    },
}

impl Step {
    /// Whose.
    pub fn container(&self) -> &ContainerName {
        match self {
            Self::Create { container, .. }
            | Self::Set { container, .. }
            | Self::Unset { container, .. }
            | Self::Unexport { container, .. }
            | Self::Uninstall { container, .. }
            | Self::Install { container, .. }
            | Self::Export { container, .. }
            | Self::Remove { container } => container,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = |settings: &BTreeMap<String, String>| -> Vec<String> {
            settings.iter().map(|(key, value)| format!("{key}={value}")).collect()
        };
        match self {
            Self::Create { container, image, preset, grants, settings } => {
                let what = [vec![preset.clone()], grants.clone(), pairs(settings)].concat();
                write!(f, "create '{container}' from {image}: {}", what.join(" "))
            }
            Self::Set { container, settings } => {
                write!(f, "set in '{container}': {}", pairs(settings).join(" "))
            }
            Self::Unset { container, settings } => {
                write!(f, "unset in '{container}': {}", settings.join(" "))
            }
            Self::Unexport { container, what } => write!(f, "unexport from '{container}': {}", what.words()),
            Self::Uninstall { container, packages } => {
                write!(f, "uninstall in '{container}': {}", packages.join(", "))
            }
            Self::Install { container, packages, .. } => {
                write!(f, "install in '{container}': {}", packages.join(", "))
            }
            Self::Export { container, what } => write!(f, "export from '{container}': {}", what.words()),
            Self::Remove { container } => {
                write!(f, "remove '{container}', with everything that was installed in it")
            }
        }
    }
}

/// Something that the list says and no step can bring about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// Whose.
    pub container: ContainerName,
    /// What.
    pub text: String,
    /// What to do.
    pub hints: Vec<String>,
}
