//! What the server is and can do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::client::Client;
use crate::error::Error;
use crate::json::null_as_default;
use crate::path::ApiPath;
use crate::quirks::{self, Quirk};
use crate::{Config, Result};

/// An API extension. The 6.0 LTS receives extensions too, so this is what to ask, never a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Extension(&'static str);

impl Extension {
    /// Odata filters on dotted keys (6.0.4).
    pub const FILTERING_EXTENDED: Self = Self("api_filtering_extended");
    /// `state.started_at` (6.0.1, 6.1).
    pub const STATE_STARTED_AT: Self = Self("instance_state_started_at");
    /// `DELETE` of a project with all that is in it (6.0.1, 6.2).
    pub const PROJECTS_FORCE_DELETE: Self = Self("projects_force_delete");
    /// Disk source `volume/sub/path` (6.0.2, 6.4).
    pub const DISK_VOLUME_SUBPATH: Self = Self("disk_volume_subpath");
    /// `initial.uid`, `initial.gid`, `initial.mode` on volumes (6.0.3, 6.8).
    pub const STORAGE_INITIAL_OWNER: Self = Self("storage_initial_owner");
    /// Aliases in the header of a raw image import (6.0.3, 6.8).
    pub const IMAGE_IMPORT_ALIAS: Self = Self("image_import_alias");
    /// `state.cpu.allocated_time` (6.0.4, 6.11).
    pub const STATE_CPU_TIME: Self = Self("instance_state_cpu_time");
    /// Publishing as a split image (6.0.5, 6.13).
    pub const PUBLISH_SPLIT: Self = Self("instance_publish_split");
    /// Disk source `tmpfs:` (6.0.6, 6.16).
    pub const DISK_TMPFS: Self = Self("container_disk_tmpfs");
    /// `systemd.credential.*` (6.0.6, 6.18).
    pub const SYSTEMD_CREDENTIALS: Self = Self("instance_systemd_credentials");
    /// Recursive deletion of files (6.0.6, 6.21).
    pub const FILE_DELETE_FORCE: Self = Self("file_delete_force");
    /// OCI images (6.3, never in 6.0.x).
    pub const OCI: Self = Self("instance_oci");

    /// An extension by its name.
    pub const fn named(name: &'static str) -> Self {
        Self(name)
    }

    /// Its name in `api_extensions`.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// A version such as 6.0.4 or 6.23. Only for [`Quirk`]s; features have extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number; 0 when it is missing.
    pub patch: u32,
}

impl ServerVersion {
    /// Reads the numbers at the beginning of a version text; what follows them is ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map_while(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse::<u32>().ok()
        });
        Some(Self {
            major: numbers.next()?,
            minor: numbers.next().unwrap_or(0),
            patch: numbers.next().unwrap_or(0),
        })
    }

    /// Whether this is of the 6.0 long-term series, whose fixes have numbers of their own.
    pub fn is_6_0_lts(self) -> bool {
        (self.major, self.minor) == (6, 0)
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What the server runs on.
#[derive(Clone, Debug, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Environment {
    /// Version text as sent.
    pub server_version: String,
    /// Host name of the server.
    pub server_name: String,
    /// Whether it belongs to a cluster.
    pub server_clustered: bool,
    /// Process id of the server.
    pub server_pid: u32,
    /// Instance drivers: `lxc`, or `lxc | qemu` where virtual machines work.
    pub driver: String,
    /// Their versions.
    pub driver_version: String,
    /// `nftables` or `xtables`.
    pub firewall: String,
    /// Kernel of the host.
    pub kernel_version: String,
    /// Features of the kernel, to `true` or `false` as text; `idmapped_mounts` is one.
    #[serde(deserialize_with = "null_as_default")]
    pub kernel_features: BTreeMap<String, String>,
    /// Features of liblxc, to `true` or `false` as text.
    #[serde(deserialize_with = "null_as_default")]
    pub lxc_features: BTreeMap<String, String>,
    /// Storage drivers that can be used.
    #[serde(deserialize_with = "null_as_default")]
    pub storage_supported_drivers: Vec<StorageDriver>,
    /// Architectures, the host's own first.
    #[serde(deserialize_with = "null_as_default")]
    pub architectures: Vec<String>,
}

