//! A host with systemd as process 1 and an Incus of its own, inside a container of the bed's: the home of Snug, where its
//! units, its activation by the bus, logins and reboots can be tried for real on any machine.
//!
//! It is unprivileged: what is mounted or broken in it stays in it. `docs/contributing/testbed.md` names what it cannot
//! show.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::host;
use crate::session::bed::Bed;
use crate::session::user_command::UserCommand;
use crate::stack::image_recipes::Recipe;
use crate::stack::images::{self, Present};
use crate::stack::{incus, users};
use crate::state::Lock;

/// The container's name in Incus' default project. One at a time: what a killed run left is replaced.
const NAME: &str = "snug-systemd-host";
/// Where the bed's built images are in it.
const IMAGES: &str = "/images";
const BOOT: Duration = Duration::from_secs(60);

/// An ordinary user of the host.
pub const USER: &str = "tester";
/// Another one, who is an administrator to polkit (group sudo).
pub const ADMINISTRATOR: &str = "admin";
/// The administrator's password.
pub const PASSWORD: &str = "only-for-tests";

/// The host, running; deleted when dropped, also by a panic.
#[derive(Debug)]
pub struct SystemdHost<'a> {
    bed: &'a Bed,
}

impl<'a> SystemdHost<'a> {
    /// Boots a new one: two users, no Snug.
    ///
    /// # Errors
    /// Its image cannot be built, it does not boot, or it boots with a failed unit.
    pub fn boot(bed: &'a Bed) -> Result<SystemdHost<'a>> {
        {
            let _lock = Lock::take()?;
            images::clear_unfinished();
            images::provide(&[Recipe::SystemdHost])?;
        }
        let pool = pool(bed)?;
        let host = SystemdHost { bed };
        host.remove()?;
        let (checkout, target) = (checkout(), target()?);
        let mut shared = vec![("images", images::cache_dir(), PathBuf::from(IMAGES))];
        if !target.starts_with(&checkout) {
            shared.push(("target", target.clone(), target));
        }
        shared.push(("checkout", checkout.clone(), checkout));
        bed.incus(["init", &Recipe::SystemdHost.alias(), NAME, "--storage", &pool])
            .args(["--config", "security.nesting=true", "--config", "boot.autostart=false"])
            .ok()?;
        for (device, source, path) in shared {
            let (source, path) = (source.display(), path.display());
            bed.incus(["config", "device", "add", NAME, device, "disk", "readonly=true"])
                .args([format!("source={source}"), format!("path={path}")])
                .ok()?;
        }
        // Where no udev runs, the machine's own is root's alone; as systemd has it, everybody may open it.
        bed.incus(["config", "device", "add", NAME, "tun", "unix-char", "path=/dev/net/tun", "mode=0666"])
            .ok()?;
        bed.incus(["start", NAME]).ok()?;
        host.wait_booted()?;
        host.root(&format!(
            // Its user namespace has a thousand million ids; a real host has four times as many, and this line as Debian
            // writes it would name some that do not exist here.
            "echo root:1000000:900000000 >/etc/subuid; cp /etc/subuid /etc/subgid
            useradd --create-home --shell /bin/bash {USER}
            useradd --create-home --shell /bin/bash --groups sudo {ADMINISTRATOR}
            echo {ADMINISTRATOR}:{PASSWORD} | chpasswd"
        ))
        .run()?
        .ok()?;
        Ok(host)
    }

    /// Boots one with Snug and an image of a guest without an init, which starts fastest.
    ///
    /// # Errors
    /// As of [`Self::boot`], [`Self::install_snug`] and [`Self::import`].
    pub fn with_snug(bed: &'a Bed) -> Result<Self> {
        let host = Self::boot(bed)?;
        host.install_snug()?;
        host.import("minimal/none")?;
        Ok(host)
    }

    /// `snug …` as the ordinary user, who logs in for it.
    #[must_use]
    pub fn snug(&self, line: &str) -> UserCommand {
        self.login(USER, &format!("snug {line}"))
    }

    /// A property of a unit of the system.
    ///
    /// # Errors
    /// There is no such unit.
    pub fn property(&self, unit: &str, name: &str) -> Result<String> {
        self.said(&format!("systemctl show --value --property={name} {unit}"))
    }

    /// What Snug's daemon had to complain of since the boot.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn complaints(&self) -> Result<String> {
        self.said("journalctl --boot --unit=snugd --output=cat | grep -E '^ *(WARN|ERROR)|panicked' || :")
    }

    fn said(&self, line: &str) -> Result<String> {
        Ok(self.root(line).run()?.ok()?.out().trim_end().to_owned())
    }

    /// Installs what `make install` would, by the same program, from what was built.
    ///
    /// # Errors
    /// Nothing was built, or it cannot be installed.
    pub fn install_snug(&self) -> Result<()> {
        let release = target()?.join("release/snugd");
        if !release.exists() {
            return Err(Error::Unfit(format!("{} is missing: `make build`", release.display())));
        }
        self.xtask("install --no-build")?.run()?.ok().map(drop)
    }

