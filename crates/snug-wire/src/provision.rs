//! The file that tells the agent whom it serves: `STATE/run/UID/NAME/guest/provision.json`, in the guest
//! `/.snug/run/provision.json`. Written by the daemon before each start; the guest can change its copy and harms only
//! itself by it.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything that the agent needs to make the guest its owner's. Unknown keys are ignored: an older agent may read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provision {
    /// The container's owner as the host knows him.
    pub owner: Account,
    /// Host name of the guest: the container's name.
    pub hostname: String,
    /// What it was made from, as the owner would type it.
    #[serde(default)]
    pub image: String,
    /// What tells it from another of its name: a UUID.
    #[serde(default)]
    pub id: String,
    /// What of the host the guest follows.
    #[serde(flatten)]
    pub followed: Followed,
    /// Addresses for `eth0`; `None` leaves the interfaces alone.
    #[serde(default)]
    pub network: Option<Network>,
    /// The guest's network is its host's: what sets the addresses is outside, and it has them before its init.
    #[serde(default)]
    pub mirrored: bool,
    /// Directories of the host that the guest has in the place of its own.
    #[serde(default)]
    pub places: Vec<Place>,
    /// The host's session is at [`crate::session::DIRECTORY`].
    #[serde(default)]
    pub session: bool,
    /// Its programs may run commands of the host ([`crate::host`]).
    #[serde(default)]
    pub host_exec: bool,
    /// They may open links and files there.
    #[serde(default)]
    pub host_open: bool,
    /// Directories, relative to the owner's home or absolute, that are the container's own although the home is shared.
    #[serde(default)]
    pub private: Vec<PathBuf>,
    /// The owner's home on the host is mounted at `owner.home_real`.
    #[serde(default)]
    pub home_shared: bool,
    /// The container's processes may do what the owner may: descriptors may be taken.
    #[serde(default)]
    pub trusted: bool,
    /// Milliseconds a command that was hung up may go on before it is killed.
    #[serde(default = "default_grace")]
    pub hangup_grace: u32,
    /// The guest's disk is bounded: [`RESERVE`] is kept on it.
    #[serde(default)]
    pub reserve: bool,
}

/// What of the host a guest takes over at its start, and again when it changes while the guest runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// Name of a time zone (`Europe/Berlin`), when the host has one.
    #[serde(default)]
    pub timezone: Option<String>,
    /// `LANG` and `LC_*` of the host's `/etc/locale.conf` or `/etc/default/locale`.
    #[serde(default)]
    pub locale: Vec<(String, String)>,
    /// Text of `/etc/resolv.conf` for the guest; `None` leaves the guest's alone.
    #[serde(default)]
    pub resolv_conf: Option<String>,
    /// Names and texts (PEM) of the certificate authorities that the host's administrator has added.
    #[serde(default)]
    pub certificates: Vec<(String, String)>,
}

/// A directory of the host that the guest has in the place of its own, such as `/tmp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Where it is mounted in the guest for the agent to take it from.
    pub source: PathBuf,
    /// Its path on the host: as it is known, and where that leads through a link (`/mnt` to `/var/mnt`) without one.
    pub paths: Vec<PathBuf>,
}

/// Directories that both systems empty or age, and in which services have directories of their own.
pub const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];
/// How those are named: `systemd-private-BOOT-UNIT-RANDOM` (`PrivateTmp=` of systemd.exec(5); `setup_tmp_dirs` of systemd).
pub const SERVICE_DIRECTORY: &str = "systemd-private-";

/// A file of the guest that takes room until the daemon needs it.
pub const RESERVE: &str = "/var/lib/snug/reserve";
/// Its size in bytes.
pub const RESERVE_SIZE: u64 = 4 << 20;

fn default_grace() -> u32 {
    2000
}

/// A user's account (passwd(5)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Login name; may hold what directory services allow (`EXAMPLE\anna`).
    pub name: String,
    /// User id, the same in the guest.
    pub uid: u32,
    /// Primary group id, the same in the guest.
    pub gid: u32,
    /// Name of the primary group.
    pub group: String,
    /// Full name and the like.
    pub gecos: String,
    /// Login shell on the host.
    pub shell: PathBuf,
    /// Home directory as the account spells it.
    pub home: PathBuf,
    /// The same directory without links; differs where `/home` is a link.
    pub home_real: PathBuf,
    /// Another name that the host has for it: below `/home` where that is a link and the account says `/var/home`.
    #[serde(default)]
    pub home_also: Option<PathBuf>,
}

impl Account {
    /// All spellings of the home; the real one may come more than once.
    pub fn homes(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.home, &self.home_real].into_iter().chain(&self.home_also)
    }
}

/// A static address for `eth0`, so that a guest without a DHCP client has network too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The guest's address.
    pub address: Ipv4Addr,
    /// Length of the network's prefix.
    pub prefix: u8,
    /// Default route.
    pub gateway: Ipv4Addr,
}
