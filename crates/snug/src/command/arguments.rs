//! Options that several commands have; they mean the same everywhere.

use clap::Args;
use clap_complete::ArgValueCompleter;

use crate::bus::Bus;
use crate::bus::options::Options;
use crate::completion;
use crate::context::{Context, parse_name};
use crate::error::CommandError;
use crate::printer::Printer;

/// `--dry-run`.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct DryRunArgs {
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl DryRunArgs {
    /// Options of a call that begin with it.
    pub fn options(self) -> Options {
        Options::new().switch("dry-run", self.dry_run)
    }
}

/// How a running container is stopped.
#[derive(Debug, Clone, Copy, Args)]
pub struct StoppingArgs {
    /// Do not wait for anything: kill at once
    #[arg(short, long)]
    pub force: bool,
    /// Seconds until what is left is killed
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u32>,
}

impl StoppingArgs {
    /// Adds them to the options of a call.
    pub fn add_to(self, options: Options) -> Options {
        options.switch("force", self.force).number("timeout", self.timeout)
    }
}

/// `--json`.
#[derive(Debug, Clone, Copy, Args)]
pub struct JsonArgs {
    /// Print JSON for scripts (shape: docs/reference/json.md)
    #[arg(long)]
    pub json: bool,
}

/// `-y`.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct YesArgs {
    /// Answer every question with yes
    #[arg(short, long)]
    pub yes: bool,
}

/// `-c`.
#[derive(Debug, Clone, Default, Args)]
pub struct ContainerArgs {
    /// The container; without it, the default container
    #[arg(short, long, value_name = "NAME", add = ArgValueCompleter::new(completion::containers))]
    pub container: Option<String>,
}

/// `NAME… | -a`.
#[derive(Debug, Clone, Default, Args)]
#[group(id = "targets", required = true, multiple = true)]
pub struct TargetArgs {
    /// The containers
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::containers))]
    pub names: Vec<String>,
    /// All containers of yours
    #[arg(short, long, conflicts_with = "names")]
    pub all: bool,
}

impl TargetArgs {
    /// The names, each checked and each once.
    pub fn resolve(
        &self,
        bus: &Bus,
        fits: impl Fn(&crate::bus::view::Container) -> bool,
    ) -> Result<Vec<String>, CommandError> {
        if self.all {
            let all = bus.list(&Options::new())?;
            return Ok(all.into_iter().filter(fits).map(|container| container.name).collect());
        }
        let mut names: Vec<String> = Vec::new();
        for name in &self.names {
            let name = parse_name(name)?.to_string();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// The same before the bus is asked: what was typed wrongly is said first.
    pub fn check(&self) -> Result<(), CommandError> {
        self.names.iter().try_for_each(|name| parse_name(name).map(drop))
    }
}

/// Prints a plan.
pub fn show_plan(printer: Printer, plan: &[String]) -> Result<(), CommandError> {
    if plan.is_empty() {
        printer.notice("nothing would be done");
    }
    plan.iter().try_for_each(|step| printer.answer_line(&snug_core::text::escape(step)))
}

/// Tells what the daemon wants known also where nobody is at a terminal: in a script nothing else tells it.
pub fn show_warnings(context: &Context, notices: &[String]) {
    for notice in notices {
        context.printer.warning(notice);
    }
}

/// Tells a person what the daemon wants known.
pub fn show_notices(context: &Context, notices: &[String]) {
    for notice in notices {
        context.printer.notice(notice);
    }
}
