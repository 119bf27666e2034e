//! The host's places: `/tmp`, `/media` and so on of the host in the place of the guest's own.
//!
//! The host's `/tmp` holds what is in use there, and the guest's root may remove what is its owner's. So a guest's own
//! cleaning must not get there, which inits do while they boot:
//!
//! | init | `/tmp` and `/var/tmp` |
//! |---|---|
//! | systemd | at once: it finds them mounted, and its cleaners are told not to look there |
//! | OpenRC | after its service `bootmisc`, which empties them |
//! | none | at once |
//! | any other | never: nothing tells what it cleans, and when |

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use snug_wire::provision::{Place, Provision};

use super::{home, mounts, systemd};
use crate::console;
use crate::init::Kind;
use crate::places::Guest;

/// Those that inits clean.
const CLEANED: [&str; 2] = ["/tmp", "/var/tmp"];

/// Puts those there that no init would clean.
///
/// # Errors
/// When one is missing: what lies at its path is then the guest's own.
pub fn make(guest: &Guest, provision: &Provision, init: Kind) -> io::Result<()> {
    let (cleaned, others): (Vec<&Place>, Vec<&Place>) = provision.places.iter().partition(is_cleaned);
    let others = mount_all(guest, others);
    if cleaned.is_empty() {
        return others;
    }
    let cleaned = match init {
        Kind::Systemd => {
            systemd::keep_from_cleaning(guest, &paths(&cleaned)).and_then(|()| mount_all(guest, cleaned))
        }
        Kind::None => mount_all(guest, cleaned),
        // By `make_late`.
        Kind::OpenRc => Ok(()),
        Kind::Other => Err(io::Error::other("this guest's init may empty /tmp: it keeps its own")),
    };
    others.and(cleaned)
}

/// Puts those there that had to wait for the guest's early boot.
pub fn make_late(guest: &Guest, provision: &Provision) {
    if let Err(error) = mount_all(guest, provision.places.iter().filter(is_cleaned)) {
        console::say(format_args!("the host's places: {error}"));
    }
}

/// Whether the guest's `/tmp` is the host's.
pub fn include_tmp(provision: &Provision) -> bool {
    provision.places.iter().any(|place| is_cleaned(&place))
}

fn is_cleaned(place: &&Place) -> bool {
    place.paths.iter().any(|path| CLEANED.iter().any(|cleaned| path == Path::new(cleaned)))
}

fn paths(places: &[&Place]) -> Vec<PathBuf> {
    places.iter().flat_map(|place| place.paths.clone()).collect()
}

/// All that can be; the error of the first that cannot.
fn mount_all<'a>(guest: &Guest, places: impl IntoIterator<Item = &'a Place>) -> io::Result<()> {
    let mut all = Ok(());
    for place in places {
        let source = guest.path(&place.source);
        for path in &place.paths {
            let mounted = mount_one(&source, &guest.path(path));
            all = all.and(mounted.map_err(|error| io::Error::other(format!("{}: {error}", path.display()))));
        }
    }
    all
}

/// Where it is already, perhaps by way of another path, nothing is done.
fn mount_one(source: &Path, target: &Path) -> io::Result<()> {
    fs::create_dir_all(target)?;
    if home::same_directory(source, target) {
        return Ok(());
    }
    mounts::bind_all(source, target)
}
