//! The bed as a test sees it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::process::Signal;

use crate::error::Result;
use crate::process::Process;
use crate::session::container::Container;
use crate::session::snugd::Snugd;
use crate::session::user_command::UserCommand;
use crate::stack::users::{self, Account};
use crate::stack::{bus, incus};
use crate::tool::Tool;
use crate::verbs::status;

/// The bus name of snugd.
pub const SNUGD_NAME: &str = "org.snug.Snug1";

/// The stack, up.
#[derive(Debug)]
pub struct Bed {
    snug: PathBuf,
}

impl Bed {
    /// The stack that `make up` brought up.
    ///
    /// # Panics
    /// Naming what is missing, if it is not up: a suite that was skipped has proven nothing.
    #[track_caller]
    #[must_use]
    pub fn require() -> Bed {
        assert!(
            rustix::process::geteuid().is_root(),
            "the real-stack suites need root: `make test` runs them so"
        );
        // Once for all tests of a suite: it asks Incus for each image.
        static MISSING: OnceLock<Option<String>> = OnceLock::new();
        if let Some(missing) = MISSING.get_or_init(|| status::require().err().map(|error| error.to_string()))
        {
            panic!("{missing}");
        }
        Bed { snug: PathBuf::from("/usr/bin/snug") }
    }

    /// A user of the bed.
    ///
    /// # Panics
    /// If there is none of the name.
    #[track_caller]
    pub fn account(&self, user: &str) -> Account {
        users::account(user).unwrap_or_else(|| panic!("no user {user}: bring the bed up with `make up`"))
    }

    /// A command as a user: clean environment, his home as directory.
    #[track_caller]
    pub fn as_user<S: AsRef<OsStr>>(&self, user: &str, argv: impl IntoIterator<Item = S>) -> UserCommand {
        let argv: Vec<OsString> = argv.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        UserCommand::for_account(self.account(user), argv)
    }

    /// A line of shell as a user.
    #[track_caller]
    pub fn shell(&self, user: &str, line: &str) -> UserCommand {
        self.as_user(user, ["sh", "-c", line])
    }

    /// The installed `snug` as a user; arguments are added to it.
    #[track_caller]
    pub fn snug(&self, user: &str) -> UserCommand {
        self.as_user(user, [self.snug.as_os_str()])
    }

    /// A container for this test, made by `snug create` and removed when the guard is dropped.
    ///
    /// # Panics
    /// If it cannot be made.
    #[track_caller]
    pub fn container(&self, user: &str, name: &str, image: &str) -> Container<'_> {
        self.container_with(user, name, image, &[])
    }

    /// The same with further options of `snug create`.
    #[track_caller]
    pub fn container_with(&self, user: &str, name: &str, image: &str, options: &[&str]) -> Container<'_> {
        self.try_container(user, name, image, options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same, for what is no test.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn try_container(
        &self,
        user: &str,
        name: &str,
        image: &str,
        options: &[&str],
    ) -> Result<Container<'_>> {
        Container::create(self, user, name, image, options)
    }

    /// The `incus` client as root.
    pub fn incus<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Tool {
        incus::client().args(args)
    }

    /// The user's Incus project.
    #[track_caller]
    pub fn project(&self, user: &str) -> String {
        format!("snug-{}", self.account(user).uid)
    }

    /// The directory of a container below `/var/lib/snug/run`.
    #[track_caller]
    pub fn run_dir(&self, user: &str, container: &str) -> PathBuf {
        Path::new("/var/lib/snug/run").join(self.account(user).uid.to_string()).join(container)
    }

    /// The running snugd, if one is on the bus.
    pub fn snugd(&self) -> Option<Process> {
        bus::owner(SNUGD_NAME)
    }

    /// `kill -9` of snugd, waited for; the bus starts it again at the next call.
    pub fn kill_snugd(&self) {
        if let Some(daemon) = self.snugd() {
            daemon.signal(Signal::KILL);
            assert!(daemon.wait_end(std::time::Duration::from_secs(10)), "snugd survived SIGKILL");
        }
    }

    /// A snugd started by hand in place of the running one, with variables that the bus would not give it
    /// (`SNUG_FAILPOINT`). Returns once it owns its name; ended when dropped, and the bus starts a usual one again.
    ///
    /// # Errors
    /// It ended, or did not take its name in time.
    pub fn snugd_with(&self, variables: &[(&str, &str)]) -> Result<Snugd> {
        self.kill_snugd();
        Snugd::start(variables)
    }

    /// Restarts incusd while guests go on; `hard` stops it as a crash would.
    ///
    /// # Errors
    /// It did not end or did not come back, or is not the bed's own to restart.
    pub fn restart_incusd(&self, hard: bool) -> Result<()> {
        incus::stop_daemon(hard)?;
        incus::start_daemon()
    }

    /// Stops incusd; guests go on. [`Bed::start_incusd`] brings it back; so does `up`.
    ///
    /// # Errors
    /// It did not end.
    pub fn stop_incusd(&self, hard: bool) -> Result<()> {
        incus::stop_daemon(hard)
    }

    /// Starts incusd where it was stopped.
    ///
    /// # Errors
    /// It did not become ready.
    pub fn start_incusd(&self) -> Result<()> {
        incus::start_daemon()
    }
}
