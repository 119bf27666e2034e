//! What the process was given before Rust's runtime changed it.
//!
//! The runtime opens `/dev/null` for closed standard streams and ignores SIGPIPE before `main` (library/std,
//! `sys/pal/unix/mod.rs`); a command must get what its caller gave, so both are recorded by a constructor, which the
//! loader runs earlier (`.init_array`, System V ABI, also for static programs).

use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
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

/// The path by which this program was executed, as the kernel was told (`AT_EXECFN`, getauxval(3)): a link, where it was one.
#[must_use]
pub fn executed() -> Option<&'static OsStr> {
    // SAFETY: a plain look into a list that the kernel has put on the stack.
    let path = unsafe { libc::getauxval(libc::AT_EXECFN) };
    let path = std::ptr::with_exposed_provenance::<libc::c_char>(usize::try_from(path).ok()?);
    // SAFETY: where it is given, it is a string of the kernel's that lives as long as the process and that nobody writes.
    (!path.is_null()).then(|| OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()))
}

/// Makes the process another program, which is given what this one was: [`prepare`] is undone. Returns why that was not possible.
pub fn become_program(program: &Path, words: &[OsString]) -> io::Error {
    let c_string = |text: &OsStr| CString::new(text.as_bytes());
    let strings: Result<Vec<CString>, _> = words.iter().map(|word| c_string(word)).collect();
    let (Ok(strings), Ok(program)) = (strings, c_string(program.as_os_str())) else {
        return io::ErrorKind::InvalidInput.into();
    };
    let mut pointers: Vec<*const libc::c_char> = strings.iter().map(|string| string.as_ptr()).collect();
    pointers.push(std::ptr::null());
    for stream in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        if !was_closed(stream.cast_unsigned()) {
            continue;
        }
        // SAFETY: the descriptor is that of `prepare`, and nobody else's.
        unsafe { libc::close(stream) };
    }
    if ignored_signals() & (1 << (libc::SIGPIPE - 1)) == 0 {
        // SAFETY: SIG_DFL runs no code of ours.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    }
    // SAFETY: both are strings that end with a zero, the list ends with a null pointer, and all live for the call.
    unsafe { libc::execv(program.as_ptr(), pointers.as_ptr()) };
    let error = io::Error::last_os_error();
    prepare();
    error
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
