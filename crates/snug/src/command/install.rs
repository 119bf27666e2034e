//! `snug install`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use clap_complete::ArgValueCompleter;
use snug_core::name::ContainerName;
use snug_core::text::escape;
use snug_exports::ApplicationId;
use snug_packages::answer::Package;
use snug_packages::command::Action;
use snug_packages::name::{CommandName, PackageName, Request, Term};

use super::arguments::{ContainerArgs, DryRunArgs, YesArgs};
use super::export::commands as exported;
use crate::applications::export::{Wish, export};
use crate::bus::Bus;
use crate::bus::options::Options;
use crate::completion;
use crate::context::Context;
use crate::documents;
use crate::entry;
use crate::error::{CommandError, Kind};
use crate::list::save::Save;
use crate::not_found::build;
use crate::not_found::store::Store;
use crate::packages::commands::{self, Contents, Left, Placed};
use crate::packages::guest::Guest;
use crate::packages::held::{self, Held};
use crate::packages::log::Log;
use crate::packages::record;
use crate::packages::turn::Turn;
use crate::packages::words::{Handed, Typed};

/// How old what a package manager knows may be: distributions have updates several times a day, most of which nobody waits for.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);
/// Names that are offered in the place of one that there is not.
const OFFERED: usize = 5;

/// Install packages in a container, and have their commands on the host
///
/// The container's own package manager installs them, in the default container unless another one is named; that is made and started where
/// it has to be. Their commands are then the host's, too, as `snug export --bin` makes them: those of the packages that were named, and
/// where one has none and only stands for others, those of what it needs. A command that the host has already stays the host's. Applications
/// with windows come into the host's menus, as `snug export --app` lets them.
///
/// Where the storage pool can, a snapshot is taken before: `snug undo` takes the installation back.
#[derive(Debug, Default, Args)]
pub struct InstallArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// Names of packages, perhaps with a version (NAME=VERSION), or files of packages
    #[arg(value_name = "PKG|FILE", required = true, value_hint = clap::ValueHint::AnyPath)]
    packages: Vec<OsString>,
    /// Install only: the host gets no commands but those of --bin, and no applications
    #[arg(long)]
    no_export: bool,
    /// The host gets their commands, and none of their applications
    #[arg(long)]
    no_apps: bool,
    /// Let the host have this command too, under its name or NAME, whatever else has it
    #[arg(long, value_name = "CMD|PATH[=NAME]", add = ArgValueCompleter::new(completion::commands_of_container))]
    bin: Vec<String>,
    /// Add the packages to this list, as `snug apply` takes it, when they are installed; made where it is missing
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    save: Option<PathBuf>,
    #[command(flatten)]
    _yes: YesArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

impl InstallArgs {
    /// For packages of a list.
    pub fn of(container: &ContainerName, packages: &[String], no_export: bool) -> Self {
        Self {
            container: ContainerArgs { container: Some(container.to_string()) },
            packages: packages.iter().map(OsString::from).collect(),
            no_export,
            ..Self::default()
        }
    }
}

