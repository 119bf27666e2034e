//! An upgrade of a container: what is newer, a snapshot, the upgrade, a look whether all is well, and the way back where it is not.

use snug_client::signals::Signals;
use snug_core::name::ContainerName;
use snug_packages::answer::{Change as Version, ChangeKind, Package};
use snug_packages::command::Action;
use snug_packages::name::PackageName;

use super::check::{Health, listed};
use super::guest::{Guest, failed, unfit};
use super::held;
use super::log::Log;
use super::moved::{self, Moved};
use super::outcome::{Checked, Outcome, changed};
use super::record;
use super::turn::Turn;
use super::{commands, progress_of};
use crate::applications;
use crate::bus::Bus;
use crate::bus::change::Change;
use crate::bus::options::Options;
use crate::bus::snapshot::Taken;
use crate::command::arguments::show_warnings;
use crate::context::Context;
use crate::documents;
use crate::entry;
use crate::error::{CommandError, Kind};

/// Names in one question: a distribution has thousands that change at once.
const AT_ONCE: usize = 500;

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// Packages; all where none is named.
    pub words: &'a [String],
    /// Packages that a container does not have are no mistake: of several containers not all have them.
    pub of_several: bool,
    /// A roll-back may end what runs in the container.
    pub yes: bool,
}

/// A container that is used for a while: one that did not run is stopped again.
struct Visit<'a> {
    bus: &'a Bus,
    guest: Guest<'a>,
    was_running: bool,
}

/// Looks what is newer, and changes nothing; `None` for a container without a package manager that is known.
///
/// # Errors
/// The container does not exist or cannot be asked; a package that is named is not installed.
pub fn look(
    context: &Context,
    bus: &Bus,
    container: &ContainerName,
    wish: Wish<'_>,
) -> Result<Option<Vec<Version>>, CommandError> {
    let what = said(wish);
    let _turn = Turn::wait(context, container, &what);
    visit(context, bus, container, |visit| {
        let mut log = Log::begin(context, container, &format!("{what} --check"));
        visit.refresh(&mut log)?;
        if visit.guest.unfinished()?.is_some() {
            context.printer.warning(&format!(
                "an earlier change of packages of {container} was interrupted: `snug upgrade -c {container}` finishes it"
            ));
        }
        Ok(visit.plan(wish)?.wanted)
    })
}

/// Upgrades a container.
///
/// # Errors
/// The container does not exist or cannot be asked; a package that is named is not installed; the upgrade or the look after it failed, and
/// what became of the container then.
pub fn upgrade(
    context: &Context,
    bus: &Bus,
    container: &ContainerName,
    wish: Wish<'_>,
) -> Result<Outcome, CommandError> {
    let what = said(wish);
    let _turn = Turn::wait(context, container, &what);
    let done = visit(context, bus, container, |visit| {
        let mut log = Log::begin(context, container, &what);
        visit.refresh(&mut log)?;
        // By itself: what is newer cannot be known while dependencies are missing.
        let finished = visit.finish(&what, wish, &mut log)?;
        let plan = visit.plan(wish)?;
        if plan.wanted.is_empty() {
            return Ok(finished.unwrap_or(Outcome::Nothing));
        }
        let action = visit.guest.manager.upgrade(&plan.names).map_err(|error| unfit_for_some(&error))?;
        let names: Vec<PackageName> = plan.all.iter().map(|change| change.name.clone()).collect();
        let upgraded = visit.change(&what, wish, (&action, &names), &mut log)?;
        Ok(match finished {
            Some(finished) => finished.and(upgraded),
            None => upgraded,
        })
    });
    Ok(done?.unwrap_or(Outcome::NoManager))
}

fn said(wish: Wish<'_>) -> String {
    let words = ["upgrade"].into_iter().chain(wish.words.iter().map(String::as_str));
    words.map(|word| snug_core::text::escape(word).into_owned()).collect::<Vec<_>>().join(" ")
}

