//! From a stopped container, and from none, to the end of the first command.
//!
//! The comparison is Incus' own start plus the guest's own time to `sysinit.target`, which systemd stamps with the
//! monotonic clock that host and guest share.

use std::time::{Duration, Instant};

use crate::clock::{median, monotonic_micros, timed};
use crate::report::{Budget, Report};
use crate::subject::{IMAGE, Subject, USER};

const ROUNDS: usize = 7;
/// A guest that has not booted by then has failed.
const BOOT: Duration = Duration::from_secs(60);

pub fn measure(subject: &Subject<'_>, report: &mut Report) {
    let plain = Plain { subject, name: "bench-plain" };
    let container = subject.container("bench-start", &[]);
    let (mut snug, mut incus) = (Vec::new(), Vec::new());
    plain.init();
    for _ in 0..ROUNDS {
        subject.time(subject.as_user("/usr/bin/snug", &["stop", container.name()]));
        snug.push(subject.time(subject.as_user("/usr/bin/snug", &["run", "-c", container.name(), "true"])));
        incus.push(plain.start());
        plain.stop();
    }
    plain.delete();
    let what = "stopped container to first command's end";
    report.ratio(what, median(&snug), "incus start + sysinit", median(&incus), Budget::AtMost(1.15));
    drop(container);

    let (mut snug, mut incus) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut made = None;
        snug.push(timed(|| {
            made = Some(subject.bed.container(USER, "bench-create", IMAGE));
            subject.time(subject.as_user("/usr/bin/snug", &["run", "-c", "bench-create", "true"]));
        }));
        drop(made);
        let begun = Instant::now();
        plain.init();
        let initialised = begun.elapsed();
        incus.push(initialised + plain.start());
        plain.stop();
        plain.delete();
    }
    let what = "create from a cached image to first command's end";
    report.ratio(what, median(&snug), "incus init + start + sysinit", median(&incus), Budget::AtMost(1.25));
}

/// A container of Incus alone, with the same nesting so that the guest boots as Snug's do.
struct Plain<'a> {
    subject: &'a Subject<'a>,
    name: &'static str,
}

impl Plain<'_> {
    fn incus(&self, args: &[&str]) -> String {
        let mut all = vec!["--project", &self.subject.project];
        all.extend_from_slice(args);
        self.subject.output(self.subject.as_root("incus", &all))
    }

    fn init(&self) {
        let image = IMAGE.trim_start_matches("local:");
        let pool = self.pool();
        self.incus(&[
            "init",
            image,
            self.name,
            "--no-profiles",
            "-s",
            &pool,
            "-c",
            "security.nesting=true",
            "-c",
            "security.idmap.isolated=true",
            "-c",
            "security.idmap.size=1000000",
            "-n",
            "snugbr0",
        ]);
    }

    fn pool(&self) -> String {
        let text =
            self.subject.output(self.subject.as_root("incus", &["storage", "list", "-f", "csv", "-c", "n"]));
        text.lines().next().expect("snugd has made a pool").to_owned()
    }

    /// From the start command to the guest's sysinit.target.
    fn start(&self) -> Duration {
        let begun = monotonic_micros();
        self.incus(&["start", self.name]);
        let deadline = Instant::now() + BOOT;
        loop {
            let args = [
                "exec",
                self.name,
                "--",
                "systemctl",
                "show",
                "sysinit.target",
                "--value",
                "-p",
                "ActiveEnterTimestampMonotonic",
            ];
            let mut all = vec!["--project", &self.subject.project];
            all.extend_from_slice(&args);
            let output = self.subject.as_root("incus", &all).stdout(std::process::Stdio::piped()).output();
            let stamp = output
                .ok()
                .and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse::<u64>().ok());
            if let Some(stamp) = stamp.filter(|stamp| *stamp > begun) {
                return Duration::from_micros(stamp - begun);
            }
            assert!(Instant::now() < deadline, "{} does not boot", self.name);
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    fn stop(&self) {
        self.incus(&["stop", "--force", self.name]);
    }

    fn delete(&self) {
        self.incus(&["delete", "--force", self.name]);
    }
}
