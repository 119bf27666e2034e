//! Whether a guest behind the bridge (`network=nat`) gets anywhere, looked at when it has started, from its network namespace and from the
//! host's. What the host has and the guest lacks is somebody's doing: of a firewall, most often. It is told in two files of the run
//! directory, and taken back when it has been mended.
//!
//! | module | what |
//! |---|---|
//! | [`look`] | when one looks, and again |
//! | [`probe`] | whether somebody can be reached |
//! | [`tap`] | what passes the bridge between the guest and the host |
//! | [`passage`] | how far the guest's questions got there |
//! | [`firewall`] | what there is of firewalls on the host |
//! | [`diagnosis`] | who is in the way, and what to do |
//!
//! Nobody is asked whom this host does not ask anyway: its name servers, else its router. Nothing here delays the guest's start, and
//! nothing looks by the clock: the kernel tells of addresses, routes and rules. Where all is well the process has ended a few milliseconds
//! after the guest has its address.
//!
//! The guest is not believed: its own rules may drop what it asks or is answered, which would be a way to have its owner open the host's
//! firewall. What it asks counts once it has come to the host, and an answer once the host has sent it.

pub mod diagnosis;
pub mod firewall;
mod look;
pub mod passage;
pub mod probe;
pub mod tap;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, setrlimit};
use snug_wire::network::{BRIDGED, Bridged, FAULT, Fault};
use snug_wire::notice::NOTICE;

use self::look::Look;
use crate::daemon;
use crate::guest::Guest;
use crate::owner::Owner;

/// What the process may take, in seconds and bytes, far more than it needs: a guest decides how often it has something to do. The file is
/// the log.
const LIMITS: [(Resource, u64); 4] =
    [(Resource::Cpu, 60), (Resource::As, 128 << 20), (Resource::Fsize, 1 << 20), (Resource::Core, 0)];

/// What is looked at.
#[derive(Debug)]
pub struct Task {
    /// Whose it is: he is told.
    pub owner: Owner,
    /// The container's run directory.
    pub directory: PathBuf,
}

/// Looks, as a daemon whose log is the file. What an earlier look has told is taken back.
///
/// # Errors
/// It cannot be begun: nothing is known of the guest then.
pub fn start(guest: &Guest, task: &Task, log: &File) -> io::Result<()> {
    task.take_back()?;
    let Some(bridged) = task.bridged()? else { return Ok(()) };
    daemon::start(log, "the network was not looked at", || {
        for (resource, most) in LIMITS {
            setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
        }
        Look::new(guest, bridged)?.run(task)
    })
}

/// The error, of that file.
fn of_file(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

impl Task {
    /// The fault for whoever asks; the owner's next command tells it once.
    fn tell(&self, fault: &Fault, also_once: bool) -> io::Result<()> {
        self.write(FAULT, &fault.to_string(), None)?;
        if also_once {
            let hints: String = fault.hints.iter().map(|hint| format!("hint: {hint}\n")).collect();
            self.write(NOTICE, &format!("{}\n{hints}", fault.text), Some(self.owner))?;
        }
        Ok(())
    }

    /// What the guest is to reach; `None` when snugd has not said so: there is nothing to look at.
    fn bridged(&self) -> io::Result<Option<Bridged>> {
        let path = self.directory.join(BRIDGED);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => {
                let text = read.map_err(of_file(&path))?;
                serde_json::from_slice(&text).map(Some).map_err(|error| of_file(&path)(error.into()))
            }
        }
    }

    fn take_back(&self) -> io::Result<()> {
        for name in [FAULT, NOTICE] {
            let path = self.directory.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(of_file(&path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// As a whole or not at all, in a directory that is root's.
    fn write(&self, name: &str, text: &str, owner: Option<Owner>) -> io::Result<()> {
        let (path, new) = (self.directory.join(name), self.directory.join(format!("{name}.new")));
        let mode = if owner.is_some() { 0o600 } else { 0o644 };
        let write = || {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
            file.write_all(text.as_bytes())?;
            if let Some(owner) = owner {
                fchown(&file, Some(owner.uid), Some(owner.gid))?;
            }
            fs::rename(&new, &path)
        };
        write().map_err(of_file(&path))
    }
}
