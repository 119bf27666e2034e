//! A container that all tests of one suite share: making one takes a second, and most tests change nothing in it.

use std::sync::Mutex;

use crate::session::bed::Bed;
use crate::session::container::Container;

static SHARED: Mutex<Vec<&'static Container<'static>>> = Mutex::new(Vec::new());

unsafe extern "C" {
    /// atexit(3). libtest ends the process by exit(3), also when a test has failed.
    safe fn atexit(function: extern "C" fn()) -> i32;
}

extern "C" fn remove_shared() {
    let containers = SHARED.lock().map(|mut shared| std::mem::take(&mut *shared)).unwrap_or_default();
    for container in containers {
        container.remove();
    }
}

impl Bed {
    /// The suite's container of that name: made at its first use, removed when the suite's process ends. What a suite
    /// that was killed has left under the name is removed first.
    ///
    /// # Panics
    /// If it cannot be made, or the stack is not up.
    #[track_caller]
    pub fn shared(user: &str, name: &str, image: &str) -> &'static Container<'static> {
        Self::shared_with(user, name, image, &[])
    }

    /// The same, made with options of `snug create`.
    ///
    /// # Panics
    /// As [`Bed::shared`].
    #[track_caller]
    pub fn shared_with(user: &str, name: &str, image: &str, options: &[&str]) -> &'static Container<'static> {
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = shared.iter().find(|known| known.user() == user && known.name() == name) {
            return known;
        }
        let bed: &'static Bed = Box::leak(Box::new(Bed::require()));
        if shared.is_empty() {
            atexit(remove_shared);
        }
        // Most often there is none, and that is an error of `rm`, not of ours.
        let _ = bed.snug(user).args(["rm", "-f", name]).run();
        let container: &'static Container<'static> =
            Box::leak(Box::new(bed.container_with(user, name, image, options)));
        shared.push(container);
        container
    }
}
