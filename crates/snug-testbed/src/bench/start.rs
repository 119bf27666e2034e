//! Creating, starting and stopping.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::error::{Doing, Error, Result};
use crate::process::wait_readable;

use super::Effort;
use super::guest::{Guest, IMAGE, NAME, USER};
use super::report::{Budget, Row, median_ms};

/// A stopped container to the end of the first command.
pub fn stopped(guest: &Guest<'_>, effort: Effort) -> Result<Vec<Row>> {
    let plain = guest.init_plain()?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..effort.times(10) {
        guest.bed.snug(USER).args(["stop", NAME]).run()?.ok()?;
        ours.push(guest.time_snug(["run", "-c", NAME, "true"])?);
        theirs.push(plain.start()?);
        plain.stop()?;
    }
    let reference = ("incus start + sysinit", median_ms(&mut theirs));
    let what = "stopped container to the first command's end";
    Ok(vec![Row::against(what, "ms", median_ms(&mut ours), reference, Budget::RatioAtMost(1.15))])
}

/// No container to the end of the first command; the image is cached.
pub fn create(guest: &Guest<'_>, effort: Effort) -> Result<Vec<Row>> {
    const NEW: &str = "bench-new";
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..effort.times(5) {
        let created = guest.time_snug(["create", NEW, "--image", IMAGE]);
        let ran = guest.time_snug(["run", "-c", NEW, "true"]);
        guest.bed.snug(USER).args(["rm", "-f", NEW]).run()?.ok()?;
        ours.push(created? + ran?);
        let plain = guest.init_plain()?;
        theirs.push(plain.took + plain.start()?);
    }
    let reference = ("incus init + start + sysinit", median_ms(&mut theirs));
    let what = "create from a cached image to the first command's end";
    Ok(vec![Row::against(what, "ms", median_ms(&mut ours), reference, Budget::RatioAtMost(1.25))])
}

/// `snug stop` while a command ignores every signal that it can.
pub fn stop(guest: &Guest<'_>, _: Effort) -> Result<Vec<Row>> {
    let script = "trap '' HUP INT TERM QUIT; echo ready; while :; do sleep 1000; done";
    let command = guest.snug.run(["sh", "-c", script]);
    let mut child = command.spawn(Stdio::null(), Stdio::piped(), Stdio::null())?;
    let ready =
        child.stdout.as_ref().map(|out| wait_readable(out, Some(Instant::now() + Duration::from_secs(60))));
    let started = Instant::now();
    let stopped = guest.bed.snug(USER).args(["stop", NAME]).run();
    let took = started.elapsed();
    let _ = child.kill();
    child.wait().doing(|| "waiting for a client".to_owned())?;
    stopped?.ok()?;
    if !matches!(ready, Some(Ok(()))) {
        return Err(Error::Unfit("the stubborn command did not start".into()));
    }
    let what = "snug stop with a command that ignores signals";
    Ok(vec![Row::alone(what, "s", took.as_secs_f64(), Budget::AtMost(5.0))])
}
