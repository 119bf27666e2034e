//! Kinds and hints of errors: each error of this crate says whose fault it is and what to do.

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something that was typed or asked for.
    User,
    /// A configuration file, or the state of the host.
    Config,
    /// A defect of Snug, or data that only Snug writes.
    Internal,
}

/// What an error tells beside its message.
pub trait Explain: std::error::Error {
    /// Whose fault it is.
    fn kind(&self) -> Kind;

    /// What to do, one sentence each; may be empty.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}
