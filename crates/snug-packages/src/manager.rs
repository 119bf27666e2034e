//! What every row of the table can be asked for, and which row a guest has.

use std::path::PathBuf;

use crate::answer::{Asked, Change, ChangeKind, Found, Meaning, Package, Provided};
use crate::command::{Action, Ask, Do, Environment, Nothing, Query, SHELL};
use crate::error::{Error, Result};
use crate::name::{
    Capability, CommandName, GuestPath, LocalFile, NameRule, PackageName, Request, Term, escaped,
};
use crate::read::lines;
use crate::stage::Format;
use crate::table;

/// The rows, in the order in which a guest is asked for them: `/usr/bin/dnf` is a link to dnf5 where that is there, so it comes first.
pub const MANAGERS: [&Manager; 6] =
    [&table::APT, &table::DNF5, &table::DNF, &table::ZYPPER, &table::PACMAN, &table::APK];

/// A package manager: a row of the table.
#[derive(Debug)]
pub struct Manager {
    /// What it is called, here and by people.
    pub name: &'static str,
    /// By which program it is known, and where that may be.
    pub programs: &'static [&'static str],
    /// `ID` and `ID_LIKE` of os-release(5) that hint at it.
    pub(crate) families: &'static [&'static str],
    /// What is said to all of its programs.
    pub(crate) environment: Environment,
    /// How its progress looks.
    pub(crate) format: Format,
    /// Which names it can be asked for.
    pub(crate) names: NameRule,
    /// What stands between a name and a version; `None` where there is but one version.
    pub(crate) version_after: Option<&'static str>,
    /// How its package files' names end. `*` stands for one word.
    pub(crate) file_endings: &'static [&'static str],
    pub(crate) refresh: Refresh,
    pub(crate) refreshed: Ask<Option<u64>>,
    pub(crate) install: Do,
    pub(crate) install_files: Do,
    pub(crate) preview_removal: Ask<Vec<Change>>,
    pub(crate) removal: Removal,
    pub(crate) upgrades: Ask<Vec<Change>>,
    /// In place of that one where the distribution has no releases.
    pub(crate) upgrades_rolling: Option<Ask<Vec<Change>>>,
    pub(crate) upgrade_all: Do,
    /// In place of that one where the distribution has no releases.
    pub(crate) upgrade_rolling: Option<Do>,
    /// `None` where one package alone must not be upgraded.
    pub(crate) upgrade_named: Option<Do>,
    /// `None` where nothing is known that finishes what was interrupted.
    pub(crate) unfinished: Option<Unfinished>,
    pub(crate) search: Ask<Vec<Found>>,
    pub(crate) term: TermIs,
    pub(crate) available: Ask<Vec<Found>>,
    pub(crate) meaning: Ask<Meaning>,
    pub(crate) provides: Ask<Vec<Found>>,
    pub(crate) command: TermIs,
    pub(crate) index: Option<Index>,
    pub(crate) commands: Ask<Vec<Provided>>,
    pub(crate) files: Ask<Vec<PathBuf>>,
    pub(crate) owner: Ask<Vec<PackageName>>,
    pub(crate) paths: PathIs,
    pub(crate) dependencies: Ask<Vec<Capability>>,
    pub(crate) providers: Ask<Vec<PackageName>>,
    /// `None` where that one knows what packages provide beside their names.
    pub(crate) provided: Option<Ask<Vec<PackageName>>>,
    pub(crate) installed: Ask<Vec<Package>>,
    pub(crate) identify: Ask<Vec<Package>>,
    pub(crate) asked_for: Ask<Vec<Asked>>,
}

/// How the metadata are renewed.
#[derive(Debug)]
pub(crate) enum Refresh {
    /// By a command.
    Alone(Do),
    /// Only together with an upgrade of everything, since packages of new metadata may not fit old ones: this installs.
    WithUpgrade(Do),
}

/// What is removed.
#[derive(Debug)]
pub(crate) enum Removal {
    /// The program finds out itself which dependencies only these needed.
    ByItself(Do),
    /// It would take along what nobody had needed before: so it is told all names. First the question what that is.
    Listed(Ask<Vec<Change>>, Do),
}

/// What a term is for the program.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TermIs {
    Text,
    Regex,
}

