//! `snug grants`.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use snug_core::grant::origin::{Line, Origin, Standing, lines};
use snug_core::grant::{Grant, GrantSet};

use super::arguments::{ContainerArgs, JsonArgs};
use crate::bus::options::Options;
use crate::context::Context;
use crate::error::CommandError;
use crate::{entry, table};

/// Show what a container has of the host
///
/// Each grant, who gave it, and whether it is in force; after them what its preset is meant to have and it has not.
#[derive(Debug, Args)]
pub struct GrantsArgs {
    #[command(flatten)]
    container: ContainerArgs,
    #[command(flatten)]
    json: JsonArgs,
}

/// One grant as JSON shows it: `docs/reference/json.md`.
#[derive(Debug, Serialize)]
struct Shown {
    grant: String,
    from: &'static str,
    state: &'static str,
    text: String,
}

impl From<&Line> for Shown {
    fn from(line: &Line) -> Self {
        Self {
            grant: line.grant.to_string(),
            from: match line.origin {
                Origin::Preset => "preset",
                Origin::Configuration => "configuration",
                Origin::Asked => "asked",
                Origin::Unknown => "unknown",
            },
            state: match line.standing {
                Standing::Given => "given",
                Standing::Waiting => "waiting",
                Standing::Off => "off",
                Standing::Later => "later",
            },
            text: line.text().to_owned(),
        }
    }
}

/// Shows them.
pub fn execute(context: &Context, args: GrantsArgs) -> Result<ExitCode, CommandError> {
    let name = context.container(args.container.container.as_deref())?;
    let bus = context.bus()?;
    let container = bus
        .get(name.as_str(), &Options::new())
        .map_err(|error| entry::suggest(&bus, name.as_str(), error))?;
    let config = context.config()?;
    let set = |words: &[String]| {
        let mut set = GrantSet::new();
        set.extend(words.iter().map(|word| Grant::stored(word)));
        set
    };
    let (given, waiting) = (set(&container.grants), set(container.waiting.as_deref().unwrap_or_default()));
    let lines = lines(&given, &waiting, config.presets.get(&container.preset).ok(), &config.private);
    let fault: Vec<String> = container.network_fault.unwrap_or_default();
    let shown: Vec<Shown> = lines.iter().map(|line| shown(line, &fault)).collect();
    if args.json.json {
        super::print_json(context.printer, "grants", &shown)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |(line, shown): (&Line, Shown)| {
        let state = shown.state;
        let from = match line.origin {
            Origin::Preset => format!("preset {}", container.preset),
            Origin::Configuration | Origin::Asked | Origin::Unknown => shown.from.to_owned(),
        };
        let (grant, what) = in_words(&line.grant, shown);
        vec![grant, state.to_owned(), from, what]
    };
    context.printer.answer(&table::render(
        &["GRANT", "STATE", "FROM", "WHAT"],
        lines.iter().zip(shown).map(row).collect(),
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// What is known to be wrong with the network (`fault`: what, and what mends it) is told instead of what its grant gives.
fn shown(line: &Line, fault: &[String]) -> Shown {
    let shown = Shown::from(line);
    let is_network = line.standing == Standing::Given && matches!(line.grant, Grant::Network(_));
    if is_network && !fault.is_empty() {
        return Shown { state: "broken", text: fault.join("; "), ..shown };
    }
    shown
}

/// A grant and what it gives. A list of commands may be as long as it likes: it is told last, where it pushes nothing aside.
fn in_words(grant: &Grant, shown: Shown) -> (String, String) {
    match grant {
        Grant::HostExec(commands) if !commands.is_empty() => {
            (grant.word().to_owned(), format!("{}; these alone: {}", shown.text, commands.join(", ")))
        }
        _ => (shown.grant, shown.text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_does_not_work_is_told_and_no_other_grant() {
        let fault = ["gone".to_owned(), "snug restart dev".to_owned()];
        let told = |text: &str, standing, fault: &[String]| {
            shown(&Line { grant: Grant::stored(text), origin: Origin::Preset, standing }, fault)
        };
        let broken = told("network=mirror", Standing::Given, &fault);
        assert_eq!((broken.state, broken.text.as_str()), ("broken", "gone; snug restart dev"));
        assert_eq!(told("network=mirror", Standing::Given, &[]).state, "given");
        assert_eq!(told("network=mirror", Standing::Off, &fault).state, "off");
        assert_eq!(told("home", Standing::Given, &fault).state, "given");
    }

    #[test]
    fn a_list_of_commands_is_told_in_words() {
        let words = |text: &str| {
            let line = Line { grant: Grant::stored(text), origin: Origin::Asked, standing: Standing::Given };
            in_words(&line.grant, Shown::from(&line))
        };
        let text = "commands on the host, as the owner";
        let (grant, what) = words("host-exec=git,podman,/opt/x");
        assert_eq!(
            (grant.as_str(), what),
            ("host-exec", format!("{text}; these alone: git, podman, /opt/x"))
        );
        assert_eq!(words("host-exec"), ("host-exec".to_owned(), text.to_owned()));
        assert_eq!(words("private=.x").0, "private=.x");
    }
}
