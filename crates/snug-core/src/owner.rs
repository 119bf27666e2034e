//! Accounts, and who may own containers (design, section 6, rule 1).

use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use crate::error::{Explain, Kind};
use crate::host_file::login_defs_number;
use crate::name::{Gid, Uid};
use crate::subid::{self, Range};
use crate::text;

/// A user of the host, as its user database has him.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: Uid,
    /// Primary group's id.
    pub gid: Gid,
    /// Primary group's name.
    pub group: String,
    /// Full name and the like.
    pub gecos: String,
    /// Login shell.
    pub shell: PathBuf,
    /// Home as the account spells it.
    pub home: PathBuf,
    /// The same directory without links.
    pub home_real: PathBuf,
}

impl Account {
    /// Whether a path is the home, lies in it, or holds it, under either spelling.
    #[must_use]
    pub fn touches_home(&self, path: &Path) -> bool {
        [&self.home, &self.home_real].into_iter().any(|home| path.starts_with(home) || home.starts_with(path))
    }
}

/// Directories that are no home: the guest's own would disappear below it.
const SYSTEM_DIRECTORIES: [&str; 19] = [
    "/",
    "/bin",
    "/boot",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/sbin",
    "/srv",
    "/tmp",
    "/var",
    "/var/home",
    "/var/lib",
    "/var/log",
    "/var/tmp",
];
/// Directories in which there is no home that can be shared.
const SYSTEM_TREES: [&str; 7] = ["/usr", "/proc", "/sys", "/dev", "/run", "/etc", "/.snug"];

/// Whether an account's home can be mounted at its own path in a guest.
///
/// # Errors
/// [`Reason::Home`]: it is no absolute path, a directory of the system, or inside one that the guest needs for itself.
pub fn may_share_home(account: &Account) -> Result<(), NotEligible> {
    let home = &account.home_real;
    let plain = home.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let system = SYSTEM_DIRECTORIES.iter().any(|directory| home == Path::new(directory))
        || SYSTEM_TREES.iter().any(|top| home.starts_with(top));
    if home.is_absolute() && plain && !system {
        return Ok(());
    }
    let reason = Reason::Home(home.clone());
    Err(NotEligible { name: account.name.clone(), uid: account.uid, gid: account.gid, reason })
}

/// What the host says about ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRules {
    /// Least uid of a person (`UID_MIN`).
    pub uid_min: Uid,
    /// Greatest gid of a system group (`SYS_GID_MAX`).
    pub sys_gid_max: Gid,
    /// Root's subordinate uids.
    pub root_uids: Vec<Range>,
    /// Root's subordinate gids.
    pub root_gids: Vec<Range>,
}

impl HostRules {
    /// From the texts of `/etc/login.defs`, `/etc/subuid` and `/etc/subgid`; a missing file is an empty text.
    #[must_use]
    pub fn new(login_defs: &str, subuid: &str, subgid: &str) -> Self {
        let uid_min = login_defs_number(login_defs, "UID_MIN").unwrap_or(1000);
        let gid_min = login_defs_number(login_defs, "GID_MIN").unwrap_or(1000);
        // A SYS_GID_MAX below GID_MIN leaves a gap that belongs to nobody: closed here.
        let sys_gid_max =
            gid_min.saturating_sub(1).max(login_defs_number(login_defs, "SYS_GID_MAX").unwrap_or(999));
        Self {
            uid_min: Uid(uid_min.max(1)),
            sys_gid_max: Gid(sys_gid_max),
            root_uids: subid::ranges_of(subuid, "root"),
            root_gids: subid::ranges_of(subgid, "root"),
        }
    }
}

/// Whether an account may have containers of its own.
///
/// # Errors
/// The reason why not.
pub fn may_own(uid: Uid, gid: Gid, name: &str, rules: &HostRules) -> Result<(), NotEligible> {
    let refuse = |reason| Err(NotEligible { name: name.to_owned(), uid, gid, reason });
    // A range of one id is what Snug itself wrote for this owner (`root:UID:1`).
    let inside = |ranges: &[Range], id: u32| ranges.iter().copied().find(|r| r.count > 1 && r.contains(id));
    if uid.0 == 0 {
        return refuse(Reason::Root);
    }
    if name.is_empty() || name.contains(['\0', '\n']) {
        return refuse(Reason::Nameless);
    }
    if is_nobody(uid.0) || is_nobody(gid.0) {
        return refuse(Reason::Nobody);
    }
    if uid < rules.uid_min {
        return refuse(Reason::SystemUser(rules.uid_min));
    }
    if gid <= rules.sys_gid_max {
        return refuse(Reason::SystemGroup(rules.sys_gid_max));
    }
    if let Some(range) = inside(&rules.root_uids, uid.0) {
        return refuse(Reason::SubordinateUid(range));
    }
    if let Some(range) = inside(&rules.root_gids, gid.0) {
        return refuse(Reason::SubordinateGid(range));
    }
    Ok(())
}

/// The overflow id, and the two that system calls read as "no id".
fn is_nobody(id: u32) -> bool {
    matches!(id, 65_534 | 65_535 | u32::MAX)
}

