//! Specifications and the files that they name: whose they must be, and who may read them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, Stat, accessat, fstat};

use super::complaint::{Complaint, Fault};
use super::layout::Identity;
use super::library::{self, Library};
use super::selection::Sourced;
use super::specification::{self, Format, LONGEST, Mount, Specification};
use super::{GUESTS_OWN, path_of, runtime};
use crate::error::Result;
use crate::host::credentials::{Credentials, with};
use crate::host::{directory, file};

/// Where specifications are, a later directory before an earlier one (SPEC.md, "Locating CDI Spec files"). `/var/run` leads to
/// `/run`.
pub const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/run/cdi"];
/// Specifications in one directory.
const MOST_FILES: usize = 64;

/// Specifications that were read.
#[derive(Debug, Default)]
pub struct Specifications {
    /// Those of NVIDIA's cards, in the order of the directories and of their names.
    pub files: Vec<Sourced>,
    /// All that say they are some, whatever is in them.
    pub names: Vec<PathBuf>,
    /// Of each that could not be read, and of each directory.
    pub complaints: Vec<Complaint>,
}

/// Reads all of `directories`. Blocks.
pub fn specifications(directories: &[PathBuf]) -> Specifications {
    let mut out = Specifications::default();
    for (rank, directory) in directories.iter().enumerate() {
        for (file, format) in files_in(directory, &mut out.complaints) {
            out.names.push(file.clone());
            match read(&file, format) {
                Ok(Some(specification)) => out.files.push(Sourced { file, rank, specification }),
                Ok(None) => {}
                Err(reason) => {
                    out.complaints.push(reason.about(format_args!("{} is not taken", file.display())));
                }
            }
        }
    }
    out
}

/// Names that say so, in their order.
fn files_in(directory: &Path, complaints: &mut Vec<Complaint>) -> Vec<(PathBuf, Format)> {
    let mut names = match file::names_in(directory) {
        Ok(names) => names,
        Err(error) => {
            let reason = Complaint::from(error.to_string());
            complaints.push(reason.about("no specification of a graphics driver is taken"));
            return Vec::new();
        }
    };
    names.sort();
    let with_format = |name: String| Some((directory.join(&name), Format::of(&name)?));
    let mut files: Vec<_> = names.into_iter().filter_map(with_format).collect();
    if let Some(left_out @ 1..) = files.len().checked_sub(MOST_FILES) {
        let directory = directory.display();
        let text = format!("{directory} has more than {MOST_FILES} files: {left_out} are not read");
        complaints.push(text.into());
        files.truncate(MOST_FILES);
    }
    files
}

/// Reads one as root: what it names is mounted by root.
fn read(path: &Path, format: Format) -> std::result::Result<Option<Specification>, Complaint> {
    if let Some(parent) = path.parent() {
        let about = fs::metadata(parent).map_err(|error| error.to_string())?;
        if about.uid() != 0 || is_writable_by_others(about.mode()) {
            return Err("others than root may write its directory".to_owned().into());
        }
    }
    let opened = directory::open_any(path).map_err(|error| error.to_string())?;
    let about = fstat(&opened).map_err(|errno| errno.to_string())?;
    let size = usize::try_from(about.st_size).unwrap_or(usize::MAX);
    if !is_file(&about) {
        return Err("it is no file".to_owned().into());
    }
    if size > LONGEST {
        return Err(Complaint::new(Fault::Unusable, format!("it is longer than {} KiB", LONGEST >> 10)));
    }
    of_root(&about)?;
    let mut text = String::new();
    File::open(path_of(&opened))
        // It may grow.
        .and_then(|file| file.take(LONGEST as u64).read_to_string(&mut text))
        .map_err(|error| error.to_string())?;
    specification::parse(&text, format).map_err(|error| Complaint::new(Fault::Unusable, error.to_string()))
}

/// A file that may be shown.
#[derive(Debug)]
pub struct Opened {
    /// By what it is named.
    pub mount: Mount,
    /// The file, as a place.
    pub file: OwnedFd,
    /// Which it is.
    pub identity: Identity,
    /// Whether everybody may run it.
    pub is_program: bool,
    /// What the linker would say.
    pub library: Option<Library>,
}

