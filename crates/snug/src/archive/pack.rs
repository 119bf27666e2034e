//! Files of the host as a tar stream for a guest.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::{ArchiveError, Skipped, shown};

/// Writes `path`, and all that is below it, under the name `name`. A link that was named is followed, as `cp` does;
/// those below are copied as links.
pub fn pack(path: &Path, name: &OsStr, stream: impl Write) -> Result<Vec<Skipped>, ArchiveError> {
    let mut packer = Packer { builder: Builder::new(stream), skipped: Vec::new() };
    let metadata =
        fs::metadata(path).map_err(|source| ArchiveError::Host { path: path.to_owned(), source })?;
    packer.add(path, Path::new(name), &metadata)?;
    packer.builder.into_inner().and_then(|mut stream| stream.flush()).map_err(ArchiveError::Stream)?;
    Ok(packer.skipped)
}

struct Packer<W: Write> {
    builder: Builder<W>,
    skipped: Vec<Skipped>,
}

impl<W: Write> Packer<W> {
    fn add(&mut self, path: &Path, name: &Path, metadata: &Metadata) -> Result<(), ArchiveError> {
        let host = |source| ArchiveError::Host { path: path.to_owned(), source };
        let mut header = header_of(metadata);
        let kind = metadata.file_type();
        if kind.is_dir() {
            header.set_entry_type(EntryType::Directory);
            self.builder.append_data(&mut header, name, std::io::empty()).map_err(ArchiveError::Stream)?;
            let mut names: Vec<PathBuf> = fs::read_dir(path)
                .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
                .map_err(host)?;
            names.sort();
            for below in names {
                let metadata = fs::symlink_metadata(&below)
                    .map_err(|source| ArchiveError::Host { path: below.clone(), source })?;
                self.add(&below, &name.join(below.file_name().unwrap_or_default()), &metadata)?;
            }
            return Ok(());
        }
        if kind.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            let target = fs::read_link(path).map_err(host)?;
            return self.builder.append_link(&mut header, name, target).map_err(ArchiveError::Stream);
        }
        if kind.is_file() {
            let file = fs::File::open(path).map_err(host)?;
            header.set_entry_type(EntryType::Regular);
            header.set_size(metadata.len());
            // A file that changes while it is read must not break the stream: exactly the announced length is sent.
            let exact = Exactly { inner: file, left: metadata.len() };
            return self.builder.append_data(&mut header, name, exact).map_err(ArchiveError::Stream);
        }
        let entry = shown(name.as_os_str().as_encoded_bytes());
        self.skipped.push(Skipped { entry, reason: "neither a file nor a directory nor a link" });
        Ok(())
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

/// Gives exactly so many bytes: cut off, or filled up with zeros.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: std::io::Read> std::io::Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let mut count = self.inner.read(&mut buffer[..wanted])?;
        if count == 0 && wanted > 0 {
            buffer[..wanted].fill(0);
            count = wanted;
        }
        self.left -= count as u64;
        Ok(count)
    }
}
