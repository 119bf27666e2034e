//! How much of something one user, or one connection, holds at once: counted by key, bounded, given back when dropped.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Places taken, by who has them; nobody is remembered who has none.
pub type Counts<K> = Arc<Mutex<HashMap<K, usize>>>;

/// A place taken; given back when dropped.
#[derive(Debug)]
pub struct Place<K: Eq + Hash> {
    counts: Counts<K>,
    key: K,
}

impl<K: Eq + Hash + Clone> Place<K> {
    /// One more place for `key`; `None` while it has `most` (at least 1).
    #[must_use]
    pub fn take(counts: &Counts<K>, key: K, most: usize) -> Option<Self> {
        let mut all = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(key.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Self { counts: counts.clone(), key })
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.key);
            }
        }
    }
}
