//! Files of the host as a tar stream for a guest.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;

use snug_wire::pack::{Entry, Packer};

use super::{ArchiveError, Skipped, shown};

/// Writes `path`, and all that is below it, under the name `name`. A link that was named is followed, as `cp` does;
/// those below are copied as links. What cannot be read is left out and named; the rest is written.
pub fn pack(path: &Path, name: &OsStr, stream: impl Write) -> Result<Vec<Skipped>, ArchiveError> {
    let host = |source| ArchiveError::Host { path: path.to_owned(), source };
    let entry = fs::canonicalize(path).and_then(|real| Entry::open(&real)).map_err(host)?;
    let mut packer = Packer::new(stream);
    packer.add_entry(entry, Path::new(name)).map_err(ArchiveError::Stream)?;
    let left_out = packer.finish().map_err(ArchiveError::Stream)?;
    let skipped = left_out.into_iter().map(|it| Skipped {
        entry: shown(it.name.as_os_str().as_encoded_bytes()),
        reason: it.error.to_string(),
    });
    Ok(skipped.collect())
}