/// A storage driver that can be used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StorageDriver {
    /// `btrfs`, `dir`, `zfs`, …
    #[serde(rename = "Name", alias = "name")]
    pub name: String,
    /// Version of its tools.
    #[serde(rename = "Version", alias = "version")]
    pub version: String,
}

/// `GET /1.0`.
#[derive(Clone, Debug, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Server {
    /// API extensions.
    #[serde(deserialize_with = "null_as_default")]
    pub api_extensions: BTreeSet<String>,
    /// `trusted` or `untrusted`.
    pub auth: String,
    /// Who the server takes the caller for.
    pub auth_user_name: String,
    /// `unix`, `tls` or `oidc`.
    pub auth_user_method: String,
    /// Configuration; empty for callers that may not see it.
    #[serde(deserialize_with = "null_as_default")]
    pub config: Config,
    /// What it runs on.
    pub environment: Environment,
}

impl Server {
    /// Whether the server has an API extension.
    pub fn has_extension(&self, extension: Extension) -> bool {
        self.api_extensions.contains(extension.name())
    }

    /// The version; 0.0.0 when it cannot be read.
    pub fn version(&self) -> ServerVersion {
        ServerVersion::parse(&self.environment.server_version).unwrap_or_default()
    }

    /// Whether this version has a bug.
    pub fn has_quirk(&self, quirk: Quirk) -> bool {
        quirks::of(self.version()).any(|found| found == quirk)
    }

    /// All bugs that this version is known to have.
    pub fn quirks(&self) -> Vec<Quirk> {
        quirks::of(self.version()).collect()
    }

    /// Whether the caller is trusted.
    pub fn is_trusted(&self) -> bool {
        self.auth == "trusted"
    }

    /// Whether virtual machines work on this host.
    pub fn has_virtual_machines(&self) -> bool {
        self.environment.driver.contains("qemu")
    }
}

impl Client {
    /// The server's information: asked once, kept until the event stream is interrupted.
    pub async fn server(&self) -> Result<Arc<Server>> {
        match self.cached_server() {
            Some(server) => Ok(server),
            None => self.refresh_server().await,
        }
    }

    /// The server's information, asked now.
    pub async fn refresh_server(&self) -> Result<Arc<Server>> {
        let server: Arc<Server> = Arc::new(self.get(&ApiPath::new([]).server_wide()).await?);
        self.cache_server(Some(Arc::clone(&server)));
        Ok(server)
    }

    /// Whether the server has an API extension.
    pub async fn has_extension(&self, extension: Extension) -> Result<bool> {
        Ok(self.server().await?.has_extension(extension))
    }

    /// Goes on only if the server has an API extension.
    ///
    /// # Errors
    /// [`Error::MissingExtension`].
    pub async fn require(&self, extension: Extension) -> Result<()> {
        if self.has_extension(extension).await? { Ok(()) } else { Err(Error::MissingExtension { extension }) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Server, ServerVersion};

    #[test]
    fn versions_are_read_with_and_without_a_suffix() {
        for (text, expected) in [
            ("6.0.4", Some((6, 0, 4))),
            ("6.23", Some((6, 23, 0))),
            ("7.0.0-rc1", Some((7, 0, 0))),
            ("6.0.4+deb13u3", Some((6, 0, 4))),
            ("", None),
            ("main", None),
        ] {
            let version = ServerVersion::parse(text).map(|v| (v.major, v.minor, v.patch));
            assert_eq!(version, expected, "{text}");
        }
    }

    #[test]
    fn an_untrusted_callers_answer_is_enough_to_read() {
        let text = r#"{"api_extensions":["instance_oci"],"auth":"untrusted","config":null,"environment":{}}"#;
        let server: Server = serde_json::from_str(text).unwrap();
        assert!(!server.is_trusted() && server.has_extension(super::Extension::OCI));
        assert_eq!(server.version(), ServerVersion::default());
    }
}