    /// `xtask ARGUMENTS` on the host, on the machine's checkout and what was built there.
    ///
    /// # Errors
    /// The directory of what was built cannot be found.
    pub fn xtask(&self, arguments: &str) -> Result<UserCommand> {
        let target = target()?;
        let (target, xtask) = (target.display(), Self::xtask_path()?);
        Ok(self.root(&format!("cd /; CARGO_TARGET_DIR={target} {xtask} {arguments}")))
    }

    /// Where that program is on the host.
    ///
    /// # Errors
    /// The directory of what was built cannot be found.
    pub fn xtask_path() -> Result<String> {
        Ok(format!("{}/debug/xtask", target()?.display()))
    }

    /// The program of the bed itself on the host.
    ///
    /// # Errors
    /// The directory of what was built cannot be found.
    pub fn testbed(&self, arguments: &str) -> Result<UserCommand> {
        Ok(self.root(&format!("cd /; {}/debug/snug-testbed {arguments}", target()?.display())))
    }

    /// Imports an image of the bed under its alias.
    ///
    /// # Errors
    /// The bed has not built it, or the host's Incus refuses it.
    pub fn import(&self, alias: &str) -> Result<()> {
        let Present::Own(key) = images::present(alias) else {
            return Err(Error::Unfit(format!("the image {alias} is not the bed's own")));
        };
        let files = format!("{IMAGES}/{}-{key}", alias.replace('/', "-"));
        self.root(&format!(
            "incus image import {files}/metadata.tar.xz {files}/rootfs.squashfs --alias {alias} --quiet"
        ))
        .run()?
        .ok()
        .map(drop)
    }

    /// A line of shell on the host as root.
    #[must_use]
    pub fn root(&self, line: &str) -> UserCommand {
        command(&["-T"], &["sh", "-c", line])
    }

    /// A line of shell as a user who logs in for it: a session of logind, with his own manager.
    #[must_use]
    pub fn login(&self, user: &str, line: &str) -> UserCommand {
        command(&["-T"], &["su", "--login", user, "--command", line])
    }

    /// The same for a terminal: to be started with [`UserCommand::on_pty`].
    #[must_use]
    pub fn login_on_terminal(&self, user: &str, line: &str) -> UserCommand {
        // With `--command` su would give up the terminal (`setsid`, against injected input) that the agent needs.
        command(&["-t"], &["su", "--login", user, "--session-command", line])
    }

    /// Boots it again, as a person would; returns when it is up.
    ///
    /// # Errors
    /// It does not come back, or a unit failed.
    pub fn reboot(&self) -> Result<()> {
        self.bed.incus(["restart", NAME]).deadline(BOOT * 2).ok()?;
        self.wait_booted()
    }

    fn wait_booted(&self) -> Result<()> {
        let end = Instant::now() + BOOT;
        loop {
            let state = self.root("systemctl is-system-running --wait").run()?.out();
            match state.trim() {
                "running" => return Ok(()),
                "degraded" => {
                    let failed = self.root("systemctl --failed --no-legend --plain").run()?.out();
                    return Err(Error::Unfit(format!("units of the host failed:\n{failed}")));
                }
                // systemd does not listen yet. Each question takes the time of two programs.
                _ if Instant::now() < end => {}
                other => {
                    let what = format!("the boot of {NAME} ({other})");
                    return Err(Error::Deadline { what, deadline: BOOT });
                }
            }
        }
    }

    fn remove(&self) -> Result<()> {
        if !self.bed.incus(["config", "show", NAME]).succeeds() {
            return Ok(());
        }
        self.bed.incus(["delete", "--force", NAME]).deadline(BOOT * 2).ok().map(drop)
    }
}

impl Drop for SystemdHost<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            // No panic here: the test may be failing already, and that failure is the one to be read.
            host::say(format_args!("removing {NAME}: {error}"));
        }
    }
}

/// `incus exec` as root of the machine.
fn command(options: &[&str], argv: &[&str]) -> UserCommand {
    let words = [&["incus", "exec"], options, &[NAME, "--"], argv].concat();
    let mut command =
        UserCommand::for_account(users::root(), words.into_iter().map(OsString::from).collect());
    for (key, value) in incus::client_environment() {
        command = command.env(key, value);
    }
    command
}

/// A pool for it: the one that snugd made. Made by using Snug once, so that the bed does not decide what snugd chooses.
fn pool(bed: &Bed) -> Result<String> {
    let pools = || -> Result<Vec<String>> {
        let list = bed.incus(["storage", "list", "--format=csv", "--columns=n"]).ok()?.text();
        Ok(list.lines().map(str::to_owned).collect())
    };
    if pools()?.is_empty() {
        drop(bed.try_container("tester", "makes-the-pool", "local:minimal/none", &["--no-start"])?);
    }
    pools()?.into_iter().next().ok_or_else(|| Error::Unfit("Incus has no storage pool".to_owned()))
}

/// The root of the workspace that this was built from.
fn checkout() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.unwrap_or(Path::new("/")).to_owned()
}

/// Where cargo put this program and all others.
fn target() -> Result<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    // Cargo marks its directory, for backup programs (https://bford.info/cachedir/).
    let target = program.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists()).map(Path::to_owned);
    target.ok_or_else(|| Error::Unfit(format!("{} is in no target directory of cargo", program.display())))
}
