//! What several suites need beside the bed's own helpers.
#![allow(dead_code, unused_imports, reason = "each suite takes what it needs")]
#![allow(clippy::unwrap_used, reason = "these are parts of tests: a panic fails the one that calls")]

mod bus_script;
mod desktop;
mod follower;
mod host_file;
pub mod hostile;
mod temporary_user;
mod terminal;
mod user_config;

use std::time::{Duration, Instant};

pub use bus_script::bus_script;
pub use desktop::{Desktop, RunUser};
pub use follower::Follower;
pub use host_file::{BusPolicy, SnugConfig};
use serde_json::Value;
pub use snug_testbed::HostFile;
use snug_testbed::process::{self, Process};
use snug_testbed::session::snugd::Snugd;
use snug_testbed::{Bed, Captured, Container, UserCommand};
pub use temporary_user::TemporaryUser;
pub use terminal::{leaves_the_terminal, modes};
pub use user_config::UserConfig;

/// A guest with systemd 257.
pub const DEBIAN_13: &str = "local:debian/13";
/// A guest with systemd 252.
pub const DEBIAN_12: &str = "local:debian/12";
/// A guest with busybox' init.
pub const BUSYBOX: &str = "local:minimal/busybox";
/// A guest without an init: it starts fastest.
pub const NO_INIT: &str = "local:minimal/none";
/// All of them.
pub const IMAGES: [&str; 4] = [NO_INIT, BUSYBOX, DEBIAN_12, DEBIAN_13];

/// Long enough for anything that ends at all.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Asks until the answer is yes. For what no event tells of; each question is a program of its own that takes its time.
#[track_caller]
pub fn eventually(what: &str, mut question: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !question() {
        assert!(Instant::now() < end, "never came true: {what}");
    }
}

/// A container of this name for the test; what a killed run of the suite left under it goes first.
#[track_caller]
pub fn fresh<'a>(bed: &'a Bed, user: &str, name: &str, image: &str) -> Container<'a> {
    fresh_with(bed, user, name, image, &[])
}

/// The same with further options of `snug create`.
#[track_caller]
pub fn fresh_with<'a>(bed: &'a Bed, user: &str, name: &str, image: &str, options: &[&str]) -> Container<'a> {
    remove(bed, user, name);
    bed.container_with(user, name, image, options)
}

/// A name that has no container now and has none after the test.
pub struct Doomed<'a> {
    bed: &'a Bed,
    user: String,
    name: String,
}

impl<'a> Doomed<'a> {
    #[must_use]
    pub fn new(bed: &'a Bed, user: &str, name: &str) -> Self {
        remove(bed, user, name);
        Self { bed, user: user.to_owned(), name: name.to_owned() }
    }
}

impl Drop for Doomed<'_> {
    fn drop(&mut self) {
        remove(self.bed, &self.user, &self.name);
    }
}

fn remove(bed: &Bed, user: &str, name: &str) {
    // Most often there is none; that it could not be removed is for the test to find out.
    let _ = bed.snug(user).args(["rm", "-f", name]).run();
}

/// Has new containers in a pool that can only copy whole disks, until dropped.
#[must_use]
pub fn copying_pool(bed: &Bed, name: &'static str) -> (SnugConfig, Finally<impl FnMut() + use<>>) {
    let delete = move || drop(Bed::require().incus(["storage", "delete", name]).run());
    delete();
    bed.incus(["storage", "create", name, "dir"]).ok().unwrap();
    (SnugConfig::write(bed, &format!("pool = \"{name}\"\n")), Finally(delete))
}

/// What a command wrote as JSON.
#[track_caller]
pub fn json(captured: &Captured) -> Value {
    serde_json::from_str(&captured.out()).unwrap_or_else(|error| panic!("{error} in\n{}", captured.out()))
}

/// `snug list --json` of a user: the list.
#[track_caller]
pub fn containers(bed: &Bed, user: &str) -> Vec<Value> {
    let listed = json(&bed.snug(user).args(["list", "--json"]).run().unwrap().success());
    assert_eq!(listed["version"], 1, "{listed}");
    listed["containers"].as_array().unwrap_or_else(|| panic!("no list in {listed}")).clone()
}

