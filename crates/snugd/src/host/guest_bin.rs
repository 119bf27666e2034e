//! The agent's versions that guests see: copied once per version, so that replacing `/usr` under a running guest breaks
//! nothing and a guest knows which agent it runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use snug_core::paths::Paths;

use super::{file, rundir};
use crate::error::{Error, ErrorKind, Result};

/// Name of the agent's file.
pub const AGENT: &str = "snug-agent";

/// Makes sure that the installed agent is there for guests, and gives its directory (`STATE/guest/VERSION`).
///
/// The same version with other content (a developer's build) is replaced: running guests keep the file that they
/// have open.
///
/// # Errors
/// [`ErrorKind::Failed`] with a hint when no agent is installed.
pub fn install(paths: &Paths, version: &str) -> Result<PathBuf> {
    let source = paths.guest_source().join(AGENT);
    let content = fs::read(&source).map_err(|error| {
        Error::new(
            ErrorKind::Failed,
            format!("the agent for guests is missing: {}: {error}", source.display()),
        )
        .hint("reinstall Snug")
    })?;
    let directory = paths.guest_bin(version);
    rundir::directory(&paths.state, 0o755)?;
    rundir::directory(&paths.guest_versions(), 0o755)?;
    rundir::directory(&directory, 0o755)?;
    let target = directory.join(AGENT);
    if !same(&target, &content) {
        file::replace(&target, &content, 0o755)?;
    }
    Ok(directory)
}

fn same(path: &Path, content: &[u8]) -> bool {
    let length = fs::metadata(path).map(|status| status.len());
    matches!(length, Ok(length) if length == content.len() as u64)
        && fs::read(path).is_ok_and(|found| found == content)
}

/// Versions that are there.
///
/// # Errors
/// What the system says.
pub fn versions(paths: &Paths) -> Result<BTreeSet<String>> {
    Ok(file::names_in(&paths.guest_versions())?.into_iter().collect())
}

/// Removes every version that is not in `used`.
///
/// # Errors
/// What the system says.
pub fn remove_unused(paths: &Paths, used: &BTreeSet<String>) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for version in versions(paths)?.difference(used) {
        let directory = paths.guest_bin(version);
        fs::remove_dir_all(&directory)
            .map_err(|error| Error::system(format!("remove {}", directory.display()), error))?;
        removed.push(version.clone());
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_copied_once_and_old_ones_go() {
        let base = tempfile::tempdir().unwrap();
        let paths = Paths::below(base.path());
        assert!(install(&paths, "1.0").is_err());
        fs::create_dir_all(paths.guest_source()).unwrap();
        fs::write(paths.guest_source().join(AGENT), "one").unwrap();
        install(&paths, "1.0").unwrap();
        fs::write(paths.guest_source().join(AGENT), "two").unwrap();
        let directory = install(&paths, "2.0").unwrap();
        assert_eq!(fs::read(directory.join(AGENT)).unwrap(), b"two");
        assert_eq!(fs::read(paths.guest_bin("1.0").join(AGENT)).unwrap(), b"one");
        let removed = remove_unused(&paths, &BTreeSet::from(["2.0".to_owned()])).unwrap();
        assert_eq!(removed, ["1.0"]);
    }
}
