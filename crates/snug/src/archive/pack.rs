//! Files of the host as a tar stream for a guest.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use snug_wire::exactly::{Exactly, made_up, open_plain};
use tar::{Builder, EntryType, Header};

use super::{ArchiveError, Skipped, shown};

/// Writes `path`, and all that is below it, under the name `name`. A link that was named is followed, as `cp` does;
/// those below are copied as links. What cannot be read is left out and named; the rest is written.
pub fn pack(path: &Path, name: &OsStr, stream: impl Write) -> Result<Vec<Skipped>, ArchiveError> {
    let mut packer = Packer { builder: Builder::new(stream), skipped: Vec::new() };
    let host = |source| ArchiveError::Host { path: path.to_owned(), source };
    let real = fs::canonicalize(path).map_err(host)?;
    let metadata = fs::symlink_metadata(&real).map_err(host)?;
    let content = Content::of(&real, &metadata).map_err(host)?;
    packer.add(Path::new(name), &metadata, content)?;
    packer.builder.into_inner().and_then(|mut stream| stream.flush()).map_err(ArchiveError::Stream)?;
    Ok(packer.skipped)
}

/// What an entry needs before its header may be written: after it, the stream is committed to the content.
enum Content {
    File(fs::File),
    /// Of a file that the kernel makes up when it is read.
    MadeUp(Vec<u8>),
    Directory(Vec<PathBuf>),
    Link(PathBuf),
}

impl Content {
    fn of(path: &Path, metadata: &Metadata) -> io::Result<Self> {
        let kind = metadata.file_type();
        if kind.is_dir() {
            let entries: io::Result<Vec<PathBuf>> =
                fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect();
            let mut entries = entries?;
            entries.sort();
            return Ok(Self::Directory(entries));
        }
        if kind.is_symlink() {
            return fs::read_link(path).map(Self::Link);
        }
        if kind.is_file() {
            let file = open_plain(path)?;
            return Ok(match made_up(&file, metadata.len(), metadata.blocks())? {
                Some(content) => Self::MadeUp(content),
                None => Self::File(file),
            });
        }
        Err(io::Error::other("neither a file nor a directory nor a link"))
    }
}

struct Packer<W: Write> {
    builder: Builder<W>,
    skipped: Vec<Skipped>,
}

impl<W: Write> Packer<W> {
    fn add(&mut self, name: &Path, metadata: &Metadata, content: Content) -> Result<(), ArchiveError> {
        let mut header = header_of(metadata);
        match content {
            Content::Directory(entries) => {
                header.set_entry_type(EntryType::Directory);
                self.builder.append_data(&mut header, name, io::empty()).map_err(ArchiveError::Stream)?;
                for path in entries {
                    self.add_below(&path, &name.join(path.file_name().unwrap_or_default()))?;
                }
            }
            Content::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                self.builder.append_link(&mut header, name, target).map_err(ArchiveError::Stream)?;
            }
            Content::MadeUp(content) => {
                header.set_entry_type(EntryType::Regular);
                header.set_size(content.len() as u64);
                let content = content.as_slice();
                self.builder.append_data(&mut header, name, content).map_err(ArchiveError::Stream)?;
            }
            Content::File(file) => {
                header.set_entry_type(EntryType::Regular);
                header.set_size(metadata.len());
                // A file that changes while it is read must not break the stream: exactly the announced length is sent.
                let mut exact = Exactly::new(file, metadata.len());
                self.builder.append_data(&mut header, name, &mut exact).map_err(ArchiveError::Stream)?;
                if let Some(error) = exact.failed() {
                    self.skip(name, &error);
                }
            }
        }
        Ok(())
    }

    fn add_below(&mut self, path: &Path, name: &Path) -> Result<(), ArchiveError> {
        let found = fs::symlink_metadata(path)
            .and_then(|metadata| Content::of(path, &metadata).map(|content| (metadata, content)));
        match found {
            Ok((metadata, content)) => self.add(name, &metadata, content),
            Err(error) => {
                self.skip(name, &error);
                Ok(())
            }
        }
    }

    fn skip(&mut self, name: &Path, error: &io::Error) {
        let entry = shown(name.as_os_str().as_encoded_bytes());
        self.skipped.push(Skipped { entry, reason: error.to_string() });
    }
}

fn header_of(metadata: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(metadata.mode() & 0o7777);
    header.set_uid(u64::from(metadata.uid()));
    header.set_gid(u64::from(metadata.gid()));
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_size(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_named_and_the_rest_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("m")).unwrap();
        for name in ["a", "z"] {
            fs::write(directory.path().join(name), "text").unwrap();
        }
        let mut stream = Vec::new();
        let skipped = pack(directory.path(), OsStr::new("tree"), &mut stream).unwrap();
        let skipped: Vec<&str> = skipped.iter().map(|skipped| skipped.entry.as_str()).collect();
        assert_eq!(skipped, ["tree/m"]);
        let mut archive = tar::Archive::new(stream.as_slice());
        let names: Vec<PathBuf> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names, ["tree", "tree/a", "tree/z"].map(PathBuf::from));
    }
}
