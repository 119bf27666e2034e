//! Sentences about what is not taken, for whoever starts a container, the journal and the doctor.

use std::fmt;

/// What would mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// What a specification names is not there: it is of another driver.
    Outdated,
    /// The text of a specification cannot be used.
    Unusable,
    /// The sentence says it.
    Other,
}

/// One sentence, or the reason in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// What is wrong.
    pub fault: Fault,
    /// In words.
    pub text: String,
}

impl Complaint {
    /// With what is wrong.
    pub fn new(fault: Fault, text: impl Into<String>) -> Self {
        Self { fault, text: text.into() }
    }

    /// The sentence about it, where this is the reason.
    #[must_use]
    pub fn about(self, subject: impl fmt::Display) -> Self {
        Self { text: format!("{subject}: {}", self.text), ..self }
    }
}

impl From<String> for Complaint {
    fn from(text: String) -> Self {
        Self::new(Fault::Other, text)
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
