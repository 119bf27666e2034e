//! The agent's versions that guests see: copied once per version, so that replacing `/usr` under a running guest breaks
//! nothing and a guest knows which agent it runs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use snug_core::paths::Paths;

use super::{file, rundir};
use crate::error::{Error, ErrorKind, Result};

/// The programs of guests: the agent, and what reaches the host for them.
pub const PROGRAMS: [&str; 2] = ["snug-agent", snug_wire::host::GUEST_PROGRAM];
/// Names in their directory that lead to another one of them: programs know `$BROWSER` by its path.
const LINKS: [(&str, &str); 1] = [(snug_wire::host::OPEN, snug_wire::host::GUEST_PROGRAM)];

/// Makes sure that the installed programs are there for guests, and gives their directory (`STATE/guest/VERSION`).
///
/// The same version with other content (a developer's build) is replaced: running guests keep the file that they
/// have open.
///
/// # Errors
/// [`ErrorKind::Failed`] with a hint when one of them is not installed.
pub fn install(paths: &Paths, version: &str) -> Result<PathBuf> {
    let read = |name: &str| {
        let source = paths.guest_source().join(name);
        fs::read(&source).map_err(|error| {
            Error::new(
                ErrorKind::Failed,
                format!("a program for guests is missing: {}: {error}", source.display()),
            )
            .hint("reinstall Snug")
        })
    };
    let contents = PROGRAMS.into_iter().map(|name| Ok((name, read(name)?))).collect::<Result<Vec<_>>>()?;
    let directory = paths.guest_bin(version);
    rundir::directory(&paths.state, 0o755)?;
    rundir::directory(&paths.guest_versions(), 0o755)?;
    rundir::directory(&directory, 0o755)?;
    for (name, content) in contents {
        let target = directory.join(name);
        if !same(&target, &content) {
            file::replace(&target, &content, 0o755)?;
        }
    }
    for (name, target) in LINKS {
        let link = directory.join(name);
        if fs::read_link(&link).is_ok_and(|present| present == Path::new(target)) {
            continue;
        }
        file::remove_if_there(&link)
            .and_then(|_| symlink(target, &link))
            .map_err(|error| Error::system(format!("make the link {}", link.display()), error))?;
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
        let [agent, reach] = PROGRAMS;
        fs::write(paths.guest_source().join(agent), "one").unwrap();
        assert!(install(&paths, "1.0").is_err());
        fs::write(paths.guest_source().join(reach), "reach").unwrap();
        install(&paths, "1.0").unwrap();
        fs::write(paths.guest_source().join(agent), "two").unwrap();
        let directory = install(&paths, "2.0").unwrap();
        assert_eq!(fs::read(directory.join(agent)).unwrap(), b"two");
        assert_eq!(fs::read(directory.join(snug_wire::host::OPEN)).unwrap(), b"reach");
        assert_eq!(fs::read(paths.guest_bin("1.0").join(agent)).unwrap(), b"one");
        let removed = remove_unused(&paths, &BTreeSet::from(["2.0".to_owned()])).unwrap();
        assert_eq!(removed, ["1.0"]);
    }
}
