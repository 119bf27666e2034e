//! When the guest's early boot is done: until then /tmp may be emptied under a command, and files lack their owners.
//!
//! | init | settled |
//! |---|---|
//! | systemd | when our unit, after `sysinit.target`, says so by a byte in a fifo |
//! | OpenRC | when its service `bootmisc`, which empties /tmp, has started; at once where it is not enabled |
//! | any other, or none | at once: nothing there tells, and nothing there is known to empty /tmp later |

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{Mode, OFlags, open};

use crate::places::Places;

/// What init wrote into [`Places::boot`].
pub const BY_UNIT: &str = "unit";
/// The same, for OpenRC.
pub const BY_OPENRC: &str = "openrc";

const OPENRC_DIRECTORIES: [&str; 3] = ["/run", "/run/openrc", "/run/openrc/started"];
const OPENRC_MARK: &str = "/run/openrc/started/bootmisc";

/// How the server learns of it.
pub enum Settle {
    /// It is done.
    Done,
    /// A byte will come here.
    Fifo(OwnedFd),
    /// Something changes here.
    OpenRc(OwnedFd),
}

impl Settle {
    /// Where the guest is now.
    pub fn observe(places: &Places) -> Self {
        let waits = match fs::read_to_string(places.boot()).unwrap_or_default().as_str() {
            // Read and write, so that it never ends when a writer leaves.
            BY_UNIT => open(places.ready(), OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
                .map_or(Self::Done, Self::Fifo),
            BY_OPENRC => {
                inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_or(Self::Done, Self::OpenRc)
            }
            _ => Self::Done,
        };
        // Looked at after the descriptor exists, so that nothing falls between.
        let mut waits = waits;
        waits.look(places);
        waits
    }

    /// Whether it is done.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// What to wait for.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Done => None,
            Self::Fifo(fd) | Self::OpenRc(fd) => Some(fd.as_fd()),
        }
    }

    /// Looks again; true when it has just become done.
    pub fn look(&mut self, places: &Places) -> bool {
        let mut buffer = [0; 4096];
        let done = match self {
            Self::Done => false,
            Self::Fifo(fd) => {
                rustix::io::read(fd, &mut buffer).is_ok_and(|count| count > 0) || places.settled().exists()
            }
            Self::OpenRc(fd) => {
                let _ = rustix::io::read(&*fd, &mut buffer);
                for directory in OPENRC_DIRECTORIES {
                    let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
                    let _ = inotify::add_watch(&*fd, directory, flags);
                }
                // A link to the service's script.
                places.settled().exists() || fs::symlink_metadata(Path::new(OPENRC_MARK)).is_ok()
            }
        };
        if done {
            let _ = fs::write(places.settled(), "");
            *self = Self::Done;
        }
        done
    }
}

/// `snug-agent ready`: the marker first, for a server that starts later, then the byte.
pub fn announce(places: &Places) -> std::io::Result<()> {
    fs::write(places.settled(), "")?;
    if let Ok(fifo) = open(places.ready(), OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
    {
        rustix::io::write(fifo, b"1")?;
    }
    Ok(())
}
