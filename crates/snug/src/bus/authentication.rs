//! The text agent by which an administrator agrees at a terminal: `pkttyagent` of polkit, as `systemctl` brings it
//! (systemd, `src/shared/polkit-agent.c`). It registers for this process alone and ends with it.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use crate::env_vars;
use crate::printer::Printer;

const PROGRAM: &str = "pkttyagent";

/// A running text agent. Ends when it is dropped.
pub struct Agent {
    child: Child,
}

/// Whether the caller's session is graphical: it then has an agent of its own.
pub fn graphical_session() -> bool {
    [env_vars::WAYLAND_DISPLAY, env_vars::DISPLAY].into_iter().any(|name| env_vars::non_empty(name).is_some())
}

impl Agent {
    /// Starts one where it is of use: at a terminal, for somebody who is not root, where the program exists.
    pub fn start(printer: Printer) -> Option<Self> {
        if !printer.can_ask() || rustix::process::geteuid().is_root() {
            return None;
        }
        let (mut ready, notify) = std::io::pipe().ok()?;
        // Standard output is the agent's to close when it is registered; it talks over /dev/tty.
        let started = Command::new(PROGRAM)
            .args(["--notify-fd", "1", "--fallback", "--process", &std::process::id().to_string()])
            .stdin(Stdio::null())
            .stdout(notify)
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(child) => {
                // The end of the pipe's other side is the sign; nothing is ever written.
                let _ = ready.read(&mut [0]);
                Some(Self { child })
            }
            Err(error) => {
                printer.detail(&format!(
                    "{PROGRAM} cannot be started: {error}; nobody can be asked at this terminal"
                ));
                None
            }
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
