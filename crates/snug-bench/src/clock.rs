//! Interleaved runs and their medians.

use std::time::{Duration, Instant};

/// Runs each of `subjects` in turn, `rounds` times, with `pause` before each run, and gives the durations of each.
///
/// Turns rather than blocks: what disturbs the machine then disturbs all of them alike.
pub fn interleaved<const N: usize>(
    rounds: usize,
    pause: Duration,
    mut subjects: [&mut dyn FnMut() -> Duration; N],
) -> [Vec<Duration>; N] {
    let mut results = [const { Vec::new() }; N];
    for subject in &mut subjects {
        // The first run fills caches and is not counted.
        subject();
    }
    for _ in 0..rounds {
        for (subject, result) in subjects.iter_mut().zip(&mut results) {
            std::thread::sleep(pause);
            result.push(subject());
        }
    }
    results
}

/// How long `action` takes.
pub fn timed(action: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    action();
    begun.elapsed()
}

/// The median; of an even number the lower of the two in the middle.
pub fn median(durations: &[Duration]) -> Duration {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// The machine's monotonic clock in microseconds, which containers share: systemd in a guest stamps its units by it.
pub fn monotonic_micros() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000 + now.tv_nsec.cast_unsigned() / 1000
}
