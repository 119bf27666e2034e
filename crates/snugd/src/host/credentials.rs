//! A thread with a user's credentials: what it opens or connects to is what the user may open or connect to.

use std::thread;

use crate::error::{Error, Result, failed};

/// The numbers that a thread takes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

/// Runs `work` on a thread of its own that has `credentials` and no capability.
///
/// The system calls are made directly: they change the calling thread alone, where libc's wrappers would change every
/// thread of the process (nptl(7)).
///
/// # Errors
/// When the kernel refuses the change; then `work` does not run.
pub fn with<T: Send + 'static>(
    credentials: Credentials,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let thread = thread::Builder::new()
        .name("as-owner".into())
        .stack_size(256 << 10)
        .spawn(move || {
            take(&credentials)?;
            Ok(work())
        })
        .map_err(|error| Error::system("start a thread", error))?;
    thread.join().map_err(|_| failed("the thread with the owner's credentials panicked"))?
}

fn take(credentials: &Credentials) -> Result<()> {
    let call = |what: &str, status: libc::c_long| {
        if status == 0 {
            Ok(())
        } else {
            Err(Error::system(format!("take on the owner's {what}"), std::io::Error::last_os_error()))
        }
    };
    let Credentials { uid, gid, groups } = credentials;
    // SAFETY: the pointer and the count describe the same live vector, which the kernel only reads.
    let status = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    call("groups", status)?;
    // SAFETY: three plain numbers; affects the calling thread alone.
    let status = unsafe { libc::syscall(libc::SYS_setresgid, *gid, *gid, *gid) };
    call("group", status)?;
    // SAFETY: as above. Leaving uid 0 clears the thread's capabilities (capabilities(7)), for good.
    let status = unsafe { libc::syscall(libc::SYS_setresuid, *uid, *uid, *uid) };
    call("uid", status)
}

#[cfg(all(test, feature = "root-tests"))]
mod tests {
    use super::*;

    #[test]
    fn the_thread_changes_and_the_process_does_not() {
        let credentials = Credentials { uid: 65534, gid: 65534, groups: vec![65534] };
        let inside = with(credentials, || {
            (rustix::process::geteuid().as_raw(), std::fs::read("/proc/1/environ").is_err())
        });
        assert_eq!(inside.unwrap(), (65534, true));
        assert!(rustix::process::geteuid().is_root());
    }
}
