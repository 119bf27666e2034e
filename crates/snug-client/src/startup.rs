//! What the process was given before Rust's runtime changed it.
//!
//! The runtime opens `/dev/null` for closed standard streams and ignores SIGPIPE before `main` (library/std,
//! `sys/pal/unix/mod.rs`); a command must get what its caller gave, so both are recorded by a constructor, which the
//! loader runs earlier (`.init_array`, System V ABI, also for static programs).

use std::process::ExitCode;
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

/// What Rust's runtime does before `main` and a command line needs: SIGPIPE is ignored, and closed standard streams are
/// `/dev/null`, so that no file that is opened later takes their numbers.
pub fn prepare() {
    for stream in 0..3 {
        if was_closed(stream) {
            // SAFETY: a constant path; the lowest free number is the stream's, as those before it are open.
            unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        }
    }
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// The status of an [`ExitCode`], which does not tell it itself.
#[must_use]
pub fn status(code: ExitCode) -> i32 {
    (0..=u8::MAX).find(|status| ExitCode::from(*status) == code).map_or(1, i32::from)
}

/// Makes `$main` (arguments to [`ExitCode`]) the program's entry, without Rust's runtime before it: that reads
/// `/proc/self/maps`, asks for the processors and makes a stack for signal handlers, in all 7 page faults of 5 µs.
#[macro_export]
macro_rules! entry_point {
    ($main:path) => {
        // SAFETY: the C library calls the function of this name once, after the constructors; `std::env` takes its arguments
        // from a constructor of its own.
        #[unsafe(no_mangle)]
        extern "C" fn main(_: i32, _: *const *const u8) -> i32 {
            $crate::startup::prepare();
            let code = $main(std::env::args_os().collect());
            // As the runtime does at the end: what a library printed may wait for a line's end.
            let _ = ::std::io::Write::flush(&mut ::std::io::stdout());
            $crate::startup::status(code)
        }
    };
}
