//! Which device nodes of the host a set of grants is about. Pure: paths, not files; whether the owner may open one is for who
//! looks at it.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Grant, GrantSet};

/// Graphics: the DRM nodes, those of NVIDIA's own driver, ROCm's, and that of WSL (admin-guide/devices.txt, drivers/gpu).
const GPU: &[&str] = &["dri/*", "nvidia*", "kfd", "dxg"];
/// What people type, point and play with, and what makes such devices.
const INPUT: &[&str] = &["input/*", "hidraw*", "uhid", "uinput"];
/// What `devices` is not about in a container that is not trusted: who types for the owner is the owner, who hears his keys has his
/// passwords. With `hidraw` a keyboard is read, and one whose firmware can be set (QMK) is given other keys; a FIDO key
/// signs for any website, and whoever touches it does not see for which. `usbmon` shows what each USB keyboard sends. By
/// `bus/usb` any of them is taken from its driver and spoken to (systemd's `70-uaccess.rules` gives those that are smart cards, too, as
/// most FIDO keys are, to whoever sits there). `tpm` signs and unseals; `userio` and `vhci` make keyboards.
const TRUSTED_ONLY: &[&str] = &[
    "input/*",
    "hidraw*",
    "usb/hiddev*",
    "uhid",
    "uinput",
    "userio",
    "vhci",
    "usbmon*",
    "bus/usb/*",
    "tpm*",
];
/// Virtual machines.
const KVM: &[&str] = &["kvm", "vhost-net", "vhost-vsock"];

/// What a guest has of its own, ways to a disk past its block device (`sg`, `bsg`, `nvme`, `ng`), or what is about the host as a whole and not about something that is plugged into it.
const NEVER: &[&str] = &[
    "autofs",
    "bsg/*",
    "btrfs-control",
    "console",
    "cpu/*",
    "cpu_dma_latency",
    "fd/*",
    "full",
    "fuse",
    "hugepages/*",
    "kmsg",
    "loop-control",
    "mapper/*",
    "mem",
    "mqueue/*",
    "net/*",
    "ng*",
    "null",
    "nvme*",
    "port",
    "ptmx",
    "pts/*",
    "random",
    "sg#",
    "shm/*",
    "snapshot",
    "tty",
    "tty#",
    "urandom",
    "userfaultfd",
    "vcs*",
    "zero",
];

/// The nodes of some grants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Nodes {
    all: bool,
    /// All but [`TRUSTED_ONLY`].
    harmless: bool,
    gpu: bool,
    input: bool,
    kvm: bool,
}

impl Nodes {
    /// Each node that may be shared at all.
    pub const ALL: Self = Self { all: true, harmless: false, gpu: false, input: false, kvm: false };

    /// Those of one grant, in a container that is trusted; none where it is not about devices.
    #[must_use]
    pub fn of(grant: &Grant) -> Self {
        Self {
            all: *grant == Grant::Devices,
            harmless: false,
            gpu: *grant == Grant::Gpu,
            input: *grant == Grant::Input,
            kvm: *grant == Grant::Kvm,
        }
    }

    /// Whether there are none, whatever the host has.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Whether graphics cards are among them, which takes more than nodes: the libraries of their drivers.
    #[must_use]
    pub fn has_graphics(self) -> bool {
        self.all || self.harmless || self.gpu
    }

    /// Whether the node at `path`, below `/dev`, is one of them.
    #[must_use]
    pub fn has(self, path: &Path) -> bool {
        let kinds = [(self.gpu, GPU), (self.input, INPUT), (self.kvm, KVM)];
        !matches_any(path, NEVER)
            && (self.all
                || self.harmless && !matches_any(path, TRUSTED_ONLY)
                || kinds.iter().any(|(given, patterns)| *given && matches_any(path, patterns)))
    }

    /// Whether the node at `path`, below `/dev`, is there for everybody in a guest that has it, for its services as for its
    /// owner: a graphics card, which distributions give to groups that each of them numbers in its own way.
    #[must_use]
    pub fn is_for_everybody(path: &Path) -> bool {
        matches_any(path, GPU) || matches_any(path, KVM)
    }
}

impl GrantSet {
    /// The host's device nodes that they share. Whom nothing but a path into the home makes trusted, which is not known here, has the
    /// fewer.
    #[must_use]
    pub fn nodes(&self) -> Nodes {
        let is_trusted = self.is_trusted(|_| false);
        self.iter().map(Nodes::of).fold(Nodes::default(), |sum, one| Nodes {
            all: sum.all || one.all && is_trusted,
            harmless: sum.harmless || one.all && !is_trusted,
            gpu: sum.gpu || one.gpu,
            input: sum.input || one.input,
            kvm: sum.kvm || one.kvm,
        })
    }

