//! What is recorded in a guest of its packages ([`snug_packages::record`]): read, and written before and after changes.

use std::io::{Seek, Write};

use jiff::Timestamp;
use snug_packages::answer::Asked;
use snug_packages::name::PackageName;
use snug_packages::record::{NEW, Record};

use super::guest::Guest;
use crate::bus::Bus;
use crate::bus::options::Options;
use crate::error::CommandError;

/// What is recorded, and the packages that somebody has asked for; the former is made of the latter where it is missing, and written nowhere.
/// `created` as the daemon says it.
///
/// # Errors
/// The guest cannot be asked.
pub fn look(guest: &Guest<'_>, created: &str) -> Result<(Record, Vec<Asked>), CommandError> {
    let asked = guest.ask(&guest.manager.manager.asked_for())?;
    let record = guest.ask(&Record::read())?.unwrap_or_else(|| Record::of(&asked, seconds(created)));
    Ok((record, asked))
}

/// Since 1970.
fn seconds(created: &str) -> Option<u64> {
    created.parse::<Timestamp>().ok().and_then(|then| u64::try_from(then.as_second()).ok())
}

/// Sees to it that it is there, before packages change. A guest in which it cannot be written goes without.
pub fn begin(guest: &Guest<'_>, bus: &Bus) {
    told(guest, || match guest.ask(&Record::read())? {
        Some(_) => Ok(()),
        None => {
            let created = bus.get(guest.container.as_str(), &Options::new())?.created;
            let asked = guest.ask(&guest.manager.manager.asked_for())?;
            write(guest, &Record::of(&asked, seconds(&created)))
        }
    });
}

/// Takes down which packages came from files.
pub fn installed(guest: &Guest<'_>, from_files: &[PackageName]) {
    if !from_files.is_empty() {
        change(guest, |record| record.add_from_files(from_files));
    }
}

/// Takes down which packages are gone.
pub fn uninstalled(guest: &Guest<'_>, gone: &[PackageName]) {
    change(guest, |record| record.remove(gone));
}

fn change(guest: &Guest<'_>, change: impl FnOnce(&mut Record)) {
    told(guest, || {
        let before = guest.ask(&Record::read())?.unwrap_or_default();
        let mut after = before.clone();
        change(&mut after);
        if after == before { Ok(()) } else { write(guest, &after) }
    });
}

/// A list that names too much is no reason to install nothing.
fn told(guest: &Guest<'_>, done: impl FnOnce() -> Result<(), CommandError>) {
    if let Err(error) = done() {
        let text =
            format!("which packages of {} a list leaves out is not recorded: {error}", guest.container);
        guest.context.printer.detail(&text);
    }
}

fn write(guest: &Guest<'_>, record: &Record) -> Result<(), CommandError> {
    let file = tempfile::tempfile().and_then(|mut file| {
        file.write_all(record.text().as_bytes())?;
        file.rewind()?;
        Ok(file)
    });
    let file =
        file.map_err(|error| CommandError::failed("no temporary file can be made").caused_by(error))?;
    guest.put(file, NEW)?;
    guest.ask(&Record::settle())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_is_none() {
        assert_eq!(seconds("2026-01-01T00:00:00Z"), Some(1_767_225_600));
        for text in ["", "yesterday", "0001-01-01T00:00:00Z"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
