//! What failed and what can be done.

use crate::command::Output;
use crate::read::printable;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What failed. [`Error::hint`] says what can be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A word that is no package's name.
    #[error("'{word}' is no name of a package for {manager}: {why}")]
    Name {
        /// The row.
        manager: &'static str,
        /// The word, made printable.
        word: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A word that is no version.
    #[error("'{word}' is no version of a package for {manager}: {why}")]
    Version {
        /// The row.
        manager: &'static str,
        /// The word, made printable.
        word: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A version, where the manager has but one of each package.
    #[error("{manager} has one version of each package: {package} cannot be had in another")]
    OneVersion {
        /// The row.
        manager: &'static str,
        /// The package.
        package: String,
    },
    /// A path that is no package file that can be handed over.
    #[error("'{path}' cannot be given to {manager}: {why}")]
    File {
        /// The row.
        manager: &'static str,
        /// The path, made printable.
        path: String,
        /// What is wrong with it.
        why: &'static str,
        /// How names of package files end for this manager.
        endings: &'static [&'static str],
    },
    /// A word that cannot be searched for.
    #[error("'{word}' cannot be searched for: {why}")]
    Term {
        /// The word, made printable.
        word: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A word that is no command's name.
    #[error("'{word}' is no name of a command: {why}")]
    Command {
        /// The word, made printable.
        word: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A path that nobody can own.
    #[error("'{path}' is no path in a container: {why}")]
    Path {
        /// The path, made printable.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A few packages are to be upgraded, where that breaks a system.
    #[error("{manager} upgrades all packages or none: one alone may not fit what is installed")]
    WholeUpgrade {
        /// The row.
        manager: &'static str,
    },
    /// The program ended with a status that says it failed.
    #[error("{program} failed (status {status}){}", .message.as_ref().map(|m| format!(": {m}")).unwrap_or_default())]
    Failed {
        /// Which.
        program: String,
        /// Its status, 128 + n for signal n.
        status: i32,
        /// The last line that it wrote to standard error, made printable.
        message: Option<String>,
    },
}

impl Error {
    /// Of a program that failed.
    pub(crate) fn failed(program: &str, output: &Output) -> Self {
        let tail = output.stderr.len().saturating_sub(16 * 1024);
        let message = output.stderr[tail..]
            .split(|&byte| byte == b'\n' || byte == b'\r')
            .rev()
            .map(|line| printable(line, 300))
            .find(|line| !line.trim().is_empty())
            .map(|line| line.trim().to_owned());
        Self::Failed { program: program.to_owned(), status: output.status, message }
    }

    /// What can be done about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Name { manager, .. } => Some(format!(
                "look for the name with a search; {manager} takes one name a word, and no patterns"
            )),
            Self::Version { .. } => {
                Some("write NAME=VERSION with the version as the manager lists it".to_owned())
            }
            Self::OneVersion { package, .. } => Some(format!("ask for {package} without a version")),
            Self::File { endings, .. } => {
                Some(format!("give the full path of a file whose name ends in {}", endings.join(", ")))
            }
            Self::Term { .. } => Some("search for a part of a name, as it is written".to_owned()),
            Self::Command { .. } => Some("give the command as one types it, without a path".to_owned()),
            Self::Path { .. } => Some("give a full path".to_owned()),
            Self::WholeUpgrade { .. } => Some("upgrade without naming packages".to_owned()),
            Self::Failed { status: 127, program, .. } => {
                Some(format!("the container has no {program}, or not where it used to be"))
            }
            Self::Failed { .. } => None,
        }
    }
}
