//! Containers that are being made: each counts from the moment on that it is asked for, not only once Incus knows it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use snug_core::name::{ContainerName, Uid};

type Queues = Arc<Mutex<HashMap<Uid, Vec<Entry>>>>;

#[derive(Debug)]
struct Entry {
    number: u64,
    name: ContainerName,
}

/// Who is making which, in the order in which they began.
#[derive(Debug, Default)]
pub struct Expected {
    queues: Queues,
    numbers: std::sync::atomic::AtomicU64,
}

impl Expected {
    /// One more of `uid`'s, expected until the answer is dropped: after Incus knows it, or when it will not be.
    #[must_use]
    pub fn announce(&self, uid: Uid, name: ContainerName) -> Announcement {
        let number = self.numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.entry(uid).or_default().push(Entry { number, name });
        Announcement { queues: self.queues.clone(), uid, number }
    }
}

/// A container that is expected.
#[derive(Debug)]
pub struct Announcement {
    queues: Queues,
    uid: Uid,
    number: u64,
}

impl Announcement {
    /// Those of the same user that were announced before it and are expected still. Who then asks Incus misses none:
    /// what has gone from here is there.
    #[must_use]
    pub fn earlier(&self) -> Vec<ContainerName> {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.get(&self.uid).into_iter().flatten();
        queue.take_while(|entry| entry.number != self.number).map(|entry| entry.name.clone()).collect()
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get_mut(&self.uid) {
            queue.retain(|entry| entry.number != self.number);
            if queue.is_empty() {
                queues.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ContainerName {
        text.parse().unwrap()
    }

    #[test]
    fn each_counts_those_before_it_of_the_same_user() {
        let expected = Expected::default();
        let first = expected.announce(Uid(1000), name("first"));
        let other = expected.announce(Uid(1001), name("other"));
        let second = expected.announce(Uid(1000), name("second"));
        assert_eq!(first.earlier(), []);
        assert_eq!(second.earlier(), [name("first")]);
        assert_eq!(other.earlier(), []);
        drop(first);
        assert_eq!(second.earlier(), []);
        drop((second, other));
        assert!(expected.queues.lock().unwrap().is_empty());
    }
}