/// Installs them.
pub fn execute(context: &Context, args: &InstallArgs) -> Result<ExitCode, CommandError> {
    let container = context.container(args.container.container.as_deref())?;
    let typed = Typed::read(&args.packages)?;
    let bins = exported::parse(&args.bin)?;
    let save = args.save.as_deref().map(|file| Save::open(context, file, &container)).transpose()?;
    if !typed.files.is_empty() {
        context.require_host_paths()?;
    }
    if args.dry_run.dry_run {
        return plan(context, &container, &typed);
    }
    let bus = context.bus()?;
    let words: Vec<String> =
        args.packages.iter().map(|word| escape(&word.to_string_lossy()).into_owned()).collect();
    let what = format!("install {}", words.join(" "));
    let _turn = Turn::wait(context, &container, &what);
    let guest = Guest::reach(context, &bus, &container, true)?;
    let manager = guest.manager.manager;
    let requests = typed.requests(manager)?;
    let files: Vec<Handed> = (0..)
        .zip(&typed.files)
        .map(|(number, path)| Handed::open(path, number, manager))
        .collect::<Result<_, _>>()?;
    let mut log = Log::begin(context, &container, &what);
    let mut names: Vec<PackageName> = requests.iter().map(|request| request.name.clone()).collect();
    let before = guest.held(&names)?;
    let mut asked = requests.iter().zip(&before);
    let are_there = asked.all(|(request, held)| request.version.is_none() && !held.packages.is_empty());
    let done = if files.is_empty() && are_there {
        // Another time: what is to be newer is upgraded, and nothing else changes.
        Ok(())
    } else {
        let progress = context.printer.progress();
        let mut line = progress.line(container.as_str());
        line.stage("looking at what there is");
        let mut carry_out = |action: &Action| guest.carry_out(action, &mut line, &mut log);
        let wanted = Wanted { requests: &requests, before: &before, files: &files };
        install(&guest, &bus, &what, &wanted, &mut names, &mut carry_out)
    };
    // Also where something has failed: what is there now is there.
    let after = if done.is_ok() { guest.held(&names)? } else { guest.held(&names).unwrap_or_default() };
    let there: Vec<PackageName> = after.iter().flat_map(Held::names).collect();
    let (mut brought, mut placed) = (Contents::default(), Placed::default());
    if !args.no_export && !there.is_empty() {
        brought = commands::of_packages(&guest, &there)?;
        placed = commands::export(context, &bus, &guest, &brought.commands)?;
    }
    // Those that were there before may have a newer version by now.
    documents::refresh(&guest, &bus, &brought.commands, &there);
    if args.no_apps {
        brought.applications.clear();
    }
    let (before, after) = (held::packages(&before), held::packages(&after));
    tell(context, &container, &before, &after, &placed, args.no_export || !brought.applications.is_empty())?;
    applications(context, &container, &brought.applications);
    done.map_err(|error| guest.failed_change(error))?;
    record::installed(&guest, &names[requests.len()..]);
    build::start_if_due(context, &container);
    if !bins.is_empty() {
        let found = bus
            .get(container.as_str(), &Options::new())
            .map_err(|error| entry::suggest(&bus, container.as_str(), error))?;
        exported::execute(context, &bus, &container, &found, &bins)?;
    } else if let Some(advice) = &placed.advice {
        context.printer.notice(advice);
    }
    if let Some(save) = save {
        save.installed(&bus, &typed.names, args.no_export || !bins.is_empty())?;
        for file in &typed.files {
            let file = escape(&file.display().to_string()).into_owned();
            context.printer.warning(&format!("{file} is not in the list: no repository has it"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Lets the host have the applications of packages. What is installed is installed: what cannot be had of them is told.
fn applications(context: &Context, container: &ContainerName, ids: &[ApplicationId]) {
    match export(context, container, ids, Wish::OfPackages) {
        Ok(outcome) => {
            for exported in &outcome.exported {
                context.printer.notice(&format!("in the menus: {}", exported.shown));
            }
            for (id, why) in &outcome.left {
                context.printer.notice(&format!("not in the menus: {id}: {why}"));
            }
        }
        Err(error) => context.printer.warning(&format!("not in the menus: {error}")),
    }
}

/// What is asked for.
struct Wanted<'a> {
    requests: &'a [Request],
    /// What of it is there already.
    before: &'a [Held],
    files: &'a [Handed],
}

/// Installs names and files; the names of the files' packages come to the others.
fn install(
    guest: &Guest<'_>,
    bus: &Bus,
    what: &str,
    wanted: &Wanted<'_>,
    names: &mut Vec<PackageName>,
    carry_out: &mut dyn FnMut(&Action) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let missing = wanted.before.iter().filter(|held| held.packages.is_empty());
    let missing: Vec<PackageName> = missing.map(|held| held.word.clone()).collect();
    let fresh = prepare(guest, &missing, carry_out)?;
    guest.remember(bus, what)?;
    for action in guest.manager.manager.install(wanted.requests, fresh) {
        carry_out(&action)?;
    }
    names.extend(install_files(guest, wanted.files, carry_out)?);
    Ok(())
}

fn plan(context: &Context, container: &ContainerName, typed: &Typed) -> Result<ExitCode, CommandError> {
    let files = typed.files.iter().map(|file| file.display().to_string());
    for what in typed.names.iter().cloned().chain(files) {
        context.printer.answer_line(&format!("install {} in '{container}'", escape(&what)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Sees to it that the manager knows of what is asked for. Whether what it knows has to be renewed together with the installation.
///
/// # Errors
/// There is no such package; the guest cannot be asked.
pub fn prepare(
    guest: &Guest<'_>,
    names: &[PackageName],
    carry_out: &mut dyn FnMut(&Action) -> Result<(), CommandError>,
) -> Result<bool, CommandError> {
    let manager = guest.manager.manager;
    let missing = || unknown_of(guest, names);
    let is_fresh = guest.ask(&manager.refreshed())?.is_some_and(|then| age(then) < FRESH);
    if is_fresh && missing()?.is_empty() {
        return Ok(false);
    }
    let Some(refresh) = manager.refresh() else { return Ok(true) };
    match carry_out(&refresh) {
        // One source of several may be away, or the network: what is known is known.
        Err(error) if !matches!(error.kind, Kind::Cancelled(_)) && missing()?.is_empty() => {
            guest.context.printer.warning(&format!("what there is could not be renewed: {error}"));
        }
        renewed => renewed?,
    }
    match &missing()?[..] {
        [] => Ok(false),
        missing => Err(unknown(guest, missing)),
    }
}

/// A word of which the manager makes nothing, and packages of which one might have been named instead.
type Unknown = (PackageName, Vec<PackageName>);

/// Which of these words the manager makes nothing of.
fn unknown_of(guest: &Guest<'_>, names: &[PackageName]) -> Result<Vec<Unknown>, CommandError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let manager = guest.manager.manager;
    let known = guest.ask(&manager.available(names))?;
    let mut unknown = Vec::new();
    for name in names.iter().filter(|name| !known.iter().any(|found| found.name == **name)) {
        let meaning = guest.ask(&manager.meaning(name))?;
        if !meaning.is_taken {
            unknown.push((name.clone(), meaning.choices));
        }
    }
    Ok(unknown)
}

/// Since that second of 1970; a clock that went back makes nothing old.
fn age(then: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_secs(then))
}

/// There is no such package: what is like it.
fn unknown(guest: &Guest<'_>, missing: &[Unknown]) -> CommandError {
    let manager = guest.manager.manager;
    let shown: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
    let mut error =
        CommandError::user(format!("{} has no package {}", guest.container, shown.join(" and no ")));
    for (name, choices) in missing {
        let name = name.as_str();
        if !choices.is_empty() {
            let choices: Vec<&str> = choices.iter().map(PackageName::as_str).collect();
            error = error.hint(format!("{name} is provided by several: name one of {}", choices.join(", ")));
            continue;
        }
        if let Some(package) = having(guest.container, name) {
            error = error.hint(format!("{package} has the command {name}: `snug install {package}`"));
            continue;
        }
        let Ok(term) = Term::new(name) else { continue };
        // What cannot be searched for is not there, which has been said.
        let mut found = guest.ask(&manager.search(&term)).unwrap_or_default();
        found.sort_by_key(|found| (!found.name.as_str().contains(name), found.name.as_str().len()));
        let names: Vec<&str> = found.iter().map(|found| found.name.as_str()).take(OFFERED).collect();
        if !names.is_empty() {
            error = error.hint(format!("packages that are about {name}: {}", names.join(", ")));
        }
    }
    error.hint("`snug search TERM` looks in names and summaries, `snug provides CMD` for a command")
}

/// The package that has a command of this name, as far as the list knows that is there.
fn having(container: &ContainerName, name: &str) -> Option<PackageName> {
    let command = CommandName::new(name).ok()?;
    let list = Store::of_user().ok()?.read(container)?;
    list.having(&command).into_iter().next().map(|entry| entry.package)
}

/// Installs files; the names of their packages.
fn install_files(
    guest: &Guest<'_>,
    files: &[Handed],
    carry_out: &mut dyn FnMut(&Action) -> Result<(), CommandError>,
) -> Result<Vec<PackageName>, CommandError> {
    let manager = guest.manager.manager;
    let mut names = Vec::new();
    let mut installed = Ok(());
    let mut places = Vec::new();
    for handed in files {
        let file = handed
            .file
            .try_clone()
            .map_err(|error| CommandError::failed("a file cannot be handed over").caused_by(error))?;
        installed = guest.put(file, &handed.path).and_then(|()| {
            let packages = guest.ask(&manager.identify(&handed.place))?;
            names.extend(packages.into_iter().map(|package| package.name));
            Ok(())
        });
        places.push(handed.place.clone());
        if installed.is_err() {
            break;
        }
    }
    if installed.is_ok() && !places.is_empty() {
        installed = carry_out(&manager.install_files(&places));
    }
    // What cannot be removed is in the guest's cache, and says there what it is.
    for handed in files {
        guest.take_away(&handed.path);
    }
    installed.map(|()| names)
}

/// One summary: what is there, and what can be typed.
fn tell(
    context: &Context,
    container: &ContainerName,
    before: &[Package],
    after: &[Package],
    placed: &Placed,
    may_be_none: bool,
) -> Result<(), CommandError> {
    for package in after {
        let was = before.iter().find(|before| before.name == package.name);
        let how = match was {
            None => "installed".to_owned(),
            Some(was) if was.version == package.version => "was there already".to_owned(),
            Some(was) => format!("came in the place of {}", was.version),
        };
        context.printer.notice(&format!("{} {} in {container}: {how}", package.name, package.version));
    }
    for command in &placed.commands {
        context.printer.answer_line(command.name.as_str())?;
    }
    for (known, command) in &placed.renamed {
        let text = format!("{known} is another container's: that of {container} is {}", command.name);
        context.printer.notice(&text);
    }
    let (hosts, others): (Vec<&Left>, Vec<&Left>) = placed.left.iter().partition(|left| left.is_hosts);
    if let [first, _, ..] = &hosts[..] {
        let names: Vec<&str> = hosts.iter().map(|left| left.name.as_str()).collect();
        context.printer.notice(&format!(
            "not, since the host has others of that name: {} (`snug export -c {container} --bin {}=NAME` gives one another name)",
            names.join(", "),
            first.path
        ));
    }
    let alone = if hosts.len() == 1 { &hosts[..] } else { &[] };
    for left in alone.iter().chain(&others) {
        context.printer.notice(&format!(
            "not {}: {} (`snug export -c {container} --bin {}=NAME` lets the host have it)",
            left.name, left.why, left.path
        ));
    }
    if placed.commands.is_empty() && placed.left.is_empty() && !may_be_none {
        context.printer.notice("no command came with it that the host could have");
    }
    Ok(())
}
