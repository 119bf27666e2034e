//! The packages that the stack needs; installed where apt is there and they are missing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::sources;
use crate::error::{Doing, Error, Result};
use crate::host;
use crate::tool::{self, Tool};

/// Programs, and Debian's package of each. A program that is there in another way is as good.
const NEEDED: &[(&[&str], &str)] = &[
    (&["/usr/libexec/incus/incusd", "/usr/lib/incus/incusd", "incusd"], "incus-base"),
    (&["incus"], "incus-client"),
    (&["lxcfs"], "lxcfs"),
    (&["mkfs.btrfs"], "btrfs-progs"),
    (&["dnsmasq"], "dnsmasq-base"),
    (&["nft"], "nftables"),
    (&["ip"], "iproute2"),
    (&["newuidmap"], "uidmap"),
    (&["setfacl"], "acl"),
    (&["setfattr"], "attr"),
    (&["rsync"], "rsync"),
    (&["mksquashfs"], "squashfs-tools"),
    (&["xz"], "xz-utils"),
    (&["zstd"], "zstd"),
    (&["mmdebstrap"], "mmdebstrap"),
    (&["dbus-daemon"], "dbus"),
    (&["pkcheck"], "polkitd"),
    (&["pasta"], "passt"),
    (&["/usr/share/doc/busybox-static"], "busybox-static"),
    (&["script"], "bsdutils"),
    (&["useradd"], "passwd"),
];

/// What tests alone need.
const FOR_TESTS: &[(&[&str], &str)] = &[
    // What shows manual pages, and shells whose completion is tried.
    (&["man"], "man-db"),
    (&["/usr/share/bash-completion/bash_completion"], "bash-completion"),
    (&["zsh"], "zsh"),
    (&["fish"], "fish"),
    // A desktop without a screen.
    (&["weston"], "weston"),
    (&["Xvfb"], "xvfb"),
    (&["xauth"], "xauth"),
    (&["xwininfo"], "x11-utils"),
    (&["desktop-file-validate"], "desktop-file-utils"),
    (&["pipewire"], "pipewire"),
    (&["pipewire-pulse"], "pipewire-pulse"),
    (&["wireplumber"], "wireplumber"),
    (&["pactl"], "pulseaudio-utils"),
    (&["ssh-agent"], "openssh-client"),
    (&["gpg-agent"], "gpg-agent"),
    (&["gpg-connect-agent"], "gpgconf"),
    (&["gdbus"], "libglib2.0-bin"),
    (&["dbus-test-tool"], "dbus-tests"),
    (&["/usr/libexec/xdg-desktop-portal"], "xdg-desktop-portal"),
    (&["dconf"], "dconf-cli"),
    (&["/usr/libexec/dconf-service"], "dconf-service"),
    // A client of the D-Bus interface that is not ours.
    (&["/usr/lib/python3/dist-packages/dbus/__init__.py"], "python3-dbus"),
    (&["/usr/lib/python3/dist-packages/gi/__init__.py"], "python3-gi"),
    // Package managers of other distributions, in roots of their own.
    (&["dnf"], "dnf"),
    (&["zypper"], "zypper"),
    (&["/usr/bin/pacman"], "pacman-package-manager"),
    // What makes a repository for the first two.
    (&["rpmbuild"], "rpm"),
    (&["createrepo_c"], "createrepo-c"),
];

/// All that the stack needs as Debian calls it, and what tests do there, for a host that shall have them from the start.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    NEEDED.iter().map(|(_, package)| *package).chain(["debian-archive-keyring", "python3-dbus"])
}

/// The daemon's program; where it lies differs between distributions.
pub fn incusd_path() -> Result<&'static str> {
    NEEDED[0]
        .0
        .iter()
        .copied()
        .find(|path| tool::exists(path))
        .ok_or_else(|| Error::Unfit("incusd is not installed".to_owned()))
}

/// Installs what is missing of what the stack needs, and of what tests need, if that is wanted.
pub fn install(for_tests: bool) -> Result<()> {
    let more = if for_tests { FOR_TESTS } else { &[] };
    let missing = missing(more);
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !tool::exists("apt-get") {
        return Err(Error::Unfit(format!(
            "these are missing, and there is no apt here to install them: {list}"
        )));
    }
    host::say(format_args!("installing {list}"));
    if missing.iter().any(|package| !has_candidate(package)) {
        apt(&["update"])?;
    }
    let without: Vec<&str> = missing.iter().copied().filter(|package| !has_candidate(package)).collect();
    let mut target = Vec::new();
    if !without.is_empty() {
        target = vec!["-t".to_owned(), add_backports(&without)?];
    }
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(target.iter().map(String::as_str));
    args.extend(&missing);
    if apt(&args).is_err() {
        // Lists older than the archive: the usual cause of a file that is not found.
        apt(&["update"])?;
        apt(&args)?;
    }
    let still = self::missing(more);
    if still.is_empty() {
        Ok(())
    } else {
        Err(Error::Unfit(format!("installed, but still missing: {}", still.join(" "))))
    }
}

fn missing(more: &[(&[&str], &'static str)]) -> Vec<&'static str> {
    let mut missing: Vec<&str> = NEEDED
        .iter()
        .chain(more)
        .filter(|(programs, _)| !programs.iter().any(|p| tool::exists(p)))
        .map(|(_, package)| *package)
        .collect();
    // Without Debian's keys no image can be built; Debian itself has them.
    if !Path::new("/usr/share/keyrings/debian-archive-keyring.gpg").exists() {
        missing.push("debian-archive-keyring");
    }
    missing
}

fn has_candidate(package: &str) -> bool {
    let Ok(output) = Tool::new("apt-cache").args(["policy", package]).run() else { return false };
    output.text().lines().any(|line| line.trim().starts_with("Candidate:") && !line.contains("(none)"))
}

/// Adds the backports suite of this machine's own archive, and returns its name.
fn add_backports(without: &[&str]) -> Result<String> {
    let (archive, codename) = sources::own_archive()?;
    let suite = format!("{codename}-backports");
    let path = sources::backports_file();
    host::say(format_args!("{} has no {}: adding {suite}", codename, without.join(", ")));
    fs::write(path, sources::stanza(&archive, &suite)).doing(|| format!("writing {}", path.display()))?;
    if let Err(error) = apt(&["update"]) {
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(suite)
}

fn apt(args: &[&str]) -> Result<()> {
    Tool::new("apt-get")
        // Another apt at work (unattended upgrades, a second engineer) is waited for.
        .args(["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .deadline(Duration::from_secs(900))
        .ok()
        .map(drop)
}
