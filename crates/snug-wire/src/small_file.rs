//! Small files of a user's or of a guest's: what lies at a known path may be anything, and nobody waits for it. A pipe that nobody writes
//! to would keep who reads it, a device would fill the memory.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Reads a regular file of at most `longest` bytes.
///
/// # Errors
/// It cannot be read; it is a pipe, a device or a directory; it is longer.
pub fn read(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    read_if(path, longest, |_| true)
}

/// The same of a file that is this user's own: who has it says what is in it.
///
/// # Errors
/// As of [`read`]; it belongs to somebody else.
pub fn read_own(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    read_if(path, longest, |owner| owner == rustix::process::getuid().as_raw())
}

fn read_if(path: &Path, longest: u64, is_fit: impl Fn(u32) -> bool) -> io::Result<Vec<u8>> {
    // To open a pipe waits for its writer, and to open a terminal may make it this session's.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let unfit = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let status = file.metadata()?;
    if !status.is_file() {
        return Err(unfit("it is no regular file".to_owned()));
    }
    if !is_fit(status.uid()) {
        return Err(unfit(format!("it belongs to the user with uid {}", status.uid())));
    }
    // Room for all of it and for its end: one read, and one that finds nothing more.
    let expected = usize::try_from(status.len().min(longest)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(expected + 1);
    // It may grow meanwhile, and files of the kernel's tell no length.
    file.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        return Err(unfit(format!("it has more than {longest} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn what_is_no_small_file_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "123").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"123");
        assert_eq!(read(&path, 2).unwrap_err().to_string(), "it has more than 2 bytes");
        let pipe = directory.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        for odd in [&pipe, Path::new("/dev/zero"), directory.path()] {
            assert_eq!(read(odd, 10).unwrap_err().to_string(), "it is no regular file", "{}", odd.display());
        }
        assert_eq!(read(&directory.path().join("none"), 10).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_of_another_user_is_not_ones_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "123").unwrap();
        assert_eq!(read_own(&path, 3).unwrap(), b"123");
        let anybodys = read_if(&path, 3, |owner| owner != rustix::process::getuid().as_raw());
        let told = format!("it belongs to the user with uid {}", rustix::process::getuid().as_raw());
        assert_eq!(anybodys.unwrap_err().to_string(), told);
    }
}
