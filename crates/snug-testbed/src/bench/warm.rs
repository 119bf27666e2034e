//! A command in a running container: one after another, and many side by side.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::process;
use crate::session::leaks::Leaks;

use super::Effort;
use super::guest::{Guest, NAME, time};
use super::report::{Budget, Row, median_ms};

/// Apart, so that each finds caches and clocks as a person's command would.
const APART: Duration = Duration::from_millis(50);

/// `snug run true` against `nsenter` and `incus exec`; a command of the host that is asked for in the guest, against both.
pub fn run(guest: &Guest<'_>, effort: Effort) -> Result<Vec<Row>> {
    let init = guest.init()?.to_string();
    let project = guest.bed.project(super::guest::USER);
    let (mut snug, mut nsenter, mut incus, mut back) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // The owner's session on the host is started by the first command.
    guest.time_snug(["run", "-c", NAME, "host-exec", "true"])?;
    for round in 0..effort.times(200) {
        snug.push(guest.time_snug(["run", "-c", NAME, "true"])?);
        thread::sleep(APART);
        let mut command = Command::new("nsenter");
        // The ids are set here too, so that both are started in the same way.
        command.args(["-t", &init, "-a", "true"]).uid(0).gid(0);
        nsenter.push(time(command)?);
        thread::sleep(APART);
        if round % 10 == 0 {
            let mut command = Command::new("incus");
            command.args(["--project", &project, "exec", NAME, "--", "true"]);
            command.env("INCUS_CONF", format!("{}/incus", crate::state::RUN_DIR)).uid(0).gid(0);
            incus.push(time(command)?);
            thread::sleep(APART);
        }
        if round % 4 == 0 {
            back.push(guest.time_snug(["run", "-c", NAME, "host-exec", "true"])?);
            thread::sleep(APART);
        }
    }
    let ours = median_ms(&mut snug);
    let budget = Budget::RatioAtMost(0.9);
    Ok(vec![
        Row::against("snug run true", "ms", ours, ("nsenter -a true", median_ms(&mut nsenter)), budget),
        Row::against("snug run true", "ms", ours, ("incus exec true", median_ms(&mut incus)), Budget::None),
        Row::against(
            "snug run host-exec true",
            "ms",
            median_ms(&mut back),
            ("snug run true", ours),
            Budget::None,
        ),
    ])
}

const AGENT: &str = "/.snug/bin/snug-agent";

/// 64 clients, 50 commands each: all right, nothing left over.
pub fn side_by_side(guest: &Guest<'_>, effort: Effort) -> Result<Vec<Row>> {
    const CLIENTS: usize = 64;
    let each = effort.times(50);
    // What the guest's own boot still starts is no leak. A unit that failed makes it "degraded", and is none either.
    let booted = "systemctl is-system-running --wait; systemctl --user is-system-running --wait; true";
    let quiet = guest.snug.run(["sh", "-c", booted]).run()?;
    if quiet.code() != 0 {
        return Err(Error::Unfit(format!("the guest does not finish its boot: {}", quiet.err())));
    }
    let agents = || process::all().into_iter().filter(|it| it.command_line().starts_with(AGENT)).count();
    let (leaks, agents_before) = (Leaks::before(), agents());
    let started = Instant::now();
    let wrong: usize = thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| scope.spawn(move || wrong_answers(guest, client, each))).collect();
        clients.into_iter().map(|client| client.join().unwrap_or(each)).sum()
    });
    let took = started.elapsed().as_secs_f64();
    let mut left = leaks.left(Duration::from_secs(5));
    // The agent makes its next session in advance: one of its processes is a new one, in the place of one that was there.
    left.retain(|what| !what.contains(AGENT));
    let more = agents().saturating_sub(agents_before);
    if more > 0 {
        left.push(format!("{more} processes of the agent"));
    }
    if wrong > 0 || !left.is_empty() {
        return Err(Error::Unfit(format!("{wrong} wrong answers; left over: {}", left.join(", "))));
    }
    let what = format!("{CLIENTS} clients x {each} commands, all right");
    Ok(vec![Row::alone(&what, "s", took, Budget::None)])
}

fn wrong_answers(guest: &Guest<'_>, client: usize, each: usize) -> usize {
    (0..each)
        .filter(|round| {
            let text = format!("{client} {round}");
            let answer = guest.snug.run(["echo", text.as_str()]).run();
            !answer.is_ok_and(|answer| answer.code() == 0 && answer.out() == format!("{text}\n"))
        })
        .count()
}
