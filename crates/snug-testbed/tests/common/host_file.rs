//! Files of the host that a test changes, and puts back.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use snug_testbed::Bed;

use super::eventually;

/// A file with other content for the time of a test.
pub struct HostFile {
    path: PathBuf,
    before: Option<Vec<u8>>,
    made: Vec<PathBuf>,
}

impl HostFile {
    #[track_caller]
    #[must_use]
    pub fn write(path: impl AsRef<Path>, text: &str) -> Self {
        let path = path.as_ref().to_owned();
        let missing: Vec<PathBuf> =
            path.ancestors().skip(1).take_while(|dir| !dir.exists()).map(Path::to_owned).collect();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = Self { before: fs::read(&path).ok(), made: missing, path };
        fs::write(&file.path, text).unwrap();
        fs::set_permissions(&file.path, Permissions::from_mode(0o644)).unwrap();
        file
    }

    /// Snug's configuration for the time of a test. The daemon reads it when it starts: it is ended before and after.
    #[track_caller]
    #[must_use]
    pub fn snug_config(bed: &Bed, text: &str) -> SnugConfig {
        bed.kill_snugd();
        SnugConfig { _file: Self::write("/etc/snug/config.d/zz-test.toml", text) }
    }
}

impl Drop for HostFile {
    fn drop(&mut self) {
        match &self.before {
            Some(content) => fs::write(&self.path, content).unwrap(),
            None => drop(fs::remove_file(&self.path)),
        }
        for dir in &self.made {
            // One that somebody else put a file into stays.
            let _ = fs::remove_dir(dir);
        }
    }
}

/// See [`HostFile::snug_config`].
pub struct SnugConfig {
    _file: HostFile,
}

impl Drop for SnugConfig {
    fn drop(&mut self) {
        if let Some(daemon) = snug_testbed::stack::bus::owner("org.snug.Snug1") {
            daemon.signal(rustix::process::Signal::KILL);
            daemon.wait_end(super::PATIENCE);
        }
    }
}

/// An answer of polkit for one user and one action, for the time of a test.
pub struct BusPolicy {
    file: Option<HostFile>,
    user: String,
    action: String,
    before: bool,
}

impl BusPolicy {
    /// `result`: `YES`, `NO`, `AUTH_ADMIN`.
    #[track_caller]
    #[must_use]
    pub fn polkit(bed: &Bed, user: &str, action: &str, result: &str) -> Self {
        let before = allows(user, action);
        let text = format!(
            "polkit.addRule(function(action, subject) {{\n  if (action.id == \"{action}\" && subject.user == \"{user}\") \
             return polkit.Result.{result};\n}});\n"
        );
        let file = HostFile::write("/etc/polkit-1/rules.d/00-snug-test.rules", &text);
        let policy = Self { file: Some(file), user: user.to_owned(), action: action.to_owned(), before };
        // polkitd hears of new rules by inotify, when it gets to it.
        let _ = bed;
        eventually("polkit uses the rule", || allows(user, action) == (result == "YES"));
        policy
    }
}

impl Drop for BusPolicy {
    fn drop(&mut self) {
        self.file = None;
        let end = std::time::Instant::now() + super::PATIENCE;
        while allows(&self.user, &self.action) != self.before && std::time::Instant::now() < end {}
    }
}

/// What polkit says about a process of the user.
fn allows(user: &str, action: &str) -> bool {
    let check = format!("exec pkcheck --action-id {action} --process $$");
    Bed::require().shell(user, &check).run().is_ok_and(|answer| answer.code() == 0)
}
