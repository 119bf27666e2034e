//! `snug undo`.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use clap_complete::ArgValueCompleter;
use snug_core::name::ContainerName;
use snug_core::snapshot::SnapshotName;

use super::arguments::{ContainerArgs, DryRunArgs, JsonArgs, YesArgs, show_plan, show_warnings};
use crate::applications::export;
use crate::bus::Bus;
use crate::bus::change::Change;
use crate::bus::options::Options;
use crate::bus::view::{Container, Snapshot};
use crate::context::Context;
use crate::error::{CommandError, Kind};
use crate::packages::commands;
use crate::packages::guest::Guest;
use crate::packages::turn::Turn;
use crate::{completion, documents, entry, exports, table, words};

/// Take back the last change of what is installed in a container
///
/// Before each such change Snug takes a snapshot of the container's own disk, where the storage pool can (btrfs, zfs, lvm with a thin
/// pool); this goes back to the last one. Your home on the host and the host's directories are not on that disk and stay as they are,
/// and so do grants and settings; a home that is the container's own (home=private) and islands are on it. A container that runs is stopped and started again. What is there now is kept in a snapshot too, so that an
/// undo can be undone by another one (not on zfs, which only ever goes back to its latest).
#[derive(Debug, Args)]
pub struct UndoArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// Show the snapshots that there are, and do nothing
    #[arg(long, conflicts_with_all = ["to", "discard", "yes", "dry_run"])]
    list: bool,
    /// Go back to this one, over everything that came after it
    #[arg(long, value_name = "SNAPSHOT", add = ArgValueCompleter::new(completion::snapshots))]
    to: Option<String>,
    /// Do not keep what is there now: this undo cannot be undone
    #[arg(long)]
    discard: bool,
    #[command(flatten)]
    yes: YesArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    json: JsonArgs,
}

/// Goes back, or shows where to.
pub fn execute(context: &Context, args: UndoArgs) -> Result<ExitCode, CommandError> {
    if args.json.json && !args.list {
        return Err(CommandError::usage("--json is for --list").hint("`snug undo --list --json`"));
    }
    let to = args.to.as_deref().map(str::parse::<SnapshotName>).transpose()?;
    let name = context.container(args.container.container.as_deref())?;
    let bus = context.bus()?;
    if args.list {
        return list(context, &bus, &name, args.json);
    }
    // Whose packages change meanwhile would be stopped in the midst of it, and what he then looks at is another disk.
    let _turn = (!args.dry_run.dry_run).then(|| Turn::wait(context, &name, "undo"));
    let options = |to: Option<&str>| args.dry_run.options().text("to", to).off("keep", args.discard);
    let mut to = to.map(String::from);
    if !args.yes.yes && !args.dry_run.dry_run && context.printer.can_ask() {
        match agreed(context, &bus, &name, options(to.as_deref()).switch("dry-run", true))? {
            // What was agreed to is what is done, whatever comes in between.
            Some(target) => to = Some(target),
            None => {
                context.printer.notice("nothing was undone");
                return Ok(ExitCode::from(1));
            }
        }
    }
    let exported = if args.dry_run.dry_run { Vec::new() } else { exported(context, &bus, &name) };
    // Half an undo is no state to leave it in; and whoever types this in the container goes with its commands.
    let change = Change::undo(name.as_str(), options(to.as_deref())).uncancellable();
    let ended = bus.change(&change).map_err(|error| {
        // What is missing may be a snapshot.
        let is_there = error.kind != Kind::NotFound || bus.get(name.as_str(), &Options::new()).is_ok();
        if is_there { error } else { entry::suggest(&bus, name.as_str(), error) }
    })?;
    if args.dry_run.dry_run {
        show_plan(context.printer, &ended.plan)?;
        return Ok(ExitCode::SUCCESS);
    }
    show_warnings(context, &ended.notices);
    context.offer_host(&name);
    // What had been installed since is gone. One that does not run is not started for it: its links then say so themselves.
    if !exported.is_empty() {
        match commands::forget_gone(context, &name, &exported) {
            Ok(gone) if gone.is_empty() => {}
            Ok(gone) => context.printer.notice(&format!(
                "the host has no more: {} (`snug export -c {name} --bin CMD` lets it have one again)",
                gone.join(", ")
            )),
            Err(error) => context.printer.warning(&error.to_string()),
        }
        // Its packages have the versions of then.
        if let Ok(Some(guest)) = Guest::detect(context, &name) {
            documents::refresh(&guest, &bus, &[], &[]);
        }
    }
    renew_applications(context, &bus, &name);
    let back =
        ended.kept.map_or(String::new(), |_| format!("; `snug undo -c {name}` brings back what was there"));
    context
        .printer
        .notice(&format!("container {name} is as it was at {}{back}", ended.snapshot.unwrap_or_default()));
    Ok(ExitCode::SUCCESS)
}

