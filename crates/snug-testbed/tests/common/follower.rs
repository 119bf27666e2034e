//! The process that notices what changes on the host.

use std::process::{Child, Command, Stdio};

/// What a host with systemd runs as `snug-follow.service`.
pub struct Follower(Child);

impl Follower {
    #[must_use]
    pub fn start() -> Self {
        let mut command = Command::new("/usr/libexec/snug/snugd");
        Self(command.arg("follow").stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
