//! What Snug knows without asking anybody: names, image references, specs, grants, presets, settings, configuration
//! and the planner. Pure: no sockets, no clock, no environment, no files; texts come in as arguments.
//!
//! | module | what |
//! |---|---|
//! | **words that a person types** | |
//! | [`name`] | container names, user and group ids |
//! | [`image`] | image references, remotes, the table of short names |
//! | [`grant`] | the holes in a container: their table, their syntax, sets of them |
//! | [`preset`] | named lists of grants |
//! | [`setting`] | limits and the start policy |
//! | **what is stored** | |
//! | [`spec`] | a container's spec, owner, phase and temporary mark, as Incus keeps them |
//! | [`instance`] | a spec as an Incus instance: configuration and devices |
//! | [`snapshot`] | names of snapshots, and which of them go |
//! | **the host** | |
//! | [`owner`] | accounts, and who may own containers |
//! | [`subid`] | `/etc/subuid` and `/etc/subgid` |
//! | [`host_file`] | `login.defs`, `locale.conf` and the like |
//! | [`paths`] | where everything is |
//! | [`config`] | the configuration, merged from its layers |
//! | **change** | |
//! | [`plan`] | steps, each with its undo; the planners |
//! | **texts** | |
//! | [`server_list`] | what an image server has, as one of Snug's programs tells the other |
//! | [`error`] | kinds and hints of errors |
//! | [`text`] | untrusted text made visible; the nearest word |

pub mod config;
pub mod error;
pub mod grant;
pub mod host_file;
pub mod image;
pub mod instance;
pub mod name;
pub mod owner;
pub mod paths;
pub mod plan;
pub mod preset;
pub mod server_list;
pub mod setting;
pub mod snapshot;
pub mod spec;
pub mod subid;
pub mod text;

pub use error::{Explain, Kind};
