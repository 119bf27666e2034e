//! Data through pipes and to a terminal.

use std::time::{Duration, Instant};

use crate::error::{Doing, Error, Result};
use crate::session::user_command::UserCommand;

use super::Effort;
use super::guest::{Guest, IMAGE, NAME, USER};
use super::report::{Budget, Row, median_ms};

const LONG: Duration = Duration::from_secs(300);
const PIPED: usize = 1 << 30;
/// Which processor the ends of a pipeline run on and which the program in its middle. Measured: left to the scheduler, three
/// processes on two processors give anything from 750 to 1,550 MiB/s, on the host alone.
const ENDS: &str = "taskset -c 0";
const MIDDLE: &str = "taskset -c 1";

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
    let on_host = format!("{MIDDLE} {cat}");
    let trusted = format!("snug run -c {NAME} {MIDDLE} {cat}");
    let untrusted = format!("cd / && snug run -c {ISOLATED} {MIDDLE} /tmp/cat");
    let [host, trusted, untrusted] = in_turns(
        effort,
        [&mut || through_pipes(guest, &on_host), &mut || through_pipes(guest, &trusted), &mut || {
            through_pipes(guest, &untrusted)
        }],
    )?
    .map(|took| rate(PIPED, took));
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
    let took =
        in_turns(effort, [&mut || to_terminal(in_guest(), SIZE), &mut || to_terminal(on_host(), SIZE)]);
    let _ = std::fs::remove_file(&path);
    let [ours, reference] = took?.map(|took| rate(SIZE, took));
    let row = Row::against(
        "256 MiB of text to a terminal",
        "MiB/s",
        ours,
        ("cat on the host", reference),
        Budget::RatioAtLeast(0.6),
    );
    Ok(vec![row])
}

fn to_terminal(command: UserCommand, size: usize) -> Result<Duration> {
    let started = Instant::now();
    let mut pty = command.deadline(LONG).on_pty()?;
    let (status, text) = pty.finish()?;
    let took = started.elapsed();
    if !status.success() || text.len() < size * 99 / 100 {
        return Err(Error::Unfit(format!("{status}, {} of {size} bytes arrived", text.len())));
    }
    Ok(took)
}

fn through_pipes(guest: &Guest<'_>, middle: &str) -> Result<Duration> {
    let line = format!("{ENDS} head -c {PIPED} /dev/zero | ({middle}) | {ENDS} wc -c");
    let started = Instant::now();
    let output = guest.bed.shell(USER, &line).deadline(LONG).run()?.ok()?;
    let took = started.elapsed();
    if output.out().trim() != PIPED.to_string() {
        return Err(Error::Unfit(format!(
            "{} of {PIPED} bytes arrived: {}",
            output.out().trim(),
            output.err()
        )));
    }
    Ok(took)
}

/// The median of what each takes, in milliseconds. They take turns, so that what the machine does meanwhile hurts all.
fn in_turns<const SIDES: usize>(
    effort: Effort,
    mut sides: [&mut dyn FnMut() -> Result<Duration>; SIDES],
) -> Result<[f64; SIDES]> {
    let mut samples = [const { Vec::new() }; SIDES];
    for _ in 0..effort.times(7) {
        for (samples, side) in samples.iter_mut().zip(sides.iter_mut()) {
            samples.push(side()?);
        }
    }
    Ok(samples.map(|mut samples| median_ms(&mut samples)))
}

/// Mebibytes in a second.
fn rate(bytes: usize, milliseconds: f64) -> f64 {
    f64::from(u32::try_from(bytes >> 20).unwrap_or(u32::MAX)) * 1000.0 / milliseconds
}
