//! The system calls that have no safe wrapper elsewhere. `unsafe` stands nowhere but here; every process that serves
//! has a single thread, and several of the calls below are only sound because of that.

pub mod descriptor;
pub mod door;
pub mod memory;
pub mod peer;
pub mod process;
pub mod signal;
pub mod terminal;

use std::time::Duration;

use rustix::event::Timespec;

/// A time as poll(2) takes it.
pub fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() }
}
