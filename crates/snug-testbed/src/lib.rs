//! The real stack of Snug for tests and for trying it: bus, polkit, Incus, guest images, ordinary users.
//!
//! What is found to work on a machine without systemd is in `docs/contributing/testbed.md`.
//!
//! | theme | modules |
//! |---|---|
//! | the verbs of the program | [`verbs`]: `up`, `down`, `status` |
//! | one part of the stack each | [`stack`]: packages, bus, Incus, images, users, mounts |
//! | what tests use | [`session`]: [`Bed`], commands as a user, terminals, containers, leaks |
//! | an image server of the bed's own | [`image_server`] |
//! | `make bench` | [`mod@bench`] |
//! | the machine | [`process`], [`tool`], [`host`], [`state`] |
//!
//! Everything that the bed starts carries the environment variable [`process::MARK`]. That, and not a remembered
//! process id, is how it knows its own: an id is reused, a mark is not.

pub mod bench;
pub mod error;
pub mod host;
pub mod image_server;
pub mod process;
pub mod session;
pub mod stack;
pub mod state;
pub mod tool;
pub mod verbs;

pub use error::{Error, Result};
pub use image_server::ImageServer;
pub use session::bed::Bed;
pub use session::container::Container;
pub use session::host_file::HostFile;
pub use session::leaks::Leaks;
pub use session::lifeline::Lifeline;
pub use session::pty::Pty;
pub use session::snugd::Snugd;
pub use session::user_command::{Captured, UserCommand};
