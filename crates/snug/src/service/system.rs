//! The host as a system that commands run on.

use std::cell::OnceCell;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use snug_core::name::ContainerName;
use snug_core::text;
use snug_exec::environment::{set, value};
use snug_exec::start::Failure;
use snug_exec::system::{Entry, Identity, Side, System};
use snug_wire::host::{CONTAINER_VARIABLE, DIRECTORY_VARIABLE, SNUG};
use snug_wire::message::{Directory, Exec, FailureKind, User};
use snug_wire::policy::{HostCommands, Policy};

use super::environment::{self, Told};

/// How long a command whose caller has gone may go on.
const GRACE: Duration = Duration::from_secs(2);

/// Who starts a command for a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The container's program, by its name.
    Asked,
    /// Snug, to open something.
    Opener,
}

/// The host, for one container.
pub struct Host {
    container: ContainerName,
    directory: PathBuf,
    policy: Policy,
    purpose: Purpose,
    /// Environment of the owner's session, asked for when something is to be started.
    session: OnceCell<Vec<Vec<u8>>>,
    descriptor_limit: Option<(u64, u64)>,
}

impl Host {
    /// What the container is allowed at this moment. Commands start with that limit of descriptors, where this process has another.
    pub fn new(container: ContainerName, directory: PathBuf, descriptor_limit: Option<(u64, u64)>) -> Self {
        let policy = Policy::of(&directory);
        let purpose = Purpose::Asked;
        Self { container, directory, policy, purpose, session: OnceCell::new(), descriptor_limit }
    }

    /// Looks again at what the container is allowed.
    pub fn look(&mut self) {
        self.policy = Policy::of(&self.directory);
    }

    /// Whether the container is its owner.
    pub fn trusts(&self) -> bool {
        self.policy.trusted
    }

    /// Whether it may open things.
    pub fn opens(&self) -> bool {
        self.policy.host_open
    }

    /// Whether its programs may be connected to the session bus.
    pub fn joins_bus(&self) -> bool {
        self.policy.joins_bus()
    }

    fn session(&self) -> &[Vec<u8>] {
        self.session.get_or_init(environment::of_session)
    }

    /// Where the owner's programs are.
    pub fn path(&self) -> &[u8] {
        value(self.session(), b"PATH").unwrap_or(snug_exec::environment::DEFAULT_PATH)
    }

    /// The same host for the program that opens things, which is Snug's choice, not the container's.
    pub fn for_opener(mut self) -> Self {
        self.purpose = Purpose::Opener;
        self
    }

    fn refused(&self, why: impl std::fmt::Display) -> Failure {
        Failure::new(FailureKind::Denied, format!("container {} {why}", self.container))
    }

    /// Whether the container may have this command run.
    fn check(&self, exec: &Exec) -> Result<(), Failure> {
        match (&self.policy.host_exec, exec.argv.first()) {
            _ if self.purpose == Purpose::Opener => {}
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
        Ok(())
    }

    /// How much of what the container tells its command is told. Where it may not run every command, a variable
    /// (`GIT_SSH_COMMAND`, `BROWSER`) would be one that nobody has allowed.
    fn told(&self, exec: &Exec) -> Told {
        match self.policy.host_exec {
            _ if !self.policy.trusted => Told::Nothing,
            _ if exec.clean => Told::Terminal,
            _ if self.purpose == Purpose::Opener => Told::Appearance,
            HostCommands::All => Told::All,
            HostCommands::Only(_) | HostCommands::None => Told::Appearance,
        }
    }
}

impl System for Host {
    fn admit(&self, exec: &Exec) -> Result<Identity, Failure> {
        self.check(exec)?;
        let own = |name: &[u8]| value(self.session(), name).unwrap_or_default().to_vec();
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
        let told = self.told(exec);
        let mut variables = environment::compose(self.session(), &exec.environment, &exec.overrides, told);
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
        self.descriptor_limit
    }

    fn grace(&self) -> Duration {
        GRACE
    }

    fn side(&self) -> Side {
        Side::Host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(policy: &str) -> Host {
        let session = ["PATH=/bin", "HOME=/home/a", "USER=a"].map(|text| text.as_bytes().to_vec()).to_vec();
        Host {
            container: "dev".parse().unwrap(),
            directory: PathBuf::new(),
            policy: Policy::parse(policy),
            purpose: Purpose::Asked,
            session: OnceCell::from(session),
            descriptor_limit: None,
        }
    }

    fn exec(argv: &[&str]) -> Exec {
        let environment = [&b"TERM=x"[..], b"LANG=de", b"GIT_SSH_COMMAND=evil", b"BROWSER=evil"];
        Exec {
            environment: environment.map(<[u8]>::to_vec).to_vec(),
            login: argv.is_empty(),
            early: true,
            ..Exec::plain(argv.iter().map(|word| word.as_bytes().to_vec()).collect())
        }
    }

    #[test]
    fn only_what_the_grant_says_is_admitted() {
        let (all, some) = ("trusted=yes\nhost-exec=*", "trusted=yes\nhost-exec=git,/opt/x");
        let open = "trusted=no\nhost-open=yes";
        for (policy, argv, admitted) in [
            (all, &["sh"][..], true),
            (all, &[], true),
            (some, &["git", "status"], true),
            (some, &["/opt/x"], true),
            (some, &["/usr/bin/git"], false),
            (some, &["sh"], false),
            (some, &[], false),
            (open, &["git"], false),
            ("", &["git"], false),
        ] {
            assert_eq!(host(policy).admit(&exec(argv)).is_ok(), admitted, "{policy:?} {argv:?}");
        }
        let set = Exec { overrides: vec![b"A=1".to_vec()], ..exec(&["git"]) };
        assert!(host(some).admit(&set).is_err() && host(all).admit(&set).is_ok());
        let root = Exec { user: User::Root, ..exec(&["git"]) };
        assert!(host(all).admit(&root).is_err());
        assert!(host(open).for_opener().admit(&exec(&["xdg-open"])).is_ok());
    }

    #[test]
    fn a_variable_is_no_way_around_a_list_nor_around_the_opener() {
        let told = |host: Host, exec: Exec| {
            let identity = host.admit(&exec).unwrap();
            let variables = host.environment(&exec, &identity, b"");
            let has = |name: &str| value(&variables, name.as_bytes()).is_some();
            (has("GIT_SSH_COMMAND") || has("BROWSER"), has("LANG"), has("TERM"))
        };
        let (all, some) =
            ("trusted=yes\nhost-exec=*\nhost-open=yes", "trusted=yes\nhost-exec=git\nhost-open=yes");
        assert_eq!(told(host(all), exec(&["git"])), (true, true, true));
        assert_eq!(told(host(all), Exec { clean: true, ..exec(&["git"]) }), (false, false, true));
        assert_eq!(told(host(some), exec(&["git"])), (false, true, true));
        for policy in [all, some, "trusted=yes\nhost-open=yes"] {
            assert_eq!(
                told(host(policy).for_opener(), exec(&["xdg-open"])),
                (false, true, true),
                "{policy:?}"
            );
        }
        let untrusted = host("host-open=yes").for_opener();
        assert_eq!(told(untrusted, exec(&["xdg-open"])), (false, false, false));
    }
}
