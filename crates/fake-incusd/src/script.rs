//! How an operation goes.

use serde_json::Value;

use crate::gate::Gate;

/// A step of an operation.
#[derive(Clone, Debug)]
pub enum Step {
    /// Progress is announced.
    Progress {
        /// Stage, such as `download`.
        stage: String,
        /// 0 to 100.
        percent: u8,
        /// Text beside it.
        text: String,
    },
    /// The operation goes on when the gate is opened.
    Wait(Gate),
}

/// How an operation ends.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// What was asked for is done; these keys are added to the metadata.
    Success(Value),
    /// Nothing is done; this is the error and its code in the manner of HTTP.
    Failure(u16, String),
    /// It never ends, unless it is cancelled.
    Never,
}

/// Steps and end of an operation.
#[derive(Clone, Debug)]
pub struct Script {
    pub(crate) steps: Vec<Step>,
    pub(crate) outcome: Outcome,
    pub(crate) may_cancel: bool,
}

impl Script {
    /// Succeeds at once.
    pub fn success() -> Self {
        Self { steps: Vec::new(), outcome: Outcome::Success(Value::Null), may_cancel: true }
    }

    /// Fails with code 500, as most errors do.
    pub fn failure(error: &str) -> Self {
        Self::failure_with_code(500, error)
    }

    /// Fails.
    pub fn failure_with_code(code: u16, error: &str) -> Self {
        Self { outcome: Outcome::Failure(code, error.to_owned()), ..Self::success() }
    }

    /// Never ends.
    pub fn never() -> Self {
        Self { outcome: Outcome::Never, ..Self::success() }
    }

    /// Adds progress before the end.
    #[must_use]
    pub fn progress(mut self, stage: &str, percent: u8, text: &str) -> Self {
        self.steps.push(Step::Progress { stage: stage.into(), percent, text: text.into() });
        self
    }

    /// Waits for a gate before it goes on.
    #[must_use]
    pub fn wait(mut self, gate: &Gate) -> Self {
        self.steps.push(Step::Wait(gate.clone()));
        self
    }

    /// Whether it can be cancelled.
    #[must_use]
    pub fn may_cancel(mut self, may_cancel: bool) -> Self {
        self.may_cancel = may_cancel;
        self
    }
}
