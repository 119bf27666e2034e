//! Turns: of each user so much at once, and the rest waits. Unlike a [`crate::place::Place`], one is not refused.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who has turns; nobody is remembered who has none and waits for none.
#[derive(Debug)]
pub struct Turns<K> {
    each: usize,
    all: Mutex<HashMap<K, Arc<Semaphore>>>,
}

/// A turn; it ends when this is dropped.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl<K: Eq + Hash> Turns<K> {
    /// `each` has so many at once.
    #[must_use]
    pub fn new(each: usize) -> Self {
        Self { each, all: Mutex::default() }
    }

    /// Waits for a turn of `key`.
    ///
    /// # Panics
    /// Never: nobody closes the semaphore.
    pub async fn take(&self, key: K) -> Turn {
        let turns = {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            // Turns and those who wait for one hold it too.
            all.retain(|_, turns| Arc::strong_count(turns) > 1);
            all.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.each))).clone()
        };
        Turn(turns.acquire_owned().await.expect("nobody closes it"))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn each_has_so_many_at_once_and_the_rest_waits() {
        let turns = Turns::new(2);
        let mut taken = vec![turns.take(1).await, turns.take(1).await];
        assert!(turns.take(1).now_or_never().is_none());
        assert!(turns.take(2).now_or_never().is_some());
        taken.pop();
        assert!(turns.take(1).now_or_never().is_some());
        drop(taken);
        drop(turns.take(3).await);
        assert_eq!(turns.all.lock().unwrap().len(), 1, "who has none is forgotten");
    }
}
