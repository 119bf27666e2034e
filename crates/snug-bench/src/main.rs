//! `make bench`: every budget of Snug, measured side by side with what it is compared to, in one run.
//!
//! Absolute times of a shared machine mean little, so each row is a ratio of medians of interleaved runs. The program
//! prints a table, writes `target/bench.json`, and fails when a budget is missed by more than 15 %.
//!
//! | module | what |
//! |---|---|
//! | [`clock`] | interleaved runs, medians |
//! | [`subject`] | the containers that are measured, and commands as their owner |
//! | [`rows`] | one file a theme |
//! | [`report`] | the table, the JSON, the verdict |

mod clock;
mod report;
mod rows;
mod subject;

use std::process::ExitCode;

use snug_testbed::Bed;

use crate::report::Report;
use crate::subject::Subject;

fn main() -> ExitCode {
    let only = std::env::args().nth(1);
    let bed = Bed::require();
    let mut report = Report::default();
    for (name, measure) in rows::ALL {
        if only.as_deref().is_some_and(|only| !name.contains(only)) {
            continue;
        }
        report.heading(name);
        let subject = Subject::new(&bed);
        measure(&subject, &mut report);
    }
    report.finish()
}
