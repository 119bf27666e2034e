//! Typed async client of the Incus REST API.
//!
//! ```no_run
//! # async fn example() -> Result<(), incus_client::Error> {
//! use incus_client::{Client, ExecRequest, InstancesPost, InstanceSource, StateChange};
//!
//! let client = Client::discover()?.project("web");
//! let mut new = InstancesPost::container("c1", InstanceSource::local_alias("debian/13"));
//! new.start = true;
//! client.instances().create(&new).await?.wait().await?;
//! let output = client.instances().exec_output("c1", &ExecRequest::new(["id"]), b"").await?;
//! assert_eq!(output.code, 0);
//! client.instances().set_state("c1", &StateChange::stop().force(true)).await?.wait().await?;
//! # Ok(()) }
//! ```
//!
//! # Modules by theme
//!
//! - reaching the server: [`client`], [`transport`], [`websocket`], [`path`]
//! - what it says: [`envelope`], [`error`], [`status`], [`timestamp`]
//! - what it can do: [`server`] (information, extension gates), [`quirks`] (bugs by version)
//! - things: [`project`], [`profile`], [`instance`], [`image`], [`storage`], [`network`]
//! - other servers: [`simplestreams`], for what incusd does not tell about them
//! - inside an instance: [`exec`], [`mod@file`]
//! - things that take time: [`operation`], [`event`]
//!
//! Unknown JSON fields are ignored everywhere; a `null` where a list or map belongs reads as empty.

pub mod client;
mod connection;
pub mod envelope;
pub mod error;
pub mod event;
pub mod exec;
pub mod file;
pub mod image;
mod image_import;
pub mod instance;
mod json;
pub mod network;
pub mod operation;
pub mod path;
pub mod profile;
pub mod project;
pub mod quirks;
pub mod server;
pub mod simplestreams;
pub mod status;
pub mod storage;
pub mod timestamp;
pub mod transport;
pub mod websocket;

use std::collections::BTreeMap;

pub use client::{Client, ClientBuilder, ETag};
pub use error::{Error, ErrorKind, UnavailableReason};
pub use event::{Event, EventFilter, EventKind, Lifecycle, Subscription};
pub use exec::{ExecControl, ExecOutput, ExecReader, ExecRequest, ExecSession, ExecWriter, TerminalSize};
pub use file::{FileAttributes, FileContent, FileKind, Files};
pub use image::{Image, ImageAlias, ImageSource, Images, ImagesPost};
pub use image_import::ImageImport;
pub use instance::{
    Action, Instance, InstancePatch, InstancePut, InstanceSource, InstanceState, InstanceType, Instances,
    InstancesPost, ListOptions, Snapshot, SnapshotsPost, StateChange,
};
pub use network::{Network, NetworkLease, NetworkState, Networks, NetworksPost};
pub use operation::{Operation, OperationInfo, Progress};
pub use profile::{Profile, ProfilePut, Profiles};
pub use project::{Project, ProjectPut, Projects};
pub use quirks::Quirk;
pub use server::{Extension, Server, ServerVersion};
pub use status::StatusCode;
pub use storage::{PoolResources, StoragePool, StoragePools, StoragePoolsPost, StorageVolume};
pub use timestamp::Timestamp;

/// Configuration keys and their values.
pub type Config = BTreeMap<String, String>;

/// Devices: name to keys and values.
pub type Devices = BTreeMap<String, BTreeMap<String, String>>;

/// What every call returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
