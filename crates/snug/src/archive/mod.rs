//! Tar streams to and from a guest. What goes in is ours; what comes out was written by a guest and is hostile.
//!
//! | module | what |
//! |---|---|
//! | [`pack`] | files of the host as a stream |
//! | [`unpack`] | a stream as files of the host, and nothing outside of the place they were meant for |
//! | [`stream`] | the entries of a stream, with every length bounded |
//! | [`place`] | directories that are entered without following a link |

pub mod pack;
mod place;
pub mod stream;
pub mod unpack;

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// What was not copied, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The entry, fit for a terminal.
    pub entry: String,
    /// Why not.
    pub reason: String,
}

/// Why a copy was given up.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// A file of the host.
    #[error("{}: {source}", path.display())]
    Host {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The stream itself.
    #[error("the stream broke: {0}")]
    Stream(#[source] io::Error),
    /// Something that the guest's agent never writes: it is not the agent that answers.
    #[error("the container sent an archive that is refused: {problem}{}", about(entry))]
    Refused {
        /// What is wrong.
        problem: &'static str,
        /// The entry, fit for a terminal.
        entry: String,
    },
    /// What was asked for is itself a link, to this.
    #[error("what was asked for is a link")]
    Link(Vec<u8>),
    /// Nothing came.
    #[error("the container sent nothing")]
    Empty,
}

impl ArchiveError {
    fn refused(problem: &'static str, entry: &[u8]) -> Self {
        Self::Refused { problem, entry: shown(entry) }
    }
}

fn about(entry: &str) -> String {
    if entry.is_empty() { String::new() } else { format!(" ({entry})") }
}

fn shown(entry: &[u8]) -> String {
    snug_core::text::escape_bytes(entry)
}

fn is_plain(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    !bytes.is_empty() && bytes != b"." && bytes != b".." && !bytes.contains(&b'/') && !bytes.contains(&0)
}
