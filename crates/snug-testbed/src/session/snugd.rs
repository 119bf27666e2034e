//! A daemon started by hand: for tests that need it to die at a given place.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::error::{Doing, Error, Result};
use crate::process::{self, MARK};
use crate::session::bed::SNUGD_NAME;
use crate::stack::bus;
use crate::tool;

const PROGRAM: &str = "/usr/libexec/snug/snugd";
const PATIENCE: Duration = Duration::from_secs(20);

/// A running snugd; killed when dropped.
#[derive(Debug)]
pub struct Snugd {
    child: Child,
}

impl Snugd {
    pub(crate) fn start(variables: &[(&str, &str)]) -> Result<Snugd> {
        let end = Instant::now() + PATIENCE;
        // The monitor first, so that the change of owner cannot be missed.
        let mut monitor = Monitor::start(end)?;
        let log = bus::log_file("snugd")?;
        let mut command = Command::new(PROGRAM);
        command.env_clear().env("PATH", tool::PATH).env(MARK, "snugd").envs(variables.iter().copied());
        command.process_group(0).current_dir("/").stdin(Stdio::null());
        command.stdout(log.try_clone().doing(|| "copying a descriptor".to_owned())?).stderr(log);
        let child = command.spawn().doing(|| format!("starting {PROGRAM}"))?;
        let snugd = Snugd { child };
        monitor.until(SNUGD_NAME, end)?;
        Ok(snugd)
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Waits for its end, as at a failpoint.
    ///
    /// # Errors
    /// It still runs at the deadline.
    pub fn wait_end(&mut self, deadline: Duration) -> Result<ExitStatus> {
        if !process::ended_by(Pid::from_child(&self.child), Instant::now() + deadline)? {
            return Err(Error::Deadline { what: "the end of snugd".into(), deadline });
        }
        self.child.wait().doing(|| "waiting for snugd".to_owned())
    }
}

impl Drop for Snugd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `dbus-monitor` for changes of owner of the name.
struct Monitor {
    child: Child,
    stdout: ChildStdout,
    seen: String,
}

impl Monitor {
    fn start(end: Instant) -> Result<Monitor> {
        let rule = format!(
            "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{SNUGD_NAME}'"
        );
        let mut child = Command::new("dbus-monitor")
            .args(["--system", &rule])
            .env("PATH", tool::PATH)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .doing(|| "starting dbus-monitor".to_owned())?;
        let stdout = child.stdout.take().ok_or_else(|| Error::Unfit("dbus-monitor has no stdout".into()))?;
        let mut monitor = Monitor { child, stdout, seen: String::new() };
        // Once it watches, it loses the unique name that every client gets, and prints that.
        monitor.until("NameLost", end)?;
        Ok(monitor)
    }

    fn until(&mut self, text: &str, end: Instant) -> Result<()> {
        let mut buffer = [0; 4096];
        while !self.seen.contains(text) {
            let read =
                process::wait_readable(&self.stdout, Some(end)).and_then(|()| self.stdout.read(&mut buffer));
            match read {
                Ok(n) if n > 0 => self.seen.push_str(&String::from_utf8_lossy(&buffer[..n])),
                _ => return Err(Error::Deadline { what: format!("{text} on the bus"), deadline: PATIENCE }),
            }
        }
        self.seen.clear();
        Ok(())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
