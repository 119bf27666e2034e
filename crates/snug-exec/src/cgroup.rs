//! The agent's control groups: one for the server, one for each command.
//!
//! They lie beside systemd's own at the root of the guest's tree: systemd moves only what it finds in the root itself.
//! Where the guest has no writable cgroup2 (v1 and hybrid hosts) there are none, and everything works without.
//!
//! The server's group has the path of a slice of the owner's. Whose a bus is, is told by the group of the process that listens
//! (`sd_bus_creds_get_owner_uid(3)`: the last of the slices that the path begins with), and the server listens at the owner's session
//! bus. runc takes nothing else for its word on who asks for a control group (`busctl --user status`, `OwnerUID=`). systemd, which
//! knows groups by the paths of its units, has none there: `snug-agent.slice` as a unit would lie in `snug.slice`.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, statfs};

const ROOT: &str = "/sys/fs/cgroup";
/// `CGROUP2_SUPER_MAGIC` (linux/magic.h).
const CGROUP2: u32 = 0x6367_7270;

/// The agent's part of the guest's tree.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
    server: PathBuf,
}

impl Tree {
    /// Makes the agent's groups in a guest of this owner, where it has one; `None` where there is no writable cgroup2.
    pub fn prepare(owner: Option<u32>) -> Option<Self> {
        let magic = statfs(ROOT).ok()?.f_type;
        if u32::try_from(magic) != Ok(CGROUP2) {
            return None;
        }
        let tree = Self::below(Path::new(ROOT), owner);
        for group in [&tree.server, &tree.commands()] {
            fs::create_dir_all(group).ok()?;
        }
        Some(tree)
    }

    fn below(top: &Path, owner: Option<u32>) -> Self {
        let root = top.join("snug-agent");
        let server = match owner {
            Some(uid) => top.join(format!("snug-agent.slice/user-{uid}.slice")),
            None => root.join("server"),
        };
        Self { root, server }
    }

    fn commands(&self) -> PathBuf {
        self.root.join("commands")
    }

    /// The server's group, to fork it into.
    pub fn open_server(&self) -> io::Result<OwnedFd> {
        open_group(&self.server)
    }

    /// Moves this process into the server's group.
    pub fn enter_server(&self) -> io::Result<()> {
        fs::write(self.server.join("cgroup.procs"), "0")
    }

    /// Makes a group for one command.
    pub fn command(&self, name: u32) -> io::Result<Group> {
        let path = self.commands().join(name.to_string());
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        Ok(Group { directory: open_group(&path)?, path })
    }

    /// Removes the groups of commands whose last process is gone, but not the one of that name, which waits for its
    /// command.
    pub fn sweep(&self, waiting: Option<u32>) {
        let waiting = waiting.map(|name| name.to_string());
        for entry in fs::read_dir(self.commands()).into_iter().flatten().flatten() {
            if waiting.as_ref().is_some_and(|name| entry.file_name() == name.as_str()) {
                continue;
            }
            // Files of the group itself, and groups with processes in them, refuse.
            let _ = fs::remove_dir(entry.path());
        }
    }

    /// Every process that any command has left.
    pub fn processes(&self) -> Vec<i32> {
        let groups = fs::read_dir(self.commands()).into_iter().flatten().flatten();
        groups
            .filter_map(|group| fs::read_to_string(group.path().join("cgroup.procs")).ok())
            .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>())
            .filter(|pid| *pid > 0)
            .collect()
    }

    /// Kills every process of every command.
    pub fn kill_commands(&self) -> io::Result<()> {
        fs::write(self.commands().join("cgroup.kill"), "1")
    }

    /// A descriptor that polls with `PRI` when the first process comes or the last one goes.
    pub fn events(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(open(self.commands().join("cgroup.events"), flags, Mode::empty())?)
    }
}

fn open_group(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// The group of one command.
pub struct Group {
    /// For `CLONE_INTO_CGROUP`.
    pub directory: OwnedFd,
    path: PathBuf,
}

impl Group {
    /// Itself, or, when it was removed meanwhile, made again.
    pub fn renewed(self) -> io::Result<Self> {
        match fs::create_dir(&self.path) {
            Ok(()) => Ok(Self { directory: open_group(&self.path)?, path: self.path }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(self),
            Err(error) => Err(error),
        }
    }

    /// Removes it when it is empty; else the server does so later.
    pub fn remove(self) {
        let _ = fs::remove_dir(self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_group_is_a_slice_of_the_owners_and_commands_are_in_none() {
        let tree = Tree::below(Path::new("/"), Some(1001));
        assert_eq!(tree.server, Path::new("/snug-agent.slice/user-1001.slice"));
        assert_eq!(tree.commands(), Path::new("/snug-agent/commands"));
        assert_eq!(Tree::below(Path::new("/"), None).server, Path::new("/snug-agent/server"));
    }
}
