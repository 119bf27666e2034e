//! The containers that are measured, and commands as their owner.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use snug_testbed::{Bed, Container};

use crate::clock::timed;

/// Who owns the containers.
pub const USER: &str = "tester";
/// What they are made of.
pub const IMAGE: &str = "local:debian/13";

/// The bed, and what commands on it need.
pub struct Subject<'a> {
    /// The stack.
    pub bed: &'a Bed,
    uid: u32,
    gid: u32,
    home: String,
    /// The owner's Incus project.
    pub project: String,
}

impl<'a> Subject<'a> {
    /// Looks the user up.
    pub fn new(bed: &'a Bed) -> Self {
        let account = bed.account(USER);
        Self {
            bed,
            uid: account.uid,
            gid: account.gid,
            home: account.home.display().to_string(),
            project: bed.project(USER),
        }
    }

    /// A running container.
    pub fn container(&self, name: &str, options: &[&str]) -> Container<'a> {
        let container = self.bed.container_with(USER, name, IMAGE, options);
        let mut first = self.as_user("/usr/bin/snug", &["run", "-w", "/", "-c", name, "true"]);
        assert!(first.status().is_ok_and(|status| status.success()), "{name} runs no command");
        container
    }

    /// A command as the owner, without a wrapper that would be measured too.
    pub fn as_user(&self, program: &str, args: &[&str]) -> Command {
        let mut command = self.as_root(program, args);
        command.uid(self.uid).gid(self.gid).env("HOME", &self.home).env("USER", USER).current_dir("/");
        command
    }

    /// A command as root, started by the same system calls as those of the owner.
    pub fn as_root(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("PATH", snug_testbed::tool::PATH)
            .env("HOME", "/root")
            .env("TERM", "xterm");
        command.uid(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        command
    }

    /// How long a command takes from its start to its end.
    ///
    /// # Panics
    /// If it fails: a failure has no duration.
    pub fn time(&self, mut command: Command) -> Duration {
        let mut status = None;
        let duration = timed(|| status = command.status().ok());
        assert!(status.is_some_and(|status| status.success()), "{command:?} failed: {status:?}");
        duration
    }

    /// Runs a command and gives what it wrote.
    ///
    /// # Panics
    /// If it fails.
    pub fn output(&self, mut command: Command) -> String {
        let output =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("the program exists");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The host's process id of a container's init.
    pub fn init_pid(&self, container: &str) -> u32 {
        let path = format!("/1.0/instances/{container}/state?project={}", self.project);
        let text = self.output(self.as_root("incus", &["query", &path]));
        let state: serde_json::Value = serde_json::from_str(&text).expect("incusd answers in JSON");
        u32::try_from(state["pid"].as_u64().expect("a running container has a pid")).expect("a pid")
    }
}
