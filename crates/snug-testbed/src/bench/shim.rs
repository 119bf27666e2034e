//! An exported command through its link, against `snug run` of the same and against starting it in the guest.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};

use super::Effort;
use super::guest::{Guest, NAME, USER};
use super::report::{Budget, Row, median_ms};

/// Apart, so that each finds caches and clocks as a person's command would.
const APART: Duration = Duration::from_millis(50);
/// The tool: it does nothing, so the rest is what is measured.
const TOOL: &str = "/usr/bin/true";
/// Its name on the host.
const EXPORTED: &str = "snug-bench-true";
/// How often a shell of the guest starts it in one measurement.
const ROUND: usize = 10;

/// Milliseconds that the link may take longer than a start in the guest.
const MOST: f64 = 1.5;

/// The tool's exported link, gone when dropped.
struct Exported<'a> {
    guest: &'a Guest<'a>,
    link: PathBuf,
}

impl<'a> Exported<'a> {
    fn new(guest: &'a Guest<'a>) -> Result<Self> {
        let what = format!("{TOOL}={EXPORTED}");
        let said = guest.bed.snug(USER).args(["export", "-c", NAME, "--bin", &what]).run()?.ok()?.out();
        Ok(Self { guest, link: said.trim().into() })
    }
}

impl Drop for Exported<'_> {
    fn drop(&mut self) {
        let _ = self.guest.bed.snug(USER).args(["unexport", "-c", NAME, "--bin", EXPORTED]).run();
    }
}

/// The three, by turns.
pub fn measure(guest: &Guest<'_>, effort: Effort) -> Result<Vec<Row>> {
    let exported = Exported::new(guest)?;
    let (mut shim, mut run, mut inside) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..effort.times(200) {
        shim.push(guest.time_owner(Command::new(&exported.link))?);
        thread::sleep(APART);
        run.push(guest.time_snug(["run", "-c", NAME, "--", TOOL])?);
        thread::sleep(APART);
        if round % ROUND == 0 {
            inside.extend(in_guest(guest)?);
        }
    }
    let (ours, run, inside) = (median_ms(&mut shim), median_ms(&mut run), median_ms(&mut inside));
    let (link, unit) = ("true by its exported link", "ms");
    Ok(vec![
        Row::alone("the same: on top of starting it in the guest", unit, ours - inside, Budget::AtMost(MOST)),
        Row::against(link, unit, ours, ("true, started in the guest", inside), Budget::None),
        Row::against(link, unit, ours, ("snug run true", run), Budget::None),
    ])
}

/// How long a shell of the guest takes to start the tool and wait for it, as often as it was asked, as far apart as the others: without
/// the way into the guest.
fn in_guest(guest: &Guest<'_>) -> Result<Vec<Duration>> {
    let apart = APART.as_secs_f64();
    let line = format!(
        "for ((i = 0; i < {ROUND}; i++)); do sleep {apart}; s=$EPOCHREALTIME; {TOOL}; e=$EPOCHREALTIME; \
         echo $((${{e/[.,]/}} - ${{s/[.,]/}})); done"
    );
    let said = guest.snug.run(["bash", "-c", &line]).run()?.ok()?.out();
    let times: Option<Vec<Duration>> =
        said.lines().map(|line| line.trim().parse().ok().map(Duration::from_micros)).collect();
    times.filter(|times| times.len() == ROUND).ok_or_else(|| Error::Unfit(format!("no times in {said:?}")))
}
