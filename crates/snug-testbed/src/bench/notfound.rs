//! What a shell waits for when a command is not there; and what the list costs that it is looked up in.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;

use crate::error::{Doing, Error, Result};

use super::Effort;
use super::guest::{Guest, NAME};
use super::report::{Budget, Row, median_ms};

/// Apart, so that each finds caches and clocks as a person's command would.
const APART: Duration = Duration::from_millis(50);
/// Milliseconds.
const MOST: f64 = 100.0;

/// The list is made, and then asked for a command that a package has and for one that none has.
pub fn measure(guest: &Guest<'_>, effort: Effort) -> Result<Vec<Row>> {
    let first = guest.time_snug(["command-not-found", "--refresh", "-c", NAME])?;
    let again = guest.time_snug(["command-not-found", "--refresh", "-c", NAME])?;
    let lists = guest.account.home.join(".cache/snug/commands");
    let list = lists.join(format!("{NAME}.list"));
    let size = fs::metadata(&list).doing(|| format!("looking at {}", list.display()))?.len();
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for _ in 0..effort.times(100) {
        known.push(explain(guest, "rg", 0)?);
        thread::sleep(APART);
        unknown.push(explain(guest, "snug-bench-nothing", 1)?);
        thread::sleep(APART);
    }
    for file in [list, lists.join(format!("{NAME}.lock"))] {
        fs::remove_file(&file).doing(|| format!("removing {}", file.display()))?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let size = size as f64 / f64::from(1 << 20);
    let most = Budget::AtMost(MOST);
    Ok(vec![
        Row::alone("an unknown command that a package has, explained", "ms", median_ms(&mut known), most),
        Row::alone("an unknown command that none has", "ms", median_ms(&mut unknown), most),
        Row::alone(
            "the list of commands: made, with all that is fetched",
            "s",
            first.as_secs_f64(),
            Budget::None,
        ),
        Row::alone("the same, where nothing is to be fetched", "s", again.as_secs_f64(), Budget::None),
        Row::alone("its size on the host", "MiB", size, Budget::None),
    ])
}

/// How long the hook's call takes. It says something on a terminal alone.
fn explain(guest: &Guest<'_>, word: &str, status: i32) -> Result<Duration> {
    let opening = || "opening a terminal".to_owned();
    let master =
        rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).doing(opening)?;
    rustix::pty::unlockpt(&master).doing(opening)?;
    let name = rustix::pty::ptsname(&master, Vec::new()).doing(opening)?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = rustix::fs::open(&name, flags, Mode::empty()).doing(opening)?;
    let mut command = Command::new("/usr/bin/snug");
    command.args(["command-not-found", "-c", NAME, "--", word]);
    guest.as_owner(&mut command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(terminal);
    let started = Instant::now();
    let ended = command.status().doing(|| "starting `snug command-not-found`".to_owned())?;
    let took = started.elapsed();
    if ended.code() == Some(status) {
        Ok(took)
    } else {
        Err(Error::Unfit(format!("`snug command-not-found -- {word}` ended with {ended}")))
    }
}
