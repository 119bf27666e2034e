//! What Snug costs while nothing happens.

use std::fs;
use std::time::{Duration, Instant};

use crate::report::{Budget, Report, Row};
use crate::subject::Subject;

/// Long enough for a timer of a few seconds to show.
const WATCH: Duration = Duration::from_secs(12);
/// snugd leaves 30 s after its last job by default.
const LEAVES: Duration = Duration::from_secs(90);

pub fn measure(subject: &Subject<'_>, report: &mut Report) {
    let container = subject.container("bench-idle", &[]);
    let agent = agent_pid(subject, container.name());
    megabytes(report, "agent, resident MiB", agent, 3.0);
    if let Some(daemon) = subject.bed.snugd() {
        megabytes(report, "snugd, resident MiB", daemon.pid.cast_unsigned(), 20.0);
    }
    let before = wake_ups(agent);
    std::thread::sleep(WATCH);
    report.add(Row {
        what: format!("wake-ups of the idle agent in {} s", WATCH.as_secs()),
        snug: String::new(),
        against: String::new(),
        value: f64::from(wake_ups(agent).saturating_sub(before)),
        budget: Budget::AtMost(0.0),
    });
    let begun = Instant::now();
    while subject.bed.snugd().is_some() && begun.elapsed() < LEAVES {
        std::thread::sleep(Duration::from_secs(1));
    }
    report.add(Row {
        what: "idle snugd still on the bus after 90 s".into(),
        snug: format!("left after {} s", begun.elapsed().as_secs()),
        against: String::new(),
        value: if subject.bed.snugd().is_some() { 1.0 } else { 0.0 },
        budget: Budget::AtMost(0.0),
    });
}

/// The agent's server: the process below the container's init, or beside it, that runs `snug-agent`.
pub fn agent_pid(subject: &Subject<'_>, container: &str) -> u32 {
    let init = subject.init_pid(container);
    let namespace = fs::read_link(format!("/proc/{init}/ns/pid")).expect("root reads every process");
    let mut agents: Vec<u32> = fs::read_dir("/proc")
        .expect("proc is mounted")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != init)
        .filter(|pid| fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|other| other == namespace))
        .filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("snug-agent")))
        .collect();
    agents.sort_unstable();
    *agents.first().expect("a running container has an agent")
}

fn status_number(pid: u32, key: &str) -> u32 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    text.lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        .find_map(|value| value.split_whitespace().next()?.parse().ok())
        .expect("the kernel tells")
}

fn wake_ups(pid: u32) -> u32 {
    status_number(pid, "voluntary_ctxt_switches")
}

fn megabytes(report: &mut Report, what: &str, pid: u32, most: f64) {
    let megabytes = f64::from(status_number(pid, "VmRSS")) / 1024.0;
    report.add(Row {
        what: what.into(),
        snug: format!("{megabytes:.1} MiB"),
        against: String::new(),
        value: megabytes,
        budget: Budget::AtMost(most),
    });
}
