//! What the process was given before Rust's runtime changed it.
//!
//! The runtime opens `/dev/null` for closed standard streams and ignores SIGPIPE before `main` (library/std,
//! `sys/pal/unix/mod.rs`); a command must get what its caller gave, so both are recorded by a constructor, which the
//! loader runs earlier (`.init_array`, System V ABI, also for static programs).

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

static CLOSED: AtomicU8 = AtomicU8::new(0);
static IGNORED: AtomicU64 = AtomicU64::new(0);

/// Whether stream 0, 1 or 2 was closed when the process started.
#[must_use]
pub fn was_closed(stream: u32) -> bool {
    stream < 3 && CLOSED.load(Ordering::Relaxed) & (1 << stream) != 0
}

/// Signals that were ignored when the process started, bit n-1 for signal n.
#[must_use]
pub fn ignored_signals() -> u64 {
    IGNORED.load(Ordering::Relaxed)
}

extern "C" fn record() {
    for stream in 0..3 {
        // SAFETY: F_GETFD takes no pointer and changes nothing.
        if unsafe { libc::fcntl(stream, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << stream, Ordering::Relaxed);
        }
    }
    for signal in 1..32 {
        // SAFETY: an all-zero sigaction is a valid place for the kernel to write the old action to; none is set.
        let ignored = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
                && action.sa_sigaction == libc::SIG_IGN
        };
        if ignored {
            IGNORED.fetch_or(1 << (signal - 1), Ordering::Relaxed);
        }
    }
}

// SAFETY: the section holds pointers to functions that the loader calls once with the C convention; `record` calls
// async-signal-safe functions only and needs nothing of Rust's runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static RECORD: extern "C" fn() = record;
