//! The one error type of the daemon: what failed, on what, why, and what to do.

use std::fmt;
use std::io;

/// Prefix of the error names on the bus.
pub const PREFIX: &str = "org.snug.Snug1.Error.";

/// What a client may tell apart; the names are part of the D-Bus contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No such container or job (of this caller).
    NotFound,
    /// The name is taken.
    Exists,
    /// An argument or option makes no sense.
    InvalidArgument,
    /// polkit, or its absence, said no.
    NotAuthorized,
    /// This account may not own containers.
    NotEligible,
    /// Something else is at work on it.
    Busy,
    /// Only possible while it runs.
    NotRunning,
    /// Only possible while it does not run.
    Running,
    /// Incus does not answer.
    NoIncus,
    /// Incus lacks something that Snug needs.
    IncusTooOld,
    /// The disk or the pool is full.
    NoSpace,
    /// Nobody knows that image.
    ImageUnknown,
    /// The server of the image does not answer.
    ImageUnreachable,
    /// The image cannot be read.
    ImageBroken,
    /// Not in this version, or not on this machine.
    Unsupported,
    /// The caller cancelled it.
    Cancelled,
    /// The daemon was interrupted at it.
    Interrupted,
    /// Anything else.
    Failed,
}

impl ErrorKind {
    /// The last component of the error's name on the bus.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "NotFound",
            Self::Exists => "Exists",
            Self::InvalidArgument => "InvalidArgument",
            Self::NotAuthorized => "NotAuthorized",
            Self::NotEligible => "NotEligible",
            Self::Busy => "Busy",
            Self::NotRunning => "NotRunning",
            Self::Running => "Running",
            Self::NoIncus => "NoIncus",
            Self::IncusTooOld => "IncusTooOld",
            Self::NoSpace => "NoSpace",
            Self::ImageUnknown => "ImageUnknown",
            Self::ImageUnreachable => "ImageUnreachable",
            Self::ImageBroken => "ImageBroken",
            Self::Unsupported => "Unsupported",
            Self::Cancelled => "Cancelled",
            Self::Interrupted => "Interrupted",
            Self::Failed => "Failed",
        }
    }
}

/// An error as it reaches a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What a client may tell apart.
    pub kind: ErrorKind,
    /// What failed, on what, why: one line.
    pub message: String,
    /// What to do, one line each.
    pub hints: Vec<String>,
}

/// Shorthand.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without a hint.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hints: Vec::new() }
    }

    /// The same with one hint more.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same, told as the reason why `what` failed.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// An operation of the system that failed on `what`.
    #[must_use]
    pub fn system(what: impl fmt::Display, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        let kind = match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => ErrorKind::NoSpace,
            _ => ErrorKind::Failed,
        };
        Self::new(kind, format!("{what}: {error}"))
    }

    /// The text that travels on the bus: the message, then `hint: ` lines.
    #[must_use]
    pub fn text(&self) -> String {
        // The first line is the message: a reason of several lines (Incus') must not be taken for hints.
        let mut text = self.message.replace('\n', "; ");
        for hint in &self.hints {
            text.push_str("\nhint: ");
            text.push_str(hint);
        }
        text
    }

    /// The whole name on the bus.
    #[must_use]
    pub fn bus_name(&self) -> String {
        format!("{PREFIX}{}", self.kind.name())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<zbus::Error> for Error {
    fn from(error: zbus::Error) -> Self {
        Self::new(ErrorKind::Failed, format!("the system bus: {error}"))
    }
}

impl From<tokio::task::JoinError> for Error {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::new(ErrorKind::Failed, format!("a task of the daemon ended early: {error}"))
    }
}

/// An error of `snug-core`, with its hints.
fn explained(kind: ErrorKind, error: &impl snug_core::Explain) -> Error {
    Error { kind, message: error.to_string(), hints: error.hints() }
}

/// Errors of `snug-core` that are of one kind.
macro_rules! from_core {
    ($($error:ty => $kind:ident),+ $(,)?) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                explained(ErrorKind::$kind, &error)
            }
        }
    )+};
}

from_core! {
    snug_core::name::NameError => InvalidArgument,
    snug_core::setting::SettingError => InvalidArgument,
    snug_core::snapshot::SnapshotError => InvalidArgument,
    snug_core::owner::NotEligible => NotEligible,
    snug_core::preset::PresetError => InvalidArgument,
    snug_core::grant::GrantError => InvalidArgument,
    snug_core::config::ConfigError => Failed,
    snug_core::spec::SpecError => Failed,
}

impl From<snug_core::image::ImageError> for Error {
    fn from(error: snug_core::image::ImageError) -> Self {
        use snug_core::image::ImageError;
        let kind = match &error {
            ImageError::Malformed { .. } => ErrorKind::InvalidArgument,
            _ => ErrorKind::ImageUnknown,
        };
        explained(kind, &error)
    }
}

impl From<snug_core::subid::SubidError> for Error {
    fn from(error: snug_core::subid::SubidError) -> Self {
        use snug_core::subid::SubidError;
        let kind = match &error {
            SubidError::InsideBase { .. } => ErrorKind::NotEligible,
            _ => ErrorKind::Failed,
        };
        explained(kind, &error)
    }
}

impl From<snug_core::plan::PlanError> for Error {
    fn from(error: snug_core::plan::PlanError) -> Self {
        use snug_core::plan::PlanError;
        let kind = match &error {
            PlanError::NotFound(_) => ErrorKind::NotFound,
            PlanError::Exists(_) => ErrorKind::Exists,
            PlanError::Running(_) => ErrorKind::Running,
            PlanError::NotRunning(_) => ErrorKind::NotRunning,
            PlanError::Kind { .. } | PlanError::NoSnapshots { .. } | PlanError::Temporary(_) => {
                ErrorKind::Unsupported
            }
            PlanError::NoSnapshot { .. } => ErrorKind::NotFound,
            PlanError::StartsByItself { .. } => ErrorKind::Failed,
            _ => ErrorKind::InvalidArgument,
        };
        explained(kind, &error)
    }
}

/// Something wrong with an argument.
pub fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// Anything without a kind of its own.
pub fn failed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Failed, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_one_line_and_each_hint_another() {
        let error = failed("a\nb").hint("do this").hint("or that");
        assert_eq!(error.text(), "a; b\nhint: do this\nhint: or that");
        assert_eq!(error.bus_name(), "org.snug.Snug1.Error.Failed");
    }

    #[test]
    fn a_full_disk_has_a_kind_of_its_own() {
        assert_eq!(
            Error::system("write x", io::Error::from_raw_os_error(libc::ENOSPC)).kind,
            ErrorKind::NoSpace
        );
    }
}
