//! What a test leaves over: processes, mounts, interfaces, rules of routing, loop devices, cgroups, and in `/tmp`
//! directories of guests' services.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::{self, Process};
use crate::stack::{mounts, network, temporaries, users};
use crate::verbs::down;

/// What ends by itself after a command has ended (a client's children, a forwarder) gets this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The state before a test.
#[derive(Debug)]
pub struct Leaks {
    processes: BTreeSet<Process>,
    things: BTreeSet<String>,
}

impl Leaks {
    /// Remembers what is there now.
    pub fn before() -> Leaks {
        Leaks { processes: watched().into_iter().collect(), things: things() }
    }

    /// Fails if anything of Snug or of the bed's users is there that was not before.
    ///
    /// # Panics
    /// Naming what was left.
    #[track_caller]
    pub fn assert_none(&self) {
        let left = self.left(PATIENCE);
        assert!(left.is_empty(), "left behind:\n  {}", left.join("\n  "));
    }

    /// What is there that was not before, after waiting for processes that are about to end.
    pub fn left(&self, patience: Duration) -> Vec<String> {
        let new: Vec<Process> =
            watched().into_iter().filter(|process| !self.processes.contains(process)).collect();
        let end = Instant::now() + patience;
        for process in &new {
            process.wait_end(end.saturating_duration_since(Instant::now()));
        }
        let mut left: Vec<String> = new
            .iter()
            .filter(|process| process.is_alive())
            .map(|process| format!("process {} ({})", process.pid, process.command_line()))
            .collect();
        left.extend(things().difference(&self.things).cloned());
        left
    }
}

/// Processes of the bed's users on the host, of Snug (the daemon excepted: it leaves when idle), and of guests.
fn watched() -> Vec<Process> {
    let uids: Vec<u32> =
        users::USERS.iter().filter_map(|user| users::account(user.name)).map(|a| a.uid).collect();
    process::all()
        .into_iter()
        .filter(|process| {
            let program = process.program().unwrap_or_default();
            let name = program.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default().to_owned();
            let of_snug = name.starts_with("snug") && !["snugd", "snug-testbed"].contains(&name.as_str());
            let of_user = process.uid().is_some_and(|uid| uids.contains(&uid));
            of_snug || of_user || name.starts_with("pasta")
        })
        .collect()
}

fn things() -> BTreeSet<String> {
    let mut things = BTreeSet::new();
    for point in mounts::below(Path::new(mounts::SHARED_DIR), &mounts::of("self")) {
        things.insert(format!("mount {}", point.display()));
    }
    for entry in std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Bridges are made once and stay; a guest's own interface goes with it.
        if name.starts_with("veth") || name.starts_with("tap") {
            things.insert(format!("interface {name}"));
        }
    }
    for rule in network::stray_rules() {
        things.insert(format!("rule of routing {rule}"));
    }
    for (device, file) in down::pool_loops() {
        things.insert(format!("loop device {device} ({file})"));
    }
    for path in temporaries::of_guests() {
        things.insert(format!("directory {}", path.display()));
    }
    if let Some(unified) = mounts::of("self").into_iter().find(|mount| mount.kind == "cgroup2") {
        for entry in std::fs::read_dir(unified.point).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("lxc.") {
                things.insert(format!("cgroup {name}"));
            }
        }
    }
    things
}
