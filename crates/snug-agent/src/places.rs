//! Where things are in the guest.

use std::path::{Path, PathBuf};

/// The agent's own program, as the guest sees it.
pub const PROGRAM: &str = "/.snug/bin/snug-agent";

/// Directories of the agent; tests have their own.
#[derive(Debug, Clone)]
pub struct Places {
    /// Shared with the host: `provision.json`, `agent.sock`.
    pub run: PathBuf,
    /// The agent's own state, gone with the guest.
    pub state: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self { run: "/.snug/run".into(), state: "/run/snug".into() }
    }
}

impl Places {
    /// What snugd wrote about the owner.
    pub fn provision(&self) -> PathBuf {
        self.run.join("provision.json")
    }
    /// The socket that clients connect to.
    pub fn socket(&self) -> PathBuf {
        self.run.join("agent.sock")
    }
    /// Locked as long as a server lives.
    pub fn lock(&self) -> PathBuf {
        self.state.join("server.lock")
    }
    /// There when the guest's early boot is done.
    pub fn settled(&self) -> PathBuf {
        self.state.join("settled")
    }
    /// The fifo that systemd makes after `sysinit.target`.
    pub fn sysinit(&self) -> PathBuf {
        self.state.join("sysinit")
    }
    /// How the end of early boot will be known; nothing: it is over.
    pub fn boot(&self) -> PathBuf {
        self.state.join("boot")
    }
    /// There when the guest's program has to look at the certificates.
    pub fn certificates_changed(&self) -> PathBuf {
        self.state.join("certificates-changed")
    }
    /// There when the guest's linker has to look at the host's graphics driver.
    pub fn driver_changed(&self) -> PathBuf {
        self.state.join("driver-changed")
    }
    /// There when somebody has been told of a locale that is missing.
    pub fn told_locale(&self) -> PathBuf {
        self.state.join("told-locale")
    }
    /// The socket of the session bus, for the owner's programs.
    pub fn session_bus(&self) -> PathBuf {
        self.state.join("session-bus")
    }
    /// What the guest's login environment is, NUL-separated.
    pub fn environment(&self) -> PathBuf {
        self.state.join("environment")
    }
}

/// A guest's file system, seen from its root: `/` in a guest, a temporary directory in tests.
#[derive(Debug, Clone)]
pub struct Guest {
    root: PathBuf,
}

impl Default for Guest {
    fn default() -> Self {
        Self { root: "/".into() }
    }
}

impl Guest {
    /// A file system that lies elsewhere.
    #[cfg(test)]
    pub fn at(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// Where the guest's absolute `path` is.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}
