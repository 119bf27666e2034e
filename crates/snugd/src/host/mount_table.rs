//! What is mounted where, as the kernel tells it (proc_pid_mountinfo(5)).

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Mounts below a directory that are copied with it: a user who has a directory there may make as many as `mount_max` of
/// fuse.conf(5) says, and the kernel allows the host only so many (`fs.mount-max`).
pub const MOST_MOUNTS: usize = 256;

/// All mounts of a mount namespace when it was read.
#[derive(Debug)]
pub struct Table(Vec<Mount>);

/// One of them.
#[derive(Debug)]
struct Mount {
    /// `major:minor` of the file system.
    device: String,
    /// The directory of the file system that is mounted.
    root: PathBuf,
    target: PathBuf,
    /// Whether what is mounted below it appears in copies of it, too.
    shared: bool,
}

impl Table {
    /// The daemon's mount namespace, which is the host's. Blocks, for the kernel alone.
    ///
    /// # Errors
    /// When `/proc/self/mountinfo` cannot be read.
    pub fn read() -> Result<Self> {
        Self::from("/proc/self/mountinfo")
    }

    /// That in which users and the host's services mount things: the first process'.
    ///
    /// # Errors
    /// When `/proc/1/mountinfo` cannot be read.
    pub fn of_the_first_process() -> Result<Self> {
        Self::from("/proc/1/mountinfo")
    }

    fn from(file: &str) -> Result<Self> {
        let text = std::fs::read(file).map_err(|error| Error::system(format!("read {file}"), error))?;
        Ok(Self::parse(&String::from_utf8_lossy(&text)))
    }

    fn parse(mountinfo: &str) -> Self {
        Self(mountinfo.lines().filter_map(mount).collect())
    }

    /// What is mounted at `directory` or below, each with all that lies on it: the outermost mounts, spelled as `directory`
    /// is.
    #[must_use]
    pub fn below(&self, directory: &Path) -> Vec<PathBuf> {
        // The kernel names paths without links.
        let real = std::fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
        let rest = self.0.iter().filter_map(|mount| mount.target.strip_prefix(&real).ok());
        outermost(rest.map(|rest| join(directory, rest)).collect())
    }

    /// Whether what is mounted at `path`, which is without links, appears where that was copied to before
    /// (mount_namespaces(7), shared mounts).
    #[must_use]
    pub fn passes_on(&self, path: &Path) -> bool {
        self.holder(path).is_some_and(|mount| mount.shared)
    }

    /// How much is mounted at `directory`, which is without links, or below.
    #[must_use]
    pub fn count_below(&self, directory: &Path) -> usize {
        self.0.iter().filter(|mount| mount.target.starts_with(directory)).count()
    }

    /// Whether `directory` holds what lies at `path`, which is elsewhere, a second time: by itself, or in what is mounted
    /// below it. Both are without links.
    #[must_use]
    pub fn shows(&self, directory: &Path, path: &Path) -> bool {
        let (Some(holder), Some(own)) = (self.holder(path), self.holder(directory)) else { return false };
        let within = holder.in_file_system(path);
        let is_in = |mount: &Mount, root: &Path| mount.device == holder.device && within.starts_with(root);
        let mut below = self.0.iter().filter(|mount| mount.target.starts_with(directory));
        is_in(own, &own.in_file_system(directory)) || below.any(|mount| is_in(mount, &mount.root))
    }

    /// The mount that a path lies in: of those at one target, the last one lies on the others.
    fn holder(&self, path: &Path) -> Option<&Mount> {
        let holders = self.0.iter().filter(|mount| path.starts_with(&mount.target));
        holders.max_by_key(|mount| mount.target.components().count())
    }
}

impl Mount {
    /// Where a path that lies in it is in its file system.
    fn in_file_system(&self, path: &Path) -> PathBuf {
        join(&self.root, path.strip_prefix(&self.target).unwrap_or(path))
    }
}

/// No slash is added where there is nothing to join.
fn join(base: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { base.to_owned() } else { base.join(rest) }
}

fn mount(line: &str) -> Option<Mount> {
    let (fixed, rest) = line.split_once(" - ")?;
    let mut fields = fixed.split(' ').skip(2);
    let (device, root, target) = (fields.next()?, unescape(fields.next()?), unescape(fields.next()?));
    let shared = fields.skip(1).any(|field| field.starts_with("shared:"));
    let (kind, rest) = rest.split_once(' ')?;
    let source = unescape(rest.split(' ').next()?);
    let source = source.to_string_lossy();
    // NFS names every directory of a server's file system `/` (`nfs_show_path`); which it is, is in the source.
    let root = match source.split_once(":/").filter(|_| kind.starts_with("nfs")) {
        Some((_, path)) => Path::new("/").join(path),
        None => root,
    };
    Some(Mount { device: device.to_owned(), root, target, shared })
}

