//! What Snug costs while nothing happens.

use crate::error::{Error, Result};
use crate::process::{self, Process};

use super::Effort;
use super::guest::Guest;
use super::report::{Budget, Row};

/// The agent of an idle container; the daemon while it is up.
pub fn measure(guest: &Guest<'_>, _: Effort) -> Result<Vec<Row>> {
    let init = guest.init()?;
    let namespace = Process::now(init).and_then(Process::mount_namespace);
    let agents: Vec<Process> = process::all()
        .into_iter()
        .filter(|process| process.mount_namespace() == namespace)
        .filter(|process| process.program().is_some_and(|program| program.ends_with("snug-agent")))
        .collect();
    if agents.is_empty() {
        return Err(Error::Unfit("no agent runs in the container".into()));
    }
    let agent: f64 = agents.iter().filter_map(|process| resident(*process)).sum();
    let mut rows =
        vec![Row::alone("agent of an idle container, resident", "MiB", agent, Budget::AtMost(3.0))];
    // A call brings the daemon up; nothing else does.
    guest.bed.snug(super::guest::USER).args(["list", "--json"]).run()?.ok()?;
    if let Some(daemon) = guest.bed.snugd().and_then(resident) {
        rows.push(Row::alone("snugd while it is up, resident", "MiB", daemon, Budget::AtMost(20.0)));
    }
    Ok(rows)
}

fn resident(process: Process) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid)).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
