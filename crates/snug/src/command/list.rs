//! `snug list`.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;

use super::arguments::JsonArgs;
use crate::bus::options::Options;
use crate::bus::view::Container;
use crate::context::Context;
use crate::error::{CommandError, Kind};
use crate::{table, words};

/// List your containers
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Also how much space each takes
    #[arg(long)]
    size: bool,
    /// Everybody's containers; an administrator has to agree
    #[arg(long)]
    all_users: bool,
    #[command(flatten)]
    json: JsonArgs,
}

/// Lists them.
pub fn execute(context: &Context, args: ListArgs) -> Result<ExitCode, CommandError> {
    let bus = context.bus()?;
    if args.all_users {
        bus.expect_administrator();
    }
    let options = Options::new().switch("size", args.size).switch("all-users", args.all_users);
    let mut containers = bus.list(&options).map_err(|error| match error.kind {
        Kind::NotAuthorized if args.all_users => {
            error.hint("root is not asked: `sudo snug list --all-users`")
        }
        _ => error,
    })?;
    containers.sort_by(|a, b| (a.owner, &a.name).cmp(&(b.owner, &b.name)));
    if args.json.json {
        super::print_json(context.printer, "containers", &containers)?;
    } else if containers.is_empty() {
        context
            .printer
            .notice("there are no containers yet; `snug install PKG` or `snug enter` makes the first");
    } else {
        context.printer.answer(&table_of(&containers, args.size, args.all_users))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The table for people.
pub fn table_of(containers: &[Container], size: bool, owner: bool) -> String {
    let now = SystemTime::now();
    let mut headings = vec!["NAME", "STATE", "IMAGE", "PRESET", "STARTED"];
    if size {
        headings.push("SIZE");
    }
    if owner {
        headings.push("OWNER");
    }
    let row = |container: &Container| {
        let mut row = vec![
            container.name.clone(),
            container.state.clone(),
            container.image.clone(),
            container.preset.clone(),
            words::age(&container.last_start, now),
        ];
        if size {
            row.push(container.size.map_or_else(|| "-".to_owned(), words::size));
        }
        if owner {
            row.push(if container.owner_name.is_empty() {
                container.owner.to_string()
            } else {
                container.owner_name.clone()
            });
        }
        row
    };
    table::render(&headings, containers.iter().map(row).collect())
}
