//! Of which package each application is, and in which version that is there.

use std::ffi::OsStr;

use snug_core::name::ContainerName;
use snug_packages::answer::Package;
use snug_packages::name::{GuestPath, PackageName};

use super::guest::Found;
use crate::context::Context;
use crate::error::CommandError;
use crate::packages::guest::Guest;

/// Applications whose owner is asked for, one by one: dpkg looks through all lists of files for each.
const MOST_ASKED: usize = 40;

/// The package of each; `None` where no package has it, or nobody knows: applications work without it.
pub fn of(context: &Context, container: &ContainerName, found: &[Found]) -> Vec<Option<Package>> {
    ask(context, container, found).unwrap_or_else(|error| {
        context
            .printer
            .detail(&format!("{container} does not say of which packages applications are: {error}"));
        found.iter().map(|_| None).collect()
    })
}

fn ask(
    context: &Context,
    container: &ContainerName,
    found: &[Found],
) -> Result<Vec<Option<Package>>, CommandError> {
    let Some(guest) = Guest::detect(context, container)? else {
        return Ok(found.iter().map(|_| None).collect());
    };
    let owner = |(number, found): (usize, &Found)| -> Result<Option<PackageName>, CommandError> {
        let place = GuestPath::new(OsStr::new(&found.path)).ok().filter(|_| number < MOST_ASKED);
        let owners = place.map(|place| guest.ask(&guest.manager.manager.owner(&place))).transpose()?;
        Ok(owners.and_then(|owners| owners.into_iter().next()))
    };
    let owners: Vec<Option<PackageName>> = found.iter().enumerate().map(owner).collect::<Result<_, _>>()?;
    let mut names: Vec<PackageName> = owners.iter().flatten().cloned().collect();
    names.sort();
    names.dedup();
    let there = guest.installed(&names)?;
    let of_name = |name: Option<PackageName>| {
        there.iter().find(|package| Some(&package.name) == name.as_ref()).cloned()
    };
    Ok(owners.into_iter().map(of_name).collect())
}
