//! 64 clients with 50 commands each, side by side; and a command that ignores every signal it can.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::clock::timed;
use crate::report::{Budget, Report, Row, shown};
use crate::subject::Subject;

const CLIENTS: usize = 64;
const RUNS: usize = 50;

pub fn measure(subject: &Subject<'_>, report: &mut Report) {
    let container = subject.container("bench-load", &[]);
    let agent = super::idle::agent_pid(subject, container.name());
    let before = Holding::of(agent);
    let line = format!(
        "i=0; while [ $i -lt {RUNS} ]; do snug run -c {} sh -c 'exit 7'; [ $? = 7 ] || exit 1; i=$((i+1)); done",
        container.name()
    );
    let mut wrong = 0;
    let duration = timed(|| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| subject.as_user("sh", &["-c", &line]).stdin(Stdio::null()).spawn().expect("sh starts"))
            .collect();
        for mut client in clients {
            if !client.wait().is_ok_and(|status| status.success()) {
                wrong += 1;
            }
        }
    });
    // Sessions end after their clients have heard of it.
    std::thread::sleep(Duration::from_secs(1));
    let after = Holding::of(agent);
    report.add(Row {
        what: format!("{CLIENTS} clients × {RUNS} runs: clients with a wrong answer"),
        snug: format!(
            "{} for all, {} each",
            shown(duration),
            shown(duration / u32::try_from(CLIENTS * RUNS).expect("small"))
        ),
        against: String::new(),
        value: f64::from(wrong),
        budget: Budget::AtMost(0.0),
    });
    report.add(Row {
        what: "processes and descriptors of the agent left over".into(),
        snug: format!(
            "{} → {} processes, {} → {} descriptors",
            before.children, after.children, before.descriptors, after.descriptors
        ),
        against: String::new(),
        value: after.over(&before),
        budget: Budget::AtMost(0.0),
    });

    let stubborn = [
        "run",
        "-c",
        container.name(),
        "sh",
        "-c",
        "trap '' HUP INT TERM QUIT; while :; do read x < /dev/zero; done",
    ];
    let mut command = subject.as_user("/usr/bin/snug", &stubborn).spawn().expect("snug starts");
    std::thread::sleep(Duration::from_millis(300));
    let stop = subject.time(subject.as_user("/usr/bin/snug", &["stop", container.name()]));
    // The client of the stopped container ends with an error of its own.
    let _ = command.wait();
    report.add(Row {
        what: "`snug stop` with a command that ignores signals, seconds".into(),
        snug: shown(stop),
        against: String::new(),
        value: stop.as_secs_f64(),
        budget: Budget::AtMost(5.0),
    });
}

struct Holding {
    descriptors: usize,
    children: usize,
}

impl Holding {
    fn of(agent: u32) -> Self {
        let count = |path: String| fs::read_dir(path).map_or(0, Iterator::count);
        let children = fs::read_to_string(format!("/proc/{agent}/task/{agent}/children")).unwrap_or_default();
        Self {
            descriptors: count(format!("/proc/{agent}/fd")),
            children: children.split_whitespace().count(),
        }
    }

    fn over(&self, before: &Self) -> f64 {
        let over = self.descriptors.saturating_sub(before.descriptors)
            + self.children.saturating_sub(before.children);
        f64::from(u32::try_from(over).unwrap_or(u32::MAX))
    }
}
