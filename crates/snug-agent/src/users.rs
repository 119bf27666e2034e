//! The guest's users and groups, read from its files: no NSS in a static program.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use snug_exec::system::{Entry, Identity};
use snug_wire::message::User;
use snug_wire::provision::Account;

use crate::files::read;
use crate::places::Guest;

pub(crate) fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok().filter(|text| !text.starts_with('+'))?.parse().ok()
}

/// Reads one line of `/etc/passwd`.
pub fn parse_entry(line: &[u8]) -> Option<Entry> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty())?.to_vec();
    let (uid, gid) = (number(fields.nth(1)?)?, number(fields.next()?)?);
    let (home, shell) = (fields.nth(1)?.to_vec(), fields.next().unwrap_or_default());
    let shell = if shell.is_empty() { b"/bin/sh" } else { shell };
    Some(Entry { name, uid, gid, home, shell: shell.to_vec() })
}

/// The supplementary groups of `name` in the text of `/etc/group`, the primary one first.
pub fn parse_groups(text: &[u8], name: &[u8], gid: u32) -> Vec<u32> {
    let mut groups = vec![gid];
    for line in text.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b':');
        let (Some(number), Some(members)) = (fields.nth(2).and_then(number), fields.next()) else { continue };
        if members.split(|byte| *byte == b',').any(|member| member == name) && !groups.contains(&number) {
            groups.push(number);
        }
    }
    groups
}

/// Number of the group of that name in the text of `/etc/group`.
pub fn parse_group_number(text: &[u8], name: &[u8]) -> Option<u32> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        if fields.next() == Some(name) { fields.nth(1).and_then(number) } else { None }
    })
}

/// The users of a guest, as its files tell.
pub struct Users<'a> {
    guest: &'a Guest,
    owner: Option<&'a Account>,
}

impl<'a> Users<'a> {
    /// Users of `guest`, whose owner is known from elsewhere too.
    pub fn new(guest: &'a Guest, owner: Option<&'a Account>) -> Self {
        Self { guest, owner }
    }

    fn find(&self, wanted: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let text = read(&self.guest.path("/etc/passwd")).ok()?;
        text.split(|byte| *byte == b'\n').filter_map(parse_entry).find(wanted)
    }

    /// Number of a group of the guest.
    pub fn group_number(&self, name: &[u8]) -> Option<u32> {
        parse_group_number(&read(&self.guest.path("/etc/group")).ok()?, name)
    }

    /// Who `user` is in this guest. The owner and root exist in every guest, whatever its files say.
    pub fn identify(&self, user: &User) -> Option<Identity> {
        let entry = match user {
            User::Root => self.find(|entry| entry.uid == 0).unwrap_or_else(|| Entry {
                name: b"root".to_vec(),
                uid: 0,
                gid: 0,
                home: b"/root".to_vec(),
                shell: b"/bin/sh".to_vec(),
            }),
            User::Owner => {
                let owner = self.owner?;
                self.find(|entry| entry.uid == owner.uid && entry.name == owner.name.as_bytes())
                    .or_else(|| self.find(|entry| entry.uid == owner.uid))
                    .unwrap_or_else(|| Entry {
                        name: owner.name.clone().into_bytes(),
                        uid: owner.uid,
                        gid: owner.gid,
                        home: owner.home.as_os_str().as_bytes().to_vec(),
                        shell: b"/bin/sh".to_vec(),
                    })
            }
            User::Named(name) => match self.find(|entry| entry.name == *name) {
                Some(entry) => entry,
                None => {
                    let uid = number(name)?;
                    self.find(|entry| entry.uid == uid).unwrap_or_else(|| Entry {
                        name: name.clone(),
                        uid,
                        gid: uid,
                        home: b"/".to_vec(),
                        shell: b"/bin/sh".to_vec(),
                    })
                }
            },
        };
        let text = read(&self.guest.path("/etc/group")).unwrap_or_default();
        let groups = parse_groups(&text, &entry.name, entry.gid);
        Some(Identity { entry, groups: Some(groups) })
    }

    /// The shell for a login: the account's, or what exists in its place.
    pub fn login_shell(&self, entry: &Entry) -> Vec<u8> {
        let exists = |shell: &[u8]| {
            let path = self.guest.path(Path::new(std::ffi::OsStr::from_bytes(shell)));
            rustix::fs::access(&path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
        };
        if exists(&entry.shell) {
            return entry.shell.clone();
        }
        let others: [&[u8]; 2] = [b"/bin/bash", b"/bin/sh"];
        others.into_iter().find(|shell| exists(shell)).unwrap_or(b"/bin/sh").to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passwd_line_is_read_field_by_field() {
        let entry = parse_entry(b"anna:x:1000:1001:Anna,,,:/home/anna:/bin/zsh").unwrap();
        assert_eq!((entry.uid, entry.gid), (1000, 1001));
        assert_eq!((entry.home.as_slice(), entry.shell.as_slice()), (&b"/home/anna"[..], &b"/bin/zsh"[..]));
        assert_eq!(parse_entry(b"EX\\anna:x:70000:70000::/h:").unwrap().shell, b"/bin/sh");
        for line in [&b""[..], b"+::::::", b"anna:x:1000", b"anna:x:-1:0::/:", b":x:0:0::/:", b"a:x:+1:0::/:"]
        {
            assert_eq!(parse_entry(line), None, "{line:?}");
        }
    }

    #[test]
    fn groups_are_those_that_name_the_user_and_the_primary_one() {
        let text =
            b"root:x:0:\nvideo:x:44:bob,anna\naudio:x:29:annabel\nrender:x:105:anna\nbroken\nanna:x:1000:\n";
        assert_eq!(parse_groups(text, b"anna", 1000), [1000, 44, 105]);
        assert_eq!(parse_groups(text, b"nobody", 7), [7]);
        assert_eq!(parse_group_number(text, b"audio"), Some(29));
        assert_eq!(parse_group_number(text, b"aud"), None);
    }
}
