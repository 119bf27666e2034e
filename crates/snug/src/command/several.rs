//! A verb for several containers: all are tried, each failure is told, a summary ends it.

use std::process::ExitCode;

use super::arguments::{show_notices, show_plan, show_warnings};
use crate::bus::Bus;
use crate::bus::change::Change;
use crate::context::Context;
use crate::error::{CommandError, Kind};

/// How the summary says it.
pub struct Wording {
    /// `started`.
    pub done: &'static str,
    /// What is said when there is none to do it to.
    pub none: &'static str,
    /// Whether what the daemon wants known is told without a terminal, too: nobody can look it up later.
    pub warns: bool,
    /// What is added to an error about a single one: names that may have been meant.
    pub suggest: fn(&Bus, &str, CommandError) -> CommandError,
}

/// Has the user's session serve those of the containers that run and may ask for the host.
pub fn offer_host<'a>(context: &Context, names: impl IntoIterator<Item = &'a String>) {
    for name in names.into_iter().filter_map(|name| name.parse().ok()) {
        context.offer_host(&name);
    }
}

/// Carries out one change a name.
pub fn execute(
    context: &Context,
    bus: &Bus,
    names: &[String],
    change: impl Fn(&str) -> Change,
    wording: &Wording,
) -> Result<ExitCode, CommandError> {
    if names.is_empty() {
        context.printer.notice(wording.none);
        return Ok(ExitCode::SUCCESS);
    }
    let changes: Vec<Change> = names.iter().map(|name| change(name)).collect();
    let mut results = bus.changes(&changes);
    if names.len() == 1
        && let Some(Err(_)) = results.first()
    {
        let error = results.swap_remove(0).err();
        return Err(match error {
            Some(error) => (wording.suggest)(bus, &names[0], error),
            None => CommandError::failed("the daemon gave no answer"),
        });
    }
    let mut failed = Vec::new();
    let mut cancelled = None;
    for (name, result) in names.iter().zip(results) {
        match result {
            Ok(ended) => {
                if ended.plan.is_empty() {
                    context.printer.detail(&format!("{name}: {}", wording.done));
                } else {
                    show_plan(context.printer, &ended.plan)?;
                }
                if wording.warns {
                    show_warnings(context, &ended.notices);
                } else {
                    show_notices(context, &ended.notices);
                }
            }
            Err(error) => {
                if let Kind::Cancelled(signal) = error.kind {
                    cancelled = Some(signal);
                }
                context.printer.error(&error);
                failed.push(name.as_str());
            }
        }
    }
    let done = names.len() - failed.len();
    if let Some(signal) = cancelled {
        let message = format!("given up: {done} of {} {}", names.len(), wording.done);
        return Err(CommandError::new(Kind::Cancelled(signal), message));
    }
    if !failed.is_empty() {
        let message = format!("{done} of {} {}; failed: {}", names.len(), wording.done, failed.join(", "));
        return Err(CommandError::failed(message));
    }
    if names.len() > 1 {
        context.printer.notice(&format!("{} {}", crate::words::count(done, "container"), wording.done));
    }
    Ok(ExitCode::SUCCESS)
}
