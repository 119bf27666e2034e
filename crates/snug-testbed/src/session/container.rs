//! A container of Snug for one test, gone at its end even when the test fails.

use std::ffi::OsStr;
use std::time::Duration;

use crate::error::Result;
use crate::host;
use crate::session::bed::Bed;
use crate::session::user_command::UserCommand;

/// A container made by `snug create`; removed by `snug rm -f` when dropped.
#[derive(Debug)]
pub struct Container<'a> {
    bed: &'a Bed,
    user: String,
    name: String,
}

impl<'a> Container<'a> {
    pub(crate) fn create(
        bed: &'a Bed,
        user: &str,
        name: &str,
        image: &str,
        more: &[&str],
    ) -> Result<Container<'a>> {
        // Before it is made: what a failed creation leaves is removed, too.
        let container = Container { bed, user: user.to_owned(), name: name.to_owned() };
        let command = bed.snug(user).args(["create", "--replace", name, "--image", image]).args(more);
        command.deadline(Duration::from_secs(300)).run()?.ok()?;
        Ok(container)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its owner.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// `snug run -c NAME -- ARGV…` as its owner.
    pub fn run<S: AsRef<OsStr>>(&self, argv: impl IntoIterator<Item = S>) -> UserCommand {
        self.bed.snug(&self.user).args(["run", "-c", &self.name, "--"]).args(argv)
    }

    /// `snug ARGS…` as its owner, with this container as his default one.
    pub fn snug<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> UserCommand {
        self.bed.snug(&self.user).args(args).env("SNUG_CONTAINER", &self.name)
    }

    /// A line of shell on the host as its owner, where `snug run` means this container.
    pub fn shell(&self, line: &str) -> UserCommand {
        self.bed.shell(&self.user, line).env("SNUG_CONTAINER", &self.name)
    }

    /// The same line in bash.
    pub fn bash(&self, line: &str) -> UserCommand {
        self.bed.as_user(&self.user, ["bash", "-c", line]).env("SNUG_CONTAINER", &self.name)
    }

    /// The bed it lies in.
    pub fn bed(&self) -> &'a Bed {
        self.bed
    }

    pub(crate) fn remove(&self) {
        let removed = self.bed.snug(&self.user).args(["rm", "-f", &self.name]).run();
        match removed {
            Ok(output) if output.code() == 0 => {}
            // No panic here: the test may be failing already, and that failure is the one to be read.
            Ok(output) => host::say(format_args!("removing {}: {}", self.name, output.err())),
            Err(error) => host::say(format_args!("removing {}: {error}", self.name)),
        }
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}
