//! `down`: every step is tried, whatever the others did; what is left is named at the end.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Doing, Error, Result};
use crate::host::{self, Services};
use crate::process::{self, Process};
use crate::session::host_file;
use crate::stack::{bus, images, incus, mounts, network, temporaries, users};
use crate::state::{LASTING_DIR, Lock, State};
use crate::tool::Tool;

/// What to remove besides what runs.
#[derive(Debug, Clone, Copy)]
pub struct Unwanted {
    /// The users that the bed made, with their homes.
    pub users: bool,
    /// The images in Incus (the cache of built ones stays).
    pub images: bool,
    /// All data of the bed's Incus and the cache: as on a machine that never had it. Data that was there before the bed
    /// stays.
    pub data: bool,
}

/// Brings the stack down: no process, mount, interface or loop device of the bed stays.
pub fn down(unwanted: Unwanted) -> Result<()> {
    host::require_root("snug-testbed down")?;
    let started = Instant::now();
    let _lock = Lock::take()?;
    let state = State::load();
    let mut left: Vec<String> =
        host_file::undo_all().err().map(|error| error.to_string()).into_iter().collect();
    let own_unit = state.units.contains("incus.service");
    let own_incus = state.incus || own_unit || incus::own_daemon().is_some();
    if unwanted.images && incus::listens() {
        left.extend(images::remove());
    }
    if own_incus {
        // snugd first: it would take the shutdown of its guests for an accident.
        left.extend(end_snugd());
        left.extend(incus::shut_down());
        left.extend(stop_units(&state));
        left.extend(network::clean());
        left.extend(detach_loops());
        remove_cgroups();
        left.extend(temporaries::remove());
    }
    if state.bus {
        left.extend(stop_bus());
    }
    left.extend(end(&process::marked(), "process"));
    left.extend(users::remove_session_sockets());
    for mount in &state.mounts {
        left.extend(mounts::unmount_below(mount));
    }
    if unwanted.users {
        left.extend(users::remove());
    }
    if unwanted.data && own_incus && host::services() == Services::Bed {
        left.extend(remove_data());
    }
    left.extend(leftovers(own_incus));
    left.sort();
    left.dedup();
    if left.is_empty() {
        State::forget()?;
        host::say(format_args!("down, nothing left ({:.1?})", started.elapsed()));
        Ok(())
    } else {
        Err(Error::LeftBehind(left))
    }
}

fn stop_units(state: &State) -> Vec<String> {
    // Together: systemd then orders them, and the socket does not start the daemon again.
    let units: Vec<&str> = incus::UNITS.into_iter().filter(|unit| state.units.contains(*unit)).collect();
    if units.is_empty() {
        return Vec::new();
    }
    let stopped = Tool::new("systemctl").arg("stop").args(&units).deadline(Duration::from_secs(120)).ok();
    stopped.err().map(|error| format!("units {}: {error}", units.join(", "))).into_iter().collect()
}

/// Ends every snugd. Those that do not end.
pub(super) fn end_snugd() -> Vec<String> {
    let ours = |process: &Process| process.program().is_some_and(|path| path.ends_with("snugd"));
    let daemons: Vec<Process> = process::all().into_iter().filter(ours).collect();
    end(&daemons, "snugd")
}

fn end(processes: &[Process], what: &str) -> Vec<String> {
    let left = process::end(processes, Duration::from_secs(5));
    left.iter().map(|process| format!("{what} {} ({})", process.pid, process.command_line())).collect()
}

/// What the bus activated ends with it, polkit too.
fn stop_bus() -> Vec<String> {
    host::say("stopping the system bus and what it activated");
    let mut left = end(&bus::activated(), "bus service");
    let buses: Vec<Process> = process::marked()
        .into_iter()
        .filter(|process| process.has_variable(process::MARK, Some("bus")))
        .collect();
    left.extend(end(&buses, "bus"));
    let _ = std::fs::remove_file(bus::SOCKET);
    left
}

/// Loop devices of pools go when the last mount goes; one that stayed is detached.
fn detach_loops() -> Vec<String> {
    for (device, _) in pool_loops() {
        let _ = Tool::new("losetup").args(["--detach", &device]).run();
    }
    pool_loops().into_iter().map(|(device, file)| format!("loop device {device} ({file})")).collect()
}

/// Loop devices over files of Incus.
pub(crate) fn pool_loops() -> Vec<(String, String)> {
    let Ok(output) = Tool::new("losetup").args(["--list", "--noheadings", "--output=NAME,BACK-FILE"]).run()
    else {
        return Vec::new();
    };
    let text = output.text();
    let pairs = text.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
    pairs
        .map(|(device, file)| (device.to_owned(), file.trim().to_owned()))
        .filter(|(_, file)| file.starts_with("/var/lib/incus/"))
        .collect()
}

/// Empty cgroups of guests, wherever this machine has the unified hierarchy.
fn remove_cgroups() {
    let unified = mounts::of("self").into_iter().find(|mount| mount.kind == "cgroup2");
    let Some(root) = unified.map(|mount| mount.point) else { return };
    for entry in std::fs::read_dir(&root).into_iter().flatten().flatten() {
        // liblxc's: lxc.payload.NAME, lxc.monitor.NAME, and lxc.pivot, where a monitor waits for its guest's end.
        if entry.file_name().to_string_lossy().starts_with("lxc.") {
            remove_cgroup(&entry.path());
        }
    }
}

/// Children first. One that still holds a process refuses, and so another's guest is safe.
fn remove_cgroup(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(dir);
}

fn remove_data() -> Vec<String> {
    let mut dirs = vec![LASTING_DIR];
    if incus::data_is_own() {
        dirs.extend([incus::DATA, "/var/cache/incus", "/var/log/incus"]);
    } else {
        host::say("Incus had data here before the bed: it stays");
    }
    host::say(format_args!("removing what is in {}", dirs.join(", ")));
    let mut left = Vec::new();
    for dir in dirs {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            // The lock is held, the list of users is needed until they are gone.
            if path.ends_with("snug-testbed/lock") || path.ends_with("snug-testbed/users.json") {
                continue;
            }
            let gone = if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            if let Err(error) = gone.doing(|| format!("removing {}", path.display())) {
                left.push(error.to_string());
            }
        }
    }
    left
}

/// Looks for itself, after everything, at what is still there.
fn leftovers(own_incus: bool) -> Vec<String> {
    let mut left: Vec<String> = process::marked()
        .iter()
        .map(|process| format!("process {} ({})", process.pid, process.command_line()))
        .collect();
    if own_incus {
        left.extend(
            incus::guest_processes()
                .iter()
                .map(|p| format!("guest process {} ({})", p.pid, p.command_line())),
        );
        left.extend(network::bridges().iter().map(|name| format!("interface {name}")));
        left.extend(network::rules().iter().map(|rule| format!("rule of routing {rule}")));
        left.extend(pool_loops().iter().map(|(device, file)| format!("loop device {device} ({file})")));
        if host::services() == Services::Bed {
            let below = mounts::below(Path::new(mounts::SHARED_DIR), &mounts::of("self"));
            left.extend(below.iter().map(|point| format!("mount {}", point.display())));
        }
    }
    left
}
