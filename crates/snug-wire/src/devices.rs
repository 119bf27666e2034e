//! Where a guest has the device nodes of its host.

/// What the grants of devices mount in a guest: a tree with the names that the nodes have below `/dev` of the host, and
/// nodes that belong to the owner.
pub const DIRECTORY: &str = "/.snug/devices";
/// Components of a name below `/dev`; `bus/usb/001/002` has four.
pub const DEEPEST: usize = 6;