/// Why an account may not own containers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// uid 0: `raw.idmap` would need no permission, and its guest would be the host's root.
    Root,
    /// No name: an owner is uid and name.
    Nameless,
    /// An id that stands for nobody.
    Nobody,
    /// A uid below this one.
    SystemUser(Uid),
    /// A gid up to this one.
    SystemGroup(Gid),
    /// A uid that another container's processes may have.
    SubordinateUid(Range),
    /// A gid that another container's processes may have.
    SubordinateGid(Range),
    /// A home that cannot be shared.
    Home(PathBuf),
}

/// Somebody who may not own containers.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{}' (uid {uid}, gid {gid}) cannot have containers: {}", text::shown(name), self.sentence())]
pub struct NotEligible {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: Uid,
    /// Primary group.
    pub gid: Gid,
    /// Why.
    pub reason: Reason,
}

impl NotEligible {
    fn sentence(&self) -> String {
        match &self.reason {
            Reason::Root => "root has none of its own".to_owned(),
            Reason::Nameless => "the account has no usable name".to_owned(),
            Reason::Nobody => "the id stands for nobody".to_owned(),
            Reason::SystemUser(min) => format!("it is a system account (UID_MIN is {min})"),
            Reason::SystemGroup(max) => format!("its primary group is a system group (gid {max} and below)"),
            Reason::SubordinateUid(range) => {
                format!("its uid lies in root's subordinate range {range} (/etc/subuid)")
            }
            Reason::SubordinateGid(range) => {
                format!("its gid lies in root's subordinate range {range} (/etc/subgid)")
            }
            Reason::Home(home) => {
                format!("its home '{}' cannot be shared", text::shown(&home.to_string_lossy()))
            }
        }
    }
}

impl Explain for NotEligible {
    fn kind(&self) -> Kind {
        match self.reason {
            Reason::SubordinateUid(_) | Reason::SubordinateGid(_) => Kind::Config,
            _ => Kind::User,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self.reason {
            Reason::Root => "run snug as an ordinary user; root manages others' with --all-users".to_owned(),
            Reason::Home(_) => "give the container a home of its own: home=private".to_owned(),
            Reason::Nameless | Reason::Nobody | Reason::SystemUser(_) => {
                "run snug as an ordinary user".to_owned()
            }
            Reason::SystemGroup(_) => format!(
                "give the account a primary group of its own: `groupadd {0} && usermod -g {0} {0}`",
                text::shown(&self.name)
            ),
            Reason::SubordinateUid(_) | Reason::SubordinateGid(_) => {
                "another container's root would be this user; an \
                 administrator must move root's range in /etc/subuid and /etc/subgid away from the users' ids"
                    .to_owned()
            }
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_people_own_containers() {
        let defs = "UID_MIN 1000\nSYS_GID_MAX 999\n";
        let sub = "root:1000000:1000000000\nroot:1000:1\nanna:100000:65536\n";
        let rules = HostRules::new(defs, sub, sub);
        for (uid, gid, name, wanted) in [
            (1000, 1000, "anna", None),
            (100_005, 100_005, "EXAMPLE\\bert", None),
            (0, 0, "root", Some(Reason::Root)),
            (0, 1000, "toor", Some(Reason::Root)),
            (33, 33, "www-data", Some(Reason::SystemUser(Uid(1000)))),
            (1001, 27, "sue", Some(Reason::SystemGroup(Gid(999)))),
            (65_534, 65_534, "nobody", Some(Reason::Nobody)),
            (
                1_000_123,
                5000,
                "ldap",
                Some(Reason::SubordinateUid(Range { start: 1_000_000, count: 1_000_000_000 })),
            ),
            (
                5000,
                1_000_123,
                "ldap",
                Some(Reason::SubordinateGid(Range { start: 1_000_000, count: 1_000_000_000 })),
            ),
            (1002, 1002, "", Some(Reason::Nameless)),
        ] {
            let got = may_own(Uid(uid), Gid(gid), name, &rules).map_err(|error| error.reason).err();
            assert_eq!(got, wanted, "{name}");
        }
    }

    #[test]
    fn a_home_that_would_hide_the_guest_is_not_shared() {
        let account = |home: &str| Account {
            name: "anna".into(),
            uid: Uid(1000),
            gid: Gid(1000),
            group: "anna".into(),
            gecos: String::new(),
            shell: "/bin/bash".into(),
            home: home.into(),
            home_real: home.into(),
        };
        for good in ["/home/anna", "/var/home/anna", "/root/x", "/srv/homes/anna", "/data"] {
            assert_eq!(may_share_home(&account(good)), Ok(()), "{good}");
        }
        for bad in
            ["/", "", "home/anna", "/usr", "/usr/games", "/home", "/run/user/1000", "/home/../etc", "/proc/1"]
        {
            assert!(may_share_home(&account(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_without_login_defs_has_the_usual_limits() {
        let rules = HostRules::new("", "", "");
        assert_eq!((rules.uid_min, rules.sys_gid_max), (Uid(1000), Gid(999)));
        let odd = HostRules::new("UID_MIN 0\nGID_MIN 500\nSYS_GID_MAX 100\n", "", "");
        assert_eq!((odd.uid_min, odd.sys_gid_max), (Uid(1), Gid(499)));
    }
}
