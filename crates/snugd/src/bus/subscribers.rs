//! Who gets which signal. Signals are never broadcast: they go to connections of the owner that have called us.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Connections that have called us, and whose they are.
#[derive(Debug, Default)]
pub struct Subscribers(Mutex<HashMap<String, u32>>);

impl Subscribers {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a connection of `uid`.
    pub fn add(&self, connection: &str, uid: u32) {
        let mut all = self.lock();
        if !all.contains_key(connection) {
            all.insert(connection.to_owned(), uid);
        }
    }

    /// Forgets a connection that left the bus.
    pub fn remove(&self, connection: &str) {
        self.lock().remove(connection);
    }

    /// The uid of a connection that has called before.
    #[must_use]
    pub fn uid(&self, connection: &str) -> Option<u32> {
        self.lock().get(connection).copied()
    }

    /// The connections of `uid`.
    #[must_use]
    pub fn of(&self, uid: u32) -> Vec<String> {
        self.lock().iter().filter(|(_, owner)| **owner == uid).map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_for_one_user_reaches_no_other() {
        let all = Subscribers::default();
        all.add(":1.1", 1000);
        all.add(":1.2", 1001);
        assert_eq!(all.of(1000), [":1.1"]);
        all.remove(":1.1");
        assert!(all.of(1000).is_empty());
        assert_eq!(all.uid(":1.2"), Some(1001));
    }
}