/// Has the host's applications be what the container has now. One that does not run is not started for it.
fn renew_applications(context: &Context, bus: &Bus, name: &ContainerName) {
    let has_any = exports::of_user()
        .and_then(|exports| exports.read())
        .is_ok_and(|index| index.applications.iter().any(|one| one.container == *name));
    if !has_any || !bus.get(name.as_str(), &Options::new()).is_ok_and(|container| container.is_running()) {
        return;
    }
    export::renew(context, name);
}

/// What the host has of a container that runs, and is there.
fn exported(context: &Context, bus: &Bus, name: &ContainerName) -> Vec<snug_exports::Command> {
    let has_any = exports::of_user()
        .and_then(|exports| exports.read())
        .is_ok_and(|index| index.commands.iter().any(|command| command.container == *name));
    if !has_any || !bus.get(name.as_str(), &Options::new()).is_ok_and(|container| container.is_running()) {
        return Vec::new();
    }
    // Without an answer nothing is taken back.
    commands::present(context, name).unwrap_or_default()
}

/// Asks whether that is what is wanted: the snapshot to go back to, if it is. `options` make the daemon say what would be done.
fn agreed(
    context: &Context,
    bus: &Bus,
    name: &ContainerName,
    options: Options,
) -> Result<Option<String>, CommandError> {
    let snapshots =
        bus.snapshots(name.as_str()).map_err(|error| entry::suggest(bus, name.as_str(), error))?;
    let planned = bus.change(&Change::undo(name.as_str(), options))?;
    let target = planned.snapshot.unwrap_or_default();
    let snapshot = snapshots.into_iter().find(|snapshot| snapshot.name == target).unwrap_or_default();
    let container = bus.get(name.as_str(), &Options::new())?;
    let question = question(&container, &snapshot, planned.kept.is_some(), SystemTime::now());
    Ok(context.printer.confirm(&question, false)?.then_some(target))
}

fn question(container: &Container, snapshot: &Snapshot, kept: bool, now: SystemTime) -> String {
    let what = if snapshot.before.is_empty() { &snapshot.name } else { &snapshot.before };
    let then = words::age(&snapshot.taken, now);
    let then = if then.is_empty() { "then".to_owned() } else { format!("then ({then})") };
    let runs = if container.is_running() { " It is stopped and started again." } else { "" };
    let kept = if kept {
        "; what is there now is kept, for another undo."
    } else {
        ", for good: what is there now is not kept."
    };
    let shares_home = container.grants.iter().any(|grant| grant == "home");
    let home = if shares_home { "Your home is not on it." } else { "Its own home is on it, too." };
    format!(
        "Undo in container {}: {what}?\nEverything that was changed on its own disk since {then} is lost{kept} {home}{runs}\nGo back?",
        container.name
    )
}

fn list(
    context: &Context,
    bus: &Bus,
    name: &ContainerName,
    json: JsonArgs,
) -> Result<ExitCode, CommandError> {
    let snapshots =
        bus.snapshots(name.as_str()).map_err(|error| entry::suggest(bus, name.as_str(), error))?;
    if json.json {
        super::print_json(context.printer, "snapshots", &snapshots)?;
    } else if snapshots.is_empty() {
        context.printer.notice(&format!("there is nothing in container {name} to undo"));
    } else {
        context.printer.answer(&table_of(&snapshots, SystemTime::now()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table_of(snapshots: &[Snapshot], now: SystemTime) -> String {
    let row = |snapshot: &Snapshot| {
        vec![snapshot.name.clone(), words::age(&snapshot.taken, now), snapshot.before.clone()]
    };
    table::render(&["SNAPSHOT", "TAKEN", "BEFORE"], snapshots.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_question_says_what_is_undone_and_what_is_lost() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(7_200);
        let mut snapshot = Snapshot {
            name: "snug-19700101T000001Z".into(),
            taken: "1970-01-01T00:00:01Z".into(),
            before: "install ripgrep".into(),
        };
        let mut container = Container {
            name: "dev".into(),
            state: "running".into(),
            grants: vec!["home".into()],
            ..Container::default()
        };
        assert_eq!(
            question(&container, &snapshot, true, now),
            "Undo in container dev: install ripgrep?\nEverything that was changed on its own disk since then (1 hour ago) is lost; what \
             is there now is kept, for another undo. Your home is not on it. It is stopped and started again.\nGo back?"
        );
        (snapshot.before, snapshot.taken) = (String::new(), String::new());
        (container.state, container.grants) = ("stopped".into(), vec!["home=private".into()]);
        assert_eq!(
            question(&container, &snapshot, false, now),
            "Undo in container dev: snug-19700101T000001Z?\nEverything that was changed on its own disk since then is lost, for good: \
             what is there now is not kept. Its own home is on it, too.\nGo back?"
        );
    }
}
