//! `snug dump`.

use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCompleter;
use snug_core::text::escape_lines;

use crate::bus::Bus;
use crate::bus::options::Options;
use crate::bus::view::Container;
use crate::context::{Context, parse_name};
use crate::error::CommandError;
use crate::list::standing::{Started, describe, index, kept};
use crate::list::write;
use crate::{completion, entry};

/// Write what your containers are, as a list that `snug apply` makes them of
///
/// Image, preset and what differs from it, packages that were asked for, what the host has of them, and settings: on standard output, in
/// the order of names, so that the list can be kept and compared (`snug dump > tools.toml`). What the image brought and what came for
/// another package's sake is not in it; packages that came from files are named in a comment. No environment and no secret is. A
/// container that does not run is started for it, and stopped again.
#[derive(Debug, Args)]
pub struct DumpArgs {
    /// These containers alone; several times
    #[arg(short, long = "container", value_name = "NAME", num_args = 1.., add = ArgValueCompleter::new(completion::containers))]
    containers: Vec<String>,
}

/// Writes it: all of it, or nothing.
pub fn execute(context: &Context, args: &DumpArgs) -> Result<ExitCode, CommandError> {
    for name in &args.containers {
        parse_name(name)?;
    }
    let bus = context.bus()?;
    let views = views(&bus, args)?;
    let index = index()?;
    let mut started = Started::new(context, &bus);
    let describe = |view: &Container| {
        let described = describe(context, &mut started, view, &index);
        let others = || format!("`-c NAME`, several times, writes the list of others than {}", view.name);
        described.map_err(|error| if views.len() > 1 { error.hint(others()) } else { error })
    };
    let texts: Result<Vec<_>, _> = views.iter().map(describe).collect();
    started.stop(|_| false);
    let text = write::write(&texts?);
    let text = if context.printer.answers_a_terminal() { escape_lines(&text) } else { text.into() };
    context.printer.answer(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Those that are meant, in the order of their names.
fn views(bus: &Bus, args: &DumpArgs) -> Result<Vec<Container>, CommandError> {
    let mut views = if args.containers.is_empty() {
        kept(bus, |_| false)?.into_values().collect()
    } else {
        let named =
            |name: &String| bus.get(name, &Options::new()).map_err(|error| entry::suggest(bus, name, error));
        args.containers.iter().map(named).collect::<Result<Vec<_>, _>>()?
    };
    views.sort_by(|one, other| one.name.cmp(&other.name));
    views.dedup_by(|one, other| one.name == other.name);
    Ok(views)
}
