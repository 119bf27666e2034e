//! When the guest's early boot is done: until then /tmp may be emptied under a command, and files lack their owners.
//!
//! | init | settled |
//! |---|---|
//! | systemd | when our units, ordered after `sysinit.target`, leave their mark: a socket unit whose fifo systemd makes itself, without a process, and a service beside it for certainty |
//! | OpenRC | when its service `bootmisc`, which empties /tmp, has started; at once where it is not enabled |
//! | any other, or none | at once: nothing there tells, and nothing there is known to empty /tmp later |

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::places::Places;

/// What init wrote into [`Places::boot`].
pub const BY_UNIT: &str = "unit";
/// The same, for OpenRC.
pub const BY_OPENRC: &str = "openrc";

const OPENRC_DIRECTORIES: [&str; 3] = ["/run", "/run/openrc", "/run/openrc/started"];
/// A link to the service's script.
const OPENRC_MARK: &str = "/run/openrc/started/bootmisc";

/// How the server learns of it.
pub enum Settle {
    /// It is done.
    Done,
    /// One of `marks` will appear.
    Watched {
        /// Tells when something in their directories changes.
        changes: OwnedFd,
        /// Directories, which may appear one after the other themselves.
        directories: Vec<PathBuf>,
        /// Files.
        marks: Vec<PathBuf>,
    },
}

impl Settle {
    /// Where the guest is now.
    pub fn observe(places: &Places) -> Self {
        let mut directories = vec![places.state.clone()];
        let mut marks = vec![places.settled(), places.sysinit()];
        match fs::read_to_string(places.boot()).unwrap_or_default().as_str() {
            BY_UNIT => {}
            BY_OPENRC => {
                directories.extend(OPENRC_DIRECTORIES.map(PathBuf::from));
                marks.push(OPENRC_MARK.into());
            }
            _ => return Self::Done,
        }
        let Ok(changes) = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) else {
            return Self::Done;
        };
        let mut settle = Self::Watched { changes, directories, marks };
        settle.look(places);
        settle
    }

    /// Whether it is done.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// What to wait for.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Done => None,
            Self::Watched { changes, .. } => Some(changes.as_fd()),
        }
    }

    /// Looks again; true when it has just become done.
    pub fn look(&mut self, places: &Places) -> bool {
        let Self::Watched { changes, directories, marks } = self else { return false };
        let _ = rustix::io::read(&*changes, &mut [0; 4096]);
        // Watch first, look after: nothing falls between.
        for directory in directories {
            let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
            let _ = inotify::add_watch(&*changes, directory.as_path(), flags);
        }
        let done = marks.iter().any(|mark| fs::symlink_metadata(mark).is_ok());
        if done {
            let _ = announce(places);
            *self = Self::Done;
        }
        done
    }
}

/// `snug-agent ready`, and the mark for a server that starts later.
pub fn announce(places: &Places) -> std::io::Result<()> {
    fs::write(places.settled(), "")
}