/// Those that lie on no other one.
fn outermost(mut targets: Vec<PathBuf>) -> Vec<PathBuf> {
    targets.sort();
    // What lies on one comes after it: paths are compared component by component.
    let mut outermost: Vec<PathBuf> = Vec::new();
    for target in targets {
        if outermost.last().is_none_or(|last| !target.starts_with(last)) {
            outermost.push(target);
        }
    }
    outermost
}

/// `\040` and the like, as the kernel writes them (`seq_path`).
fn unescape(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'\\'
            && let Some(digits) = text.get(at + 1..at + 4)
            && let Ok(value) = u8::from_str_radix(digits, 8)
        {
            out.push(value);
            at += 4;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    std::ffi::OsString::from_vec(out).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(all: &[&str]) -> Vec<PathBuf> {
        all.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn targets_are_unescaped() {
        let table = Table::parse(
            "36 35 98:0 / /a\\040b rw - ext4 /dev/x rw\n37 36 0:1 / /c rw master:1 - tmpfs x rw\n",
        );
        assert_eq!(table.below(Path::new("/")), paths(&["/a b", "/c"]));
    }

    #[test]
    fn what_is_mounted_on_a_shared_mount_is_passed_on() {
        let table = Table::parse(
            "1 0 8:1 / / rw shared:1 - ext4 x rw\n2 1 0:5 / /tmp rw,nosuid - tmpfs x rw\n\
             3 1 0:6 / /mnt rw master:9 - tmpfs x rw\n4 1 0:7 / /media rw,shared: master:2 shared:7 - tmpfs x rw\n",
        );
        for (path, passed_on) in [("/srv", true), ("/tmp/x", false), ("/mnt", false), ("/media", true)] {
            assert_eq!(table.passes_on(Path::new(path)), passed_on, "{path}");
        }
    }

    #[test]
    fn what_is_mounted_on_a_mount_goes_with_it() {
        let all = [
            "/r/places/tmp/b/in",
            "/r/home",
            "/r/places/tmp",
            "/r/places/tmp-2",
            "/r/places/tmp",
            "/r/places/tmp/b",
        ];
        assert_eq!(outermost(paths(&all)), paths(&["/r/home", "/r/places/tmp", "/r/places/tmp-2"]));
    }

    #[test]
    fn what_is_below_a_link_is_spelled_as_the_link_is() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        std::fs::create_dir(base.join("real")).unwrap();
        std::os::unix::fs::symlink("real", base.join("link")).unwrap();
        let line = format!("1 0 8:1 / {}/real/in rw - ext4 x rw\n", base.display());
        assert_eq!(Table::parse(&line).below(&base.join("link")), [base.join("link/in")]);
    }

    #[test]
    fn a_second_mount_of_a_file_system_shows_what_lies_in_it() {
        let table = Table::parse(
            "1 0 8:1 / / rw - ext4 x rw\n2 1 8:2 / /data rw - ext4 x rw\n3 1 8:1 / /mnt rw - ext4 x rw\n\
             4 1 8:2 /home /media/homes rw - ext4 x rw\n5 1 8:3 / /srv/disk rw - ext4 x rw\n\
             6 1 8:1 /opt/homes /home rw - ext4 x rw\n7 1 0:9 / /net/home rw - nfs4 far:/export/home rw\n\
             8 1 0:9 / /media/net rw - nfs4 far:/export/data rw\n",
        );
        let shows = |directory: &str, path: &str| table.shows(Path::new(directory), Path::new(path));
        assert!(shows("/mnt", "/var/lib/snug") && shows("/media", "/data/home/anna"));
        assert!(shows("/opt", "/home/anna"), "what is bound elsewhere lies in it");
        for (directory, path) in [
            ("/media", "/data/other"),
            ("/srv", "/var/lib/snug"),
            ("/tmp", "/home/anna"),
            ("/media", "/net/home/anna"),
        ] {
            assert!(!shows(directory, path), "{directory} {path}");
        }
    }

    #[test]
    fn the_root_is_mounted() {
        let table = Table::read().unwrap();
        assert!(table.count_below(Path::new("/")) > 0);
        assert_eq!(table.below(Path::new("/")), paths(&["/"]));
    }
}
