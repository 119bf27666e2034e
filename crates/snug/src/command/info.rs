//! `snug info`.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use clap_complete::ArgValueCompleter;

use super::arguments::JsonArgs;
use crate::bus::options::Options;
use crate::bus::view::Container;
use crate::context::Context;
use crate::error::CommandError;
use crate::{completion, entry, table, words};

/// Show everything about a container
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// The container; without it, the default container
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::containers))]
    name: Option<String>,
    #[command(flatten)]
    json: JsonArgs,
}

/// Shows it.
pub fn execute(context: &Context, args: InfoArgs) -> Result<ExitCode, CommandError> {
    let name = context.container(args.name.as_deref())?;
    let bus = context.bus()?;
    let container = bus
        .get(name.as_str(), &Options::new().switch("size", true))
        .map_err(|error| entry::suggest(&bus, name.as_str(), error))?;
    if args.json.json {
        super::print_json(context.printer, "container", &container)?;
    } else {
        context.printer.answer(&pairs_of(&container))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn pairs_of(container: &Container) -> String {
    let now = SystemTime::now();
    let when = |time: &str| match words::age(time, now) {
        age if age.is_empty() => String::new(),
        age => format!("{time} ({age})"),
    };
    let trust = match (container.privileged, container.trusted) {
        (true, _) => "privileged: no user namespace protects the host from it",
        (false, true) => "trusted: it may do what you may do",
        (false, false) => "untrusted: a sandbox",
    };
    let agent = match container.agent.as_deref() {
        Some("") if container.is_running() => "does not answer",
        Some("") | None => "",
        Some(version) => version,
    };
    let settings: Vec<String> =
        container.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut pairs = vec![
        ("Name", container.name.clone()),
        ("State", container.state.clone()),
        ("Image", container.image.clone()),
        ("Preset", container.preset.clone()),
        ("Grants", container.grants.join(" ")),
        ("Trust", trust.to_owned()),
        ("Settings", settings.join(" ")),
        ("Addresses", container.addresses.join(" ")),
        ("Agent", agent.to_owned()),
        ("Process", if container.pid == 0 { String::new() } else { container.pid.to_string() }),
        ("Size", container.size.map(words::size).unwrap_or_default()),
        ("Snapshots", if container.snapshots == 0 { String::new() } else { container.snapshots.to_string() }),
        ("Created", when(&container.created)),
        ("Started", when(&container.last_start)),
        ("Owner", format!("{} ({})", container.owner_name, container.owner)),
    ];
    // What is wrong, and then what mends it, line by line.
    let keys = ["Network", "Hint"].into_iter().chain(std::iter::repeat(""));
    pairs.extend(keys.zip(container.network_fault.iter().flatten().cloned()));
    if container.temporary {
        pairs.push(("Temporary", "goes when its client ends".to_owned()));
    }
    pairs.retain(|(_, value)| !value.is_empty());
    table::render_pairs(&pairs)
}
