//! The owner's account in the guest's files.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use snug_wire::provision::{Account, Provision};

use super::accounts::{self, Owner};
use super::{home, hosts, mounts};
use crate::files::{self, replace};
use crate::places::Guest;

/// Groups that the owner is in wherever the guest has them: its hardware, and those whose members administer it.
const GROUPS: [&str; 6] = ["video", "render", "audio", "input", "sudo", "wheel"];

/// Does `work` with the owner as this guest shall have him.
fn with_owner<T>(guest: &Guest, provision: &Provision, work: impl FnOnce(&Owner<'_>) -> T) -> T {
    let account = &provision.owner;
    let (home, shell) = (home::path(guest, provision), find_shell(guest, account));
    work(&Owner {
        name: account.name.as_bytes(),
        uid: account.uid,
        gid: account.gid,
        group: account.group.as_bytes(),
        gecos: account.gecos.as_bytes(),
        home: home.as_os_str().as_bytes(),
        shell: shell.as_os_str().as_bytes(),
    })
}

/// The host's shell, where the guest has it: at the same path or elsewhere; else bash, else sh.
fn find_shell(guest: &Guest, account: &Account) -> PathBuf {
    let name = account.shell.file_name().map(PathBuf::from).unwrap_or_default();
    let elsewhere = ["/bin", "/usr/bin", "/usr/local/bin"].map(|directory| Path::new(directory).join(&name));
    [account.shell.clone()]
        .into_iter()
        .chain(elsewhere)
        .chain(["/bin/bash".into(), "/usr/bin/bash".into()])
        .find(|path| path.is_absolute() && path.file_name().is_some() && guest.path(path).is_file())
        .unwrap_or_else(|| "/bin/sh".into())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    match files::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

/// Files of the passwd family change together with `/etc/passwd`, from its text before.
pub fn make_account(guest: &Guest, provision: &Provision) -> io::Result<()> {
    with_owner(guest, provision, |owner| {
        let path = guest.path("/etc/passwd");
        let passwd = read(&path)?;
        let taken_over = accounts::taken_over(&passwd, owner);
        // The others first: after a failure the account that is to be taken over can still be found.
        let groups = guest.path("/etc/group");
        let group = accounts::group(&read(&groups)?, owner, &taken_over, &GROUPS);
        replace(&groups, &group, 0o644)?;
        let group_shadow = guest.path("/etc/gshadow");
        if group_shadow.exists() {
            replace(&group_shadow, &accounts::group_shadow(&read(&group_shadow)?, &group), 0o640)?;
        }
        let shadow = guest.path("/etc/shadow");
        if shadow.exists() {
            replace(&shadow, &accounts::shadow(&read(&shadow)?, owner, &taken_over), 0o640)?;
        }
        for name in ["/etc/subuid", "/etc/subgid"] {
            let path = guest.path(name);
            replace(&path, &accounts::subordinate(&read(&path)?, owner, &taken_over), 0o644)?;
        }
        replace(&path, &accounts::passwd(&passwd, owner), 0o644)
    })
}

/// The rule for sudo is written always: sudo may be installed later.
pub fn allow_sudo(guest: &Guest, provision: &Provision) -> io::Result<()> {
    let directory = guest.path("/etc/sudoers.d");
    if !directory.is_dir() {
        fs::create_dir(&directory)?;
        fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o750))?;
    }
    replace(&directory.join("90-snug"), hosts::sudoers(provision.owner.uid).as_bytes(), 0o440)
}

/// `/run/user/UID`, there from the first command on: logind comes later, and leaves what it finds mounted
/// (`user-runtime-dir.c`).
pub fn make_runtime_directory(guest: &Guest, provision: &Provision) -> io::Result<()> {
    let path = guest.path(format!("/run/user/{}", provision.owner.uid));
    fs::create_dir_all(&path)?;
    mounts::mount_runtime_directory(&path, &provision.owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::tests::provision;

    #[test]
    fn the_shell_is_the_hosts_or_else_what_the_guest_has() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        let account = Account { shell: "/usr/bin/zsh".into(), ..provision().owner };
        assert_eq!(find_shell(&guest, &account), Path::new("/bin/sh"));
        for shell in ["/bin/bash", "/usr/local/bin/zsh", "/bin/zsh", "/usr/bin/zsh"] {
            let path = guest.path(shell);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
            assert_eq!(find_shell(&guest, &account), Path::new(shell));
        }
    }

    #[test]
    fn every_file_of_the_account_is_written_and_a_second_time_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        fs::create_dir(guest.path("/etc")).unwrap();
        fs::write(guest.path("/etc/passwd"), "root:x:0:0::/root:/bin/sh\nubuntu:x:1000:1000:::\n").unwrap();
        fs::write(guest.path("/etc/shadow"), "ubuntu:!:1::::::\n").unwrap();
        fs::write(guest.path("/etc/group"), "video:x:44:ubuntu\nubuntu:x:1000:\n").unwrap();
        let state = || {
            ["passwd", "shadow", "group", "subuid", "subgid"]
                .map(|name| fs::read_to_string(guest.path("/etc").join(name)).unwrap())
        };
        make_account(&guest, &provision()).unwrap();
        let once = state();
        assert!(once[0].contains("anna:x:1000:1000:") && !once.concat().contains("ubuntu"), "{once:?}");
        assert_eq!(once[2], "video:x:44:anna\nanna:x:1000:\n");
        make_account(&guest, &provision()).unwrap();
        assert_eq!(state(), once);
    }
}
