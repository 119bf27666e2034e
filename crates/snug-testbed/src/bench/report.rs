//! Rows, their verdicts, the table and the JSON.

use std::time::Duration;

use serde_json::json;

/// What a row must keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// Ours divided by the reference: no more than this (times, where less is better).
    RatioAtMost(f64),
    /// Ours divided by the reference: no less than this (rates, where more is better).
    RatioAtLeast(f64),
    /// Ours itself: no more than this.
    AtMost(f64),
    /// For information.
    None,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    what: String,
    unit: &'static str,
    ours: f64,
    reference: Option<(&'static str, f64)>,
    budget: Budget,
    note: String,
}

/// The measuring itself is not more exact than this.
const TOLERANCE: f64 = 0.15;

impl Row {
    /// A row with a reference that was measured in the same run.
    pub fn against(
        what: &str,
        unit: &'static str,
        ours: f64,
        reference: (&'static str, f64),
        budget: Budget,
    ) -> Row {
        Row { what: what.into(), unit, ours, reference: Some(reference), budget, note: String::new() }
    }

    /// A row that stands for itself.
    pub fn alone(what: &str, unit: &'static str, ours: f64, budget: Budget) -> Row {
        Row { what: what.into(), unit, ours, reference: None, budget, note: String::new() }
    }

    /// A row that could not be measured; it counts as missed.
    pub fn failed(what: &str, why: &impl ToString) -> Row {
        let note = why.to_string();
        Row {
            what: what.into(),
            unit: "",
            ours: f64::NAN,
            reference: None,
            budget: Budget::AtMost(0.0),
            note,
        }
    }

    /// Ours divided by the reference.
    fn ratio(&self) -> Option<f64> {
        self.reference.map(|(_, reference)| self.ours / reference)
    }

    /// By which factor the budget is overdrawn: up to 1 is within.
    fn overdraft(&self) -> f64 {
        match self.budget {
            Budget::RatioAtMost(limit) => self.ratio().map_or(f64::NAN, |ratio| ratio / limit),
            Budget::RatioAtLeast(limit) => self.ratio().map_or(f64::NAN, |ratio| limit / ratio),
            // Nothing at all may be the budget.
            Budget::AtMost(limit) if self.ours <= limit => (self.ours / limit).min(1.0),
            Budget::AtMost(limit) => self.ours / limit,
            Budget::None => 0.0,
        }
    }

    /// Within the budget, or near enough to be an error of measuring.
    pub fn is_good(&self) -> bool {
        self.overdraft() <= 1.0 + TOLERANCE
    }

    fn verdict(&self) -> &'static str {
        match self.overdraft() {
            _ if self.budget == Budget::None => "",
            x if x <= 1.0 => "ok",
            x if x <= 1.0 + TOLERANCE => "near",
            _ => "MISSED",
        }
    }

    fn budget_text(&self) -> String {
        match self.budget {
            Budget::RatioAtMost(limit) => format!("<= {limit} x"),
            Budget::RatioAtLeast(limit) => format!(">= {limit} x"),
            Budget::AtMost(limit) if self.ours.is_finite() => format!("<= {limit} {}", self.unit),
            _ => String::new(),
        }
    }
}

/// A table for a terminal.
pub fn table(rows: &[Row]) -> String {
    let mut text =
        format!("{:<50} {:>16}  {:<34} {:>7}  {:<12}\n", "what", "snug", "against", "ratio", "budget");
    for row in rows {
        let reference =
            row.reference.map(|(name, value)| format!("{value:.2} {} {name}", row.unit)).unwrap_or_default();
        let ratio = row.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let ours =
            if row.ours.is_finite() { format!("{:.2} {}", row.ours, row.unit) } else { "-".to_owned() };
        let (budget, verdict, note) =
            (row.budget_text(), row.verdict(), row.note.lines().next().unwrap_or_default());
        let line =
            format!("{:<50} {ours:>16}  {reference:<34} {ratio:>7}  {budget:<12} {verdict} {note}", row.what);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The same for programs.
pub fn json(rows: &[Row]) -> serde_json::Value {
    let rows: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| {
            json!({
                "what": row.what, "unit": row.unit, "snug": row.ours,
                "against": row.reference.map(|(name, value)| json!({"name": name, "value": value})),
                "ratio": row.ratio(), "budget": row.budget_text(), "verdict": row.verdict(), "note": row.note,
            })
        })
        .collect();
    json!({"version": 1, "rows": rows})
}

/// The median in milliseconds.
pub fn median_ms(samples: &mut [Duration]) -> f64 {
    samples.sort();
    samples.get(samples.len() / 2).map_or(f64::NAN, |sample| sample.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_may_be_missed_by_the_error_of_measuring_and_no_more() {
        let row = |ours, budget| Row::against("x", "ms", ours, ("y", 10.0), budget);
        assert_eq!(row(9.0, Budget::RatioAtMost(0.9)).verdict(), "ok");
        assert_eq!(row(10.0, Budget::RatioAtMost(0.9)).verdict(), "near");
        assert_eq!(row(10.5, Budget::RatioAtMost(0.9)).verdict(), "MISSED");
        assert_eq!(row(9.9, Budget::RatioAtLeast(0.97)).verdict(), "ok");
        assert!(!row(8.0, Budget::RatioAtLeast(0.97)).is_good());
        assert!(row(1e9, Budget::None).is_good());
        assert!(row(0.0, Budget::AtMost(0.0)).is_good());
        assert!(!row(1.0, Budget::AtMost(0.0)).is_good());
        assert!(!Row::failed("x", &"because").is_good());
        assert!(table(&[row(1.0, Budget::None), Row::failed("x", &"because")]).contains("because"));
    }

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        let mut samples = [30, 10, 20].map(Duration::from_millis);
        assert!((median_ms(&mut samples) - 20.0).abs() < 1e-9);
        assert!(median_ms(&mut []).is_nan());
    }
}
