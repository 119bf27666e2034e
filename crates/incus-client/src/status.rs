//! Status codes of instances and operations.

use serde::{Deserialize, Serialize};

/// Status of an instance or an operation (Incus `shared/api/status_code.go`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u16", into = "u16")]
#[non_exhaustive]
pub enum StatusCode {
    /// 100: an operation was made.
    OperationCreated,
    /// 101.
    Started,
    /// 102: the instance does not run.
    Stopped,
    /// 103: the instance or the operation runs.
    Running,
    /// 104.
    Cancelling,
    /// 105: the operation has not begun.
    Pending,
    /// 106.
    Starting,
    /// 107.
    Stopping,
    /// 108.
    Aborting,
    /// 109.
    Freezing,
    /// 110: the instance is frozen.
    Frozen,
    /// 111.
    Thawed,
    /// 112: the instance's state cannot be told.
    Error,
    /// 113: the instance runs and its guest has said that it is ready.
    Ready,
    /// 200: the operation succeeded.
    Success,
    /// 400: the operation failed.
    Failure,
    /// 401: the operation was cancelled.
    Cancelled,
    /// A code that this crate does not know (0 when it was missing).
    Other(u16),
    /// No code was sent.
    #[default]
    Missing,
}

const CODES: &[(u16, StatusCode)] = &[
    (0, StatusCode::Missing),
    (100, StatusCode::OperationCreated),
    (101, StatusCode::Started),
    (102, StatusCode::Stopped),
    (103, StatusCode::Running),
    (104, StatusCode::Cancelling),
    (105, StatusCode::Pending),
    (106, StatusCode::Starting),
    (107, StatusCode::Stopping),
    (108, StatusCode::Aborting),
    (109, StatusCode::Freezing),
    (110, StatusCode::Frozen),
    (111, StatusCode::Thawed),
    (112, StatusCode::Error),
    (113, StatusCode::Ready),
    (200, StatusCode::Success),
    (400, StatusCode::Failure),
    (401, StatusCode::Cancelled),
];

impl StatusCode {
    /// The number that Incus uses.
    pub fn code(self) -> u16 {
        match self {
            Self::Other(code) => code,
            known => CODES.iter().find(|(_, status)| *status == known).map_or(0, |(code, _)| *code),
        }
    }

    /// Whether an operation with this status has ended.
    pub fn is_final(self) -> bool {
        self.code() >= 200
    }

    /// Whether an instance with this status has processes (running, ready, frozen or on the way).
    pub fn is_active(self) -> bool {
        !matches!(self, Self::Stopped | Self::Error | Self::Missing)
    }

    /// Whether an instance with this status executes (running or ready).
    pub fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Ready)
    }
}

impl From<u16> for StatusCode {
    fn from(code: u16) -> Self {
        CODES.iter().find(|(known, _)| *known == code).map_or(Self::Other(code), |(_, status)| *status)
    }
}

impl From<StatusCode> for u16 {
    fn from(status: StatusCode) -> Self {
        status.code()
    }
}

#[cfg(test)]
mod tests {
    use super::{CODES, StatusCode};

    #[test]
    fn every_code_survives_the_way_there_and_back() {
        for (code, status) in CODES {
            assert_eq!(StatusCode::from(*code), *status);
            assert_eq!(status.code(), *code);
        }
        assert_eq!(StatusCode::from(999).code(), 999);
    }

    #[test]
    fn only_codes_from_200_on_are_final() {
        assert!(!StatusCode::Running.is_final());
        assert!(StatusCode::Success.is_final() && StatusCode::Cancelled.is_final());
    }

    #[test]
    fn ready_counts_as_running() {
        assert!(StatusCode::Ready.is_running() && !StatusCode::Frozen.is_running());
        assert!(StatusCode::Frozen.is_active() && !StatusCode::Stopped.is_active());
    }
}
