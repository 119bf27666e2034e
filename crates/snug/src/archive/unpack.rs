//! A tar stream from a guest as files of the host.
//!
//! The guest may be hostile. Nothing is written but below the one name that the copy gets: no absolute path, no `..`, no
//! link is followed, none that points out of the copy is made, no device, no setuid bit.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::{Mode, Timespec, Timestamps, fchmod, futimens, symlinkat};
use snug_wire::pack::umask;
use tar::EntryType;

use super::place::{NewFile, Root, make_way};
use super::stream::{Entries, Entry};
use super::{ArchiveError, Skipped, is_plain, shown};

/// Deepest directory: each component costs a descriptor's opening.
const DEEPEST: usize = 512;
/// Bytes of directories' names that are kept in mind: those of a million ordinary ones.
const MOST_NAMES: usize = 128 << 20;
/// Entries that are named because they were left out; the rest is counted.
const MOST_NAMED: usize = 1000;
/// Bytes of their names that are shown.
const LONGEST_SHOWN: usize = 1024;

/// Reads a stream and writes what it holds into `directory`, under the name `name` instead of the one that the guest
/// chose, with its modes less the umask. A file is there when it is whole.
pub fn unpack(stream: impl Read, directory: OwnedFd, name: &OsStr) -> Result<Vec<Skipped>, ArchiveError> {
    let mut unpacker = Unpacker {
        root: Root::new(directory),
        name: name.to_owned(),
        top: None,
        umask: umask(),
        directories: BTreeMap::new(),
        names: 0,
        skipped: Vec::new(),
        unnamed: 0,
    };
    let mut entries = Entries::new(stream);
    while let Some(entry) = entries.next()? {
        unpacker.add(&mut entries, &entry)?;
    }
    if unpacker.top.is_none() {
        return Err(ArchiveError::Empty);
    }
    unpacker.finish()
}

struct Unpacker {
    root: Root,
    name: OsString,
    /// First component of all of the guest's paths.
    top: Option<OsString>,
    umask: u32,
    /// Directories with their final modes and times: set at the end, when nothing is written into them any more.
    directories: BTreeMap<Vec<OsString>, (u32, u64)>,
    /// Bytes of their names.
    names: usize,
    skipped: Vec<Skipped>,
    /// Of how many the names were not kept.
    unnamed: u64,
}

impl Unpacker {
    fn add<R: Read>(&mut self, entries: &mut Entries<R>, entry: &Entry) -> Result<(), ArchiveError> {
        let Entry { header, path, link, .. } = entry;
        let components = self.components(path)?;
        let host = |source| ArchiveError::Host { path: components.iter().collect::<PathBuf>(), source };
        let Some((name, above)) = components.split_last() else {
            return Err(ArchiveError::refused("an empty path", path));
        };
        let mode = header.mode().unwrap_or(0o600) & 0o777 & !self.umask;
        let time = header.mtime().unwrap_or(0);
        match header.entry_type() {
            EntryType::Directory => {
                self.root.directory(&components).map_err(host)?;
                self.remember(path, components, (mode | 0o700, time))?;
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let directory = self.root.directory(above).map_err(host)?;
                write_file(entries, entry, &directory, name, mode, time).map_err(|error| match error {
                    Failure::Host(source) => host(source),
                    Failure::Stream(source) => ArchiveError::Stream(source),
                })?;
            }
            EntryType::Symlink if above.is_empty() => return Err(ArchiveError::Link(link.clone())),
            EntryType::Symlink => match link_problem(link, above.len()) {
                Some(reason) => self.skip(path, reason),
                None => {
                    let directory = self.root.directory(above).map_err(host)?;
                    make_way(&directory, name).map_err(host)?;
                    symlinkat(OsStr::from_bytes(link), &directory, name.as_os_str())
                        .map_err(|error| host(error.into()))?;
                }
            },
            EntryType::Char | EntryType::Block => self.skip(path, "a device node"),
            EntryType::Fifo => self.skip(path, "a named pipe"),
            _ => return Err(ArchiveError::refused("an entry of an unknown kind", path)),
        }
        Ok(())
    }

