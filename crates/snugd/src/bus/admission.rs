//! How many calls of one user are taken in: one who floods the daemon waits for himself, not others for him.
//!
//! Without it (measured): 30 000 calls a second that want no answer, for five seconds, took 2.7 GB, all descriptors of
//! incusd, and everybody else's next three minutes.

use crate::place::{Counts, Place};
use crate::turns::{Turn, Turns};

/// Calls of one connection that are under way; more than the jobs that one user may wait for at once.
const OF_CONNECTION: usize = 256;
/// The same of all connections of one user.
const OF_USER: usize = 512;
/// Calls of one user that are answered side by side; each may ask Incus and polkit.
const AT_WORK: usize = 16;
/// Bytes of one call: names and options are short.
pub const LARGEST: usize = 256 << 10;

/// Everybody's places.
#[derive(Debug)]
pub struct Admission {
    connections: Counts<String>,
    users: Counts<u32>,
    work: Turns<u32>,
}

impl Default for Admission {
    fn default() -> Self {
        Self { connections: Counts::default(), users: Counts::default(), work: Turns::new(AT_WORK) }
    }
}

impl Admission {
    /// A place for a call of `connection`, whose uid need not be known yet.
    #[must_use]
    pub fn connection(&self, connection: &str) -> Option<Place<String>> {
        Place::take(&self.connections, connection.to_owned(), OF_CONNECTION)
    }

    /// A place for a call of `uid`.
    #[must_use]
    pub fn user(&self, uid: u32) -> Option<Place<u32>> {
        Place::take(&self.users, uid, OF_USER)
    }

    /// Waits until `uid` has few enough calls at work.
    pub async fn turn(&self, uid: u32) -> Turn {
        self.work.take(uid).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_user_leaves_room_for_others_and_ends_with_his_calls() {
        let admission = Admission::default();
        let taken: Vec<_> = std::iter::from_fn(|| admission.user(1)).collect();
        assert_eq!(taken.len(), OF_USER);
        assert!(admission.user(2).is_some());
        drop(taken);
        assert!(admission.user(1).is_some());
        assert!(admission.users.lock().unwrap().is_empty(), "nothing is remembered of who has no call");
    }
}
