//! Ordinary users to try Snug as.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error, Result};
use crate::host;
use crate::process;
use crate::state::{LASTING_DIR, write_json};
use crate::tool::Tool;

/// A user of the bed.
#[derive(Debug, Clone, Copy)]
pub struct TestUser {
    /// The login name.
    pub name: &'static str,
    /// The home as /etc/passwd spells it.
    pub home: &'static str,
    /// Where the home really is.
    pub real_home: &'static str,
}

/// The users that every suite may count on.
///
/// `atomic` stands for an image-based desktop: its home is reached through a link. That link is not `/home`, so that
/// this machine's own stays as it is.
pub const USERS: [TestUser; 3] = [
    TestUser { name: "tester", home: "/home/tester", real_home: "/home/tester" },
    TestUser { name: "second", home: "/home/second", real_home: "/home/second" },
    TestUser { name: "atomic", home: "/home-link/atomic", real_home: "/var/home/atomic" },
];

const LINK: (&str, &str) = ("/home-link", "/var/home");

/// One line of /etc/passwd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The login name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The home.
    pub home: PathBuf,
    /// The login shell.
    pub shell: String,
}

/// What the bed made, so that it removes nothing else.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Made {
    users: BTreeMap<String, u32>,
    paths: Vec<PathBuf>,
}

/// The machine's own root.
pub fn root() -> Account {
    Account { name: "root".to_owned(), uid: 0, gid: 0, home: "/root".into(), shell: "/bin/sh".to_owned() }
}

/// An account by name.
pub fn account(name: &str) -> Option<Account> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    text.lines().filter_map(parse).find(|account| account.name == name)
}

/// Makes the users that are missing.
pub fn make() -> Result<()> {
    let mut made = load();
    for user in USERS.iter().filter(|user| account(user.name).is_none()) {
        host::say(format_args!("making the user {} ({})", user.name, user.home));
        if user.home != user.real_home {
            link_homes(&mut made)?;
        }
        Tool::new("useradd")
            .args(["--create-home", "--user-group", "--shell", "/bin/bash", "--comment", "Snug Tester,,,"])
            .args(["--home-dir", user.home, user.name])
            .ok()?;
        let uid =
            account(user.name).ok_or_else(|| Error::Unfit(format!("useradd made no {}", user.name)))?.uid;
        made.users.insert(user.name.to_owned(), uid);
        save(&made)?;
    }
    Ok(())
}

/// Removes the directories in which `snug session` of the bed's users listened. Returns what is left.
pub fn remove_session_sockets() -> Vec<String> {
    let directories = USERS.iter().filter_map(|user| {
        let uid = account(user.name)?.uid;
        let directory = PathBuf::from(format!("/tmp/snug-{uid}"));
        let is_his =
            fs::symlink_metadata(&directory).is_ok_and(|status| status.is_dir() && status.uid() == uid);
        is_his.then_some(directory)
    });
    directories
        .filter_map(|path| {
            fs::remove_dir_all(&path).err().map(|error| format!("{}: {error}", path.display()))
        })
        .collect()
}

/// Removes the users that the bed made, with their homes and processes. Returns what is left.
pub fn remove() -> Vec<String> {
    let mut made = load();
    let mut left = Vec::new();
    for user in USERS {
        let Some(uid) = made.users.get(user.name).copied() else { continue };
        if account(user.name).is_some_and(|account| account.uid == uid) {
            let theirs: Vec<_> =
                process::all().into_iter().filter(|process| process.uid() == Some(uid)).collect();
            process::end(&theirs, Duration::from_secs(2));
            if let Err(error) = Tool::new("userdel").arg(user.name).ok() {
                left.push(format!("user {}: {error}", user.name));
                continue;
            }
            if let Err(error) = fs::remove_dir_all(user.real_home) {
                left.push(format!("{}: {error}", user.real_home));
            }
            let _ = fs::remove_file(Path::new("/var/mail").join(user.name));
        }
        made.users.remove(user.name);
    }
    made.paths.retain(|path| {
        let gone = if path.is_symlink() { fs::remove_file(path) } else { fs::remove_dir(path) };
        gone.is_err() && path.symlink_metadata().is_ok()
    });
    if let Err(error) = save(&made) {
        left.push(error.to_string());
    }
    left
}

fn link_homes(made: &mut Made) -> Result<()> {
    let (link, target) = LINK;
    // The link before the directory: it is removed first, too.
    if !Path::new(link).is_symlink() {
        std::os::unix::fs::symlink(target, link).doing(|| format!("making the link {link}"))?;
        made.paths.push(link.into());
    }
    if !Path::new(target).is_dir() {
        fs::create_dir_all(target).doing(|| format!("making {target}"))?;
        made.paths.push(target.into());
    }
    save(made)
}

fn file() -> PathBuf {
    Path::new(LASTING_DIR).join("users.json")
}

fn load() -> Made {
    fs::read(file()).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn save(made: &Made) -> Result<()> {
    write_json(&file(), made)
}

fn parse(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, shell] = fields[..] else { return None };
    Some(Account {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: home.into(),
        shell: shell.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_passwd_is_understood() {
        let account = parse("tester:x:1001:1002:Snug Tester,,,:/home/tester:/bin/bash").unwrap();
        assert_eq!((account.uid, account.gid, account.home.to_str()), (1001, 1002, Some("/home/tester")));
        assert_eq!(parse("+::::::nis"), None);
        assert_eq!(parse("broken"), None);
    }
}
