//! Progress of jobs, on standard error, erased at the end.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use snug_core::text;

/// How often the spinner turns: as fast as an eye can follow.
pub const TICK: Duration = Duration::from_millis(100);

/// A group of lines, one a job; nothing at all where nobody looks.
pub struct Progress {
    lines: Option<MultiProgress>,
}

impl Progress {
    /// Lines that are drawn when `visible`.
    pub fn new(visible: bool) -> Self {
        let lines = visible.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));
        Self { lines }
    }

    /// Whether anything is drawn.
    pub fn is_visible(&self) -> bool {
        self.lines.is_some()
    }

    /// A line for one job.
    pub fn line(&self, title: &str) -> Line {
        let bar = self.lines.as_ref().map(|lines| {
            let bar = lines.add(ProgressBar::new(100));
            bar.set_style(spinner());
            bar
        });
        Line { bar, title: text::escape(title).into_owned(), counted: false }
    }
}

/// The line of one job. Gone when it is dropped.
pub struct Line {
    bar: Option<ProgressBar>,
    title: String,
    counted: bool,
}

impl Line {
    /// Shows what is done, and how much of it (0 to 100), when that is known.
    pub fn update(&mut self, stage: &str, percent: Option<f64>) {
        let Some(bar) = &self.bar else { return };
        if self.counted != percent.is_some() {
            self.counted = percent.is_some();
            bar.set_style(if self.counted { counter() } else { spinner() });
        }
        if let Some(percent) = percent {
            // A position is a whole number; clamped, so nothing is lost but the fraction.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped to 0..=100"
            )]
            bar.set_position(percent.clamp(0.0, 100.0) as u64);
        }
        bar.set_message(self.words(stage));
    }

    /// Shows what is done, leaving the count alone.
    pub fn stage(&self, stage: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(self.words(stage));
        }
    }

    /// The subject stands before a stage that does not name it.
    fn words(&self, stage: &str) -> String {
        let stage = text::escape(stage);
        if stage.contains(&self.title) { stage.into_owned() } else { format!("{}: {stage}", self.title) }
    }

    /// Shows how much is done, leaving the words alone.
    pub fn percent(&mut self, percent: Option<f64>) {
        let stage = self.bar.as_ref().map(ProgressBar::message).unwrap_or_default();
        self.update(&stage, percent);
    }

    /// Turns the spinner.
    pub fn tick(&self) {
        if let Some(bar) = &self.bar {
            bar.tick();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn spinner() -> ProgressStyle {
    style("{spinner} {wide_msg}")
}

fn counter() -> ProgressStyle {
    style("{spinner} {msg} {bar:24} {percent:>3} %")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates of this file are valid")
        .progress_chars("━╸ ")
}
