//! Mounts: reading them, and the one that snugd shares with incusd.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountPropagationFlags, UnmountFlags};

use crate::error::{Doing, Result};
use crate::state::State;

/// Where snugd (in the host's namespace) makes mounts that guests must see (in incusd's).
pub const SHARED_DIR: &str = "/var/lib/snug";

/// One line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub point: PathBuf,
    /// The filesystem's type.
    pub kind: String,
    /// The peer group it sends its mounts to.
    pub shared: Option<u32>,
    /// The peer group it gets mounts from.
    pub master: Option<u32>,
}

/// The mounts in the namespace of a process (`"self"`, `"thread-self"`, a pid).
pub fn of(process: impl std::fmt::Display) -> Vec<Mount> {
    let text = fs::read(format!("/proc/{process}/mountinfo")).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter_map(parse).collect()
}

/// Mount points at or below a directory, innermost first.
pub fn below(dir: &Path, mounts: &[Mount]) -> Vec<PathBuf> {
    mounts
        .iter()
        .rev()
        .filter(|mount| mount.point.starts_with(dir))
        .map(|mount| mount.point.clone())
        .collect()
}

/// Makes [`SHARED_DIR`] a mount that passes on what is mounted below it. On a host whose `/` is shared it already is.
pub fn share(state: &mut State) -> Result<()> {
    let dir = Path::new(SHARED_DIR);
    fs::create_dir_all(dir).doing(|| format!("making {SHARED_DIR}"))?;
    if holding(dir, &of("self")).is_some_and(|mount| mount.shared.is_some()) {
        return Ok(());
    }
    let sharing = || format!("making {SHARED_DIR} a shared mount");
    // One of an earlier `up` that somebody has made private: another on top would hide what is mounted below it.
    if !of("self").iter().any(|mount| mount.point == dir) {
        state.remember(|state| state.mounts.extend([dir.to_owned()]))?;
        rustix::mount::mount_bind(dir, dir).doing(sharing)?;
    }
    // Private first: it must be the only peer, whatever its parent is.
    rustix::mount::mount_change(dir, MountPropagationFlags::PRIVATE).doing(sharing)?;
    rustix::mount::mount_change(dir, MountPropagationFlags::SHARED).doing(sharing)
}

/// The mount that a directory lies on: of those at the longest path the last, which hides the others.
pub fn holding<'a>(dir: &Path, mounts: &'a [Mount]) -> Option<&'a Mount> {
    mounts
        .iter()
        .filter(|mount| dir.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.as_os_str().len())
}

/// Unmounts everything at and below a directory; what is busy is detached.
pub fn unmount_below(dir: &Path) -> Vec<String> {
    let mut failed = Vec::new();
    for point in below(dir, &of("self")) {
        if let Err(error) = rustix::mount::unmount(&point, UnmountFlags::DETACH) {
            failed.push(format!("mount {}: {error}", point.display()));
        }
    }
    failed
}

fn parse(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ');
    let point = unescape(fields.nth(4)?);
    let _options = fields.next()?;
    let tags: Vec<&str> = fields.collect();
    let tag = |name: &str| tags.iter().find_map(|tag| tag.strip_prefix(name)?.parse().ok());
    Some(Mount {
        point: point.into(),
        kind: after.split(' ').next()?.to_owned(),
        shared: tag("shared:"),
        master: tag("master:"),
    })
}

/// mountinfo writes space, tab, newline and backslash as octal.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_understood() {
        let line =
            r"36 35 98:0 /mnt1 /mnt\040two rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!(mount.point, Path::new("/mnt two"));
        assert_eq!((mount.kind.as_str(), mount.shared, mount.master), ("ext3", Some(2), Some(1)));
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn the_innermost_mount_is_unmounted_first() {
        let at = |point: &str| Mount { point: point.into(), kind: String::new(), shared: None, master: None };
        let mounts = [at("/"), at("/a"), at("/ab"), at("/a/b"), at("/a/b")];
        let points = below(Path::new("/a"), &mounts);
        assert_eq!(points, [Path::new("/a/b"), Path::new("/a/b"), Path::new("/a")]);
        assert_eq!(holding(Path::new("/a/x"), &mounts).unwrap().point, Path::new("/a"));
        let stacked = [at("/"), Mount { shared: Some(1), ..at("/") }];
        assert_eq!(holding(Path::new("/a"), &stacked).unwrap().shared, Some(1));
    }
}
