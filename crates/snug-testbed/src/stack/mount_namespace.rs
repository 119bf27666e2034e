//! The mount namespace that lxcfs and incusd live in where no systemd runs: cgroup2 only, as guests need it.
//!
//! The machine's own cgroup mounts stay as they are. Measured: with v1 and v2 side by side Debian 13 guests do not boot.

use std::fs::File;
use std::path::Path;
use std::thread;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::mounts;
use crate::error::{Doing, Error, Result};
use crate::process::{self, Process};

const CGROUP_DIR: &str = "/sys/fs/cgroup";

/// A process in the bed's namespace, if one runs (a daemon may have died while guests go on there).
pub fn resident() -> Option<Process> {
    let own = Process::now(std::process::id().cast_signed())?.mount_namespace()?;
    process::marked().into_iter().find(|process| {
        process.mount_namespace().is_some_and(|namespace| namespace != own)
            && mounts::of(process.pid).iter().any(|m| m.kind == "cgroup2" && m.point == Path::new(CGROUP_DIR))
    })
}

/// Whether mounts made on the host below [`mounts::SHARED_DIR`] arrive in the namespace of a process.
pub fn receives_shared(process: Process) -> bool {
    let dir = Path::new(mounts::SHARED_DIR);
    let host = mounts::of("self");
    let guest = mounts::of(process.pid);
    let sends = mounts::holding(dir, &host).and_then(|mount| mount.shared);
    let there = mounts::holding(dir, &guest);
    sends.is_some() && there.is_some_and(|mount| mount.master == sends || mount.shared == sends)
}

/// Runs `work` on a thread in the namespace of `resident`, or in a new one; what it spawns lives there.
pub fn within<T: Send>(resident: Option<Process>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let inside = scope.spawn(move || {
            match resident {
                Some(process) => enter(process)?,
                None => make()?,
            }
            work()
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn enter(process: Process) -> Result<()> {
    let path = format!("/proc/{}/ns/mnt", process.pid);
    let namespace = File::open(&path).doing(|| format!("opening {path}"))?;
    unshare(UnshareFlags::FS)?;
    rustix::thread::move_into_link_name_space(
        std::os::fd::AsFd::as_fd(&namespace),
        Some(LinkNameSpaceType::Mount),
    )
    .doing(|| format!("entering {path}"))
}

fn make() -> Result<()> {
    unshare(UnshareFlags::FS | UnshareFlags::NEWNS)?;
    let flags = MountPropagationFlags::REC;
    // Slave: nothing leaves to the host. Then shared: what the host mounts, guests' rslave mounts get from here.
    rustix::mount::mount_change("/", flags | MountPropagationFlags::DOWNSTREAM)
        .doing(|| "making / a slave".to_owned())?;
    rustix::mount::mount_change("/", flags | MountPropagationFlags::SHARED)
        .doing(|| "making / shared".to_owned())?;
    for point in mounts::below(Path::new(CGROUP_DIR), &mounts::of("thread-self")) {
        rustix::mount::unmount(&point, UnmountFlags::DETACH)
            .doing(|| format!("unmounting {} in a namespace of our own", point.display()))?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("cgroup2", CGROUP_DIR, "cgroup2", flags, None)
        .doing(|| format!("mounting cgroup2 at {CGROUP_DIR} in a namespace of our own"))
}

fn unshare(flags: UnshareFlags) -> Result<()> {
    // SAFETY: called on a thread of its own that owns no file system state (cwd, root, umask) shared with others
    // by reference; FILES is not among the flags, so no descriptor table changes hands.
    #[allow(unsafe_code, reason = "the system call is unsafe only for CLONE_FILES")]
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(|source| Error::Io {
        doing: "unsharing the mount namespace".to_owned(),
        source: source.into(),
    })
}
