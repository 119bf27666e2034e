//! What can go wrong with the bed.

use std::io;
use std::time::Duration;

/// The result of a step of the bed.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A step of the bed failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stack belongs to root.
    #[error("{0} needs root: use sudo")]
    NotRoot(String),
    /// The operating system refused something.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done, on what.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A program of the host ended badly.
    #[error("`{command}` {how}{}", shown_output(.output))]
    Program {
        /// The command line.
        command: String,
        /// How it ended.
        how: String,
        /// The end of what it wrote.
        output: String,
    },
    /// A program or an event took longer than its deadline.
    #[error("{what} took longer than {deadline:?}")]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        deadline: Duration,
    },
    /// The machine is not fit.
    #[error("{0}")]
    Unfit(String),
    /// Several clean-up steps failed; all were tried.
    #[error("left behind:\n  {}", .0.join("\n  "))]
    LeftBehind(Vec<String>),
}

/// Adds to an I/O error what was being done.
pub trait Doing<T> {
    /// `doing` reads as the start of a sentence: "reading /etc/passwd".
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { doing: doing(), source: source.into() })
    }
}

fn shown_output(output: &str) -> String {
    if output.trim().is_empty() { String::new() } else { format!(":\n{}", output.trim_end()) }
}
