//! What can go wrong, with the request it went wrong in.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::operation::OperationInfo;
use crate::quirks::hides_conflict;
use crate::server::Extension;

/// Why the server cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnavailableReason {
    /// The socket does not exist: Incus is not installed or has never run.
    Missing,
    /// The socket exists and nobody listens: Incus is stopped.
    Refused,
    /// The caller may not open the socket.
    PermissionDenied,
    /// Nobody accepted within the connect deadline.
    TimedOut,
    /// Anything else; see the source.
    Other,
}

impl UnavailableReason {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::PermissionDenied => Self::PermissionDenied,
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Other,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Missing => "there is no such socket",
            Self::Refused => "nobody listens on the socket",
            Self::PermissionDenied => "permission denied",
            Self::TimedOut => "nobody accepted the connection in time",
            Self::Other => "the connection failed",
        }
    }
}

/// The kinds of errors, for a caller that decides by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No connection could be made; nothing was sent.
    Unavailable,
    /// Incus refused the request.
    Refused,
    /// The request was accepted and the operation failed.
    OperationFailed,
    /// The operation was cancelled.
    Cancelled,
    /// The connection ended or the deadline passed: the outcome is unknown.
    Unknown,
    /// The server answered what this crate does not understand.
    Protocol,
    /// This server lacks what the call needs.
    Unsupported,
    /// The caller's own data or arguments.
    Caller,
}

/// Any failure of a call.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection could be made; nothing was sent.
    #[error("cannot reach Incus at {endpoint}: {}", reason.text())]
    Unavailable {
        /// Path of the socket, or address.
        endpoint: String,
        /// Why.
        reason: UnavailableReason,
        /// The system's error.
        #[source]
        source: Arc<io::Error>,
    },
    /// Incus answered with an error.
    #[error("{method} {path}: {message} (status {status})")]
    Api {
        /// HTTP method.
        method: String,
        /// Request target with its query.
        path: String,
        /// The envelope's `error_code`, else the HTTP status. A 500 that hides "exists already" is a 409 here
        /// (see [`crate::quirks::hides_conflict`]).
        status: u16,
        /// HTTP status; 200 where the error came after it.
        http_status: u16,
        /// Incus' text.
        message: String,
    },
    /// An operation ended as a failure.
    #[error("{}: {}", operation.description, operation.err)]
    OperationFailed {
        /// Code of the error in the manner of HTTP; 500 where Incus has no better one, 400 where it was not told.
        /// A 500 that hides "exists already" is a 409 here.
        code: u16,
        /// The operation at its end.
        operation: Box<OperationInfo>,
    },
    /// An operation was cancelled.
    #[error("{}: cancelled", operation.description)]
    OperationCancelled {
        /// The operation at its end.
        operation: Box<OperationInfo>,
    },
    /// The operation cannot be found any more: finished operations vanish after 5 s, all of them
    /// when incusd restarts. Whether it was carried out must be read from its object.
    #[error("the outcome of operation {id} is unknown: {reason}")]
    OperationUnknown {
        /// Id of the operation.
        id: String,
        /// What made it unknown.
        reason: String,
    },
    /// The connection ended in the middle; the request may have been carried out.
    #[error("{method} {path}: the connection to Incus was lost")]
    ConnectionLost {
        /// HTTP method.
        method: String,
        /// Request target with its query.
        path: String,
        /// What the connection said.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// No answer within the deadline; the request may have been carried out.
    #[error("{method} {path}: no answer within {after:?}")]
    TimedOut {
        /// HTTP method.
        method: String,
        /// Request target with its query.
        path: String,
        /// The deadline that passed.
        after: Duration,
    },
    /// The answer is larger than this client reads into memory.
    #[error("{method} {path}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// HTTP method.
        method: String,
        /// Request target with its query.
        path: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer is not what the API promises.
    #[error("{method} {path}: unexpected answer: {message}")]
    Malformed {
        /// HTTP method.
        method: String,
        /// Request target with its query.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// The server lacks an API extension.
    #[error("this Incus has no API extension {}", extension.name())]
    MissingExtension {
        /// The extension.
        extension: Extension,
    },
    /// An argument that cannot be sent.
    #[error("invalid {what}: {message}")]
    InvalidArgument {
        /// Which argument.
        what: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The caller's own file or stream failed.
    #[error("{what}: {source}")]
    Io {
        /// What was read or written.
        what: String,
        /// The system's error.
        #[source]
        source: Arc<io::Error>,
    },
}

impl Error {
    /// The kind, for decisions.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Api { .. } => ErrorKind::Refused,
            Self::OperationFailed { .. } => ErrorKind::OperationFailed,
            Self::OperationCancelled { .. } => ErrorKind::Cancelled,
            Self::OperationUnknown { .. } | Self::ConnectionLost { .. } | Self::TimedOut { .. } => {
                ErrorKind::Unknown
            }
            Self::TooLarge { .. } | Self::Malformed { .. } => ErrorKind::Protocol,
            Self::MissingExtension { .. } => ErrorKind::Unsupported,
            Self::InvalidArgument { .. } | Self::Io { .. } => ErrorKind::Caller,
        }
    }

    /// Code in the manner of HTTP, when Incus refused the request or its operation failed.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api { status, .. } => Some(*status),
            Self::OperationFailed { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the object does not exist (404).
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether the object exists already or is in a state that forbids the request (409).
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409)
    }

    /// Whether the object changed since its ETag was read (412).
    pub fn is_precondition_failed(&self) -> bool {
        self.status() == Some(412)
    }

    /// Whether the caller may not do this (403).
    pub fn is_forbidden(&self) -> bool {
        self.status() == Some(403)
    }

    /// Whether no connection could be made.
    pub fn is_unavailable(&self) -> bool {
        self.kind() == ErrorKind::Unavailable
    }

    /// Why no connection could be made.
    pub fn unavailable_reason(&self) -> Option<UnavailableReason> {
        match self {
            Self::Unavailable { reason, .. } => Some(*reason),
            _ => None,
        }
    }

    /// Whether the request may or may not have been carried out.
    pub fn is_outcome_unknown(&self) -> bool {
        self.kind() == ErrorKind::Unknown
    }

    pub(crate) fn unavailable(endpoint: String, source: io::Error) -> Self {
        Self::Unavailable { endpoint, reason: UnavailableReason::of(&source), source: Arc::new(source) }
    }

    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source: Arc::new(source) }
    }
}

/// Method and target of the request that an error belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) method: http::Method,
    pub(crate) path: String,
}

impl Context {
    pub(crate) fn lost(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::ConnectionLost {
            method: self.method.to_string(),
            path: self.path.clone(),
            source: Arc::from(source.into()),
        }
    }

    pub(crate) fn timed_out(&self, after: Duration) -> Error {
        Error::TimedOut { method: self.method.to_string(), path: self.path.clone(), after }
    }

    pub(crate) fn too_large(&self, limit: usize) -> Error {
        Error::TooLarge { method: self.method.to_string(), path: self.path.clone(), limit }
    }

    pub(crate) fn malformed(&self, message: impl Into<String>) -> Error {
        Error::Malformed { method: self.method.to_string(), path: self.path.clone(), message: message.into() }
    }

    pub(crate) fn api(&self, http_status: http::StatusCode, code: u16, message: impl Into<String>) -> Error {
        let (http_status, message) = (http_status.as_u16(), message.into());
        let status = if code == 0 { http_status } else { code };
        let status = if hides_conflict(status, &message) { 409 } else { status };
        Error::Api { method: self.method.to_string(), path: self.path.clone(), status, http_status, message }
    }
}
