//! `snug run true` against `nsenter` and `incus exec`.

use std::time::Duration;

use crate::clock::{interleaved, median};
use crate::report::{Budget, Report};
use crate::subject::Subject;

const ROUNDS: usize = 60;
/// Commands are typed, not looped: caches and the processor's clock cool down between them.
const PAUSE: Duration = Duration::from_millis(50);

pub fn measure(subject: &Subject<'_>, report: &mut Report) {
    let container = subject.container("bench-enter", &[]);
    let name = container.name();
    let pid = subject.init_pid(name).to_string();
    let [snug, nsenter, incus] = interleaved(
        ROUNDS,
        PAUSE,
        [
            &mut || subject.time(subject.as_user("/usr/bin/snug", &["run", "-c", name, "true"])),
            &mut || subject.time(subject.as_root("nsenter", &["-t", &pid, "-a", "true"])),
            &mut || {
                let args = ["exec", "--project", &subject.project, name, "--", "true"];
                subject.time(subject.as_root("incus", &args))
            },
        ],
    );
    let (snug, nsenter, incus) = (median(&snug), median(&nsenter), median(&incus));
    report.ratio("`snug run true`, warm", snug, "nsenter", nsenter, Budget::AtMost(0.9));
    report.ratio("the same", snug, "incus exec", incus, Budget::Reported);
}
