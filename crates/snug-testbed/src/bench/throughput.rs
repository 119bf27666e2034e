//! Data through pipes and to a terminal.

use std::time::{Duration, Instant};

use crate::error::{Doing, Error, Result};
use crate::session::user_command::UserCommand;

use super::Effort;
use super::guest::{Guest, IMAGE, NAME, USER};
use super::report::{Budget, Row};

const LONG: Duration = Duration::from_secs(300);

/// 1 GiB through `cat`: descriptors passed (trusted) and relayed (untrusted), against `cat` on the host. The host's own
/// program runs in the guests too: versions differ in their buffers, and that is not what is measured.
pub fn pipes(guest: &Guest<'_>, effort: Effort) -> Result<Vec<Row>> {
    let path = guest.account.home.join("snug-bench-cat");
    std::fs::copy("/bin/cat", &path).doing(|| "copying cat".to_owned())?;
    let rows = pipes_through(guest, effort, &path.to_string_lossy());
    let _ = std::fs::remove_file(&path);
    rows
}

fn pipes_through(guest: &Guest<'_>, effort: Effort, cat: &str) -> Result<Vec<Row>> {
    const ISOLATED: &str = "bench-isolated";
    let isolated = guest.bed.try_container(USER, ISOLATED, IMAGE, &["--preset", "isolated"])?;
    isolated.run(["true"]).dir("/").run()?.ok()?;
    guest.bed.snug(USER).args(["cp", cat, &format!("{ISOLATED}:/tmp/cat")]).run()?.ok()?;
    let middles = [
        cat.to_owned(),
        format!("snug run -c {NAME} {cat}"),
        format!("cd / && snug run -c {ISOLATED} /tmp/cat"),
    ];
    // In turns, and the best of each: what the machine does meanwhile only ever makes it slower.
    let mut rates = [0.0_f64; 3];
    for _ in 0..effort.times(5) {
        for (rate, middle) in rates.iter_mut().zip(&middles) {
            *rate = rate.max(pipe_rate(guest, middle)?);
        }
    }
    let [host, trusted, untrusted] = rates;
    let row = |what, rate, least| {
        Row::against(what, "MiB/s", rate, ("the same cat on the host", host), Budget::RatioAtLeast(least))
    };
    Ok(vec![
        row("1 GiB through pipes, trusted", trusted, 0.97),
        row("1 GiB through pipes, untrusted", untrusted, 0.5),
    ])
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