    /// Checked components of a path, with our own name in the place of the guest's first.
    fn components(&mut self, path: &[u8]) -> Result<Vec<OsString>, ArchiveError> {
        if path.first() == Some(&b'/') {
            return Err(ArchiveError::refused("an absolute path", path));
        }
        let path_without_end = path.strip_suffix(b"/").unwrap_or(path);
        let mut components = Vec::new();
        for component in path_without_end.split(|byte| *byte == b'/') {
            let component = OsString::from_vec(component.to_vec());
            if !is_plain(&component) {
                return Err(ArchiveError::refused("a path with empty or dotted parts", path));
            }
            components.push(component);
        }
        if components.len() > DEEPEST {
            return Err(ArchiveError::refused("a path that is too deep", path));
        }
        let top = self.top.get_or_insert_with(|| components[0].clone());
        if *top != components[0] {
            return Err(ArchiveError::refused("a path outside of what was asked for", path));
        }
        components[0].clone_from(&self.name);
        Ok(components)
    }

    fn remember(
        &mut self,
        path: &[u8],
        directory: Vec<OsString>,
        what: (u32, u64),
    ) -> Result<(), ArchiveError> {
        let size = directory.iter().map(|name| name.len() + size_of::<OsString>()).sum::<usize>();
        if self.directories.insert(directory, what).is_none() {
            self.names += size;
        }
        if self.names > MOST_NAMES {
            return Err(ArchiveError::refused("more directories than can be kept in mind", path));
        }
        Ok(())
    }

    fn skip(&mut self, path: &[u8], reason: &'static str) {
        if self.skipped.len() == MOST_NAMED {
            self.unnamed += 1;
            return;
        }
        let entry = shown(&path[..path.len().min(LONGEST_SHOWN)]);
        self.skipped.push(Skipped { entry, reason: reason.to_owned() });
    }

    fn finish(mut self) -> Result<Vec<Skipped>, ArchiveError> {
        if self.unnamed > 0 {
            let entry = format!("{} more", self.unnamed);
            self.skipped.push(Skipped { entry, reason: "too many to name them".to_owned() });
        }
        // What lies in one comes after it.
        for (components, (mode, time)) in self.directories.into_iter().rev() {
            let host = |source: io::Error| ArchiveError::Host { path: components.iter().collect(), source };
            let directory = self.root.directory(&components).map_err(host)?;
            fchmod(&directory, Mode::from_raw_mode(mode)).map_err(|error| host(error.into()))?;
            set_time(&directory, time).map_err(host)?;
        }
        Ok(self.skipped)
    }
}

/// Why a symbolic link is not made, if so. `depth`: how many directories of the copy are above it, the copy's own name
/// included.
///
/// It may go up at its beginning only, and never out of the copy. `..` further on would be resolved after links in the
/// copy were followed, and could then lead anywhere: `a -> .`, `b -> a/..`.
fn link_problem(target: &[u8], depth: usize) -> Option<&'static str> {
    if target.is_empty() || target.contains(&0) {
        return Some("a link to nothing");
    }
    if target.first() == Some(&b'/') {
        return Some("a link that points out of the copy");
    }
    let parts: Vec<&[u8]> =
        target.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    let up = parts.iter().take_while(|part| **part == b"..").count();
    if up >= depth {
        return Some("a link that points out of the copy");
    }
    parts[up..].contains(&b"..".as_slice()).then_some("a link that goes up after going down")
}

enum Failure {
    Host(io::Error),
    Stream(io::Error),
}

fn write_file<R: Read>(
    entries: &mut Entries<R>,
    entry: &Entry,
    directory: &OwnedFd,
    name: &OsStr,
    mode: u32,
    time: u64,
) -> Result<(), Failure> {
    let new = NewFile::create(directory, name).map_err(Failure::Host)?;
    let mut file = &new.file;
    let mut buffer = vec![0; 128 << 10];
    for (offset, length) in &entry.pieces {
        file.seek(SeekFrom::Start(*offset)).map_err(Failure::Host)?;
        let mut left = *length;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let count = entries.read(&mut buffer[..wanted]).map_err(Failure::Stream)?;
            file.write_all(&buffer[..count]).map_err(Failure::Host)?;
            left -= count as u64;
        }
    }
    // A hole at the end, which is written as a piece without length or not at all.
    file.set_len(entry.length).map_err(Failure::Host)?;
    fchmod(file, Mode::from_raw_mode(mode)).map_err(|error| Failure::Host(error.into()))?;
    set_time(file, time).map_err(Failure::Host)?;
    new.appear().map_err(Failure::Host)
}

fn set_time(file: impl std::os::fd::AsFd, seconds: u64) -> io::Result<()> {
    let time = Timespec { tv_sec: i64::try_from(seconds).unwrap_or(0), tv_nsec: 0 };
    futimens(file, &Timestamps { last_access: time, last_modification: time }).map_err(io::Error::from)
}

#[cfg(test)]
mod tests;
