//! `snug logs`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap_complete::ArgValueCompleter;

use crate::bus::Bus;
use crate::bus::options::Options;
use crate::context::Context;
use crate::error::CommandError;
use crate::{completion, entry};

/// How often `-f` looks. Nothing tells when there is more: the console is a ring buffer in the memory of the
/// guest's LXC monitor, without a file to watch and without an event of Incus when it grows (6.0.4), and attaching to the
/// console itself would take it from whoever else is attached. It lasts as long as somebody looks on, at a person's pace.
const INTERVAL: Duration = Duration::from_secs(1);

/// Show a container's console, or what Snug did to it
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The container; without it, the default container
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::containers))]
    name: Option<String>,
    /// Go on showing what is added
    #[arg(short, long)]
    follow: bool,
    /// What Snug's daemon did to the container, instead of its console
    #[arg(long)]
    jobs: bool,
}

/// Shows it.
pub fn execute(context: &Context, args: LogsArgs) -> Result<ExitCode, CommandError> {
    let name = context.container(args.name.as_deref())?;
    let bus = context.bus()?;
    let what = if args.jobs { "job" } else { "console" };
    let read = |bus: &Bus| bus.log(name.as_str(), &Options::new().text("what", Some(what)));
    let mut shown = read(&bus).map_err(|error| entry::suggest(&bus, name.as_str(), error))?;
    show(context, &shown)?;
    if shown.is_empty() && !args.jobs {
        context.printer.notice("the console is empty; `snug logs --jobs` shows what Snug did");
    }
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        std::thread::sleep(INTERVAL);
        let now = read(&bus)?;
        show(context, added(&shown, &now))?;
        shown = now;
    }
}

/// The guest writes its console: what goes to a terminal is made harmless.
fn show(context: &Context, text: &str) -> Result<(), CommandError> {
    if context.printer.answers_a_terminal() {
        let text = text.replace("\r\n", "\n");
        context.printer.answer(&snug_core::text::escape_lines(&text))
    } else {
        context.printer.answer_bytes(text.as_bytes())
    }
}

/// What `now` has after the end of `before`, which may have lost its beginning meanwhile.
fn added<'a>(before: &str, now: &'a str) -> &'a str {
    if let Some(rest) = now.strip_prefix(before) {
        return rest;
    }
    // The longest end of what was shown that the new text begins with, found by its last lines.
    let last: Vec<&str> = before.split_inclusive('\n').collect();
    let tail: String = last[last.len().saturating_sub(16)..].concat();
    match now.rfind(tail.as_str()) {
        Some(at) if !tail.is_empty() => &now[at + tail.len()..],
        _ => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_added_is_shown_again() {
        assert_eq!(added("", "a\n"), "a\n");
        assert_eq!(added("a\nb\n", "a\nb\nc\n"), "c\n");
        assert_eq!(added("a\nb\n", "a\nb\n"), "");
        let before: String = (0..100).map(|line| format!("{line}\n")).collect();
        let now: String = (50..102).map(|line| format!("{line}\n")).collect();
        assert_eq!(added(&before, &now), "100\n101\n");
        assert_eq!(added("old\n", "after a restart\n"), "after a restart\n");
    }
}
