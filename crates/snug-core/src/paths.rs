//! Where everything is. Prefix, libexec, state, configuration and vendor directories are set at build time
//! (`SNUG_PREFIX`, `SNUG_LIBEXEC_DIR`, `SNUG_STATE_DIR`, `SNUG_ETC_DIR`, `SNUG_VENDOR_DIR`).

use std::path::{Path, PathBuf};

use crate::name::{ContainerName, Uid};

/// Default of [`Paths::prefix`].
pub const PREFIX: &str = or(option_env!("SNUG_PREFIX"), "/usr");
/// Default of [`Paths::libexec`].
pub const LIBEXEC_DIR: &str = or(option_env!("SNUG_LIBEXEC_DIR"), "/usr/libexec/snug");
/// Default of [`Paths::state`].
pub const STATE_DIR: &str = or(option_env!("SNUG_STATE_DIR"), "/var/lib/snug");
/// Default of [`Paths::etc`].
pub const ETC_DIR: &str = or(option_env!("SNUG_ETC_DIR"), "/etc/snug");
/// Default of [`Paths::vendor`].
pub const VENDOR_DIR: &str = or(option_env!("SNUG_VENDOR_DIR"), "/usr/lib/snug");

/// In the guest: the agent's directory, read-only.
pub const GUEST_BIN: &str = "/.snug/bin";
/// In the guest: the agent's run directory.
pub const GUEST_RUN: &str = "/.snug/run";
/// In the guest: the host's runtime directories and X11 sockets. The same as `snug_wire::session::DIRECTORY`
/// (a test of `snugd` compares them).
pub const GUEST_SESSION: &str = "/.snug/session";
/// In the guest: the host's device nodes that it has. The same as `snug_wire::devices::DIRECTORY` (a test of `snugd` compares
/// them).
pub const GUEST_DEVICES: &str = "/.snug/devices";
/// In the guest: the parts of the host's graphics driver that are files. The same as `snug_wire::driver::DIRECTORY` (a test of
/// `snugd` compares them).
pub const GUEST_DRIVER: &str = "/.snug/driver";
/// In the guest: where the host's shared places are mounted, for the agent to put each where it belongs.
pub const GUEST_PLACES: &str = "/.snug/places";
/// In the guest: the agent.
pub const GUEST_AGENT: &str = "/.snug/bin/snug-agent";

const fn or(value: Option<&'static str>, default: &'static str) -> &'static str {
    match value {
        Some(value) => value,
        None => default,
    }
}

/// The places of one installation. [`Paths::default`] is the one that was built; tests make their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// `/usr`: programs in `bin`, data in `share`.
    pub prefix: PathBuf,
    /// `/usr/libexec/snug`: programs that nobody types.
    pub libexec: PathBuf,
    /// `/var/lib/snug`: all state that is not in Incus.
    pub state: PathBuf,
    /// `/etc/snug`: the administrator's configuration.
    pub etc: PathBuf,
    /// `/usr/lib/snug`: the vendor's configuration.
    pub vendor: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            prefix: PREFIX.into(),
            libexec: LIBEXEC_DIR.into(),
            state: STATE_DIR.into(),
            etc: ETC_DIR.into(),
            vendor: VENDOR_DIR.into(),
        }
    }
}

