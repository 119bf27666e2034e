//! Files of the host that a test changes, and puts back.

use snug_testbed::{Bed, HostFile};

use super::eventually;

/// Snug's configuration for the time of a test.
pub struct SnugConfig {
    _file: HostFile,
}

impl SnugConfig {
    /// The daemon reads it when it starts: it is ended before and after.
    #[track_caller]
    #[must_use]
    pub fn write(bed: &Bed, text: &str) -> Self {
        bed.kill_snugd();
        Self { _file: HostFile::write("/etc/snug/config.d/zz-test.toml", text) }
    }
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
