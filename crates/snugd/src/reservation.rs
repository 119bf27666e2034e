//! Values that are being given away: nobody else gets one until Incus knows that it is taken.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct State<T> {
    reserved: BTreeSet<T>,
    /// Reservations that ended while Incus was being asked: its answer may be older than they are.
    ended: BTreeSet<T>,
    /// How often Incus is being asked now.
    asking: usize,
}

#[derive(Debug)]
struct Shared<T>(Mutex<State<T>>);

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The values of one kind that are reserved now.
#[derive(Debug)]
pub struct Reservations<T>(Arc<Shared<T>>);

impl<T> Default for Reservations<T> {
    fn default() -> Self {
        let state = State { reserved: BTreeSet::new(), ended: BTreeSet::new(), asking: 0 };
        Self(Arc::new(Shared(Mutex::new(state))))
    }
}

impl<T: Copy + Ord> Reservations<T> {
    /// Takes the value that `pick` chooses, knowing what `known` answers (what Incus knows) and which are reserved, until
    /// the answer is dropped. Nobody waits for anybody.
    ///
    /// # Errors
    /// Those of `known`.
    pub async fn take<K, E>(
        &self,
        known: impl Future<Output = Result<K, E>>,
        pick: impl FnOnce(K, &BTreeSet<T>) -> Option<T>,
    ) -> Result<Option<Reservation<T>>, E> {
        let _asking = Asking::begin(&self.0);
        let known = known.await?;
        let mut state = self.0.lock();
        let taken = &state.reserved | &state.ended;
        Ok(pick(known, &taken).map(|value| {
            state.reserved.insert(value);
            Reservation { shared: self.0.clone(), value }
        }))
    }
}

/// Incus is being asked while this exists.
struct Asking<'a, T>(&'a Shared<T>);

impl<'a, T> Asking<'a, T> {
    fn begin(shared: &'a Shared<T>) -> Self {
        shared.lock().asking += 1;
        Self(shared)
    }
}

impl<T> Drop for Asking<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.asking -= 1;
        if state.asking == 0 {
            state.ended = BTreeSet::new();
        }
    }
}

/// A value that is given to nobody else while this exists.
#[derive(Debug)]
pub struct Reservation<T: Copy + Ord> {
    shared: Arc<Shared<T>>,
    /// The value.
    pub value: T,
}

impl<T: Copy + Ord> Drop for Reservation<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.reserved.remove(&self.value);
        if state.asking > 0 {
            state.ended.insert(self.value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    async fn lowest(
        numbers: &Reservations<u32>,
        known: impl Future<Output = ()>,
    ) -> Option<Reservation<u32>> {
        let known = async {
            known.await;
            Ok::<_, Infallible>(())
        };
        let Ok(found) = numbers.take(known, |(), taken| (1..3).find(|it| !taken.contains(it))).await;
        found
    }

    #[tokio::test]
    async fn a_value_is_free_again_when_its_reservation_is_dropped() {
        let numbers = Reservations::default();
        let first = lowest(&numbers, async {}).await.unwrap();
        let second = lowest(&numbers, async {}).await.unwrap();
        assert_eq!((first.value, second.value), (1, 2));
        assert!(lowest(&numbers, async {}).await.is_none());
        drop(first);
        assert_eq!(lowest(&numbers, async {}).await.unwrap().value, 1);
    }

    #[tokio::test]
    async fn a_value_that_is_dropped_while_incus_is_asked_is_not_given_away() {
        let numbers = Reservations::default();
        let first = lowest(&numbers, async {}).await.unwrap();
        let second = lowest(&numbers, async move { drop(first) }).await.unwrap();
        assert_eq!(second.value, 2);
    }
}
