//! Accounts of the host through NSS (directory services too), and who may own.

use std::ffi::CString;
use std::path::Path;

use nix::unistd::{Gid as NixGid, Group, Uid as NixUid, User, getgrouplist};
use snug_core::name::{Gid, Uid};
use snug_core::owner::{Account, HostRules, may_own};

use super::credentials::Credentials;
use super::file;
use crate::error::{Error, ErrorKind, Result};

/// An account and the numbers that its processes have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// As the user database has it; `home_real` is the home's spelling until the home was opened.
    pub account: Account,
    /// Uid, primary group, all groups.
    pub credentials: Credentials,
}

impl Owner {
    /// The mark of his containers in Incus: a reused uid inherits nothing.
    #[must_use]
    pub fn tag(&self) -> String {
        format!("{}:{}", self.account.uid, self.account.name)
    }
}

/// The account of `uid`.
///
/// # Errors
/// [`ErrorKind::NotEligible`] when there is none.
pub fn find(uid: Uid) -> Result<Owner> {
    let user = User::from_uid(NixUid::from_raw(uid.0))
        .map_err(|errno| Error::system(format!("look up the account of uid {uid}"), errno))?
        .ok_or_else(|| {
            Error::new(ErrorKind::NotEligible, format!("uid {uid} has no account on this host"))
                .hint("containers belong to a user name and a uid: both must be known to the host")
        })?;
    let gid = user.gid;
    let group = Group::from_gid(gid).ok().flatten().map_or_else(|| user.name.clone(), |group| group.name);
    let groups = CString::new(user.name.clone())
        .ok()
        .and_then(|name| getgrouplist(&name, gid).ok())
        .unwrap_or_else(|| vec![gid]);
    let account = Account {
        name: user.name,
        uid,
        gid: Gid(gid.as_raw()),
        group,
        gecos: user.gecos.to_string_lossy().into_owned(),
        shell: user.shell,
        home_real: user.dir.clone(),
        home: user.dir,
    };
    let credentials = Credentials {
        uid: uid.0,
        gid: gid.as_raw(),
        groups: groups.into_iter().map(NixGid::as_raw).collect(),
    };
    Ok(Owner { account, credentials })
}

/// The current name of `uid`; `None` when it has no account.
///
/// # Errors
/// When that cannot be told: a directory service that does not answer takes nobody's account away.
pub fn name_of(uid: u32) -> Result<Option<String>> {
    let user = User::from_uid(NixUid::from_raw(uid))
        .map_err(|errno| Error::system(format!("look up the account of uid {uid}"), errno))?;
    Ok(user.map(|user| user.name))
}

/// The account of `uid`, when it may own containers (design, section 6, rule 1).
///
/// # Errors
/// [`ErrorKind::NotEligible`].
pub fn eligible(uid: Uid) -> Result<Owner> {
    let owner = find(uid)?;
    may_own(uid, owner.account.gid, &owner.account.name, &rules()?)?;
    Ok(owner)
}

/// What the host's files say about ids.
///
/// # Errors
/// When a file that exists cannot be read.
pub fn rules() -> Result<HostRules> {
    // A distribution that keeps /etc empty ships its own below /usr (login.defs(5) of shadow with vendordir).
    let login_defs = ["/etc/login.defs", "/usr/etc/login.defs", "/usr/share/defaults/etc/login.defs"]
        .into_iter()
        .map(|path| file::read_or_empty(Path::new(path)))
        .find(|text| !matches!(text, Ok(text) if text.is_empty()))
        .unwrap_or_else(|| Ok(String::new()))?;
    let subuid = file::read_or_empty(Path::new("/etc/subuid"))?;
    let subgid = file::read_or_empty(Path::new("/etc/subgid"))?;
    Ok(HostRules::new(&login_defs, &subuid, &subgid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_may_not_own() {
        assert_eq!(eligible(Uid(0)).unwrap_err().kind, ErrorKind::NotEligible);
    }

    #[test]
    fn a_uid_without_an_account_may_not_own() {
        let error = find(Uid(3_999_999_999)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotEligible);
    }
}
