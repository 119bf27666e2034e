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

/// An archive in the guest itself, as large as Debian 12's: 14,500 packages with 47,000 commands. What a distribution serves may be half
/// renewed, and its network would be measured.
const ARCHIVE: &str = r#"set -e
mkdir -p /var/lib/snug-bench/dists/bench/main/binary-amd64; cd /var/lib/snug-bench/dists/bench
awk 'BEGIN {
  for (i = 0; i < 14500; i++) printf "Package: package-%d\nVersion: 1.%d-1\nArchitecture: amd64\nPriority: optional\nMaintainer: B <b@invalid>\nDescription: of the benchmark\nFilename: none.deb\nSize: 1\nSHA256: %064d\n\n", i, i, 0 }' > main/binary-amd64/Packages
awk 'BEGIN { print "usr/bin/rg utils/package-0"
  for (i = 0; i < 47000; i++) printf "usr/bin/command-%d utils/package-%d\n", i, i % 14500
  for (i = 0; i < 400000; i++) printf "usr/share/doc/package-%d/file-%d utils/package-%d\n", i % 14500, i, i % 14500 }' > main/Contents-amd64
sums() { for file; do printf ' %s %s %s\n' "$(sha256sum "$file" | cut -d' ' -f1)" "$(stat -c %s "$file")" "$file"; done; }
plain=$(sums main/Contents-amd64); gzip -n main/Contents-amd64
{ printf 'Suite: bench\nCodename: bench\nArchitectures: amd64\nComponents: main\nDate: %s\nSHA256:\n%s\n' "$(LC_ALL=C date -Ru)" "$plain"
  sums main/binary-amd64/Packages main/Contents-amd64.gz; } > Release
mkdir -p away; mv /etc/apt/sources.list /etc/apt/sources.list.d/* away/ 2>/dev/null || true
echo 'deb [trusted=yes] file:/var/lib/snug-bench bench main' > /etc/apt/sources.list.d/bench.list
apt-get -q update
"#;
/// Apart, so that each finds caches and clocks as a person's command would.
const APART: Duration = Duration::from_millis(50);
/// Milliseconds.
const MOST: f64 = 100.0;

/// The list is made, and then asked for a command that a package has and for one that none has.
pub fn measure(guest: &Guest<'_>, effort: Effort) -> Result<Vec<Row>> {
    guest.time_snug(["run", "--root", "-w", "/", "-c", NAME, "--", "sh", "-c", ARCHIVE])?;
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
            "the list of 47,000 commands: made, with what the guest has to look for",
            "s",
            first.as_secs_f64(),
            Budget::None,
        ),
        Row::alone("the same again", "s", again.as_secs_f64(), Budget::None),
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
