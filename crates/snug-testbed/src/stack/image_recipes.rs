//! What is in the guest images, and how each root filesystem is made.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use super::packages;
use super::sources::{self, Archive};
use crate::error::{Doing, Error, Result};
use crate::process;
use crate::tool::Tool;

/// Raised when the code below changes what comes out.
const REVISION: u32 = 1;

/// In every Debian image: what the public images of Debian have, less the editors.
/// The package lists stay, so that `apt-get install` works at once, as it does for a new user of such an image.
const DEBIAN_PACKAGES: &str = "systemd,systemd-sysv,systemd-resolved,udev,dbus,dbus-user-session,libpam-systemd,sudo,\
    ca-certificates,iproute2,iputils-ping,netbase,procps,less,vim-tiny,tzdata,bash-completion";

/// The suite of the emulated host: the first whose own archive has Incus.
const HOST_SUITE: &str = "trixie";

const NETWORK: &str = "[Match]\nName=eth0\n\n[Network]\nDHCP=true\n\n[DHCPv4]\nUseDomains=true\n";

const INITTAB: &str = "::sysinit:/etc/init.d/rcS\n::respawn:/sbin/getty -L 0 console\n::ctrlaltdel:/sbin/reboot\n\
    ::shutdown:/bin/true\n";

const RC: &str = "#!/bin/sh\nhostname -F /etc/hostname\nifconfig lo 127.0.0.1 up\n\
    [ -e /sys/class/net/eth0 ] && ifconfig eth0 up && udhcpc -i eth0 -b -S >/dev/null 2>&1 &\n";

const UDHCPC: &str = "#!/bin/sh\ncase $1 in\nbound|renew)\n  ifconfig $interface $ip netmask $subnet\n  \
    while route del default 2>/dev/null; do :; done\n  for r in $router; do route add default gw $r; done\n  \
    : >/etc/resolv.conf\n  for d in $dns; do echo nameserver $d >>/etc/resolv.conf; done ;;\n\
    deconfig) ifconfig $interface 0.0.0.0 ;;\nesac\n";

/// One image of the bed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// A Debian suite with systemd.
    Debian {
        /// Its number.
        release: &'static str,
        /// Its name in the archive.
        suite: &'static str,
    },
    /// Busybox, with its init or with none at all.
    Busybox {
        /// Whether there is an init.
        init: bool,
    },
    /// A host with systemd, polkit and an Incus of its own: what Snug is made for.
    SystemdHost,
}

/// The guest images that `up` provides, the small ones first. [`Recipe::SystemdHost`] is made by who needs it.
pub const RECIPES: [Recipe; 4] = [
    Recipe::Busybox { init: true },
    Recipe::Busybox { init: false },
    Recipe::Debian { release: "12", suite: "bookworm" },
    Recipe::Debian { release: "13", suite: "trixie" },
];

impl Recipe {
    /// The alias in Incus.
    pub fn alias(self) -> String {
        match self {
            Recipe::Debian { release, .. } => format!("debian/{release}"),
            Recipe::Busybox { init: true } => "minimal/busybox".to_owned(),
            Recipe::Busybox { init: false } => "minimal/none".to_owned(),
            Recipe::SystemdHost => "testbed/systemd-host".to_owned(),
        }
    }

