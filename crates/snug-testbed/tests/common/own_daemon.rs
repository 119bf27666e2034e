//! A snugd of the test's own in place of the one that the bus starts.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use snug_testbed::process::Process;
use snug_testbed::{Bed, tool};

use super::{PATIENCE, eventually};

/// The installed snugd with variables of the test's; when it is gone, the bus starts its own at the next call.
pub struct OwnDaemon {
    child: Child,
}

impl OwnDaemon {
    #[track_caller]
    #[must_use]
    pub fn with(bed: &Bed, variables: &[(&str, &str)]) -> Self {
        bed.kill_snugd();
        let log =
            File::options().create(true).append(true).open("/run/snug-testbed/snugd-of-tests.log").unwrap();
        let child = Command::new("prlimit")
            // One that is told to die leaves no core.
            .args(["--core=0", "--", "/usr/libexec/snug/snugd"])
            .env_clear()
            .env("PATH", tool::PATH)
            .envs(variables.iter().copied())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut daemon = Self { child };
        eventually("the test's snugd serves", || {
            assert!(
                daemon.child.try_wait().unwrap().is_none(),
                "the test's snugd ended: see snugd-of-tests.log"
            );
            bed.snugd().is_some_and(|it| it.pid == daemon.child.id().cast_signed())
        });
        daemon
    }

    /// One that dies as by SIGKILL where it comes to this place.
    #[track_caller]
    #[must_use]
    pub fn dying_at(bed: &Bed, place: &str) -> Self {
        Self::with(bed, &[("SNUG_FAILPOINT", place)])
    }

    /// Whether it died, waiting for it as long as that may take.
    pub fn died(&mut self) -> bool {
        let process = Process::now(self.child.id().cast_signed());
        process.is_none_or(|it| it.wait_end(PATIENCE))
            && self.child.wait().is_ok_and(|status| !status.success())
    }

    /// Whether it has died by now.
    pub fn is_dead(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for OwnDaemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
