//! Files of the guest as a tar stream. What cannot be read is left out and named; the rest is written, as `cp` does.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use snug_wire::exactly::{Exactly, made_up, open_plain};
use tar::{Builder, Header, HeaderMode};

use super::named;

/// Unit of `st_blocks` (stat(2)).
const STAT_BLOCK: u64 = 512;

/// Writes `path`, a file or a directory with everything in it, under its own name; answers what was left out, each with
/// its path. Links stay links.
///
/// # Errors
/// When `path` itself is not there, or the stream cannot be written: then nothing more can be sent.
pub fn pack(path: &Path, output: impl Write) -> io::Result<Vec<io::Error>> {
    // `dir/.` and `dir/..` have no name of their own.
    let real;
    let (path, name) = match path.file_name() {
        Some(name) => (path, name),
        None => {
            real = fs::canonicalize(path).map_err(named(path))?;
            (real.as_path(), real.file_name().unwrap_or(OsStr::new("root")))
        }
    };
    let mut builder = Builder::new(output);
    builder.follow_symlinks(false);
    builder.mode(HeaderMode::Complete);
    let mut packer = Packer { builder, left_out: Vec::new() };
    packer.add(path, Path::new(name))?;
    packer.builder.into_inner()?.flush()?;
    Ok(packer.left_out)
}

/// What an entry needs before its header may be written: after it, the stream is committed to the content.
enum Content {
    File(File, Metadata),
    Directory(Metadata, Vec<PathBuf>),
    Link(Metadata, PathBuf),
}

impl Content {
    fn of(path: &Path) -> io::Result<Self> {
        let status = fs::symlink_metadata(path)?;
        let kind = status.file_type();
        if kind.is_dir() {
            let entries: io::Result<Vec<PathBuf>> =
                fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect();
            let mut entries = entries?;
            entries.sort();
            return Ok(Self::Directory(status, entries));
        }
        if kind.is_file() {
            let file = open_plain(path)?;
            let status = file.metadata()?;
            return Ok(Self::File(file, status));
        }
        if kind.is_symlink() {
            return Ok(Self::Link(status, fs::read_link(path)?));
        }
        Err(io::Error::other("neither a file nor a directory nor a link"))
    }
}

struct Packer<W: Write> {
    builder: Builder<W>,
    left_out: Vec<io::Error>,
}

impl<W: Write> Packer<W> {
    fn add(&mut self, path: &Path, name: &Path) -> io::Result<()> {
        match Content::of(path).map_err(named(path)) {
            Err(error) => self.left_out.push(error),
            Ok(Content::File(file, status)) => self.add_file(path, name, file, &status)?,
            Ok(Content::Link(status, target)) => {
                let mut header = header_of(&status);
                self.builder.append_link(&mut header, name, &target)?;
            }
            Ok(Content::Directory(status, entries)) => {
                let mut header = header_of(&status);
                self.builder.append_data(&mut header, name, io::empty())?;
                for entry in entries {
                    self.add(&entry, &name.join(entry.file_name().unwrap_or_default()))?;
                }
            }
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path, name: &Path, mut file: File, status: &Metadata) -> io::Result<()> {
        let mut header = header_of(status);
        match made_up(&mut file, status.len(), status.blocks()).map_err(named(path)) {
            Ok(None) => {}
            Ok(Some(content)) => {
                header.set_size(content.len() as u64);
                return self.builder.append_data(&mut header, name, content.as_slice());
            }
            Err(error) => {
                self.left_out.push(error);
                return Ok(());
            }
        }
        if status.blocks() * STAT_BLOCK < status.len() {
            // Holes stay holes.
            return self.builder.append_file(name, &mut file);
        }
        let mut exact = Exactly::new(file, status.len());
        self.builder.append_data(&mut header, name, &mut exact)?;
        self.left_out.extend(exact.failed().map(named(path)));
        Ok(())
    }
}

/// Of directories and links the size in it is 0.
fn header_of(status: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_metadata_in_mode(status, HeaderMode::Complete);
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    fn names(stream: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(stream);
        let entries = archive.entries().unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| entry.path().unwrap().display().to_string()).collect()
    }

    #[test]
    fn what_cannot_be_read_is_named_and_the_rest_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("a"), "text").unwrap();
        fs::write(tree.join("z"), "text").unwrap();
        let mut packer = Packer { builder: Builder::new(Vec::new()), left_out: Vec::new() };
        for name in ["a", "gone", "z"] {
            packer.add(&tree.join(name), Path::new(name)).unwrap();
        }
        let left_out: Vec<String> = packer.left_out.iter().map(ToString::to_string).collect();
        assert_eq!(left_out.len(), 1);
        assert!(left_out[0].starts_with(&tree.join("gone").display().to_string()), "{left_out:?}");
        assert_eq!(names(&packer.builder.into_inner().unwrap()), ["a", "z"]);
    }

    #[test]
    fn what_was_named_and_is_not_there_is_left_out_alone() {
        let mut stream = Vec::new();
        let left_out = pack(Path::new("/nonexistent/x"), &mut stream).unwrap();
        assert!(left_out[0].to_string().starts_with("/nonexistent/x: "), "{left_out:?}");
        assert_eq!(names(&stream), Vec::<String>::new());
    }

    #[test]
    fn a_file_of_the_kernels_arrives_with_its_content() {
        let mut stream = Vec::new();
        assert!(pack(Path::new("/proc/version"), &mut stream).unwrap().is_empty());
        let mut archive = tar::Archive::new(stream.as_slice());
        let mut content = String::new();
        archive.entries().unwrap().next().unwrap().unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, fs::read_to_string("/proc/version").unwrap());
    }

    #[test]
    fn links_are_not_followed_and_sockets_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        symlink("/etc", directory.path().join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
        assert_eq!(pack(&directory.path().join("socket"), io::sink()).unwrap().len(), 1);
        let mut stream = Vec::new();
        assert!(pack(&directory.path().join("link"), &mut stream).unwrap().is_empty());
        assert_eq!(names(&stream), ["link"]);
    }
}
