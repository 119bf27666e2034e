//! The parts of the stack, one module each.

pub mod bus;
pub mod image_recipes;
pub mod images;
pub mod incus;
pub mod mount_namespace;
pub mod mounts;
pub mod network;
pub mod packages;
pub mod sources;
pub mod temporaries;
pub mod users;
