//! `snug` alone: what there is, and what to do next.

use std::process::ExitCode;

use crate::bus::options::Options;
use crate::context::Context;
use crate::error::CommandError;
use crate::printer::{DIM, HEADING, HINT};

/// Shows it.
pub fn execute(context: &Context) -> Result<ExitCode, CommandError> {
    let config = context.config()?;
    let default = config.default_container.as_str();
    let bus = context
        .bus()
        .map_err(|error| error.hint("`snug doctor` says what is missing, `snug help` what Snug can do"))?;
    let mut containers = bus.list(&Options::new())?;
    containers.sort_by(|a, b| (a.name != default, &a.name).cmp(&(b.name != default, &b.name)));
    let mut out = String::new();
    if containers.is_empty() {
        out.push_str(&format!(
            "{HEADING}No containers yet.{HEADING:#} The default one, {default}, is made from {} when it is first used.\n",
            config.default_image
        ));
    } else {
        out.push_str(&super::list::table_of(&containers, false, false));
    }
    let there = containers.iter().any(|container| container.name == default);
    out.push_str(&format!("\n{HEADING}Next{HEADING:#}\n"));
    let shell = if there {
        format!("a shell in {default}")
    } else {
        format!("make {default} and open a shell in it")
    };
    let mut next = vec![
        ("snug install PKG".to_owned(), "a tool of any distribution, among the host's commands".to_owned()),
        ("snug enter".to_owned(), shell),
        ("snug run CMD".to_owned(), format!("one command in {default}, where you are")),
    ];
    if let Some(other) = containers.iter().find(|container| container.name != default) {
        next.push((format!("snug enter {}", other.name), format!("a shell in {}", other.name)));
    } else {
        next.push(("snug create -i fedora".to_owned(), "another container".to_owned()));
    }
    next.push(("snug help".to_owned(), "everything else".to_owned()));
    let width = next.iter().map(|(what, _)| what.len()).max().unwrap_or(0) + 2;
    for (what, why) in next {
        out.push_str(&format!("  {HINT}{what:width$}{HINT:#}{DIM}{why}{DIM:#}\n"));
    }
    context.printer.answer(&out)?;
    Ok(ExitCode::SUCCESS)
}