    /// Changes whenever the outcome would.
    pub fn key(self, archive: &Archive) -> String {
        let text = match self {
            Recipe::Debian { suite, .. } => {
                format!("{REVISION} {suite} {} {DEBIAN_PACKAGES} {NETWORK}", archive.uri)
            }
            Recipe::Busybox { init } => {
                format!("{REVISION} {init} {INITTAB} {RC} {UDHCPC} {}", busybox_version())
            }
            Recipe::SystemdHost => {
                format!("{REVISION} host {HOST_SUITE} {} {}", archive.uri, host_packages())
            }
        };
        // FNV-1a: stable across toolchains, which the standard library's hasher does not promise.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }

    /// Properties for the image's metadata.
    pub fn properties(self) -> serde_json::Value {
        match self {
            Recipe::Debian { release, suite } => serde_json::json!({
                "os": "Debian", "release": suite, "version": release, "variant": "testbed",
                "description": format!("Debian {release} {suite} (Snug test bed)"),
            }),
            Recipe::Busybox { init } => serde_json::json!({
                "os": "Busybox", "release": if init { "init" } else { "none" }, "variant": "testbed",
                "description": format!("Busybox {} (Snug test bed)", if init { "with its init" } else { "without an init" }),
            }),
            Recipe::SystemdHost => serde_json::json!({
                "os": "Debian", "release": HOST_SUITE, "variant": "testbed-host",
                "description": "A host with systemd and Incus (Snug test bed)",
            }),
        }
    }

    /// Makes the root filesystem in an empty directory.
    pub fn make(self, rootfs: &Path) -> Result<()> {
        match self {
            Recipe::Debian { suite, .. } => {
                debian(suite, DEBIAN_PACKAGES, rootfs)?;
                write(rootfs, "etc/systemd/network/eth0.network", NETWORK, 0o644)?;
                enable("systemd-networkd.service", rootfs)
            }
            Recipe::Busybox { init } => busybox(init, rootfs),
            // Without a network: networkd would have Incus wait for it for two minutes.
            Recipe::SystemdHost => {
                debian(HOST_SUITE, &host_packages(), rootfs)?;
                // The other bus is for the test that wants it.
                Tool::new("chroot")
                    .arg(rootfs)
                    .args(["systemctl", "--quiet", "disable", "dbus-broker"])
                    .ok()
                    .map(drop)
            }
        }
    }
}

/// What Debian's images have, and what the bed needs of a host: Incus and polkit among it; and the bus that other
/// distributions have.
fn host_packages() -> String {
    packages::names().fold(DEBIAN_PACKAGES.to_owned() + ",dbus-broker", |list, package| list + "," + package)
}

fn debian(suite: &str, packages: &str, rootfs: &Path) -> Result<()> {
    let (archive, _) = sources::own_archive()?;
    let uri = &archive.uri;
    let signed_by =
        ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .map(|path| format!("--keyring={path}"));
    // As root it makes every mount of its namespace private (1.5.6, `setup_mounts`): in the machine's own,
    // what snugd mounts would no longer reach incusd.
    Tool::new("unshare")
        .args(["--mount", "--propagation=private", "mmdebstrap"])
        .env(process::MARK, "build")
        .args(["--quiet", "--variant=minbase", "--format=directory", "--skip=cleanup/apt/lists"])
        .args(["--aptopt=Acquire::Retries \"3\"", &format!("--include={packages}")])
        .args(signed_by)
        .arg(suite)
        .arg(rootfs)
        .arg(format!("deb {uri} {suite} main"))
        .deadline(Duration::from_secs(900))
        .ok()?;
    // mmdebstrap keeps `--aptopt` in the image.
    let _ = fs::remove_file(rootfs.join("etc/apt/apt.conf.d/99mmdebstrap"));
    write(rootfs, "etc/hostname", "debian\n", 0o644)?;
    write(rootfs, "etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n", 0o644)?;
    write(rootfs, "etc/default/locale", "LANG=C.UTF-8\n", 0o644)?;
    // Empty, not "uninitialized": the guest gets an id of its own without a first-boot wizard.
    write(rootfs, "etc/machine-id", "", 0o444)?;
    let resolv = rootfs.join("etc/resolv.conf");
    let _ = fs::remove_file(&resolv);
    link("../run/systemd/resolve/stub-resolv.conf", &resolv)?;
    enable("systemd-resolved.service", rootfs)
}

fn enable(unit: &str, rootfs: &Path) -> Result<()> {
    Tool::new("chroot").arg(rootfs).args(["systemctl", "--quiet", "enable", unit]).ok().map(drop)
}

fn busybox(init: bool, rootfs: &Path) -> Result<()> {
    for dir in [
        "bin",
        "sbin",
        "usr/bin",
        "usr/sbin",
        "etc/init.d",
        "dev",
        "proc",
        "sys",
        "run",
        "root",
        "var",
        "home",
    ] {
        fs::create_dir_all(rootfs.join(dir)).doing(|| format!("making {dir}"))?;
    }
    for dir in ["tmp", "var/tmp"] {
        fs::create_dir_all(rootfs.join(dir)).doing(|| format!("making {dir}"))?;
        mode(&rootfs.join(dir), 0o1777)?;
    }
    mode(&rootfs.join("root"), 0o700)?;
    let program = rootfs.join("bin/busybox");
    fs::copy("/bin/busybox", &program).doing(|| "copying busybox".to_owned())?;
    mode(&program, 0o755)?;
    let applets = Tool::new("/bin/busybox").arg("--list-full").ok()?.text();
    for applet in applets.lines().map(|applet| applet.trim_start_matches('/')) {
        let name = applet.rsplit('/').next().unwrap_or(applet);
        // `linuxrc` is init under another name.
        if applet == "bin/busybox" || ["init", "linuxrc"].contains(&name) {
            continue;
        }
        let path = rootfs.join(applet);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).doing(|| format!("making {}", dir.display()))?;
        }
        if !path.is_symlink() {
            link("/bin/busybox", &path)?;
        }
    }
    write(
        rootfs,
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        0o644,
    )?;
    write(rootfs, "etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n", 0o644)?;
    write(rootfs, "etc/shadow", "root:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n", 0o640)?;
    write(rootfs, "etc/hosts", "127.0.0.1\tlocalhost\n", 0o644)?;
    write(rootfs, "etc/hostname", "busybox\n", 0o644)?;
    write(rootfs, "etc/profile", "export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n", 0o644)?;
    write(rootfs, "etc/os-release", "ID=busybox\nNAME=Busybox\nPRETTY_NAME=\"Busybox guest\"\n", 0o644)?;
    write(rootfs, "etc/udhcpc/default.script", UDHCPC, 0o755)?;
    if init {
        link("/bin/busybox", &rootfs.join("sbin/init"))?;
        write(rootfs, "etc/inittab", INITTAB, 0o644)?;
        write(rootfs, "etc/init.d/rcS", RC, 0o755)?;
    }
    Ok(())
}

