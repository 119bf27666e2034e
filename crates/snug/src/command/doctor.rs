//! `snug doctor`.

use std::process::ExitCode;

use clap::Args;
use snug_core::text;

use super::arguments::JsonArgs;
use crate::bus::view::Check;
use crate::context::Context;
use crate::error::CommandError;
use crate::printer::{DIM, ERROR, GOOD, HINT, WARNING};

/// Look for what is missing or wrong, and say what to do about it
///
/// Ends with 1 when something is wrong.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    json: JsonArgs,
}

/// First what can be seen from here, then what the daemon sees.
pub fn execute(context: &Context, args: DoctorArgs) -> Result<ExitCode, CommandError> {
    let mut checks = vec![configuration(context)];
    match context.bus() {
        Ok(bus) => {
            checks.push(check("bus", "ok", "the system bus answers", ""));
            match bus.doctor() {
                Ok(found) => checks.extend(found),
                Err(error) => checks.push(failed("daemon", &error)),
            }
        }
        Err(error) => checks.push(failed("bus", &error)),
    }
    let wrong = checks.iter().any(|check| check.status == "error");
    if args.json.json {
        super::print_json(context.printer, "checks", &checks)?;
    } else {
        context.printer.answer(&checks.iter().map(render).collect::<String>())?;
    }
    Ok(ExitCode::from(u8::from(wrong)))
}

fn configuration(context: &Context) -> Check {
    match context.config() {
        Ok(config) => check(
            "your-settings",
            "ok",
            &format!("the default container is {}", config.default_container),
            "",
        ),
        Err(error) => failed("your-settings", &error),
    }
}

fn check(check: &str, status: &str, text: &str, hint: &str) -> Check {
    Check { check: check.into(), status: status.into(), text: text.into(), hint: hint.into() }
}

fn failed(name: &str, error: &CommandError) -> Check {
    check(name, "error", &error.to_string(), &error.hints.join("\n"))
}

fn render(check: &Check) -> String {
    let style = match check.status.as_str() {
        "ok" => GOOD,
        "notice" => DIM,
        "warning" => WARNING,
        _ => ERROR,
    };
    let status = text::escape(&check.status);
    let mut out = format!(
        "{style}{status:8}{style:#} {:16} {}\n",
        text::escape(&check.check),
        text::escape(&check.text)
    );
    for hint in check.hint.lines().filter(|hint| !hint.is_empty()) {
        out.push_str(&format!("{:25} {HINT}hint:{HINT:#} {}\n", "", text::escape(hint)));
    }
    out
}
