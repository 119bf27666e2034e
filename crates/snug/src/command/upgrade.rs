//! `snug upgrade`.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use snug_core::name::ContainerName;
use snug_packages::answer::{Change, ChangeKind};

use super::arguments::{ContainerArgs, DryRunArgs, JsonArgs, YesArgs, show_plan};
use crate::bus::Bus;
use crate::context::Context;
use crate::error::{CommandError, Kind};
use crate::list::standing::kept;
use crate::packages::check::listed;
use crate::packages::outcome::{Checked, Outcome};
use crate::packages::upgrade::{self, Wish};
use crate::{table, words};

/// Status of `--check` where something is newer, as of `dnf check-update` (dnf(8)).
const NEWER: u8 = 100;

/// Upgrade packages of a container, and go back if that goes wrong
///
/// Without PKG all packages are upgraded, by the container's own package manager; of apt, what an interrupted change has left half done is
/// finished first. Where the storage pool can, a snapshot is taken before.
/// Then Snug looks whether all is well: the commands that the host has of the container are still there, its first process and a command
/// answer, and it starts: it is started anew, unless a program of yours runs in it, or there is no snapshot. If anything fails, the
/// container is put back to the snapshot, and the end of what the package manager said is shown. Going back stops what runs in the
/// container: where that is something of yours you are asked first, and where nobody can be asked it is left as it is, unless with -y.
///
/// A container that does not run is started, and stopped again.
///
/// Exit status: 0 when all is well, 1 when something failed. With --check, which changes nothing, 0 when nothing is newer and 100 when
/// something is.
#[derive(Debug, Args)]
pub struct UpgradeArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// All containers of yours that have a package manager, one after another; not those of `snug x`
    #[arg(short, long, conflicts_with = "container")]
    all: bool,
    /// Names of packages; without any, all of them
    #[arg(value_name = "PKG", value_hint = clap::ValueHint::Other)]
    packages: Vec<String>,
    /// Show what is newer, and upgrade nothing
    #[arg(long, conflicts_with_all = ["yes", "dry_run"])]
    check: bool,
    #[command(flatten)]
    yes: YesArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    json: JsonArgs,
}

/// A package that is newer, as `docs/reference/json.md` has it.
#[derive(Debug, Serialize)]
struct Row {
    container: String,
    package: String,
    change: &'static str,
    from: Option<String>,
    to: Option<String>,
}

impl Row {
    fn new(container: &ContainerName, change: &Change) -> Self {
        Self {
            container: container.to_string(),
            package: change.name.to_string(),
            change: match change.kind {
                ChangeKind::Install => "install",
                ChangeKind::Upgrade => "upgrade",
                ChangeKind::Remove => "remove",
            },
            from: change.from.clone(),
            to: change.to.clone(),
        }
    }
}

/// Upgrades them, or shows what is newer.
pub fn execute(context: &Context, args: &UpgradeArgs) -> Result<ExitCode, CommandError> {
    if args.json.json && !args.check {
        return Err(CommandError::usage("--json is for --check").hint("`snug upgrade --check --json`"));
    }
    let named = match args.all {
        true => None,
        false => Some(context.container(args.container.container.as_deref())?),
    };
    let bus = context.bus()?;
    let containers = match named {
        Some(name) => vec![name],
        None => all_containers(&bus)?,
    };
    let wish = Wish { words: &args.packages, of_several: args.all, yes: args.yes.yes };
    let several = Several { context, is_one: !args.all, failed: Vec::new(), count: containers.len() };
    if args.check || args.dry_run.dry_run {
        check(several, &bus, &containers, wish, args)
    } else {
        upgrade(several, &bus, &containers, wish)
    }
}

/// Those of the caller that stay, in the order of their names. Those of `snug x` are made anew when they are two weeks old.
fn all_containers(bus: &Bus) -> Result<Vec<ContainerName>, CommandError> {
    Ok(kept(bus, |_| false)?.into_keys().collect())
}

/// Several containers, one after another: one that fails does not stop the others.
struct Several<'a> {
    context: &'a Context,
    is_one: bool,
    count: usize,
    failed: Vec<String>,
}

impl Several<'_> {
    /// What was done in one; `None` where it failed, which has been said.
    ///
    /// # Errors
    /// There is but one, or the user has given up.
    fn take<T>(
        &mut self,
        container: &ContainerName,
        done: Result<T, CommandError>,
    ) -> Result<Option<T>, CommandError> {
        match done {
            Ok(done) => Ok(Some(done)),
            Err(error) if self.is_one || matches!(error.kind, Kind::Cancelled(_)) => Err(error),
            Err(error) => {
                self.context.printer.error(&error);
                self.failed.push(container.to_string());
                Ok(None)
            }
        }
    }

    /// One without a package manager that is known: a mistake where it was named.
    fn pass_over(&self, container: &ContainerName) -> Result<(), CommandError> {
        let text = format!("{container} has no package manager that Snug knows");
        if self.is_one {
            return Err(CommandError::user(text).hint("`snug run` upgrades it in any other way"));
        }
        self.context.printer.detail(&text);
        Ok(())
    }

    fn end(&self, verb: &str) -> Result<(), CommandError> {
        if self.failed.is_empty() {
            return Ok(());
        }
        let all = words::count(self.count, "container");
        Err(CommandError::failed(format!(
            "{} of {all} could not be {verb}: {}",
            self.failed.len(),
            self.failed.join(", ")
        )))
    }
}

