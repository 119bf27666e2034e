//! Files as a tar stream, for `snug cp` both ways: from the host by the client, from a guest by its agent. What cannot be
//! read is left out and named, the rest is written, as `cp` does.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use crate::exactly::{Exactly, made_up, open_plain};
use crate::sparse::Map;

/// Unit of `st_blocks` (stat(2)).
const STAT_BLOCK: u64 = 512;
/// Bytes of a path that a header has room for.
const IN_HEADER: usize = 100;

/// Status of the agent's end of a copy that was kept from something by a permission (`EX_NOPERM` of sysexits(3)).
pub const NO_PERMISSION: u8 = 77;

/// This process' file mode creation mask. umask(2) can be read only by setting it: nobody may make a file meanwhile.
#[must_use]
pub fn umask() -> u32 {
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask);
    mask.as_raw_mode()
}

/// What was not written, or not as it was.
#[derive(Debug)]
pub struct LeftOut {
    /// The file that was to be read.
    pub path: PathBuf,
    /// Its name in the stream.
    pub name: PathBuf,
    /// Why.
    pub error: io::Error,
}

/// A file, directory or link that can be read. After its header a stream is committed to its content, so that it is opened
/// before that is written.
#[derive(Debug)]
pub struct Entry {
    path: PathBuf,
    status: Metadata,
    content: Content,
}

#[derive(Debug)]
enum Content {
    File(File),
    /// Of a file that the kernel makes up when it is read.
    MadeUp(Vec<u8>),
    /// Sorted by name.
    Directory(Vec<PathBuf>),
    Link(PathBuf),
}

impl Entry {
    /// Opens what is there. A link is itself, not what it leads to.
    ///
    /// # Errors
    /// What the system says; for all that is neither a file nor a directory nor a link.
    pub fn open(path: &Path) -> io::Result<Self> {
        let status = fs::symlink_metadata(path)?;
        let kind = status.file_type();
        let entry = |status, content| Ok(Self { path: path.to_owned(), status, content });
        if kind.is_dir() {
            let entries: io::Result<Vec<PathBuf>> =
                fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect();
            let mut entries = entries?;
            entries.sort();
            return entry(status, Content::Directory(entries));
        }
        if kind.is_symlink() {
            return entry(status, Content::Link(fs::read_link(path)?));
        }
        if kind.is_file() {
            let file = open_plain(path)?;
            let status = file.metadata()?;
            let content = match made_up(&file, status.len(), status.blocks())? {
                Some(content) => Content::MadeUp(content),
                None => Content::File(file),
            };
            return entry(status, content);
        }
        Err(io::Error::other("neither a file nor a directory nor a link"))
    }
}

/// Writes entries, each with everything below it, in GNU's format.
pub struct Packer<W: Write> {
    builder: Builder<W>,
    left_out: Vec<LeftOut>,
}

impl<W: Write> Packer<W> {
    /// An empty stream.
    pub fn new(output: W) -> Self {
        Self { builder: Builder::new(output), left_out: Vec::new() }
    }

    /// Adds what is at `path` under the name `name`, or leaves it out.
    ///
    /// # Errors
    /// When the stream cannot be written: then nothing more can be.
    pub fn add(&mut self, path: &Path, name: &Path) -> io::Result<()> {
        match Entry::open(path) {
            Ok(entry) => self.add_entry(entry, name),
            Err(error) => {
                self.leave_out(path, name, error);
                Ok(())
            }
        }
    }

