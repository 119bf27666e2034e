//! Where a guest has the device nodes of its host.

/// What the grants of devices mount in a guest: a tree with the names that the nodes have below `/dev` of the host, and
/// nodes that belong to the owner.
pub const DIRECTORY: &str = "/.snug/devices";
