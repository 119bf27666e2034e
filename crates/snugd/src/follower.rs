//! `snugd follow`: watches what guests take over from the host, and has the daemon tell them when it changes. A process of
//! its own, which sleeps: the daemon leaves when there is nothing to do.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;
use zbus::{Connection, Variant};

use crate::bus::{self, MANAGER, ROOT, names};
use crate::error::{Error, Result};
use crate::host::certificates;
use crate::host::devices::{self, DEV, Snapshot};
use crate::host::environment::Sources;
use crate::host::{driver, file, readiness};

/// What it is called on the bus while it watches: `Doctor` looks for it.
pub const NAME: &str = "org.snug.Follow1";

/// Directories whose files say it; `/etc/resolv.conf` may lead to others.
const DIRECTORIES: [&str; 3] = ["/etc", "/etc/default", "/run/systemd/resolve"];
/// What writes one file writes others, and renames them.
const SETTLED: Duration = Duration::from_millis(100);
/// Between two changes that are told: whoever owns a device could make one after the other.
const APART: Duration = Duration::from_millis(500);
/// Until the daemon, or the bus, is asked again after it failed.
const AGAIN: Duration = Duration::from_secs(10);
/// How often one that could not be told is tried again: it may have been busy, its owner's directory away. A guest that does not
/// listen is left.
const PERSISTENCE: u32 = 3;

/// Watches until it is ended.
///
/// # Errors
/// No bus; nothing can be watched.
pub async fn run() -> Result<ExitCode> {
    let bus = Connection::system().await?;
    let watch = Watch::new().map_err(|error| Error::system("watch files of the host", error))?;
    // A second one watches as well; one that may not have the name, since the bus' policy is older than it, too.
    if let Err(error) = names::take(&bus, NAME).await {
        tracing::warn!("the doctor will not see that the host is followed: {error}");
    }
    let mut told = None;
    let mut complained = Vec::new();
    let mut failures = 0;
    let mut again = false;
    loop {
        // First watched, then read: what changes in between is seen again.
        watch.renew();
        let seen = tokio::task::spawn_blocking(|| {
            // Who is in which group decides what he may open.
            let groups = file::read_or_empty(Path::new("/etc/group")).unwrap_or_default();
            (Sources::read(), Snapshot::of(Path::new(DEV)), driver::Snapshot::read(), groups)
        })
        .await?;
        let (_, _, driver, _) = &seen;
        complain(&mut complained, driver.complaints());
        if told.as_ref() != Some(&seen) {
            match tell(&bus).await {
                Ok(all) if !all && failures < PERSISTENCE => {
                    failures += 1;
                    // What changes meanwhile does not wait for the one that could not be told.
                    tokio::select! {
                        () = tokio::time::sleep(AGAIN) => {}
                        changed = watch.changed() => {
                            changed.map_err(|error| Error::system("watch files of the host", error))?;
                            tokio::time::sleep(APART).await;
                        }
                    }
                    continue;
                }
                Ok(_) => {
                    failures = 0;
                    // What changes all the time is told now and then.
                    tokio::time::sleep(APART).await;
                    // What changed and changed back while it was told may have been told in between: told once more.
                    again = !again && watch.has_changed();
                    told = (!again).then_some(seen);
                    if again {
                        continue;
                    }
                }
                Err(error) => {
                    tracing::warn!("running containers are not told of a change on the host: {error}");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            }
        }
        watch.changed().await.map_err(|error| Error::system("watch files of the host", error))?;
        tokio::time::sleep(SETTLED).await;
    }
}

/// Tells the journal what of the host cannot be read: once, as long as it stays the same.
fn complain(told: &mut Vec<driver::Complaint>, complaints: &[driver::Complaint]) {
    for complaint in complaints.iter().filter(|one| !told.contains(one)) {
        tracing::warn!("{complaint}");
    }
    *told = complaints.to_vec();
}

/// Has the daemon tell all that run; whether all were told. Those that were not are in its journal.
async fn tell(connection: &Connection) -> Result<bool> {
    let options = HashMap::from([("all-users", Variant::from(true))]);
    let answer = connection.call_method(Some(bus::NAME), ROOT, Some(MANAGER), "FollowHost", &options).await?;
    Ok(answer.body().deserialize::<Vec<String>>()?.is_empty())
}

/// Directories that are watched.
struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    fn new() -> io::Result<Self> {
        Ok(Self(readiness::register(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)?))
    }

    /// Watches what there is by now. A directory that is watched already stays so.
    fn renew(&self) {
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        // Writing to a device and closing it changes nothing there; its owner or its access list does.
        let of_devices = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        // One that goes at this moment is looked for again with the event that tells so.
        let watch = |directory: &Path, flags| {
            let _ = inotify::add_watch(self.0.get_ref(), directory, flags);
        };
        for directory in watched() {
            watch(&directory, flags);
        }
        devices::enter_directories(Path::new(DEV), |directory| watch(directory, of_devices));
    }

    /// Whether something has changed since it was asked last; takes it.
    fn has_changed(&self) -> bool {
        rustix::io::read(self.0.get_ref(), &mut [0; 4096]).is_ok_and(|bytes| bytes > 0)
    }

    /// Waits for a change, and takes all that are told of.
    async fn changed(&self) -> io::Result<()> {
        readiness::drain(&self.0).await
    }
}

/// The directories, or what is there above one that is not yet.
fn watched() -> Vec<PathBuf> {
    let there = |path: &Path| path.ancestors().find(|path| path.is_dir()).map(Path::to_owned);
    let links = links_of(Path::new("/etc/resolv.conf"));
    let of_links = links.iter().filter_map(|path| path.parent());
    let mut all: Vec<PathBuf> = DIRECTORIES
        .iter()
        .chain(&certificates::DIRECTORIES)
        .chain(&driver::DIRECTORIES)
        .map(Path::new)
        .chain(of_links)
        .filter_map(there)
        .collect();
    all.sort();
    all.dedup();
    all
}

/// A file, and where it leads to, link by link.
fn links_of(file: &Path) -> Vec<PathBuf> {
    /// As far as the kernel follows links (path_resolution(7)).
    const LONGEST: usize = 40;
    let next = |path: &PathBuf| {
        let target = std::fs::read_link(path).ok()?;
        Some(path.parent().unwrap_or(Path::new("/")).join(target))
    };
    std::iter::successors(Some(file.to_owned()), next).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_watched_at_each_link_that_leads_to_it() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path();
        std::fs::create_dir(base.join("sub")).unwrap();
        std::os::unix::fs::symlink("../b", base.join("sub/a")).unwrap();
        std::os::unix::fs::symlink("c", base.join("b")).unwrap();
        assert_eq!(
            links_of(&base.join("sub/a")),
            [base.join("sub/a"), base.join("sub/../b"), base.join("sub/../c")]
        );
        std::os::unix::fs::symlink("ring", base.join("ring")).unwrap();
        assert_eq!(links_of(&base.join("ring")).len(), 40);
    }

    #[tokio::test]
    async fn a_replaced_file_is_a_change() {
        let base = tempfile::tempdir().unwrap();
        let watch = Watch::new().unwrap();
        watch.renew();
        inotify::add_watch(watch.0.get_ref(), base.path(), WatchFlags::MOVED_TO).unwrap();
        std::fs::write(base.path().join("new"), "x").unwrap();
        std::fs::rename(base.path().join("new"), base.path().join("file")).unwrap();
        tokio::time::timeout(Duration::from_secs(10), watch.changed()).await.unwrap().unwrap();
    }
}
