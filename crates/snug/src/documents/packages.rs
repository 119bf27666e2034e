//! Of which package each exported command is, and in which version that is there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use snug_exports::Command;
use snug_exports::documents::About;
use snug_packages::answer::Package;
use snug_packages::name::{GuestPath, PackageName};

use crate::context::Context;
use crate::error::CommandError;
use crate::packages::guest::Guest;

/// Packages of paths, by what has just brought them.
pub type Known = BTreeMap<String, PackageName>;

/// Paths whose owner is asked for, one by one: dpkg looks through all lists of files for each.
const MOST_ASKED: usize = 40;

/// The package of each command; `None` where no package has it, or nobody knows.
///
/// # Errors
/// The guest cannot be asked.
pub fn of_commands(
    context: &Context,
    guest: Option<&Guest<'_>>,
    commands: &[Command],
    recorded: &[Option<About>],
    known: &Known,
) -> Result<Vec<Option<Package>>, CommandError> {
    let Some(guest) = guest else { return Ok(commands.iter().map(|_| None).collect()) };
    let manager = guest.manager.manager;
    let before = |command: &Command, recorded: &Option<About>| {
        let recorded = || manager.package(recorded.as_ref()?.package.as_deref()?).ok();
        known.get(&command.path).cloned().or_else(recorded)
    };
    let mut names: Vec<Option<PackageName>> =
        commands.iter().zip(recorded).map(|(command, recorded)| before(command, recorded)).collect();
    let mut there = guest.installed(&distinct(&names))?;
    let mut files: BTreeMap<PackageName, Vec<PathBuf>> = BTreeMap::new();
    let mut asked = 0;
    for ((command, name), recorded) in commands.iter().zip(&mut names).zip(recorded) {
        let package = name.as_ref().and_then(|name| there.iter().find(|package| package.name == *name));
        if let Some(package) = package {
            let is_as_recorded =
                recorded.as_ref().is_some_and(|about| about.version.as_deref() == Some(&package.version));
            let mut has_it = || {
                let own = files.entry(package.name.clone()).or_insert_with(|| guest.files(&package.name));
                own.iter().any(|file| is_same(file, Path::new(&command.path)))
            };
            if is_as_recorded || known.contains_key(&command.path) || has_it() {
                continue;
            }
        }
        if asked == MOST_ASKED {
            context.printer.detail(&format!("of which package {} is was not asked", command.path));
            continue;
        }
        asked += 1;
        let place = GuestPath::new(OsStr::new(&command.path)).ok();
        let owners = place.map(|place| guest.ask(&manager.owner(&place))).transpose()?.unwrap_or_default();
        match owners.into_iter().next() {
            Some(owner) => *name = Some(owner),
            // An alternative's link is no package's own, so that which brought it is kept.
            None if package.is_some() => {}
            None => *name = None,
        }
    }
    let missing: Vec<PackageName> = distinct(&names)
        .into_iter()
        .filter(|name| !there.iter().any(|package| package.name == *name))
        .collect();
    there.extend(guest.installed(&missing)?);
    let of_name = |name: Option<PackageName>| {
        there.iter().find(|package| Some(&package.name) == name.as_ref()).cloned()
    };
    Ok(names.into_iter().map(of_name).collect())
}

fn distinct(names: &[Option<PackageName>]) -> Vec<PackageName> {
    let mut all: Vec<PackageName> = names.iter().flatten().cloned().collect();
    all.sort();
    all.dedup();
    all
}

/// Where `/bin` is a link to `/usr/bin`, packages may have a file by either.
fn is_same(one: &Path, other: &Path) -> bool {
    let plain = |path: &Path| {
        Path::new("/").join(path.strip_prefix("/usr").or_else(|_| path.strip_prefix("/")).unwrap_or(path))
    };
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_same_in_both_places_of_a_merged_system() {
        let same = |one: &str, other: &str| is_same(Path::new(one), Path::new(other));
        assert!(
            same("/bin/ls", "/usr/bin/ls")
                && same("/usr/bin/ls", "/usr/bin/ls")
                && same("/usr/sbin/x", "/sbin/x")
        );
        assert!(!same("/bin/ls", "/usr/local/bin/ls") && !same("/bin/ls", "/bin/lsx"));
    }
}