fn check(
    mut several: Several<'_>,
    bus: &Bus,
    containers: &[ContainerName],
    wish: Wish<'_>,
    args: &UpgradeArgs,
) -> Result<ExitCode, CommandError> {
    let context = several.context;
    let mut rows = Vec::new();
    for container in containers {
        match several.take(container, upgrade::look(context, bus, container, wish))? {
            Some(Some(newer)) => rows.extend(newer.iter().map(|change| Row::new(container, change))),
            Some(None) => several.pass_over(container)?,
            None => {}
        }
    }
    let status = if args.check && !rows.is_empty() { NEWER } else { 0 };
    if args.json.json {
        super::print_json(context.printer, "upgrades", &rows)?;
    } else if args.dry_run.dry_run {
        let plan: Vec<String> =
            rows.iter().map(|row| format!("{} in '{}'", planned(row), row.container)).collect();
        show_plan(context.printer, &plan)?;
    } else if rows.is_empty() {
        context.printer.notice("nothing is newer");
    } else {
        let cells = rows.into_iter().map(|row| {
            vec![row.container, row.package, row.from.unwrap_or_default(), row.to.unwrap_or_default()]
        });
        context.printer.answer(&table::render(&["CONTAINER", "PACKAGE", "NOW", "NEWER"], cells.collect()))?;
    }
    several.end("asked")?;
    Ok(ExitCode::from(status))
}

fn planned(row: &Row) -> String {
    let to = row.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
    match (row.change, &row.from) {
        ("upgrade", Some(from)) => format!("upgrade {} from {from}{to}", row.package),
        ("upgrade", None) => format!("upgrade {}{to}", row.package),
        (change, _) => format!("{change} {}", row.package),
    }
}

fn upgrade(
    mut several: Several<'_>,
    bus: &Bus,
    containers: &[ContainerName],
    wish: Wish<'_>,
) -> Result<ExitCode, CommandError> {
    let context = several.context;
    let mut upgraded = 0;
    for container in containers {
        match several.take(container, upgrade::upgrade(context, bus, container, wish))? {
            Some(Outcome::Upgraded { changes, checked }) => {
                upgraded += 1;
                tell(context, container, &changes, &checked)?;
            }
            Some(Outcome::Nothing) => context.printer.notice(&format!("{container}: nothing is newer")),
            Some(Outcome::NoManager) => several.pass_over(container)?,
            None => {}
        }
    }
    several.end("upgraded")?;
    if !several.is_one {
        let all = words::count(several.count, "container");
        context.printer.notice(&format!("{upgraded} of {all} upgraded"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is another version now goes to standard output, so that the journal has it; how it was looked at is for whoever waits for it.
fn tell(
    context: &Context,
    container: &ContainerName,
    changes: &[Change],
    checked: &Checked,
) -> Result<(), CommandError> {
    for change in changes {
        let from = change.from.as_deref().unwrap_or("(new)");
        let to = change.to.as_deref().unwrap_or_default();
        context.printer.answer_line(&format!("{container}: {} {from} -> {to}", change.name))?;
    }
    let looked = match checked {
        Checked::Restarted => "it was started anew, and is well".to_owned(),
        Checked::Answers(programs) => {
            format!("it answers; it was not started anew, since {} would have ended", listed(programs))
        }
        Checked::AnswersAlone => {
            "it answers; it was not started anew, and cannot be put back, for want of a snapshot".to_owned()
        }
    };
    let back = match checked {
        Checked::AnswersAlone => String::new(),
        _ => format!("; `snug undo -c {container}` goes back"),
    };
    let count = words::count(changes.len(), "package");
    context.printer.notice(&format!("{container}: {count} upgraded; {looked}{back}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_both_versions_where_they_are_known() {
        let row = |change, from: Option<&str>| Row {
            container: "tools".to_owned(),
            package: "bash".to_owned(),
            change,
            from: from.map(str::to_owned),
            to: Some("5.3".to_owned()),
        };
        assert_eq!(planned(&row("upgrade", Some("5.2"))), "upgrade bash from 5.2 to 5.3");
        assert_eq!(planned(&row("upgrade", None)), "upgrade bash to 5.3");
        assert_eq!(planned(&row("install", None)), "install bash");
    }
}