    /// The same of what was opened before.
    ///
    /// # Errors
    /// When the stream cannot be written.
    pub fn add_entry(&mut self, entry: Entry, name: &Path) -> io::Result<()> {
        let Entry { path, status, content } = entry;
        if !can_be_named(name) {
            let reason = "a path of 100 bytes or more cannot begin with one that is not UTF-8";
            self.leave_out(&path, name, io::Error::other(reason));
            return Ok(());
        }
        let mut header = header_of(&status);
        match content {
            Content::Directory(entries) => {
                header.set_entry_type(EntryType::Directory);
                self.builder.append_data(&mut header, name, io::empty())?;
                for path in entries {
                    self.add(&path, &name.join(path.file_name().unwrap_or_default()))?;
                }
            }
            Content::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                self.builder.append_link(&mut header, name, target)?;
            }
            Content::MadeUp(content) => {
                header.set_size(content.len() as u64);
                self.builder.append_data(&mut header, name, content.as_slice())?;
            }
            // A file that changes while it is read must not break the stream. Holes stay holes.
            Content::File(file) => {
                let may_have_holes = status.blocks() * STAT_BLOCK < status.len();
                let failed = match may_have_holes.then(|| Map::of(&file, status.len())).flatten() {
                    Some(map) => {
                        let more = map.describe(&mut header);
                        let length = map.data();
                        let mut exact = Exactly::new(map.reader(file), length);
                        self.builder.append_data(&mut header, name, more.chain(&mut exact))?;
                        exact.failed()
                    }
                    None => {
                        header.set_size(status.len());
                        let mut exact = Exactly::new(file, status.len());
                        self.builder.append_data(&mut header, name, &mut exact)?;
                        exact.failed()
                    }
                };
                if let Some(error) = failed {
                    self.leave_out(&path, name, error);
                }
            }
        }
        Ok(())
    }

    /// Ends the stream; answers what was left out.
    ///
    /// # Errors
    /// When the stream cannot be written.
    pub fn finish(self) -> io::Result<Vec<LeftOut>> {
        self.builder.into_inner()?.flush()?;
        Ok(self.left_out)
    }

    fn leave_out(&mut self, path: &Path, name: &Path, error: io::Error) {
        self.left_out.push(LeftOut { path: path.to_owned(), name: name.to_owned(), error });
    }
}

/// Whether tar finds something to write into the header of a long path (`prepare_header_path`, 0.4.46): what is UTF-8 of
/// its first bytes.
fn can_be_named(name: &Path) -> bool {
    let bytes = name.as_os_str().as_bytes();
    bytes
        .get(..IN_HEADER)
        .is_none_or(|start| start.utf8_chunks().next().is_some_and(|it| !it.valid().is_empty()))
}

