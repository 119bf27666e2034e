//! What can go wrong, in one type: whose matter it is, what happened, and what to do.

use std::fmt;
use std::io;

use snug_core::Explain;

/// Whose matter an error is. Decides the exit status together with the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What was typed cannot be understood: status 2.
    Usage,
    /// What was asked for cannot be done as it was asked.
    User,
    /// A configuration file is wrong.
    Config,
    /// What was named does not exist.
    NotFound,
    /// Nobody has the image that was named.
    UnknownImage,
    /// An administrator would have to agree.
    NotAuthorized,
    /// This machine cannot do it.
    Unsupported,
    /// A part of the system that Snug needs is missing or does not answer.
    Unavailable,
    /// The user gave up by this signal (Ctrl-C); what was under way is undone.
    Cancelled(i32),
    /// Whoever read our standard output has gone.
    BrokenPipe,
    /// Anything else that failed.
    Failed,
}

/// The one error of the command line, printed as `error: …` and `hint: …`.
#[derive(Debug)]
pub struct CommandError {
    /// Whose matter it is.
    pub kind: Kind,
    /// What failed, on what, why.
    pub message: String,
    /// What is behind it, where the message does not say it all.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// What to do, a sentence each.
    pub hints: Vec<String>,
    /// The situation for which a vendor may have words of his own (`hints.SITUATION` of the configuration).
    pub situation: Option<&'static str>,
}

impl CommandError {
    /// An error of some kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, hints: Vec::new(), situation: None }
    }

    /// What was asked for cannot be done as it was asked.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(Kind::User, message)
    }

    /// Something failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// What was typed cannot be understood.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Adds something to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds several.
    #[must_use]
    pub fn with_hints(mut self, hints: impl IntoIterator<Item = String>) -> Self {
        self.hints.extend(hints);
        self
    }

    /// Adds what is behind it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Exit status of a command that is not `run` or `enter`.
    pub fn status(&self) -> u8 {
        if self.kind == Kind::Usage { 2 } else { 1 }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut source = self.source.as_deref().map(|source| source as &dyn std::error::Error);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl<E: Explain> From<E> for CommandError {
    fn from(error: E) -> Self {
        let kind = match error.kind() {
            snug_core::Kind::User => Kind::User,
            snug_core::Kind::Config => Kind::Config,
            snug_core::Kind::Internal => Kind::Failed,
        };
        Self::new(kind, error.to_string()).with_hints(error.hints())
    }
}

/// Whether the system refused because this process, or the host, has no descriptor left.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Too few files may be open: said by the limit, since what failed first says nothing.
pub fn out_of_descriptors() -> CommandError {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.map_or_else(|| "all that the host has".to_owned(), |limit| limit.to_string());
    CommandError::failed(format!("no file descriptor is left: this process may open {limit}"))
        .hint("raise the limit of open files: `ulimit -n 1024`")
}

/// A failure to write to standard output.
pub fn writing(error: &io::Error) -> CommandError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        CommandError::new(Kind::BrokenPipe, "standard output was closed")
    } else {
        CommandError::failed(format!("standard output cannot be written: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_with_all_that_is_behind_it() {
        let error =
            CommandError::failed("image debian.tar cannot be read").caused_by(io::Error::other("disk"));
        assert_eq!(error.to_string(), "image debian.tar cannot be read: disk");
    }

    #[test]
    fn an_error_of_the_core_keeps_its_hints() {
        let error = CommandError::from("My_Tools".parse::<snug_core::name::ContainerName>().unwrap_err());
        assert_eq!(error.kind, Kind::User);
        assert!(error.hints.iter().any(|hint| hint.contains("my-tools")), "{error:?}");
    }
}
