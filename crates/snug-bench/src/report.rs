//! The table, the JSON, the verdict.

use std::fs;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

/// How much a budget may be missed by on a noisy machine.
const TOLERANCE: f64 = 1.15;

/// What a value must be.
#[derive(Debug, Clone, Copy, Serialize)]
pub enum Budget {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// Reported only.
    Reported,
}

/// One line of the table.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// Snug's value, with its unit.
    pub snug: String,
    /// What it is compared to, with its unit.
    pub against: String,
    /// The number that the budget is about: usually a ratio.
    pub value: f64,
    /// What it must be.
    pub budget: Budget,
}

impl Row {
    fn misses(&self) -> bool {
        match self.budget {
            Budget::AtMost(most) => self.value > most * TOLERANCE,
            Budget::AtLeast(least) => self.value < least / TOLERANCE,
            Budget::Reported => false,
        }
    }
    fn holds(&self) -> bool {
        match self.budget {
            Budget::AtMost(most) => self.value <= most,
            Budget::AtLeast(least) => self.value >= least,
            Budget::Reported => true,
        }
    }
    fn verdict(&self) -> &'static str {
        match (self.budget, self.holds(), self.misses()) {
            (Budget::Reported, ..) => "",
            (_, true, _) => "ok",
            (_, false, false) => "near",
            (_, false, true) => "MISSED",
        }
    }
}

/// All rows of a run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    rows: Vec<Row>,
}

fn say(line: &str) {
    // A closed standard output ends the run at its end, by the status.
    let _ = writeln!(std::io::stdout(), "{line}");
}

impl Report {
    /// Says what comes next, so that a long run shows where it is.
    pub fn heading(&mut self, name: &str) {
        say(&format!("measuring: {name}"));
    }

    /// Adds a row.
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds a row that compares two durations, as Snug's divided by the other's.
    pub fn ratio(&mut self, what: &str, snug: Duration, name: &str, against: Duration, budget: Budget) {
        self.add(Row {
            what: what.into(),
            snug: shown(snug),
            against: format!("{name}: {}", shown(against)),
            value: snug.as_secs_f64() / against.as_secs_f64(),
            budget,
        });
    }

    /// Prints the table, writes the JSON, and tells whether every budget holds.
    pub fn finish(self) -> ExitCode {
        say("");
        say("| what | Snug | against | value | budget | |");
        say("|---|---|---|---|---|---|");
        for row in &self.rows {
            let budget = match row.budget {
                Budget::AtMost(most) => format!("≤ {most}"),
                Budget::AtLeast(least) => format!("≥ {least}"),
                Budget::Reported => "reported".into(),
            };
            say(&format!(
                "| {} | {} | {} | {:.2} | {budget} | {} |",
                row.what,
                row.snug,
                row.against,
                row.value,
                row.verdict()
            ));
        }
        let json = serde_json::to_string_pretty(&self).expect("plain data");
        let written = fs::create_dir_all("target").and_then(|()| fs::write("target/bench.json", json));
        match &written {
            Ok(()) => say("\nwritten: target/bench.json"),
            Err(error) => say(&format!("\nerror: target/bench.json: {error}")),
        }
        let missed = self.rows.iter().filter(|row| row.misses()).count();
        say(&format!("{} rows, {missed} missed by more than 15 %", self.rows.len()));
        if missed == 0 && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// A duration as a person reads it.
pub fn shown(duration: Duration) -> String {
    if duration >= Duration::from_secs(1) {
        format!("{:.2} s", duration.as_secs_f64())
    } else {
        format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
    }
}