/// Of a plain file without content.
fn header_of(status: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(status.mode() & 0o7777);
    header.set_uid(u64::from(status.uid()));
    header.set_gid(u64::from(status.gid()));
    header.set_mtime(u64::try_from(status.mtime()).unwrap_or(0));
    header.set_size(0);
    header
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn packed(path: &Path) -> (Vec<u8>, Vec<LeftOut>) {
        let mut stream = Vec::new();
        let mut packer = Packer::new(&mut stream);
        packer.add(path, Path::new("top")).unwrap();
        let left_out = packer.finish().unwrap();
        (stream, left_out)
    }

    fn names(stream: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(stream);
        let entries = archive.entries().unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| entry.path().unwrap().display().to_string()).collect()
    }

    #[test]
    fn what_cannot_be_read_is_named_and_the_rest_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let _socket = UnixListener::bind(directory.path().join("m")).unwrap();
        for name in ["a", "z"] {
            fs::write(directory.path().join(name), "text").unwrap();
        }
        let (stream, left_out) = packed(directory.path());
        let left_out: Vec<_> = left_out.iter().map(|it| (it.path.as_path(), it.name.as_path())).collect();
        assert_eq!(left_out, [(directory.path().join("m").as_path(), Path::new("top/m"))]);
        assert_eq!(names(&stream), ["top", "top/a", "top/z"]);
    }

    #[test]
    fn what_is_gone_meanwhile_is_left_out_alone() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a", "gone", "z"] {
            fs::write(directory.path().join(name), "text").unwrap();
        }
        let entry = Entry::open(directory.path()).unwrap();
        fs::remove_file(directory.path().join("gone")).unwrap();
        let mut stream = Vec::new();
        let mut packer = Packer::new(&mut stream);
        packer.add_entry(entry, Path::new("top")).unwrap();
        let left_out = packer.finish().unwrap();
        assert_eq!(left_out.len(), 1);
        assert_eq!(left_out[0].error.kind(), io::ErrorKind::NotFound);
        assert_eq!(names(&stream), ["top", "top/a", "top/z"]);
    }

    #[test]
    fn odd_and_long_names_arrive_or_are_left_out_alone() {
        let directory = tempfile::tempdir().unwrap();
        let long = "x".repeat(120);
        for name in [b"\xdcbung".as_slice(), b"\xdcbung".repeat(20).as_slice(), long.as_bytes(), b"z"] {
            fs::write(directory.path().join(std::ffi::OsStr::from_bytes(name)), "text").unwrap();
        }
        let mut stream = Vec::new();
        let mut packer = Packer::new(&mut stream);
        for entry in fs::read_dir(directory.path()).unwrap() {
            let name = entry.unwrap().file_name();
            packer.add(&directory.path().join(&name), Path::new(&name)).unwrap();
        }
        assert_eq!(packer.finish().unwrap().len(), 1);
        let mut archive = tar::Archive::new(stream.as_slice());
        let entries = archive.entries().unwrap().map(|entry| entry.unwrap().path_bytes().into_owned());
        let mut names: Vec<Vec<u8>> = entries.collect();
        names.sort();
        assert_eq!(names, [long.into_bytes(), b"z".to_vec(), b"\xdcbung".to_vec()]);
    }

    #[test]
    fn what_is_not_there_at_all_is_left_out() {
        let (stream, left_out) = packed(Path::new("/nonexistent/x"));
        assert_eq!(left_out[0].path, Path::new("/nonexistent/x"));
        assert_eq!(names(&stream), Vec::<String>::new());
    }

    #[test]
    fn a_file_of_the_kernels_arrives_with_its_content() {
        let (stream, left_out) = packed(Path::new("/proc/version"));
        assert!(left_out.is_empty(), "{left_out:?}");
        let mut archive = tar::Archive::new(stream.as_slice());
        let mut content = String::new();
        archive.entries().unwrap().next().unwrap().unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, fs::read_to_string("/proc/version").unwrap());
    }

    #[test]
    fn links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        symlink("/etc", directory.path().join("link")).unwrap();
        let (stream, left_out) = packed(&directory.path().join("link"));
        assert!(left_out.is_empty(), "{left_out:?}");
        let mut archive = tar::Archive::new(stream.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.link_name().unwrap().unwrap(), Path::new("/etc"));
    }

    /// A file of 64 MiB with `pieces` pieces of data.
    fn with_holes(path: &Path, pieces: u64) -> File {
        let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        for piece in 0..pieces {
            file.write_all_at(format!("piece {piece}").as_bytes(), piece << 17).unwrap();
        }
        file.set_len(64 << 20).unwrap();
        file
    }

    #[test]
    fn holes_are_not_sent_and_are_holes_again() {
        let directory = tempfile::tempdir().unwrap();
        // None, those of a header, and of one, two and many blocks behind it.
        for pieces in [0, 1, 3, 4, 25, 26, 100] {
            let path = directory.path().join(pieces.to_string());
            drop(with_holes(&path, pieces));
            let (stream, left_out) = packed(&path);
            assert!(left_out.is_empty() && stream.len() < 2 << 20, "{left_out:?}, {}", stream.len());
            tar::Archive::new(stream.as_slice()).unpack(directory.path()).unwrap();
            let arrived = directory.path().join("top");
            assert!(fs::read(&arrived).unwrap() == fs::read(&path).unwrap(), "{pieces}");
            assert!(fs::metadata(&arrived).unwrap().blocks() * STAT_BLOCK < 4 << 20);
        }
    }

    #[test]
    fn a_file_that_shrinks_or_grows_meanwhile_breaks_no_stream() {
        let directory = tempfile::tempdir().unwrap();
        for (length, is_told) in [(1 << 20, true), (0, true), (128 << 20, false)] {
            let changes = with_holes(&directory.path().join("changes"), 100);
            fs::write(directory.path().join("other"), "text").unwrap();
            let entry = Entry::open(&directory.path().join("changes")).unwrap();
            changes.set_len(length).unwrap();
            let mut stream = Vec::new();
            let mut packer = Packer::new(&mut stream);
            packer.add_entry(entry, Path::new("changes")).unwrap();
            packer.add(&directory.path().join("other"), Path::new("other")).unwrap();
            assert_eq!(packer.finish().unwrap().len(), usize::from(is_told), "{length}");
            assert_eq!(names(&stream), ["changes", "other"], "{length}");
            fs::remove_file(directory.path().join("changes")).unwrap();
        }
    }
}
