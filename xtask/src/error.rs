//! What can go wrong with a task.

use std::io;

/// The result of a task.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A task failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done, on what.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A program ended badly.
    #[error("`{command}` {how}")]
    Program {
        /// The command line.
        command: String,
        /// How it ended.
        how: String,
    },
    /// A check found something.
    #[error("{0}")]
    Check(String),
}

/// Adds to an I/O error what was being done.
pub trait Doing<T> {
    /// `doing` reads as the start of a sentence.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { doing: doing(), source: source.into() })
    }
}