/// One container of the list.
#[track_caller]
pub fn listed(bed: &Bed, user: &str, name: &str) -> Option<Value> {
    containers(bed, user).into_iter().find(|container| container["name"] == name)
}

/// The state of a container as its owner sees it; empty when there is none.
#[track_caller]
pub fn state(bed: &Bed, user: &str, name: &str) -> String {
    listed(bed, user, name).map_or_else(String::new, |it| it["state"].as_str().unwrap_or_default().to_owned())
}

/// A daemon that dies at the place. Whoever uses Snug beside the test may have had the bus start another one first.
#[track_caller]
pub fn dying_daemon(bed: &Bed, place: &str) -> Snugd {
    let mut daemon = None;
    eventually("the daemon of the test serves", || {
        daemon = bed.snugd_with(&[("SNUG_FAILPOINT", place)]).ok();
        daemon.as_ref().is_some_and(|it| bed.snugd().is_some_and(|serving| serving.pid == it.pid()))
    });
    daemon.unwrap()
}

/// Runs the command against a daemon that dies at the place: the command must not hang, and must say what happened.
#[track_caller]
pub fn dies_at(bed: &Bed, place: &str, command: UserCommand) {
    let mut daemon = dying_daemon(bed, place);
    let ended = command.deadline(PATIENCE).run().unwrap();
    // Without the failpoint it would have left no earlier than after its idle time.
    let died = daemon.wait_end(Duration::from_secs(5));
    assert!(died.is_ok(), "{place} was never reached: {} {}", ended.out(), ended.err());
    explains(&ended, 1, &["snugd ended", "hint: "]);
}

/// Waits until no job is at work on a container any more; whether it is there then.
#[track_caller]
pub fn settled(bed: &Bed, user: &str, name: &str) -> bool {
    let mut found = None;
    eventually("what was interrupted is finished or undone", || {
        found = listed(bed, user, name);
        found.as_ref().is_none_or(|it| it["phase"] == "ready")
    });
    found.is_some()
}

/// Whether Incus has an instance of that name for the user, whatever Snug says.
#[track_caller]
pub fn instance_exists(bed: &Bed, user: &str, name: &str) -> bool {
    let project = bed.project(user);
    bed.incus(["config", "show", "--project", &project, name]).succeeds()
}

/// A key of an instance's configuration in Incus.
#[track_caller]
pub fn instance_key(bed: &Bed, user: &str, name: &str, key: &str) -> String {
    let project = bed.project(user);
    let got = bed.incus(["config", "get", "--project", &project, name, key]).ok();
    got.unwrap_or_else(|error| panic!("{error}")).text().trim().to_owned()
}

/// A refusal that a person can use: this status, nothing on stdout, one `error:` with these words in it (on stderr, hints
/// included), no trace of a panic or of an error's Rust form.
#[track_caller]
pub fn explains(captured: &Captured, status: i32, words: &[&str]) {
    let err = captured.err();
    let shown = format!("`{}` ended with {}\n{err}", captured.command, captured.code());
    assert_eq!(captured.code(), status, "{shown}");
    assert_eq!(captured.out(), "", "{shown}");
    assert_eq!(err.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{shown}");
    for bad in ["panicked", "RUST_BACKTRACE", "Error {", "Some(", "Err("] {
        assert!(!err.contains(bad), "{shown}");
    }
    for word in words {
        assert!(err.contains(word), "{word:?} is not in it: {shown}");
    }
}

/// Runs it and checks its refusal: see [`explains`].
#[track_caller]
pub fn refused(command: UserCommand, status: i32, words: &[&str]) {
    explains(&command.run().unwrap(), status, words);
}

/// Its answer, trimmed.
#[track_caller]
pub fn answer(command: UserCommand) -> String {
    command.run().unwrap().success().out().trim().to_owned()
}

/// Does it at the end of the test, however that ends.
pub struct Finally<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The service of a user that runs (`snug session`), not the processes that it has made for commands.
pub fn sessions_of(user: &str) -> Vec<Process> {
    let uid = Bed::require().account(user).uid;
    let serves = |process: &Process| {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", process.pid)).unwrap_or_default();
        process.command_line().ends_with("snug session --background") && name.trim() == "snug"
    };
    process::all().into_iter().filter(|process| process.uid() == Some(uid) && serves(process)).collect()
}
