//! The cgroup hierarchy that Incus sees, which need not be the one that this process sees.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::space;

/// `CGROUP2_SUPER_MAGIC` (statfs(2)).
const CGROUP2: u64 = 0x6367_7270;

/// What is mounted at `/sys/fs/cgroup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hierarchy {
    /// cgroup v2, with these controllers. Those that are mounted as cgroup v1, or disabled on the kernel's command line, are
    /// none of them (Documentation/admin-guide/cgroup-v2.rst).
    V2(BTreeSet<String>),
    /// Something else: cgroup v1, or nothing.
    Other,
}

impl Hierarchy {
    /// That of the mount namespace of process `pid`, which is incusd's.
    ///
    /// # Errors
    /// What the system says: the process is gone, or may not be looked at.
    pub fn of(pid: u32) -> io::Result<Self> {
        Self::at(&PathBuf::from(format!("/proc/{pid}/root/sys/fs/cgroup")))
    }

    fn at(root: &Path) -> io::Result<Self> {
        if space::kind(&rustix::fs::statfs(root)?) != CGROUP2 {
            return Ok(Self::Other);
        }
        let controllers = std::fs::read_to_string(root.join("cgroup.controllers"))?;
        Ok(Self::V2(controllers.split_ascii_whitespace().map(str::to_owned).collect()))
    }

    /// Whether a limit that `controller` keeps has no effect.
    #[must_use]
    pub fn lacks(&self, controller: &str) -> bool {
        match self {
            Self::V2(controllers) => !controllers.contains(controller),
            // Incus keeps limits with cgroup v1, too.
            Self::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_that_is_elsewhere_is_missing() {
        let partial = Hierarchy::V2(["cpuset", "pids"].map(str::to_owned).into());
        assert!(partial.lacks("memory") && !partial.lacks("pids"));
        assert!(!Hierarchy::Other.lacks("memory"));
    }

    #[test]
    fn what_is_no_cgroup_is_told_and_what_is_not_there_is_an_error() {
        assert_eq!(Hierarchy::at(Path::new("/proc")).unwrap(), Hierarchy::Other);
        assert_eq!(Hierarchy::of(u32::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
