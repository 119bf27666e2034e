//! How often a container may be offered the host.
//!
//! Who answers an offer costs a process here, and in a container that is not its owner's he may be anybody.

use std::time::{Duration, Instant};

/// So many requests of a container that is not trusted at once, and then one in each such time: what a person opens.
const BURST: u32 = 5;
const EACH: Duration = Duration::from_secs(2);
/// The shortest time until the next attempt after one that failed; each further one in a row doubles it.
pub const PAUSE: Duration = Duration::from_millis(200);
/// So many failures in a row, and the container is left alone until somebody asks again.
const MOST_FAILURES: u32 = 8;

/// That of one container.
pub struct Pace {
    /// When all requests of a burst may be made again.
    whole: Instant,
    /// Attempts in a row of which nothing came.
    failures: u32,
    /// After the last failure.
    rested: Instant,
}

impl Pace {
    /// Of one that has asked for nothing yet.
    pub fn new(now: Instant) -> Self {
        Self { whole: now, failures: 0, rested: now }
    }

    /// The earliest time for the next attempt; it may be past.
    pub fn next(&self) -> Instant {
        let spent = self.whole.checked_sub(EACH * (BURST - 1)).unwrap_or(self.whole);
        self.rested.max(spent)
    }

    /// One that is not trusted answers an offer.
    pub fn spend(&mut self, now: Instant) {
        self.whole = self.whole.max(now) + EACH;
    }

    /// Nothing came of an attempt.
    pub fn fail(&mut self, now: Instant) {
        self.rested = now + PAUSE * (1 << self.failures.min(MOST_FAILURES));
        self.failures = self.failures.saturating_add(1);
    }

    /// Something came of it, or somebody asks.
    pub fn recover(&mut self) {
        self.failures = 0;
    }

    /// Whether it is left alone.
    pub fn is_hopeless(&self) -> bool {
        self.failures >= MOST_FAILURES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many requests there are in that time of one that makes as many as it may.
    fn requests(pace: &mut Pace, begin: Instant, time: Duration) -> u32 {
        let mut count = 0;
        let mut now = begin;
        while now < begin + time {
            pace.spend(now);
            count += 1;
            now = now.max(pace.next());
        }
        count
    }

    #[test]
    fn a_few_requests_are_made_at_once_and_then_one_after_the_other() {
        let begin = Instant::now() + Duration::from_secs(3600);
        let mut pace = Pace::new(begin);
        assert_eq!(requests(&mut pace, begin, Duration::from_millis(1)), BURST);
        assert_eq!(pace.next(), begin + EACH);
        let mut pace = Pace::new(begin);
        assert_eq!(requests(&mut pace, begin, EACH * 100), BURST + 99);
        // Who has waited for long has no more than a burst again.
        let later = begin + EACH * 1000;
        assert_eq!(requests(&mut pace, later, Duration::from_millis(1)), BURST);
    }

    #[test]
    fn failures_in_a_row_take_longer_and_longer_and_then_it_is_left_alone() {
        let mut now = Instant::now() + Duration::from_secs(3600);
        let mut pace = Pace::new(now);
        let mut waited = Duration::ZERO;
        for number in 0..MOST_FAILURES {
            assert!(!pace.is_hopeless());
            pace.fail(now);
            assert_eq!(pace.next(), now + PAUSE * (1 << number));
            waited += pace.next() - now;
            now = pace.next();
        }
        assert!(pace.is_hopeless() && waited > Duration::from_secs(50), "{waited:?}");
        pace.recover();
        pace.fail(now);
        assert_eq!(pace.next(), now + PAUSE);
        assert!(!pace.is_hopeless());
    }
}
