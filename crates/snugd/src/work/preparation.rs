//! Steps on the host, and what all containers share.

use std::collections::BTreeSet;
use std::path::PathBuf;

use snug_core::grant::{GrantSet, Home};
use snug_core::owner::{Account, may_share_home};
use snug_core::spec::Phase;
use snug_wire::policy::{Entry, HostCommands, Policy};

use super::{VERSION, Work};
use crate::error::{Error, ErrorKind, Result};
use crate::host::mount_table::MOST_MOUNTS;
use crate::host::subid::Outcome;
use crate::host::{guest_bin, home, mounts, rundir, subid};
use crate::incus::{network, pool, project};

impl Work {
    pub(super) async fn ensure_subordinate_ids(&self) -> Result<()> {
        let (files, uid, gid) = (self.daemon.places().subids.clone(), self.uid(), self.owner.account.gid);
        match self.blocking(move || subid::ensure(&files, uid, gid)).await? {
            Outcome::Base => {
                self.notice("gave root a range of subordinate ids in /etc/subuid and /etc/subgid");
                Ok(())
            }
            Outcome::Owner => {
                self.notice(format!("allowed uid {uid} and gid {gid} in /etc/subuid and /etc/subgid"));
                Ok(())
            }
            Outcome::Unchanged => Ok(()),
        }
    }

    pub(super) async fn ensure_project(&self) -> Result<()> {
        project::ensure(self.daemon.incus(), &self.config.project(self.uid()), &self.owner.tag()).await
    }

    pub(super) async fn ensure_pool(&self) -> Result<()> {
        let _first = self.daemon.lay_foundation().await;
        let wanted = self.config.pool.as_deref();
        let (_, notice) = pool::ensure(self.daemon.incus(), wanted, pool::NAME).await?;
        if let Some(notice) = notice {
            self.notice(notice);
        }
        Ok(())
    }

    pub(super) async fn ensure_network(&self) -> Result<()> {
        let _first = self.daemon.lay_foundation().await;
        network::ensure(self.daemon.incus(), &self.config.bridge).await.map(|_| ())
    }

    pub(super) async fn hold_host_network(&self) -> Result<()> {
        let paths = self.daemon.paths().clone();
        self.blocking(move || {
            rundir::directory(&paths.state, 0o755)?;
            mounts::hold_host_network(&paths.host_network())
        })
        .await
    }

    pub(super) async fn prepare_run_directory(&self) -> Result<()> {
        let spec = self.spec().await?;
        let account = self.owner.account.clone();
        let policy = Policy {
            trusted: spec.grants.is_trusted(|path| account.touches_home(path)),
            entry: if spec.grants.privileged() { Entry::Daemon } else { Entry::Direct },
            session: spec.grants.session(),
            host_exec: match spec.grants.host_exec() {
                None => HostCommands::None,
                Some([]) => HostCommands::All,
                Some(names) => HostCommands::Only(names.to_vec()),
            },
            host_open: spec.grants.host_open(),
            stopping: false,
        };
        self.make_sources().await?;
        let (paths, uid, name) = (self.daemon.paths().clone(), self.uid(), self.name.clone());
        let trusted = policy.trusted;
        let before = self
            .blocking(move || {
                let before = rundir::read_policy(&paths, uid, &name)?;
                rundir::write_policy(&paths, uid, &name, policy).map(|()| before)
            })
            .await?;
        // A sandbox that becomes none by another version of Snug, or by another home.
        if trusted && before.is_some_and(|before| !before.trusted) {
            self.notice(format!(
                "'{}' is trusted from now on, by one of its grants (`snug grants`)",
                self.name
            ));
        }
        Ok(())
    }

    /// Tells clients whether it is being ended. That they are told otherwise must not keep it from that.
    pub(super) async fn tell_clients(&self, phase: Phase) {
        let (paths, uid, name) = (self.daemon.paths().clone(), self.uid(), self.name.clone());
        let told = self.blocking(move || rundir::tell_stopping(&paths, uid, &name, phase.ends())).await;
        if let Err(error) = told {
            self.notice(format!("commands are not told that '{}' is {phase}: {error}", self.name));
        }
    }

    /// What the instance's devices name must exist before Incus looks at them, which it does when it makes, changes or
    /// starts the instance (measured with 6.0.4: "recursive option is only supported for …").
    pub(super) async fn make_sources(&self) -> Result<()> {
        self.make_directories().await?;
        let paths = self.daemon.paths().clone();
        self.blocking(move || guest_bin::install(&paths, VERSION).map(drop)).await
    }

