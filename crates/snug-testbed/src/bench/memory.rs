//! What Snug costs while nothing happens.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::process::{self, Process};

use super::Effort;
use super::guest::{Guest, USER};
use super::report::{Budget, Row};

/// Nothing happens for so long while wake-ups are counted.
const QUIET: Duration = Duration::from_secs(10);
/// The daemon leaves after `idle_seconds`, 60 by default.
const LEAVES_WITHIN: Duration = Duration::from_secs(90);

/// The agent of an idle container, all its processes together; the daemon while it is up, and whether it goes.
pub fn measure(guest: &Guest<'_>, _: Effort) -> Result<Vec<Row>> {
    // So that there is a spare session, as there is after any command.
    guest.snug.run(["true"]).run()?.ok()?;
    let agents = agents(guest)?;
    let resident_size: f64 = agents.iter().filter_map(|process| resident(*process)).sum();
    let name = format!("agent of an idle container, {} processes, resident", agents.len());
    let mut rows = vec![Row::alone(&name, "MiB", resident_size, Budget::AtMost(3.0))];

    let before = wake_ups(&agents)?;
    thread::sleep(QUIET);
    let woken = wake_ups(&agents)?.saturating_sub(before);
    let name = format!("agent's wake-ups in {} idle seconds", QUIET.as_secs());
    rows.push(Row::alone(&name, "", f64::from(woken), Budget::AtMost(0.0)));

    rows.extend(network(guest)?);
    rows.extend(host_session(guest)?);

    // A call brings the daemon up; nothing else does.
    guest.bed.snug(USER).args(["list", "--json"]).run()?.ok()?;
    let daemon = guest.bed.snugd().ok_or_else(|| Error::Unfit("snugd does not run after a call".into()))?;
    if let Some(size) = resident(daemon) {
        rows.push(Row::alone("snugd while it is up, resident", "MiB", size, Budget::AtMost(20.0)));
    }
    let called = Instant::now();
    if !daemon.wait_end(LEAVES_WITHIN) {
        return Err(Error::Unfit(format!(
            "snugd is still up {} s after its last call",
            LEAVES_WITHIN.as_secs()
        )));
    }
    let limit = Budget::AtMost(LEAVES_WITHIN.as_secs_f64());
    rows.push(Row::alone(
        "snugd leaves the bus after its last call",
        "s",
        called.elapsed().as_secs_f64(),
        limit,
    ));
    Ok(rows)
}

/// What serves the owner's containers on the host.
fn host_session(guest: &Guest<'_>) -> Result<Vec<Row>> {
    let uid = guest.bed.account(USER).uid;
    let is_session = |process: &Process| {
        process.uid() == Some(uid) && process.command_line().ends_with("snug session --background")
    };
    // The processes of commands that were asked for have ended by now.
    let sessions: Vec<Process> = process::all().into_iter().filter(is_session).collect();
    let [session] = sessions[..] else {
        return Err(Error::Unfit(format!("{} processes of `snug session`", sessions.len())));
    };
    let before = wake_ups(&sessions)?;
    thread::sleep(QUIET);
    let woken = wake_ups(&sessions)?.saturating_sub(before);
    let size = resident(session).ok_or_else(|| Error::Unfit("`snug session` ended meanwhile".into()))?;
    Ok(vec![
        Row::alone("snug session, for all containers, resident", "MiB", size, Budget::None),
        Row::alone(
            &format!("snug session's wake-ups in {} idle seconds", QUIET.as_secs()),
            "",
            f64::from(woken),
            Budget::AtMost(0.0),
        ),
    ])
}

/// What keeps the container's network on the host: Snug's own, and pasta.
fn network(guest: &Guest<'_>) -> Result<Vec<Row>> {
    let directory = guest.bed.run_dir(USER, super::guest::NAME).display().to_string();
    let init = guest.init()?;
    let users = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/user")).ok();
    let (mut hooks, mut pasta) = (Vec::new(), Vec::new());
    for process in process::all() {
        let line = process.command_line();
        if line.contains("snug-hook") && line.split_whitespace().any(|word| word == directory) {
            hooks.push(process);
        } else if line.contains("--config-net") && users(process.pid) == users(init) {
            pasta.push(process);
        }
    }
    if hooks.len() != 2 || pasta.len() != 1 {
        let text = format!("{} processes of snug-hook and {} of pasta", hooks.len(), pasta.len());
        return Err(Error::Unfit(text));
    }
    let sum = |all: &[Process]| all.iter().filter_map(|process| resident(*process)).sum::<f64>();
    let before = (wake_ups(&hooks)?, wake_ups(&pasta)?);
    thread::sleep(QUIET);
    let woken = (wake_ups(&hooks)?.saturating_sub(before.0), wake_ups(&pasta)?.saturating_sub(before.1));
    let seconds = QUIET.as_secs();
    Ok(vec![
        Row::alone("snug-hook of an idle container, 2 processes, resident", "MiB", sum(&hooks), Budget::None),
        Row::alone(
            &format!("snug-hook's wake-ups in {seconds} idle seconds"),
            "",
            f64::from(woken.0),
            Budget::AtMost(0.0),
        ),
        Row::alone("pasta of an idle container, resident", "MiB", sum(&pasta), Budget::None),
        Row::alone(
            &format!("pasta's wake-ups in {seconds} idle seconds"),
            "",
            f64::from(woken.1),
            Budget::None,
        ),
    ])
}

/// The server and its spare session; the session of the command that ran last must have ended.
fn agents(guest: &Guest<'_>) -> Result<Vec<Process>> {
    let init = guest.init()?;
    let namespace = Process::now(init).and_then(Process::mount_namespace);
    let find = || -> Vec<Process> {
        process::all()
            .into_iter()
            .filter(|process| process.mount_namespace() == namespace)
            .filter(|process| process.program().is_some_and(|program| program.ends_with("snug-agent")))
            .collect()
    };
    let mut agents = find();
    // Whoever is left after a while is not about to end.
    for process in agents.iter().skip(2) {
        process.wait_end(Duration::from_secs(1));
    }
    if agents.len() > 2 {
        agents = find();
    }
    if agents.len() < 2 {
        return Err(Error::Unfit(format!(
            "{} processes of the agent, not a server and a spare session",
            agents.len()
        )));
    }
    Ok(agents)
}

fn field(process: Process, name: &str) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid)).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

fn resident(process: Process) -> Option<f64> {
    field(process, "VmRSS").map(|kib| f64::from(kib) / 1024.0)
}

/// How often they went to sleep, or were put off: each time they had been woken.
fn wake_ups(agents: &[Process]) -> Result<u32> {
    let of = |process: &Process| {
        Some(field(*process, "voluntary_ctxt_switches")? + field(*process, "nonvoluntary_ctxt_switches")?)
    };
    let all: Option<Vec<u32>> = agents.iter().map(of).collect();
    all.map(|counts| counts.iter().sum())
        .ok_or_else(|| Error::Unfit("an agent's process ended meanwhile".into()))
}
