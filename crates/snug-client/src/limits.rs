//! Resource limits of the caller.

use rustix::process::{Resource, getrlimit};
use snug_wire::message::Limit;

/// Every resource that Linux limits, with its number in `asm-generic/resource.h`.
const RESOURCES: &[(Resource, u8)] = &[
    (Resource::Cpu, 0),
    (Resource::Fsize, 1),
    (Resource::Data, 2),
    (Resource::Stack, 3),
    (Resource::Core, 4),
    (Resource::Rss, 5),
    (Resource::Nproc, 6),
    (Resource::Nofile, 7),
    (Resource::Memlock, 8),
    (Resource::As, 9),
    (Resource::Locks, 10),
    (Resource::Sigpending, 11),
    (Resource::Msgqueue, 12),
    (Resource::Nice, 13),
    (Resource::Rtprio, 14),
    (Resource::Rttime, 15),
];

/// The caller's limits; no limit is `u64::MAX`.
#[must_use]
pub fn current() -> Vec<Limit> {
    RESOURCES
        .iter()
        .map(|(resource, number)| {
            let limit = getrlimit(*resource);
            Limit {
                resource: *number,
                soft: limit.current.unwrap_or(u64::MAX),
                hard: limit.maximum.unwrap_or(u64::MAX),
            }
        })
        .collect()
}