    /// Whether one of them is about the node at `path`, below `/dev`, and a trusted container would have it.
    #[must_use]
    pub fn want_trust_for(&self, path: &Path) -> bool {
        !self.nodes().has(path) && self.iter().any(|grant| Nodes::of(grant).has(path))
    }
}

fn matches_any(path: &Path, patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| matches(path.as_os_str().as_bytes(), pattern))
}

/// A pattern ends in `*`, which is anything, in `#`, which is a number, or is the path itself.
fn matches(path: &[u8], pattern: &str) -> bool {
    let rest = |prefix: &str| path.strip_prefix(prefix.as_bytes());
    if let Some(prefix) = pattern.strip_suffix('*') {
        return rest(prefix).is_some();
    }
    if let Some(prefix) = pattern.strip_suffix('#') {
        return rest(prefix).is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit));
    }
    path == pattern.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_grant_is_about_its_nodes() {
        let nodes = |grants: &[&str]| GrantSet::parse(grants.iter().copied()).unwrap().nodes();
        for (grants, has, has_not) in [
            (&["home"][..], &[][..], &["dri/renderD128", "ttyACM0"][..]),
            (&["gpu"], &["dri/renderD128", "dri/by-path/x", "nvidia-uvm", "kfd"], &["kvm", "snd/timer"]),
            (&["kvm", "input"], &["kvm", "input/event3", "uinput"], &["dri/card0"]),
            (
                &["devices"],
                &["ttyACM0", "ttyS0", "ttyUSB12", "snd/controlC0", "kvm", "dri/card0"],
                &[
                    "tty", "tty1", "tty63", "ptmx", "pts/3", "null", "fuse", "net/tun", "kmsg", "vcsa1",
                    "sg0", "ng0n1", "shm/x",
                ],
            ),
        ] {
            for (paths, wanted) in [(has, true), (has_not, false)] {
                for path in paths {
                    assert_eq!(nodes(grants).has(Path::new(path)), wanted, "{grants:?}: {path}");
                }
            }
        }
        assert!(nodes(&["home", "network=nat"]).is_empty());
        assert!(!nodes(&["gpu"]).is_empty() && !nodes(&["devices"]).is_empty());
        let graphics = ["gpu", "devices", "kvm", "home"].map(|grant| nodes(&[grant]).has_graphics());
        assert_eq!(graphics, [true, true, false, false]);
    }

    #[test]
    fn what_types_is_there_for_trusted_containers_alone() {
        let types = [
            "input/event3",
            "input/by-id/x",
            "hidraw0",
            "usb/hiddev0",
            "uhid",
            "uinput",
            "usbmon1",
            "bus/usb/001/002",
            "tpmrm0",
        ];
        for (grants, trusted) in [
            (&["devices"][..], false),
            (&["home=private", "gpu", "kvm", "devices"], false),
            (&["home", "devices"], true),
            (&["devices", "session"], true),
            (&["devices", "input"], true),
        ] {
            let set = GrantSet::parse(grants.iter().copied()).unwrap();
            assert_eq!(set.is_trusted(|_| true), trusted, "{grants:?}");
            for path in types.map(Path::new) {
                assert_eq!(set.nodes().has(path), trusted, "{grants:?}: {}", path.display());
                assert_eq!(set.want_trust_for(path), !trusted, "{grants:?}: {}", path.display());
            }
            for path in ["ttyACM0", "usb/lp0", "snd/timer", "dri/card0"].map(Path::new) {
                assert!(set.nodes().has(path) && !set.want_trust_for(path), "{grants:?}: {}", path.display());
            }
        }
        let none = GrantSet::parse(["gpu"]).unwrap();
        assert!(!none.want_trust_for(Path::new("uinput")));
    }

    #[test]
    fn a_pattern_is_a_prefix_a_number_or_the_path() {
        for (path, pattern, wanted) in [
            ("tty7", "tty#", true),
            ("tty", "tty#", false),
            ("ttyS0", "tty#", false),
            ("dri", "dri/*", false),
            ("kvm", "kvm", true),
            ("kvm2", "kvm", false),
        ] {
            assert_eq!(matches(path.as_bytes(), pattern), wanted, "{path} {pattern}");
        }
    }
}
