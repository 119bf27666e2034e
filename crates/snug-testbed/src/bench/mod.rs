//! `make bench`: the budgets of the design, each against its reference in the same run.

mod guest;
mod memory;
mod network;
mod notfound;
mod report;
mod shim;
mod start;
mod throughput;
mod warm;

use std::io::Write;
use std::process::ExitCode;

use crate::error::{Doing, Result};
use crate::host;
use crate::session::bed::Bed;

use guest::Guest;
use report::Row;

/// A family of rows: its name and what measures it.
type Family = (&'static str, fn(&Guest<'_>, Effort) -> Result<Vec<Row>>);

const FAMILIES: [Family; 11] = [
    ("run", warm::run),
    ("shim", shim::measure),
    ("notfound", notfound::measure),
    ("clients", warm::side_by_side),
    ("pipes", throughput::pipes),
    ("terminal", throughput::terminal),
    ("memory", memory::measure),
    ("network", network::measure),
    ("start", start::stopped),
    ("create", start::create),
    ("stop", start::stop),
];

/// How much is done for each row.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    quick: bool,
}

impl Effort {
    fn times(self, full: usize) -> usize {
        if self.quick { full.div_ceil(5) } else { full }
    }
}

/// Measures, prints the table to stderr and JSON to stdout; fails where a budget is missed by more than 15 %.
pub fn run(only: &str, quick: bool) -> Result<ExitCode> {
    host::require_root("snug-testbed bench")?;
    let bed = Bed::require();
    let guest = Guest::make(&bed)?;
    let mut rows = Vec::new();
    for (name, measure) in FAMILIES.into_iter().filter(|(name, _)| name.contains(only)) {
        host::say(format_args!("measuring {name}"));
        match measure(&guest, Effort { quick }) {
            Ok(measured) => rows.extend(measured),
            // The others are still worth knowing.
            Err(error) => rows.push(Row::failed(name, &error)),
        }
    }
    host::say(format_args!("\n{}", report::table(&rows)));
    let json = report::json(&rows);
    writeln!(std::io::stdout(), "{json:#}").doing(|| "writing the results".to_owned())?;
    Ok(if rows.iter().all(Row::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
