//! `snug search` and `snug provides`.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use snug_packages::answer::Found;
use snug_packages::name::{CommandName, Term};

use super::arguments::{ContainerArgs, JsonArgs};
use crate::context::Context;
use crate::error::CommandError;
use crate::packages::guest::{Guest, unfit};
use crate::packages::log::Log;
use crate::table;

/// Search for packages by name and summary
#[derive(Debug, Args)]
pub struct SearchArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// What names or summaries have in them
    #[arg(value_name = "TERM")]
    term: String,
    #[command(flatten)]
    json: JsonArgs,
}

/// Show which packages have a command, installed or not
#[derive(Debug, Args)]
pub struct ProvidesArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// The command, as one types it
    #[arg(value_name = "CMD")]
    command: String,
    #[command(flatten)]
    json: JsonArgs,
}

/// A package, as `docs/reference/json.md` has it.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    version: Option<String>,
    summary: Option<String>,
}

/// Searches.
pub fn search(context: &Context, args: &SearchArgs) -> Result<ExitCode, CommandError> {
    let term = Term::new(&args.term).map_err(|error| unfit(&error))?;
    let container = context.container(args.container.container.as_deref())?;
    let bus = context.bus()?;
    let guest = Guest::reach(context, &bus, &container, true)?;
    let manager = guest.manager.manager;
    if guest.ask(&manager.refreshed())?.is_none() {
        renew(context, &guest, manager.refresh().as_ref(), &format!("search {}", term.as_str()))?;
    }
    let mut found = guest.ask(&manager.search(&term))?;
    let named = |found: &Found| found.name.as_str().contains(term.as_str());
    found.sort_by(|a, b| (!named(a), a.name.as_str()).cmp(&(!named(b), b.name.as_str())));
    show(context, args.json, &found, &format!("no package of {container} is about {}", term.as_str()))
}

/// Looks for a command.
pub fn provides(context: &Context, args: &ProvidesArgs) -> Result<ExitCode, CommandError> {
    let command = CommandName::new(&args.command).map_err(|error| unfit(&error))?;
    let container = context.container(args.container.container.as_deref())?;
    let bus = context.bus()?;
    let guest = Guest::reach(context, &bus, &container, true)?;
    let manager = guest.manager.manager;
    let (refresh, refreshed) = match (manager.refresh_index(), manager.index_refreshed()) {
        (Some(refresh), Some(refreshed)) => (Some(refresh), refreshed),
        _ => (manager.refresh(), manager.refreshed()),
    };
    if guest.ask(&refreshed)?.is_none() {
        renew(context, &guest, refresh.as_ref(), &format!("provides {}", command.as_str()))?;
    }
    let found = guest.ask(&manager.provides(&command))?;
    show(
        context,
        args.json,
        &found,
        &format!("no package of {container} has the command {}", command.as_str()),
    )
}

fn renew(
    context: &Context,
    guest: &Guest<'_>,
    refresh: Option<&snug_packages::command::Action>,
    what: &str,
) -> Result<(), CommandError> {
    let Some(refresh) = refresh else { return Ok(()) };
    let mut log = Log::begin(context, guest.container, what);
    let progress = context.printer.progress();
    let mut line = progress.line(guest.container.as_str());
    line.stage("reading what there is");
    guest.carry_out(refresh, &mut line, &mut log)
}

fn show(context: &Context, json: JsonArgs, found: &[Found], none: &str) -> Result<ExitCode, CommandError> {
    let rows = found.iter().map(|found| Row {
        name: found.name.to_string(),
        version: found.version.clone(),
        summary: found.summary.clone(),
    });
    if json.json {
        super::print_json(context.printer, "packages", &rows.collect::<Vec<_>>())?;
    } else if found.is_empty() {
        context.printer.notice(none);
    } else {
        let cells =
            rows.map(|row| vec![row.name, row.version.unwrap_or_default(), row.summary.unwrap_or_default()]);
        context.printer.answer(&table::render(&["NAME", "VERSION", "WHAT"], cells.collect()))?;
    }
    // As grep(1): who asks in a script learns it by the status.
    Ok(ExitCode::from(u8::from(found.is_empty())))
}