impl TermIs {
    fn word(self, text: &str) -> String {
        match self {
            Self::Text => text.to_owned(),
            Self::Regex => escaped(text),
        }
    }
}

/// What a path is for the program.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PathIs {
    Path,
    DpkgPattern,
}

/// A change that was interrupted: what it has left half done, and what finishes it.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub(crate) packages: Ask<Option<Vec<PackageName>>>,
    pub(crate) finish: Do,
}

/// What [`Manager::provides`] needs besides the metadata.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) refresh: Do,
    pub(crate) refreshed: Ask<Option<u64>>,
    /// It has a place and a lock of its own.
    pub(crate) apart: bool,
}

/// Which manager a guest has.
#[derive(Debug, Clone, Copy)]
pub struct Guest {
    /// Its row.
    pub manager: &'static Manager,
    /// Whether its distribution has no releases: then an upgrade goes to whatever is newest (`zypper dist-upgrade`).
    pub rolling: bool,
}

impl PartialEq for Manager {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Manager {}

impl Guest {
    /// What is to be run in a guest to learn which manager it has. The answer is `None` for a guest without one that is known.
    pub fn detection() -> Query<Option<Self>> {
        static DETECTION: Ask<Option<Guest>> = Ask {
            argv: &[
                SHELL,
                "-c",
                r#"for f; do [ -x "$f" ] && printf '%s\n' "$f"; done
for f in /etc/os-release /usr/lib/os-release; do [ -r "$f" ] && cat "$f" && break; done
exit 0"#,
                "sh",
                "{}",
            ],
            as_root: false,
            nothing: Nothing::Never,
            read: |output| {
                let lines: Vec<&str> =
                    lines(output).take(1000).filter_map(|line| std::str::from_utf8(line).ok()).collect();
                Guest::detect(|program| lines.contains(&program), &lines.join("\n"))
            },
        };
        let programs: Vec<&str> = MANAGERS.iter().flat_map(|manager| manager.programs).copied().collect();
        DETECTION.about(&programs, &[("LC_ALL", "C.UTF-8")])
    }

    /// Which manager there is, by its programs. Where several are there (Fedora has apt, Debian has dnf as a package), that of the
    /// distribution's family (os-release(5)); where that does not help, the first.
    pub fn detect(exists: impl Fn(&str) -> bool, os_release: &str) -> Option<Self> {
        let field = |key: &str| {
            let lines = os_release.lines();
            let value =
                lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).next().unwrap_or_default();
            value.trim_matches(['"', '\'']).to_owned()
        };
        let (id, like) = (field("ID"), field("ID_LIKE"));
        let there =
            || MANAGERS.into_iter().filter(|manager| manager.programs.iter().any(|program| exists(program)));
        let is_family = |name: &str| there().find(|manager| manager.families.contains(&name));
        let manager =
            is_family(&id).or_else(|| like.split(' ').find_map(is_family)).or_else(|| there().next())?;
        Some(Self { manager, rolling: table::ROLLING.contains(&&*id) })
    }

    /// Which packages have a newer version: what [`Guest::upgrade`] of all of them would do.
    pub fn upgrades(&self) -> Query<Vec<Change>> {
        let rolling = self.manager.upgrades_rolling.as_ref().filter(|_| self.rolling);
        rolling.unwrap_or(&self.manager.upgrades).about::<&str>(&[], self.manager.environment)
    }

    /// Upgrades these packages, or all where none is named. An upgrade installs what new versions need, and removes nothing.
    ///
    /// # Errors
    /// [`Error::WholeUpgrade`], where one package alone must not be upgraded.
    pub fn upgrade(&self, names: &[PackageName]) -> Result<Action> {
        let manager = self.manager;
        let change = match (names, &manager.upgrade_named, &manager.upgrade_rolling) {
            ([], _, Some(rolling)) if self.rolling => rolling,
            ([], ..) => &manager.upgrade_all,
            (_, Some(named), _) => named,
            (_, None, _) => return Err(Error::WholeUpgrade { manager: manager.name }),
        };
        Ok(change.with(names, (manager.environment, manager.format)))
    }
}

