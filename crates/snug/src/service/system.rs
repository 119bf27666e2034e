//! The host as a system that commands run on.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use snug_core::name::ContainerName;
use snug_core::text;
use snug_exec::environment::{set, value};
use snug_exec::start::Failure;
use snug_exec::system::{Entry, Identity, System};
use snug_wire::host::{CONTAINER_VARIABLE, DIRECTORY_VARIABLE, SNUG};
use snug_wire::message::{Directory, Exec, FailureKind, User};
use snug_wire::policy::{HostCommands, Policy};

use super::environment::{self, Told};
use super::served;

/// How long a command whose caller has gone may go on.
const GRACE: Duration = Duration::from_secs(2);

/// The host, for one container.
pub struct Host {
    container: ContainerName,
    policy: Policy,
    /// Of the owner's session.
    session: Vec<Vec<u8>>,
}

impl Host {
    /// What the container is allowed at this moment.
    pub fn new(container: ContainerName, directory: &Path) -> Self {
        Self { container, policy: served::policy(directory), session: Vec::new() }
    }

    /// Whether the container is its owner.
    pub fn trusts(&self) -> bool {
        self.policy.trusted
    }

    /// Whether it may open things.
    pub fn opens(&self) -> bool {
        self.policy.host_open
    }

    /// Asks for the environment of the owner's session.
    pub fn learn_environment(&mut self) {
        self.session = environment::of_session();
    }

    /// Where the owner's programs are.
    pub fn path(&self) -> &[u8] {
        value(&self.session, b"PATH").unwrap_or(snug_exec::environment::DEFAULT_PATH)
    }

    /// The same host for a command of Snug's own, which the container's list does not name.
    pub fn for_own_command(mut self) -> Self {
        self.policy.host_exec = HostCommands::All;
        self
    }

    fn refused(&self, why: impl std::fmt::Display) -> Failure {
        Failure::new(FailureKind::Denied, format!("container {} {why}", self.container))
    }
}

impl System for Host {
    fn admit(&self, exec: &Exec) -> Result<Identity, Failure> {
        match (&self.policy.host_exec, exec.argv.first()) {
            (HostCommands::None, _) => {
                return Err(self.refused("may run no commands on the host: it has no grant `host-exec`"));
            }
            (HostCommands::All, _) => {}
            (HostCommands::Only(names), name) => {
                let allowed = name.is_some_and(|name| self.policy.host_exec.allow(name));
                if exec.login || !allowed {
                    let name = text::escape_bytes(name.map_or(&b"a shell"[..], Vec::as_slice));
                    let names = names.join(", ");
                    return Err(self.refused(format!("may not run {name} on the host, only: {names}")));
                }
                if !exec.overrides.is_empty() {
                    return Err(self.refused("may set no variables for its commands on the host"));
                }
            }
        }
        if exec.user != User::Owner {
            return Err(self.refused("runs commands on the host as its owner alone"));
        }
        let own = |name: &[u8]| value(&self.session, name).unwrap_or_default().to_vec();
        let entry = Entry {
            name: own(b"USER"),
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            home: own(b"HOME"),
            shell: own(b"SHELL"),
        };
        Ok(Identity { entry, groups: None })
    }

    fn login_shell(&self, entry: &Entry) -> Vec<u8> {
        if entry.shell.is_empty() { b"/bin/sh".to_vec() } else { entry.shell.clone() }
    }

    fn environment(&self, exec: &Exec, _: &Identity, _: &[u8]) -> Vec<Vec<u8>> {
        let told = match self.policy.host_exec {
            _ if exec.clean || !self.policy.trusted => Told::Nothing,
            // Else a variable (`GIT_SSH_COMMAND`) would be a command that the list does not name.
            HostCommands::Only(_) => Told::Appearance,
            HostCommands::All | HostCommands::None => Told::All,
        };
        let mut variables = environment::compose(&self.session, &exec.environment, &exec.overrides, told);
        let container = self.container.to_string();
        set(&mut variables, CONTAINER_VARIABLE.as_bytes(), container.as_bytes());
        // Typed in the guest as `snug`, which acts on the guest's directory whether the host has that or not.
        if let Directory::Same { path, or_home: true, .. } = &exec.directory
            && exec.argv.first().is_some_and(|name| name == SNUG.as_bytes())
        {
            set(&mut variables, DIRECTORY_VARIABLE.as_bytes(), path);
        }
        variables
    }

    fn adopt_terminal(&self, _: BorrowedFd<'_>, _: &Identity) {
        // It belongs to this user already (devpts).
    }

    fn bring_terminfo(&self, _: &User, _: &Entry, _: &[u8], _: &[u8]) {
        // The terminal emulator is a program of the host.
    }

    fn greeting(&self, _: &[Vec<u8>]) -> Option<String> {
        None
    }

    fn descriptor_limit(&self) -> Option<(u64, u64)> {
        None
    }

    fn grace(&self) -> Duration {
        GRACE
    }

    fn name(&self) -> &'static str {
        "the host"
    }
}
