//! The guest as a system that commands run on.

use std::fs;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};
use snug_exec::environment::value;
use snug_exec::start::Failure;
use snug_exec::system::{Entry, Identity, Side, System};
use snug_wire::message::{Exec, FailureKind, User};
use snug_wire::session::BUS_VARIABLE;

use super::environment::{self, Sources};
use super::{Context, prompt, terminfo};
use crate::provision::{host_places, locale};
use crate::session_bus::{self, Buses};
use crate::users::Users;

impl System for Context {
    fn admit(&self, exec: &Exec) -> Result<Identity, Failure> {
        let owner = self.provision.as_ref().map(|provision| &provision.owner);
        Users::new(&self.guest, owner)
            .identify(&exec.user)
            .ok_or_else(|| Failure::new(FailureKind::User, unknown_user(&exec.user)))
    }

    fn login_shell(&self, entry: &Entry) -> Vec<u8> {
        Users::new(&self.guest, None).login_shell(entry)
    }

    fn environment(&self, exec: &Exec, identity: &Identity, shell: &[u8]) -> Vec<Vec<u8>> {
        let uid = identity.entry.uid;
        let is_owner = self.provision.as_ref().is_some_and(|provision| provision.owner.uid == uid);
        let runtime_directory = format!("/run/user/{uid}");
        let exists = is_owner || self.guest.path(&runtime_directory).is_dir();
        let mut variables = environment::compose(&Sources {
            caller: &exec.environment,
            overrides: &exec.overrides,
            login: self.environment.as_deref().unwrap_or_default(),
            clean: exec.clean,
            user: &identity.entry,
            shell,
            runtime_directory: exists.then(|| runtime_directory.into_bytes()),
            shares_tmp: self.provision.as_ref().is_some_and(host_places::may_share_tmp),
            session_bus: self.session_bus(exec, identity),
            browser: self.provision.as_ref().is_some_and(|provision| provision.host_open),
            exports: is_owner && self.provision.as_ref().is_some_and(|provision| provision.host_exec),
            container: &self.container,
        });
        let name = self.provision.as_ref().map(|provision| provision.hostname.as_str());
        prompt::show(&mut variables, exec, shell, name.unwrap_or_default());
        variables
    }

    /// As grantpt(3) and login(1) leave it: the user's, writable for the group that write(1) runs in.
    fn adopt_terminal(&self, slave: BorrowedFd<'_>, identity: &Identity) {
        let group = Users::new(&self.guest, None).group_number(b"tty").unwrap_or(identity.entry.gid);
        let _ = fchown(slave, Some(Uid::from_raw(identity.entry.uid)), Some(Gid::from_raw(group)));
        let _ = fchmod(slave, Mode::from_raw_mode(0o620));
    }

    fn bring_terminfo(&self, _: &User, entry: &Entry, name: &[u8], compiled: &[u8]) {
        terminfo::bring(&self.guest, entry, name, compiled);
    }

    /// Once for each start of the guest, what programs would tell him one by one.
    fn greeting(&self, environment: &[Vec<u8>]) -> Option<String> {
        let text = locale::hint(&self.guest, environment)?;
        fs::File::create_new(self.places.told_locale()).is_ok().then_some(text)
    }

    fn descriptor_limit(&self) -> Option<(u64, u64)> {
        self.descriptor_limit
    }

    fn grace(&self) -> Duration {
        let grace = self.provision.as_ref().map_or(2000, |provision| provision.hangup_grace);
        Duration::from_millis(grace.into())
    }

    fn side(&self) -> Side {
        Side::Guest
    }
}

impl Context {
    /// Where the command finds its session bus: at the agent's socket, when its caller has one.
    fn session_bus(&self, exec: &Exec, identity: &Identity) -> Option<Vec<u8>> {
        let owner = &self.provision.as_ref().filter(|provision| provision.session)?.owner;
        let callers = value(&exec.environment, BUS_VARIABLE.as_bytes())?;
        let is_his = identity.entry.uid == owner.uid
            && callers == Buses::of(owner, &self.places).host.as_os_str().as_encoded_bytes();
        is_his.then(|| session_bus::address(&self.places))
    }
}

fn unknown_user(user: &User) -> Vec<u8> {
    match user {
        User::Named(name) => [b"the container has no user '", &name[..], b"'"].concat(),
        User::Owner | User::Root => b"the container does not know its owner yet".to_vec(),
    }
}