    pub(super) async fn make_directories(&self) -> Result<()> {
        let (paths, uid, name) = (self.daemon.paths().clone(), self.uid(), self.name.clone());
        self.blocking(move || {
            rundir::make(&paths, uid, &name)?;
            rundir::mount_target(&paths.home_mount(uid, &name))?;
            rundir::mount_target(&paths.device_nodes(uid, &name))?;
            rundir::mount_target(&paths.driver_mounts(uid, &name))?;
            rundir::directory(&paths.place_mounts(uid, &name), 0o755)?;
            rundir::directory(&paths.session_mounts(uid, &name), 0o755)
        })
        .await
    }

    pub(super) async fn mount_home(&self) -> Result<()> {
        let home = self.home().await?;
        let target = self.daemon.paths().home_mount(self.uid(), &self.name);
        let mount = move || if home.is_at(&target) { Ok(true) } else { home.mount(&target) };
        if !self.in_home(mount).await?? {
            self.notice(format!(
                "more than {MOST_MOUNTS} file systems are mounted below the home: they stay the host's"
            ));
        }
        Ok(())
    }

    pub(super) async fn unmount_all(&self) -> Result<()> {
        let own = self.daemon.paths().container_dir(self.uid(), &self.name);
        self.blocking(move || mounts::detach_below(&own)).await?;
        self.leave_places().await;
        Ok(())
    }

    /// Removes the directory of a container that does not exist.
    ///
    /// # Errors
    /// What the system says.
    pub async fn remove_directory(&self) -> Result<()> {
        let (paths, uid, name) = (self.daemon.paths().clone(), self.uid(), self.name.clone());
        self.blocking(move || rundir::remove(&paths, uid, &name)).await
    }

    pub(super) async fn remove_run_directory(&self) -> Result<()> {
        self.remove_directory().await?;
        // The container is gone, and that is what was asked for.
        if let Err(error) = self.remove_old_agents().await {
            self.notice(format!("earlier versions of the agent were not removed: {error}"));
        }
        Ok(())
    }

    /// Removes versions of the agent that no container names any more.
    pub(super) async fn remove_old_agents(&self) -> Result<()> {
        let paths = self.daemon.paths().clone();
        let versions = paths.guest_versions();
        let kept = self.blocking(move || guest_bin::versions(&paths)).await?;
        if kept.iter().all(|version| version == VERSION) {
            return Ok(());
        }
        let mut used = BTreeSet::from([VERSION.to_owned()]);
        // Also of owners who cannot be looked up just now.
        for found in crate::container::lookup::all(self.daemon.incus(), &self.config).await? {
            let source = found.instance.devices.get("snug-bin").and_then(|device| device.get("source"));
            used.extend(
                source
                    .and_then(|source| std::path::Path::new(source).strip_prefix(&versions).ok())
                    .map(|version| version.to_string_lossy().into_owned()),
            );
        }
        let paths = self.daemon.paths().clone();
        self.blocking(move || guest_bin::remove_unused(&paths, &used).map(|_| ())).await
    }

    /// The account with its home's real path, when the container shares it.
    ///
    /// # Errors
    /// [`ErrorKind::NotEligible`], [`ErrorKind::Unsupported`]; [`ErrorKind::Busy`] for a home that does not answer.
    pub async fn account(&self, home: &Home) -> Result<Account> {
        let mut account = self.owner.account.clone();
        match home {
            Home::Shared => {
                account.home_real = self.home().await?.real.clone();
                may_share_home(&account)?;
            }
            Home::Private => {}
            Home::At(path) => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("home={} comes with a later version", path.display()),
                )
                .hint("home and home=private work"));
            }
        }
        Ok(account)
    }

    /// Refuses islands that would hide something else than a part of the home.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`]; whatever is wrong with the home.
    pub async fn check_islands(&self, grants: &GrantSet, account: &Account) -> Result<()> {
        if grants.check_islands(&[&account.home, &account.home_real]).is_ok() {
            return Ok(());
        }
        let (credentials, real) = (self.owner.credentials.clone(), account.home_real.clone());
        let also = self.in_home(move || home::other_spelling(credentials, &real)).await?;
        let homes: Vec<_> = [&account.home, &account.home_real].into_iter().chain(&also).collect();
        let homes: Vec<_> = homes.into_iter().map(PathBuf::as_path).collect();
        Ok(grants.check_islands(&homes)?)
    }
}