/// Does something in a container that has a package manager. One that does not run is started for it, and stopped again.
fn visit<T>(
    context: &Context,
    bus: &Bus,
    container: &ContainerName,
    something: impl FnOnce(&Visit<'_>) -> Result<T, CommandError>,
) -> Result<Option<T>, CommandError> {
    let found = bus.get(container.as_str(), &Options::new());
    let found = found.map_err(|error| entry::suggest(bus, container.as_str(), error))?;
    let was_running = !["stopped", "stopping"].contains(&found.state.as_str());
    let mut is_used = false;
    entry::ensure(context, bus, container.as_str())?;
    let done = Guest::detect(context, container).and_then(|guest| {
        let Some(guest) = guest else { return Ok(None) };
        let visit = Visit { bus, guest, was_running };
        let done = something(&visit);
        // Whoever has come in the meantime stays; where that cannot be known, somebody may have.
        is_used = !was_running && visit.guest.programs().map_or(true, |programs| !programs.is_empty());
        done.map(Some)
    });
    let is_running = || bus.get(container.as_str(), &Options::new()).is_ok_and(|found| found.is_running());
    if !was_running && !is_used && is_running() {
        let stop = Change::stop(container.as_str(), Options::new()).uncancellable();
        if let Err(error) = bus.change(&stop) {
            context.printer.warning(&format!("{container} did not run before, and is left running: {error}"));
        }
    }
    done
}

/// What an upgrade would do.
struct Plan {
    /// All that is newer.
    all: Vec<Version>,
    /// What of it is wanted.
    wanted: Vec<Version>,
    /// What the manager is told; none for all.
    names: Vec<PackageName>,
}

impl Visit<'_> {
    fn container(&self) -> &ContainerName {
        self.guest.container
    }

    fn context(&self) -> &Context {
        self.guest.context
    }

    /// Renews what the manager knows, where that does not go with an upgrade.
    fn refresh(&self, log: &mut Log<'_>) -> Result<(), CommandError> {
        let Some(refresh) = self.guest.manager.manager.refresh() else { return Ok(()) };
        let progress = self.context().printer.progress();
        let mut line = progress_of(&progress, self.container(), "reading what there is");
        self.guest.carry_out(&refresh, &mut line, log)
    }

    fn plan(&self, wish: Wish<'_>) -> Result<Plan, CommandError> {
        let manager = self.guest.manager.manager;
        let words: Vec<PackageName> = wish
            .words
            .iter()
            .map(|word| manager.package(word))
            .collect::<Result<_, _>>()
            .map_err(|error| unfit(&error))?;
        let held = self.guest.held(&words)?;
        let missing = held.iter().filter(|held| held.packages.is_empty());
        let missing: Vec<&str> = missing.map(|held| held.word.as_str()).collect();
        if !missing.is_empty() && !wish.of_several {
            let text = format!("{} has no {}", self.container(), missing.join(" and no "));
            let hint = format!("`snug install -c {} {}` installs it", self.container(), missing.join(" "));
            return Err(CommandError::user(text).hint(hint));
        }
        let mut all = self.guest.ask(&self.guest.manager.upgrades())?;
        let unknown = all.iter().filter(|change| change.kind == ChangeKind::Upgrade && change.from.is_none());
        let unknown: Vec<PackageName> = unknown.map(|change| change.name.clone()).collect();
        let there = self.versions(&unknown)?;
        for change in all.iter_mut().filter(|change| change.from.is_none()) {
            change.from =
                there.iter().find(|package| package.name == change.name).map(|it| it.version.clone());
        }
        all.sort_by(|a, b| (&a.name, &a.to).cmp(&(&b.name, &b.to)));
        all.dedup();
        if wish.words.is_empty() {
            return Ok(Plan { wanted: all.clone(), all, names: Vec::new() });
        }
        let is_newer = |package: &Package| all.iter().any(|change| change.name == package.name);
        let newer = held.iter().filter(|held| held.packages.iter().any(is_newer));
        let names = newer.flat_map(held::Held::names).collect();
        let asked = held::packages(&held);
        let is_asked = |change: &&Version| asked.iter().any(|package| package.name == change.name);
        let wanted = all.iter().filter(is_asked).cloned().collect();
        Ok(Plan { all, wanted, names })
    }

    /// Which of these are installed, in which version.
    fn versions(&self, names: &[PackageName]) -> Result<Vec<Package>, CommandError> {
        let mut all = Vec::new();
        for names in names.chunks(AT_ONCE) {
            all.extend(self.guest.installed(names)?);
        }
        Ok(all)
    }

    /// Finishes an earlier change that was interrupted, if there was one.
    fn finish(&self, what: &str, wish: Wish<'_>, log: &mut Log<'_>) -> Result<Option<Outcome>, CommandError> {
        let (Some(names), Some(action)) = (self.guest.unfinished()?, self.guest.manager.manager.finish())
        else {
            return Ok(None);
        };
        let shown = names.iter().take(5).map(PackageName::as_str).collect::<Vec<_>>().join(", ");
        let more = if names.len() > 5 { " and others" } else { "" };
        let of = if shown.is_empty() { String::new() } else { format!(" of {shown}{more}") };
        self.context()
            .printer
            .notice(&format!("{}: finishing an earlier change{of}, which was interrupted", self.container()));
        self.change(what, wish, (&action, &names), log).map(Some)
    }

    /// Carries out a change of these packages, looks whether all is well, and goes back where it is not.
    fn change(
        &self,
        what: &str,
        wish: Wish<'_>,
        (action, names): (&Action, &[PackageName]),
        log: &mut Log<'_>,
    ) -> Result<Outcome, CommandError> {
        // What the image brought looks new afterwards.
        record::begin(&self.guest, self.bus);
        let before = Before {
            versions: self.versions(names)?,
            exported: commands::present(self.context(), self.container())?,
            health: self.guest.health()?,
            programs: self.guest.programs()?,
        };
        // Whoever gives up from here on is heard when the container is whole again.
        let signals = Signals::block()
            .map_err(|error| CommandError::failed("signals cannot be waited for").caused_by(error))?;
        let taken = self.bus.take_snapshot(self.container().as_str(), what)?;
        if let Taken::Unavailable(why) = &taken {
            self.context().printer.warning(&format!(
                "{}: there is no way back from this upgrade, since no snapshot can be taken: {why}",
                self.container()
            ));
        }
        if let Some(signal) = signals.next_ending() {
            return Err(CommandError::new(Kind::Cancelled(signal), "given up before anything was upgraded"));
        }
        let upgraded = {
            let progress = self.context().printer.progress();
            let mut line = progress_of(&progress, self.container(), "upgrading");
            self.guest.carry_out(action, &mut line, log)
        };
        let container = self.container();
        let looked = upgraded.map_err(|error| about(error, &format!("the upgrade of {container} failed")));
        let looked = looked.and_then(|()| {
            let looked = self.look_after(&before, names, &taken);
            let (checked, moved) = looked.map_err(|error| {
                log.explain(about(error, &format!("{container} is not well after its upgrade")))
            })?;
            let versions = self.versions(names)?;
            Ok((Outcome::Upgraded { changes: changed(&before.versions, &versions), checked }, moved))
        });
        let cancelled = match &looked {
            Err(CommandError { kind: Kind::Cancelled(signal), .. }) => Some(*signal),
            _ => None,
        };
        let given_up = cancelled.or(signals.next_ending());
        if let (Ok((_, moved)), None) = (&looked, given_up) {
            moved::follow(&self.guest, moved);
        }
        drop(signals);
        match (looked, given_up) {
            (Ok((outcome, _)), None) => {
                // What the host has of it is made anew only where it stays: else that would have to go back, too.
                documents::refresh(&self.guest, self.bus, &[], names);
                applications::export::renew(self.context(), container);
                Ok(outcome)
            }
            (Err(error), None) => Err(self.go_back(error, &taken, wish, &before, log)),
            (_, Some(signal)) => {
                let text = format!("the upgrade of {container} was interrupted");
                let interrupted = CommandError::new(Kind::Cancelled(signal), text);
                Err(self.go_back(interrupted, &taken, wish, &before, log))
            }
        }
    }

    /// Whether exported commands are still there, the guest answers, and it starts.
    fn look_after(
        &self,
        before: &Before,
        names: &[PackageName],
        taken: &Taken,
    ) -> Result<(Checked, Moved), CommandError> {
        let printer = &self.context().printer;
        let progress = printer.progress();
        let line = progress_of(&progress, self.container(), "looking whether all is well");
        let moved = moved::find(&self.guest, &before.exported, names)?;
        is_as_well(&self.guest.health()?, &before.health)?;
        if !matches!(taken, Taken::Snapshot(_)) {
            return Ok((Checked::AnswersAlone, moved));
        }
        let programs = self.guest.programs()?;
        if !programs.is_empty() {
            return Ok((Checked::Answers(programs), moved));
        }
        // The daemon draws a line of its own.
        drop(line);
        let restart = Change::restart(self.container().as_str(), Options::new()).uncancellable();
        let ended = self.bus.change(&restart)?;
        show_warnings(self.context(), &ended.notices);
        self.context().offer_host(self.container());
        ended.go_on()?;
        let _line = progress_of(&progress, self.container(), "looking whether it has started");
        is_as_well(&self.guest.health_when_booted()?, &before.health)?;
        Ok((Checked::Restarted, moved))
    }

    /// Puts the container back where that can be done and harms nobody; what is to be said then.
    fn go_back(
        &self,
        why: CommandError,
        taken: &Taken,
        wish: Wish<'_>,
        before: &Before,
        log: &mut Log<'_>,
    ) -> CommandError {
        let container = self.container();
        let kind = why.kind;
        let with = |text: String| CommandError { message: format!("{}; {text}", why.message), ..why };
        let Taken::Snapshot(snapshot) = taken else {
            log.note("there is no snapshot to go back to");
            return with(format!(
                "{container} stays as that has left it: there is no snapshot to go back to"
            ));
        };
        let by_hand =
            format!("`snug undo -c {container} --to {snapshot}` puts it back to before the upgrade");
        let programs = self.running(before);
        if !self.may_end(&programs, wish, kind) {
            log.note("it was not put back, since programs run in it");
            return with(format!("{container} was not put back, since that would end {}", listed(&programs)))
                .hint(by_hand);
        }
        let options = Options::new().text("to", Some(snapshot.as_str()).filter(|name| !name.is_empty()));
        // Half a way back is no state to leave it in.
        match self.bus.change(&Change::undo(container.as_str(), options).uncancellable()) {
            Ok(ended) => {
                log.note("it was put back to before the upgrade");
                show_warnings(self.context(), &ended.notices);
                self.start_again();
                let error = with(format!("{container} is as it was before"));
                match ended.kept {
                    None => error.hint("what was changed in it meanwhile is gone: its pool goes back to the latest snapshot alone"),
                    Some(_) => error
                        .hint(format!("`snug undo -c {container}` brings the upgrade back, to look at it")),
                }
            }
            Err(error) => {
                log.note(&format!("it could not be put back: {error}"));
                // What to do about that comes first: by hand it would fail as well.
                let text = format!("{container} could not be put back: {error}");
                with(text).with_hints(error.hints).hint(by_hand)
            }
        }
    }

    /// What going back would end. Of a guest that does not answer it is known what ran before; whoever has come since can only be asked about,
    /// where somebody is there.
    fn running(&self, before: &Before) -> Vec<String> {
        self.guest.programs().unwrap_or_else(|_| {
            let mut known = before.programs.clone();
            let is_up = || {
                self.bus
                    .get(self.container().as_str(), &Options::new())
                    .is_ok_and(|container| container.is_running())
            };
            if known.is_empty() && self.context().printer.can_ask() && is_up() {
                known.push("whatever runs in it, which it does not say".to_owned());
            }
            known
        })
    }

    /// One that ran runs on, also where it did not start with the upgrade.
    fn start_again(&self) {
        let container = self.container();
        let started = if self.was_running {
            entry::ensure(self.context(), self.bus, container.as_str())
        } else {
            Ok(())
        };
        match started {
            Ok(()) => self.context().offer_host(container),
            Err(error) => self.context().printer.warning(&format!("{container} is not started: {error}")),
        }
    }

    /// Whether the container may be stopped although these programs run in it.
    fn may_end(&self, programs: &[String], wish: Wish<'_>, kind: Kind) -> bool {
        if programs.is_empty() || wish.yes {
            return true;
        }
        let printer = &self.context().printer;
        if matches!(kind, Kind::Cancelled(_)) || !printer.can_ask() {
            return false;
        }
        let container = self.container();
        let question = format!(
            "The upgrade of {container} went wrong. Going back to before it stops the container, and ends {}. Go back?",
            listed(programs)
        );
        printer.confirm(&question, true).unwrap_or(false)
    }
}

/// How a container was before its upgrade.
struct Before {
    versions: Vec<Package>,
    exported: Vec<snug_exports::Command>,
    health: Health,
    programs: Vec<String>,
}

fn is_as_well(now: &Health, before: &Health) -> Result<(), CommandError> {
    now.worse_than(before).map_or(Ok(()), |worse| Err(CommandError::failed(worse)))
}

/// An error, with what it is about before it.
fn about(error: CommandError, what: &str) -> CommandError {
    CommandError { message: format!("{what}: {error}"), source: None, ..error }
}

/// Arch upgrades all packages or none.
fn unfit_for_some(error: &snug_packages::Error) -> CommandError {
    let error = failed(error);
    CommandError { kind: Kind::User, ..error }
}