/// What a removal takes away, the named ones first: of `preview` all but what was among `orphans` before, which is not this removal's.
pub fn going(names: &[PackageName], preview: &[Change], orphans: &[Change]) -> Vec<PackageName> {
    let mut all = names.to_vec();
    for change in preview {
        let was_orphan = orphans.iter().any(|orphan| orphan.name == change.name);
        if change.kind == ChangeKind::Remove && !was_orphan && !all.contains(&change.name) {
            all.push(change.name.clone());
        }
    }
    all
}

impl Manager {
    /// The row with this name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        MANAGERS.into_iter().find(|manager| manager.name == name)
    }

    fn row(&self) -> (Environment, Format) {
        (self.environment, self.format)
    }

    /// Renews the metadata. `None` for pacman: there it goes with an upgrade of everything ([`Manager::install`] with `fresh`).
    pub fn refresh(&self) -> Option<Action> {
        match &self.refresh {
            Refresh::Alone(refresh) => Some(refresh.with::<&str>(&[], self.row())),
            Refresh::WithUpgrade(_) => None,
        }
    }

    /// When the metadata were last renewed, in seconds since 1970; `None` where there are none, as in images that were stripped.
    pub fn refreshed(&self) -> Query<Option<u64>> {
        self.refreshed.about::<&str>(&[], self.environment)
    }

    /// Installs packages: actions that are to be carried out one after another. With `fresh` the metadata are renewed before; for pacman
    /// everything else is upgraded too. Nothing is removed for it. None for no request.
    ///
    /// A package that does not exist fails the whole; [`Manager::available`] tells which one it was.
    pub fn install(&self, requests: &[Request], fresh: bool) -> Vec<Action> {
        if requests.is_empty() {
            return Vec::new();
        }
        let word = |request: &Request| match (&request.version, self.version_after) {
            (Some(version), Some(between)) => format!("{}{between}{version}", request.name),
            _ => request.name.to_string(),
        };
        let words: Vec<String> = requests.iter().map(word).collect();
        match &self.refresh {
            Refresh::WithUpgrade(install) if fresh => vec![install.with(&words, self.row())],
            _ => self
                .refresh()
                .filter(|_| fresh)
                .into_iter()
                .chain([self.install.with(&words, self.row())])
                .collect(),
        }
    }

    /// Installs package files, with what they need from the repositories. By itself: nobody has signed a file, and what lets it in must not
    /// let in others (`apk --allow-untrusted` does).
    pub fn install_files(&self, files: &[LocalFile]) -> Action {
        self.install_files.with(files, self.row())
    }

    /// What a removal of these packages would remove: they, what needs them, and what only they needed.
    pub fn preview_removal(&self, names: &[PackageName]) -> Query<Vec<Change>> {
        self.preview_removal.about(names, self.environment)
    }

    /// What nobody needs already, before a removal; `None` where the program never takes that along.
    pub fn orphans(&self) -> Option<Query<Vec<Change>>> {
        match &self.removal {
            Removal::ByItself(_) => None,
            Removal::Listed(orphans, _) => Some(orphans.about::<&str>(&[], self.environment)),
        }
    }

    /// Removes these packages, and what only they needed: of `preview` ([`Manager::preview_removal`]) all but what was among `orphans`
    /// before ([`Manager::orphans`]), which is not this removal's. Configuration that somebody changed stays.
    ///
    /// Whoever asks people shows `preview` first: apt, dnf and zypper take along what needs these packages; pacman and apk then refuse.
    /// A name that is not installed is no error for apt and dnf: ask [`Manager::installed`].
    pub fn remove(&self, names: &[PackageName], preview: &[Change], orphans: &[Change]) -> Action {
        let removal = match &self.removal {
            Removal::ByItself(removal) => return removal.with(names, self.row()),
            Removal::Listed(_, removal) => removal,
        };
        removal.with(&going(names, preview, orphans), self.row())
    }

    /// Which packages an interrupted change has left half done, perhaps none that is known by name; the answer is `None` where all is done. No
    /// question for managers of which nothing is known that finishes it ([`Manager::finish`]).
    pub fn unfinished(&self) -> Option<Query<Option<Vec<PackageName>>>> {
        self.unfinished.as_ref().map(|unfinished| unfinished.packages.about::<&str>(&[], self.environment))
    }

    /// Finishes what was interrupted; removes nothing for it.
    pub fn finish(&self) -> Option<Action> {
        self.unfinished.as_ref().map(|unfinished| unfinished.finish.with::<&str>(&[], self.row()))
    }

    /// Packages whose name or summary has this in it.
    pub fn search(&self, term: &Term) -> Query<Vec<Found>> {
        self.search.about(&[self.term.word(term.as_str())], self.environment)
    }

    /// Which of these names a repository has.
    pub fn available(&self, names: &[PackageName]) -> Query<Vec<Found>> {
        self.available.about(names, self.environment)
    }

    /// What it makes of a word that [`Manager::available`] does not know: `libc6:i386`, `glibc.i686`, what packages provide, a group.
    pub fn meaning(&self, word: &PackageName) -> Query<Meaning> {
        self.meaning.about(&[word], self.environment)
    }

    /// Which packages have this command, installed or not. apt and pacman need an index for it: [`Manager::refresh_index`].
    pub fn provides(&self, command: &CommandName) -> Query<Vec<Found>> {
        self.provides.about(&[self.command.word(command.as_str())], self.environment)
    }

    /// Fetches what [`Manager::provides`] looks into; `None` where that is in the metadata.
    pub fn refresh_index(&self) -> Option<Action> {
        self.index.as_ref().map(|index| index.refresh.with::<&str>(&[], self.row()))
    }

    /// Whether that may be fetched while packages are changed: it has a place and a lock of its own.
    pub fn has_index_apart(&self) -> bool {
        self.index.as_ref().is_some_and(|index| index.apart)
    }

    /// As [`Manager::refreshed`], for that index.
    pub fn index_refreshed(&self) -> Option<Query<Option<u64>>> {
        self.index.as_ref().map(|index| index.refreshed.about::<&str>(&[], self.environment))
    }

    /// All commands that the repositories' packages have, and those by which they are better known. What [`Manager::refresh_index`] fetches is
    /// looked into as for [`Manager::provides`]; without it apt and pacman know none.
    pub fn commands(&self) -> Query<Vec<Provided>> {
        self.commands.about::<&str>(&[], self.environment)
    }

    /// The files of an installed package; empty for one that is not installed. Directories may be among them.
    pub fn files(&self, name: &PackageName) -> Query<Vec<PathBuf>> {
        self.files.about(&[name], self.environment)
    }

    /// Which installed packages own a path.
    pub fn owner(&self, path: &GuestPath) -> Query<Vec<PackageName>> {
        let words = match self.paths {
            PathIs::Path => path.plain(),
            PathIs::DpkgPattern => path.patterns(),
        };
        self.owner.about(&words, self.environment)
    }

    /// What an installed package needs; of alternatives all. [`Manager::providers`] says which packages that is.
    pub fn dependencies(&self, name: &PackageName) -> Query<Vec<Capability>> {
        self.dependencies.about(&[name], self.environment)
    }

    /// Which installed packages provide these; the one that needs them may be among them. `None` for no capability.
    pub fn providers(&self, capabilities: &[Capability]) -> Option<Query<Vec<PackageName>>> {
        (!capabilities.is_empty()).then(|| self.providers.about(capabilities, self.environment))
    }

    /// Which installed packages provide this word, which is no package's name ([`Manager::installed`] has none).
    pub fn provided(&self, word: &PackageName) -> Query<Vec<PackageName>> {
        self.provided.as_ref().unwrap_or(&self.providers).about(&[word], self.environment)
    }

    /// Which of these packages are installed, in which version.
    pub fn installed(&self, names: &[PackageName]) -> Query<Vec<Package>> {
        self.installed.about(names, self.environment)
    }

    /// The packages that somebody has asked for, and those of the image, which are as if somebody had: when each was installed tells them
    /// apart, where the manager keeps that.
    pub fn asked_for(&self) -> Query<Vec<Asked>> {
        self.asked_for.about::<&str>(&[], self.environment)
    }

    /// Which package is in a file.
    pub fn identify(&self, file: &LocalFile) -> Query<Vec<Package>> {
        self.identify.about(&[file], self.environment)
    }
}

#[cfg(test)]
mod tests;
