//! A snapshot before a change, for commands that change what is installed.

use snug_core::snapshot::MOST_WORDS;
use snug_core::text;

use super::Bus;
use super::change::Change;
use super::job::Ended;
use super::options::Options;
use crate::error::{CommandError, Kind};

/// What became of a snapshot that was wanted.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was taken, and has this name.
    Snapshot(String),
    /// It cannot be had in that container, and why; a change goes on without, and tells it once.
    Unavailable(String),
}

impl Bus {
    /// Takes a snapshot of a container before a change (`install ripgrep`), to which `snug undo` goes back then.
    ///
    /// # Errors
    /// There is no such container, its pool is full, or something failed: the change should not be made.
    pub fn take_snapshot(&self, name: &str, before: &str) -> Result<Taken, CommandError> {
        let before = text::escape(before);
        let before = text::shorten(&before, MOST_WORDS - 1);
        let options = Options::new().text("before", Some(&before));
        taken(self.change(&Change::take_snapshot(name, options)))
    }
}

fn taken(ended: Result<Ended, CommandError>) -> Result<Taken, CommandError> {
    match ended {
        Ok(ended) => ended.go_on().map(|()| Taken::Snapshot(ended.snapshot.unwrap_or_default())),
        Err(error) if error.kind == Kind::Unsupported => Ok(Taken::Unavailable(error.to_string())),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_cannot_is_no_failure_and_a_full_one_is() {
        let ended = |kind| taken(Err(CommandError::new(kind, "why")));
        assert_eq!(ended(Kind::Unsupported).unwrap(), Taken::Unavailable("why".into()));
        assert!(ended(Kind::Failed).is_err() && ended(Kind::NotFound).is_err());
        let one = Ended { snapshot: Some("snug-20260717T101502Z".into()), ..Ended::default() };
        assert_eq!(taken(Ok(one)).unwrap(), Taken::Snapshot("snug-20260717T101502Z".into()));
    }
}
