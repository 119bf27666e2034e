//! Data through pipes and to a terminal.

use std::time::{Duration, Instant};

use crate::error::{Doing, Error, Result};
use crate::session::user_command::UserCommand;

use super::Effort;
use super::guest::{Guest, IMAGE, NAME, USER};
use super::report::{Budget, Row};

const LONG: Duration = Duration::from_secs(300);

/// 1 GiB through `cat`: descriptors passed (trusted) and relayed (untrusted), against `cat` on the host.
pub fn pipes(guest: &Guest<'_>, effort: Effort) -> Result<Vec<Row>> {
    let host = || pipe_rate(guest, "cat");
    let mut rows = Vec::new();
    let ours = best(effort, || pipe_rate(guest, &format!("snug run -c {NAME} cat")))?;
    let reference = ("cat on the host", best(effort, host)?);
    rows.push(Row::against(
        "1 GiB through pipes, trusted",
        "MiB/s",
        ours,
        reference,
        Budget::RatioAtLeast(0.97),
    ));
    let isolated = guest.bed.try_container(USER, "bench-isolated", IMAGE, &["--preset", "isolated"])?;
    isolated.run(["true"]).dir("/").run()?.ok()?;
    let ours = best(effort, || pipe_rate(guest, "cd / && snug run -c bench-isolated cat"))?;
    rows.push(Row::against(
        "1 GiB through pipes, untrusted",
        "MiB/s",
        ours,
        reference,
        Budget::RatioAtLeast(0.5),
    ));
    Ok(rows)
}

/// 256 MiB of text to a terminal, against the same on a terminal of the host.
pub fn terminal(guest: &Guest<'_>, effort: Effort) -> Result<Vec<Row>> {
    const SIZE: usize = 256 << 20;
    let path = guest.account.home.join("snug-bench.txt");
    let file = path.to_string_lossy().into_owned();
    let line = "The quick brown fox jumps over the lazy dog, and back again, until the line is full.\n";
    std::fs::write(&path, line.repeat(SIZE / line.len())).doing(|| format!("writing {file}"))?;
    let on_host = || guest.bed.as_user(USER, ["cat", &file]);
    let in_guest = || guest.snug.run(["cat", &file]);
    let ours = best(effort, || terminal_rate(in_guest(), SIZE));
    let reference = best(effort, || terminal_rate(on_host(), SIZE));
    let _ = std::fs::remove_file(&path);
    let row = Row::against(
        "256 MiB of text to a terminal",
        "MiB/s",
        ours?,
        ("cat on the host", reference?),
        Budget::RatioAtLeast(0.6),
    );
    Ok(vec![row])
}

fn terminal_rate(command: UserCommand, size: usize) -> Result<f64> {
    let started = Instant::now();
    let mut pty = command.deadline(LONG).on_pty()?;
    let (status, text) = pty.finish()?;
    let took = started.elapsed();
    if !status.success() || text.len() < size * 99 / 100 {
        return Err(Error::Unfit(format!("{status}, {} of {size} bytes arrived", text.len())));
    }
    Ok(mebibytes(size) / took.as_secs_f64())
}

fn pipe_rate(guest: &Guest<'_>, middle: &str) -> Result<f64> {
    const SIZE: usize = 1 << 30;
    let line = format!("head -c {SIZE} /dev/zero | ({middle}) | wc -c");
    let started = Instant::now();
    let output = guest.bed.shell(USER, &line).deadline(LONG).run()?.ok()?;
    let took = started.elapsed();
    if output.out().trim() != SIZE.to_string() {
        return Err(Error::Unfit(format!(
            "{} of {SIZE} bytes arrived: {}",
            output.out().trim(),
            output.err()
        )));
    }
    Ok(mebibytes(SIZE) / took.as_secs_f64())
}

/// The best of a few: what the machine does meanwhile only ever makes it slower.
fn best(effort: Effort, mut measure: impl FnMut() -> Result<f64>) -> Result<f64> {
    let mut best = 0.0_f64;
    for _ in 0..effort.times(5) {
        best = best.max(measure()?);
    }
    Ok(best)
}

fn mebibytes(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes >> 20).unwrap_or(u32::MAX))
}