fn busybox_version() -> String {
    let first = Tool::new("/bin/busybox").run().map(|output| output.text()).unwrap_or_default();
    first.lines().next().unwrap_or_default().to_owned()
}

fn write(rootfs: &Path, path: &str, text: &str, bits: u32) -> Result<()> {
    let path = rootfs.join(path);
    let writing = || format!("writing {}", path.display());
    fs::create_dir_all(
        path.parent().ok_or_else(|| Error::Unfit(format!("no directory of {}", path.display())))?,
    )
    .doing(writing)?;
    let _ = fs::remove_file(&path);
    fs::write(&path, text).doing(writing)?;
    mode(&path, bits)
}

fn mode(path: &Path, bits: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(bits))
        .doing(|| format!("changing mode of {}", path.display()))
}

fn link(target: &str, path: &Path) -> Result<()> {
    symlink(target, path).doing(|| format!("linking {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recipe_has_its_own_alias_and_key() {
        let archive = Archive { uri: "http://mirror/debian".into(), suites: vec![], signed_by: None };
        let all = || RECIPES.into_iter().chain([Recipe::SystemdHost]);
        let mut keys: Vec<_> = all().map(|recipe| (recipe.alias(), recipe.key(&archive))).collect();
        assert_eq!(keys, all().map(|recipe| (recipe.alias(), recipe.key(&archive))).collect::<Vec<_>>());
        keys.sort();
        keys.dedup_by(|a, b| a.0 == b.0 || a.1 == b.1);
        assert_eq!(keys.len(), all().count());
    }
}
