//! A process that stays when the hook has ended.

use std::fs::File;
use std::io::{self, Write};

/// Into the log, which is this process' standard error.
pub fn say(line: std::fmt::Arguments<'_>) {
    // A log that cannot be written stops nothing.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Has a copy of this process, whose log is the file, do `work` and end; what it ends with is in the log, as what has failed.
///
/// # Errors
/// What the kernel says.
pub fn start(log: &File, what: &str, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    // SAFETY: this process has one thread, so the copy is whole.
    match unsafe { libc::fork() } {
        error if error < 0 => Err(io::Error::last_os_error()),
        0 => {
            let done = become_daemon(log).and_then(|()| work());
            if let Err(error) = &done {
                say(format_args!("{what}: {error}"));
            }
            // SAFETY: ends this process; nothing of its parent's is to be cleaned up by it.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
        _ => Ok(()),
    }
}

/// A session of its own, and no stream of LXC's: that waits for the end of its hook's output.
fn become_daemon(log: &File) -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::chdir("/")?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(log)?;
    Ok(())
}