impl Paths {
    /// Everything below one directory, for tests.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self {
            prefix: root.join("usr"),
            libexec: root.join("usr/libexec/snug"),
            state: root.join("var/lib/snug"),
            etc: root.join("etc/snug"),
            vendor: root.join("usr/lib/snug"),
        }
    }

    /// `LIBEXEC/guest`: the agent as installed; copied to [`Paths::guest_bin`] once per version.
    #[must_use]
    pub fn guest_source(&self) -> PathBuf {
        self.libexec.join("guest")
    }

    /// `STATE/guest`: one directory per version.
    #[must_use]
    pub fn guest_versions(&self) -> PathBuf {
        self.state.join("guest")
    }

    /// `STATE/guest/VERSION`: what guests mount read-only at [`GUEST_BIN`].
    #[must_use]
    pub fn guest_bin(&self, version: &str) -> PathBuf {
        self.guest_versions().join(version)
    }

    /// `STATE/run`: one directory per owner.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.state.join("run")
    }

    /// `STATE/run/UID`: root's, 0700, with an ACL that lets the owner pass.
    #[must_use]
    pub fn run_dir(&self, uid: Uid) -> PathBuf {
        self.run().join(uid.to_string())
    }

    /// `STATE/run/UID/NAME`.
    #[must_use]
    pub fn container_dir(&self, uid: Uid, name: &ContainerName) -> PathBuf {
        self.run_dir(uid).join(name.as_str())
    }

    /// `…/NAME/policy`: how far a client may trust the guest.
    #[must_use]
    pub fn policy_file(&self, uid: Uid, name: &ContainerName) -> PathBuf {
        self.container_dir(uid, name).join("policy")
    }

    /// `…/NAME/guest`: a small tmpfs, mounted in the guest at [`GUEST_RUN`].
    #[must_use]
    pub fn guest_dir(&self, uid: Uid, name: &ContainerName) -> PathBuf {
        self.container_dir(uid, name).join("guest")
    }

    /// `LIBEXEC/snugd`: the daemon, and what watches the host for running containers.
    #[must_use]
    pub fn daemon_program(&self) -> PathBuf {
        self.libexec.join("snugd")
    }

    /// `LIBEXEC/snug-hook`: what LXC starts on the host for a container with a network of its own.
    #[must_use]
    pub fn hook(&self) -> PathBuf {
        self.libexec.join("snug-hook")
    }

    /// `LIBEXEC/snug-shim`: what the links of exported commands lead to.
    #[must_use]
    pub fn shim(&self) -> PathBuf {
        self.libexec.join("snug-shim")
    }

    /// `PREFIX/bin/snug`: the command line.
    #[must_use]
    pub fn command_line(&self) -> PathBuf {
        self.prefix.join("bin/snug")
    }

    /// `…/NAME/guest/agent.sock`.
    #[must_use]
    pub fn agent_socket(&self, uid: Uid, name: &ContainerName) -> PathBuf {
        self.guest_dir(uid, name).join("agent.sock")
    }

    /// `…/NAME/mounts`: mounts that snugd made after checking them as the owner.
    #[must_use]
    pub fn mounts_dir(&self, uid: Uid, name: &ContainerName) -> PathBuf {
        self.container_dir(uid, name).join("mounts")
    }

    /// `…/NAME/mounts/home`: the owner's home, for Incus' disk device.
    #[must_use]
    pub fn home_mount(&self, uid: Uid, name: &ContainerName) -> PathBuf {
        self.mounts_dir(uid, name).join("home")
    }

    /// `…/NAME/mounts/places`: a directory for each of the host's places that are shared, for Incus' disk device.
    #[must_use]
    pub fn place_mounts(&self, uid: Uid, name: &ContainerName) -> PathBuf {
        self.mounts_dir(uid, name).join("places")
    }

    /// `…/NAME/mounts/session`: directories for the host's runtime directories and X11 sockets, for Incus' disk device.
    #[must_use]
    pub fn session_mounts(&self, uid: Uid, name: &ContainerName) -> PathBuf {
        self.mounts_dir(uid, name).join("session")
    }

    /// `…/NAME/mounts/devices`: a tmpfs with the device nodes that the guest has, for Incus' disk device.
    #[must_use]
    pub fn device_nodes(&self, uid: Uid, name: &ContainerName) -> PathBuf {
        self.mounts_dir(uid, name).join("devices")
    }

    /// `…/NAME/mounts/driver`: a tmpfs with mounts of the files of the host's graphics driver, for Incus' disk device.
    #[must_use]
    pub fn driver_mounts(&self, uid: Uid, name: &ContainerName) -> PathBuf {
        self.mounts_dir(uid, name).join("driver")
    }

    /// `STATE/undo`: what is kept of snapshots, one directory per owner; root's, 0700.
    #[must_use]
    pub fn undo(&self) -> PathBuf {
        self.state.join("undo")
    }

    /// `STATE/undo/UID/NAME.json`: what each of the container's snapshots was taken before.
    #[must_use]
    pub fn occasions_file(&self, uid: Uid, name: &ContainerName) -> PathBuf {
        self.undo().join(uid.to_string()).join(format!("{name}.json"))
    }

    /// `STATE/undo/UID/NAME.present`: the configuration of a container whose disk is going back to a snapshot.
    #[must_use]
    pub fn present_file(&self, uid: Uid, name: &ContainerName) -> PathBuf {
        self.undo().join(uid.to_string()).join(format!("{name}.present"))
    }

    /// `STATE/host-net`: the host's network namespace, bound to a file for `network=host`.
    #[must_use]
    pub fn host_network(&self) -> PathBuf {
        self.state.join("host-net")
    }

    /// The vendor's configuration file.
    #[must_use]
    pub fn vendor_config(&self) -> PathBuf {
        self.vendor.join("config.toml")
    }

    /// The administrator's configuration file.
    #[must_use]
    pub fn system_config(&self) -> PathBuf {
        self.etc.join("config.toml")
    }

    /// The directory of drop-ins that belongs to a configuration file: `config.d` beside it, `*.toml` by name.
    #[must_use]
    pub fn drop_ins(config: &Path) -> PathBuf {
        config.with_file_name("config.d")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_files_are_where_the_design_says() {
        let paths = Paths::below(Path::new("/r"));
        let (uid, name) = (Uid(1000), "dev".parse().unwrap());
        for (path, wanted) in [
            (paths.policy_file(uid, &name), "/r/var/lib/snug/run/1000/dev/policy"),
            (paths.agent_socket(uid, &name), "/r/var/lib/snug/run/1000/dev/guest/agent.sock"),
            (paths.home_mount(uid, &name), "/r/var/lib/snug/run/1000/dev/mounts/home"),
            (paths.guest_bin("0.1.0"), "/r/var/lib/snug/guest/0.1.0"),
            (paths.present_file(uid, &name), "/r/var/lib/snug/undo/1000/dev.present"),
            (Paths::drop_ins(&paths.system_config()), "/r/etc/snug/config.d"),
        ] {
            assert_eq!(path, Path::new(wanted));
        }
    }
}