/// Opens what is named as somebody with these credentials would, and answers what may not be shown. Sockets and
/// directories, which specifications name too, are left out without a word: they are no part of a driver. Blocks.
///
/// # Errors
/// Without a thread for it.
pub fn open(mounts: Vec<Mount>, credentials: Credentials) -> Result<(Vec<Opened>, Vec<Complaint>)> {
    let (opened, refused) = with(credentials, move || {
        let (mut opened, mut refused) = (Vec::new(), BTreeMap::<Complaint, Vec<PathBuf>>::new());
        for mount in mounts {
            let path = mount.host.clone();
            match open_one(mount) {
                Ok(one) => opened.extend(one),
                Err(reason) => refused.entry(reason).or_default().push(path),
            }
        }
        (opened, refused)
    })?;
    let sentence = |(reason, paths): (Complaint, Vec<PathBuf>)| {
        let more = match paths.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        reason.about(format_args!("{}{more} of the graphics driver is not shared", paths[0].display()))
    };
    Ok((opened, refused.into_iter().map(sentence).collect()))
}

/// As root's own and everybody's to read, by the owner too: the way there must be open to him, and no list may except him (acl(5)).
fn open_one(mount: Mount) -> std::result::Result<Option<Opened>, Complaint> {
    let opened = directory::open_any(&mount.host).map_err(|error| match error {
        error if error.is_missing() => {
            Complaint::new(Fault::Outdated, "it is not there; was the driver's specification made anew?")
        }
        directory::Unopened::System { errno, .. } => errno.to_string().into(),
        other => other.to_string().into(),
    })?;
    let about = fstat(&opened).map_err(|errno| errno.to_string())?;
    if !is_file(&about) {
        return Ok(None);
    }
    of_root(&about)?;
    let may_read = accessat(CWD, path_of(&opened), Access::READ_OK, AtFlags::EACCESS).is_ok();
    if about.st_mode & 0o004 == 0 || !may_read {
        return Err("not everybody may read it".to_owned().into());
    }
    let identity = Identity {
        inode: (about.st_dev, about.st_ino),
        size: u64::try_from(about.st_size).unwrap_or_default(),
        written: (about.st_mtime, i64::try_from(about.st_mtime_nsec).unwrap_or_default()),
    };
    let is_program = about.st_mode & 0o001 != 0;
    let library = library::look(&opened);
    if let Some(library) = &library {
        // Both: the guest's linker goes by the name in it, a program that opens one by the file's.
        let file = mount.guest.file_name().and_then(OsStr::to_str);
        if library.name.as_deref().into_iter().chain(file).any(runtime::is_guests_own) {
            return Err(GUESTS_OWN.to_owned().into());
        }
    }
    Ok(Some(Opened { mount, file: opened, identity, is_program, library }))
}

fn is_file(about: &Stat) -> bool {
    FileType::from_raw_mode(about.st_mode) == FileType::RegularFile
}

fn of_root(about: &Stat) -> std::result::Result<(), String> {
    if about.st_uid != 0 {
        return Err(format!("it belongs to uid {}, not to root", about.st_uid));
    }
    if is_writable_by_others(about.st_mode) {
        return Err("others than root may write it".into());
    }
    Ok(())
}

/// What is root's: by somebody else. Root's group has other members, too, and the group's bits stand for the most that an access
/// list gives anybody (acl(5)).
fn is_writable_by_others(mode: u32) -> bool {
    mode & 0o022 != 0
}

/// What there is on a host, to see whether it has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    files: BTreeMap<PathBuf, Option<(Identity, u32, u32)>>,
    complaints: Vec<Complaint>,
}

impl Snapshot {
    /// Of the specifications and all that they name. Blocks.
    #[must_use]
    pub fn read() -> Self {
        Self::of(&DIRECTORIES.map(PathBuf::from))
    }

    /// What of the specifications cannot be read.
    #[must_use]
    pub fn complaints(&self) -> &[Complaint] {
        &self.complaints
    }

    /// The same of these directories.
    pub(super) fn of(directories: &[PathBuf]) -> Self {
        let Specifications { files, names, complaints } = specifications(directories);
        let read = files.into_iter().map(|one| one.specification);
        let edits = read.flat_map(|one| one.devices.into_values().chain([one.edits]));
        let named = edits.flat_map(|edits| edits.mounts).map(|mount| mount.host);
        let state = |path: PathBuf| {
            let about = fs::metadata(&path).ok().map(|about| {
                let identity = Identity {
                    inode: (about.dev(), about.ino()),
                    size: about.len(),
                    written: (about.mtime(), about.mtime_nsec()),
                };
                (identity, about.mode(), about.uid())
            });
            (path, about)
        };
        Self { files: names.into_iter().chain(named).map(state).collect(), complaints }
    }
}
