//! A user for one test, and everything that Snug made for him.

use std::fs;
use std::path::Path;

use snug_testbed::process;
use snug_testbed::stack::users::{self, Account};
use snug_testbed::tool::Tool;
use snug_testbed::{Bed, UserCommand};

/// A user of the host who has never used Snug; gone with all his containers when dropped.
pub struct TemporaryUser<'a> {
    bed: &'a Bed,
    account: Account,
    group: bool,
}

impl<'a> TemporaryUser<'a> {
    /// With a group of his own, which has his number where that is free.
    #[track_caller]
    #[must_use]
    pub fn new(bed: &'a Bed, name: &str) -> Self {
        Self::with(bed, name, &["--user-group"])
    }

    /// With these options of `useradd`.
    #[track_caller]
    #[must_use]
    pub fn with(bed: &'a Bed, name: &str, options: &[&str]) -> Self {
        if let Some(account) = users::account(name) {
            // Left by a run of the suite that was killed.
            drop(Self { bed, account, group: true });
        }
        Tool::new("useradd")
            .args(["--create-home", "--shell", "/bin/bash", "--comment", "Passing Through"])
            .args(options)
            .arg(name)
            .ok()
            .unwrap();
        Self { bed, account: users::account(name).unwrap(), group: options.contains(&"--user-group") }
    }

    /// Has a group made first whose number is not the user's.
    #[track_caller]
    #[must_use]
    pub fn with_group_of_another_number(bed: &'a Bed, name: &str, gid: u32) -> Self {
        let _ = Tool::new("groupdel").arg(name).run();
        Tool::new("groupadd").args(["--gid", &gid.to_string(), name]).ok().unwrap();
        let mut user = Self::with(bed, name, &["--no-user-group", "--gid", name]);
        user.group = true;
        user
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.account.name
    }

    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// `snug` as this user.
    #[track_caller]
    pub fn snug<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> UserCommand {
        // Not looked up by name: the account may be gone by now.
        UserCommand::for_account(self.account.clone(), vec!["/usr/bin/snug".into()]).args(args)
    }

    /// His Incus project.
    #[must_use]
    pub fn project(&self) -> String {
        format!("snug-{}", self.account.uid)
    }

    /// His directory of Snug's.
    #[must_use]
    pub fn run_dir(&self) -> std::path::PathBuf {
        Path::new("/var/lib/snug/run").join(self.account.uid.to_string())
    }
}

impl Drop for TemporaryUser<'_> {
    fn drop(&mut self) {
        let Account { name, uid, .. } = &self.account;
        let _ = self.snug(["rm", "-f", "-a"]).run();
        let project = self.project();
        let list = self.bed.incus(["list", "--project", &project, "--format=csv", "--columns=n"]).run();
        for instance in list.map(|output| output.text()).unwrap_or_default().lines() {
            let _ = self.bed.incus(["delete", "--force", "--project", &project, instance]).run();
        }
        let _ = self.bed.incus(["project", "delete", &project]).run();
        let _ = fs::remove_dir(self.run_dir());
        let theirs: Vec<_> =
            process::all().into_iter().filter(|process| process.uid() == Some(*uid)).collect();
        process::end(&theirs, std::time::Duration::ZERO);
        // Where his `snug session` listened.
        let _ = fs::remove_dir_all(format!("/tmp/snug-{uid}"));
        let _ = Tool::new("userdel").args(["--remove", name]).run();
        if self.group {
            // userdel takes it away only where it has the user's number too.
            let _ = Tool::new("groupdel").arg(name).run();
        }
        for (file, id) in [("/etc/subuid", uid), ("/etc/subgid", &self.account.gid)] {
            forget_line(Path::new(file), &format!("root:{id}:1"));
        }
    }
}

/// Takes a line out of a file, replacing it as a whole.
pub fn forget_line(path: &Path, line: &str) {
    let text = fs::read_to_string(path).unwrap();
    let kept: String =
        text.lines().filter(|found| *found != line).map(|found| format!("{found}\n")).collect();
    if kept != text {
        let beside = path.with_extension("snug-test");
        fs::write(&beside, kept).unwrap();
        fs::set_permissions(&beside, fs::metadata(path).unwrap().permissions()).unwrap();
        fs::rename(&beside, path).unwrap();
    }
}
