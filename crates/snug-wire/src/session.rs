//! Where a guest has what its owner's session on the host consists of.
//!
//! A program passes on what its variables say: gpg tells the host's agent where to ask for a passphrase, and that starts a
//! program of the host there. So variables name paths that lead to the same on both sides: [`USERS`] and [`X11`] are links,
//! on the host to [`RUNTIME_DIRECTORIES`] and [`X11_SOCKETS`], in a guest into [`DIRECTORY`].

/// What the grant `session` mounts in a guest.
pub const DIRECTORY: &str = "/.snug/session";
/// The names in [`DIRECTORY`] and in [`LINKS`] of the runtime directories and of the X11 sockets.
pub const PARTS: [&str; 2] = ["user", "x11"];

/// The directory of the links, on both sides.
pub const LINKS: &str = "/var/lib/snug/session";
/// A link to the host's runtime directories.
pub const USERS: &str = "/var/lib/snug/session/user";
/// A link to the host's X11 sockets.
pub const X11: &str = "/var/lib/snug/session/x11";

/// Tells the agent which bus is that of a command's caller: a path below [`USERS`]. The command itself is told another address.
pub const BUS_VARIABLE: &str = "SNUG_SESSION_BUS";

/// On the host: a directory for each user who is logged in, mounted at his login (pam_systemd(8)).
pub const RUNTIME_DIRECTORIES: &str = "/run/user";
/// Where X servers have their sockets: compiled into clients (`Xtrans`, libxcb).
pub const X11_SOCKETS: &str = "/tmp/.X11-unix";
