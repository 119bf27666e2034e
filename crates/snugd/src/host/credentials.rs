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

/// Leaves a number as it is (setresuid(2)).
const SAME: u32 = u32::MAX;

/// Runs `work` on a thread of its own that acts with `credentials` and has no capability in effect.
///
/// Only the effective numbers change: files, sockets and their peers know no others, while the kernel judges by the real and
/// saved ones who may signal a process (`kill_ok_by_cred`), and a signal to one thread stops or ends all: with those changed
/// the owner could stop the daemon.
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
    let status = unsafe { libc::syscall(libc::SYS_setresgid, SAME, *gid, SAME) };
    call("group", status)?;
    // SAFETY: as above. An effective uid that is not 0 clears the thread's effective capabilities (capabilities(7)).
    let status = unsafe { libc::syscall(libc::SYS_setresuid, SAME, *uid, SAME) };
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

    #[test]
    fn the_owner_may_not_signal_the_thread_nor_change_its_limits() {
        let credentials = Credentials { uid: 65534, gid: 65534, groups: vec![65534] };
        let (ready, told) = std::sync::mpsc::channel();
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            with(credentials, move || {
                ready.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
                let _ = wait.recv();
                let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
                status.lines().find(|line| line.starts_with("CapEff:")).unwrap().to_owned()
            })
        });
        let target = told.recv().unwrap().to_string();
        let as_him = |script: &str| {
            let mut command = std::process::Command::new("setpriv");
            command.args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "sh",
                "-c",
                script,
                "sh",
                &target,
            ]);
            command.status().unwrap().success()
        };
        assert!(as_him("kill -0 $$"));
        assert!(!as_him("kill -0 $1 2>/dev/null"));
        assert!(!as_him("prlimit --pid $1 --core=0:0 2>/dev/null"));
        drop(done);
        assert_eq!(thread.join().unwrap().unwrap(), "CapEff:\t0000000000000000");
    }
}
