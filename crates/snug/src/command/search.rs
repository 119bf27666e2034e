//! `snug search` and `snug provides`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use snug_packages::answer::Found;
use snug_packages::name::{CommandName, Term};

use super::arguments::{ContainerArgs, JsonArgs};
use crate::context::Context;
use crate::error::CommandError;
use crate::not_found::build;
use crate::not_found::store::Store;
use crate::packages::guest::{Guest, unfit};
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
    if guest.ask(&manager.refreshed())?.is_none()
        && let Some(refresh) = manager.refresh()
    {
        build::fetch(&guest, &format!("search {}", term.as_str()), &refresh)?;
    }
    let mut found = guest.ask(&manager.search(&term))?;
    let named = |found: &Found| found.name.as_str().contains(term.as_str());
    found.sort_by(|a, b| (!named(a), a.name.as_str()).cmp(&(!named(b), b.name.as_str())));
    show(context, args.json, &found, &format!("no package of {container} is about {}", term.as_str()))
}

/// Looks for a command: in the list that is there, else in the container.
pub fn provides(context: &Context, args: &ProvidesArgs) -> Result<ExitCode, CommandError> {
    let command = CommandName::new(&args.command).map_err(|error| unfit(&error))?;
    let container = context.container(args.container.container.as_deref())?;
    let none = format!("no package of {container} has the command {}", command.as_str());
    let listed = Store::of_user().ok().and_then(|store| store.read(&container));
    let listed = listed.map(|list| list.having(&command)).unwrap_or_default();
    if !listed.is_empty() {
        let found = listed.into_iter();
        let found = found.map(|entry| Found { name: entry.package, version: entry.version, summary: None });
        return show(context, args.json, &found.collect::<Vec<_>>(), &none);
    }
    let bus = context.bus()?;
    let guest = Guest::reach(context, &bus, &container, true)?;
    build::renew(&guest, &format!("provides {}", command.as_str()), Duration::MAX)?;
    let found = guest.ask(&guest.manager.manager.provides(&command))?;
    build::start_if_due(context, &container);
    show(context, args.json, &found, &none)
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
