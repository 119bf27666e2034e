//! The files of the host's graphics driver for a guest. NVIDIA's libraries must be of the very version of the kernel's module, so that
//! a guest can have none of its own: the host says in specifications of the Container Device Interface (CDI) which they are.
//!
//! A guest sees each of these files by a read-only mount of it, on a tmpfs of its container's that the daemon alone writes: there is
//! nothing to copy (they have some 500 MB), and what goes with a container goes with its other mounts. Its directories are made by
//! their content and a link is turned to the newest, see [`snug_wire::driver`].
//!
//! | module | what |
//! |---|---|
//! | [`specification`] | a specification's text (pure) |
//! | [`selection`] | what of several counts (pure) |
//! | [`complaint`] | sentences about what is not taken |
//! | [`library`] | the name that a library has in itself |
//! | [`runtime`] | names that stay the guest's own (pure) |
//! | [`layout`] | what is where for a guest (pure) |
//! | [`sources`] | specifications and files, as root and as the owner |
//! | [`farm`] | the mounts |

mod complaint;
mod farm;
mod layout;
mod library;
mod runtime;
mod selection;
mod sources;
mod specification;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

pub use self::complaint::{Complaint, Fault};
pub use self::farm::{clear, current, is_mounted, mount, replace};
pub use self::layout::Layout;
pub use self::sources::{DIRECTORIES, Snapshot};

use self::layout::Candidate;
use self::sources::Opened;
use super::credentials::Credentials;
use crate::error::Result;

/// What the host's driver has for an owner.
#[derive(Debug, Default)]
pub struct Driver {
    /// What is where.
    pub layout: Layout,
    /// The files that it names, opened as places.
    pub files: Vec<OwnedFd>,
    /// What is not taken, and why.
    pub complaints: Vec<Complaint>,
    /// A specification could not be read: there may be more than is known.
    pub is_partial: bool,
}

/// What becomes of a guest's driver.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// It stays.
    Nothing,
    /// There is another one, of this generation.
    Replace(String),
    /// There is none any more.
    Clear,
}

impl Driver {
    /// As it is now, for somebody with these credentials. Blocks. What cannot be taken is a complaint: no container fails by it.
    ///
    /// # Errors
    /// Without a thread for it.
    pub fn read(credentials: Credentials) -> Result<Self> {
        Self::read_from(&DIRECTORIES.map(PathBuf::from), credentials)
    }

    /// For a guest that has the generation `present`.
    ///
    /// What cannot be read takes no driver away, since whoever writes it may not be done. It keeps none from coming either: as long as
    /// it cannot be read it may be about anything.
    #[must_use]
    pub fn change(&self, present: Option<&str>) -> Change {
        match (present, self.layout.generation()) {
            (Some(present), Some(wanted)) if present == wanted => Change::Nothing,
            (_, Some(wanted)) => Change::Replace(wanted),
            (Some(_), None) if self.is_partial => Change::Nothing,
            (_, None) => Change::Clear,
        }
    }

    fn read_from(directories: &[PathBuf], credentials: Credentials) -> Result<Self> {
        let read = sources::specifications(directories);
        let is_partial = !read.complaints.is_empty();
        let mut complaints = read.complaints;
        let mut selection = selection::select(read.files, &mut complaints);
        let of_guest =
            |path: &Path| path.file_name().and_then(OsStr::to_str).is_some_and(runtime::is_guests_own);
        selection.links.retain(|link| {
            let is_taken = !of_guest(&link.at);
            if !is_taken {
                let subject = format!("the link {} of the graphics driver is not made", link.at.display());
                complaints.push(Complaint::from(GUESTS_OWN.to_owned()).about(subject));
            }
            is_taken
        });
        let (opened, refused) = sources::open(selection.mounts, credentials)?;
        complaints.extend(refused);
        let mut files = Vec::with_capacity(opened.len());
        let mut candidates = Vec::with_capacity(opened.len());
        for Opened { mount, file, identity, is_program, library } in opened {
            candidates.push(Candidate { mount, identity, is_program, library });
            files.push(file);
        }
        let layout = Layout::of(candidates, &selection.links);
        Ok(Self { layout, files, complaints, is_partial })
    }
}

/// Why a library or a link to one is left out.
const GUESTS_OWN: &str =
    "its name is one of the C library or of a compiler's runtime, which are each container's own";

/// A path of a descriptor, to be opened anew.
fn path_of(file: &impl std::os::fd::AsRawFd) -> PathBuf {
    Path::new("/proc/self/fd").join(file.as_raw_fd().to_string())
}
