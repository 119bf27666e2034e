//! The host's places: `/tmp`, `/media` and so on of the host in the place of the guest's own.
//!
//! The host's `/tmp` holds what is in use there, and the guest's root may remove what is its owner's. So a guest's own
//! cleaning must not get there, which inits do while they boot:
//!
//! | init | `/tmp` and `/var/tmp` |
//! |---|---|
//! | systemd | at once: it finds them mounted, and its cleaners are told not to look there |
//! | OpenRC | after its service `bootmisc`, which empties them; never where another one may |
//! | none | at once |
//! | any other | never: nothing tells what it cleans, and when |

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use snug_wire::provision::Provision;

use super::{home, mounts, systemd};
use crate::console;
use crate::init::Kind;
use crate::places::Guest;

/// Those that inits clean.
const CLEANED: [&str; 2] = ["/tmp", "/var/tmp"];

/// Runlevels of OpenRC before a guest has booted.
const OPENRC_BOOT: [&str; 2] = ["/etc/runlevels/sysinit", "/etc/runlevels/boot"];
/// In the names of services that apply tmpfiles.d(5): `systemd-tmpfiles-setup` (Gentoo), `tmpfiles-setup` (Artix).
const OPENRC_CLEANER: &str = "tmpfiles";

/// Links that are followed to a place; the kernel's own bound (path_resolution(7)).
const LINKS: usize = 40;

/// A place's directory as the guest has it, and where it shall be in the guest.
struct Binding {
    source: PathBuf,
    /// Where it shall be, without links.
    target: PathBuf,
    /// The guest's paths for it.
    paths: [PathBuf; 2],
}

impl Binding {
    fn is_cleaned(&self) -> bool {
        self.paths.iter().any(|path| CLEANED.iter().any(|cleaned| path == Path::new(cleaned)))
    }
}

/// Puts those there that no init would clean.
///
/// # Errors
/// When one is missing: what lies at its path is then the guest's own.
pub fn make(guest: &Guest, provision: &Provision, init: Kind) -> io::Result<()> {
    let (bindings, found) = bindings(guest, provision);
    let (cleaned, others): (Vec<Binding>, Vec<Binding>) = bindings.into_iter().partition(Binding::is_cleaned);
    let all = found.and(mount_all(&others));
    if cleaned.is_empty() {
        return all;
    }
    let keeps_own = |why: &str| Err(io::Error::other(format!("{why}: it keeps its own")));
    let cleaned = match init {
        Kind::Systemd => {
            let paths: Vec<&Path> =
                cleaned.iter().flat_map(|binding| binding.paths.iter().map(PathBuf::as_path)).collect();
            systemd::keep_from_cleaning(guest, &paths).and_then(|()| mount_all(&cleaned))
        }
        Kind::None => mount_all(&cleaned),
        Kind::OpenRc if !openrc_waits(guest) => {
            keeps_own("a service of this guest may empty /tmp at any time")
        }
        // By `make_late`.
        Kind::OpenRc => Ok(()),
        Kind::Other => keeps_own("this guest's init may empty /tmp"),
    };
    all.and(cleaned)
}

/// Puts those there that had to wait for the guest's early boot.
pub fn make_late(guest: &Guest, provision: &Provision) {
    if !openrc_waits(guest) {
        return;
    }
    let (bindings, found) = bindings(guest, provision);
    let cleaned: Vec<Binding> = bindings.into_iter().filter(Binding::is_cleaned).collect();
    if let Err(error) = found.and(mount_all(&cleaned)) {
        console::say(format_args!("the host's places: {error}"));
    }
}

/// Whether `bootmisc` is the last that empties them.
fn openrc_waits(guest: &Guest) -> bool {
    let is_cleaner = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_name().to_string_lossy().contains(OPENRC_CLEANER))
    };
    !OPENRC_BOOT
        .iter()
        .any(|level| fs::read_dir(guest.path(level)).is_ok_and(|mut entries| entries.any(is_cleaner)))
}

/// Whether the guest's `/tmp` is the host's.
pub fn include_tmp(provision: &Provision) -> bool {
    let mut paths = provision.places.iter().flat_map(|place| &place.paths);
    paths.any(|path| CLEANED.iter().any(|cleaned| path == Path::new(cleaned)))
}

/// Each target once: where a guest has one place as a link to another, the first that leads there is it. With the error of
/// the first that is none.
fn bindings(guest: &Guest, provision: &Provision) -> (Vec<Binding>, io::Result<()>) {
    let mut bindings: Vec<Binding> = Vec::new();
    let mut all = Ok(());
    for place in &provision.places {
        for path in &place.paths {
            match directory(guest, path) {
                Ok(target) if bindings.iter().any(|binding| binding.target == target) => {}
                Ok(target) => {
                    let inside = Path::new("/").join(target.strip_prefix(guest.path("/")).unwrap_or(&target));
                    let source = guest.path(&place.source);
                    bindings.push(Binding { source, target, paths: [path.clone(), inside] });
                }
                Err(error) => {
                    all = all.and(Err(io::Error::other(format!("{}: {error}", path.display()))));
                }
            }
        }
    }
    (bindings, all)
}

/// The directory that `path` leads to in the guest, made where it is missing: images have links that lead to what their init
/// makes later (`/mnt` → `var/mnt`).
fn directory(guest: &Guest, path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let here = guest.path(&path);
        match fs::read_link(&here) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("/")).join(link),
            Err(_) => {
                fs::create_dir_all(&here)?;
                return fs::canonicalize(here);
            }
        }
    }
    Err(Errno::LOOP.into())
}

/// All that can be; the error of the first that cannot.
fn mount_all(bindings: &[Binding]) -> io::Result<()> {
    let mut all = Ok(());
    for Binding { source, target, .. } in bindings {
        let mounted = mount_one(source, target);
        all = all.and(mounted.map_err(|error| io::Error::other(format!("{}: {error}", target.display()))));
    }
    all
}

/// Where it is already, perhaps by way of another path, nothing is done.
fn mount_one(source: &Path, target: &Path) -> io::Result<()> {
    if home::same_directory(source, target) {
        return Ok(());
    }
    mounts::bind_all(source, target)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use snug_wire::provision::Place;

    use super::*;

    fn sharing(places: &[&[&str]]) -> Provision {
        let mut provision = crate::provision::tests::provision();
        provision.places = places
            .iter()
            .map(|paths| Place {
                source: "/.snug/places/x".into(),
                paths: paths.iter().map(PathBuf::from).collect(),
            })
            .collect();
        provision
    }

    #[test]
    fn links_of_the_guest_are_followed_to_what_is_made_later_and_to_one_directory_once() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(&directory.path().canonicalize().unwrap());
        symlink("var/mnt", guest.path("/mnt")).unwrap();
        fs::create_dir_all(guest.path("/var")).unwrap();
        symlink("../tmp", guest.path("/var/tmp")).unwrap();
        symlink("round", guest.path("/round")).unwrap();
        let provision = sharing(&[&["/mnt", "/var/mnt"], &["/tmp"], &["/var/tmp"], &["/round"], &["/srv"]]);
        let (bindings, error) = bindings(&guest, &provision);
        let targets: Vec<&Path> = bindings.iter().map(|binding| binding.target.as_path()).collect();
        assert_eq!(targets, [guest.path("/var/mnt"), guest.path("/tmp"), guest.path("/srv")]);
        assert!(targets.iter().all(|target| target.is_dir()));
        assert_eq!(bindings[0].paths, [PathBuf::from("/mnt"), PathBuf::from("/var/mnt")]);
        assert!(error.unwrap_err().to_string().starts_with("/round: "));
    }

    #[test]
    fn a_guest_of_openrc_with_another_cleaner_keeps_its_own_tmp() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        let boot = guest.path("/etc/runlevels/boot");
        fs::create_dir_all(&boot).unwrap();
        let provision = sharing(&[&["/tmp"]]);
        assert!(make(&guest, &provision, Kind::OpenRc).is_ok());
        fs::write(boot.join("systemd-tmpfiles-setup"), "").unwrap();
        let told = make(&guest, &provision, Kind::OpenRc).unwrap_err();
        assert!(told.to_string().contains("keeps its own"), "{told}");
        assert!(make(&guest, &provision, Kind::Other).is_err());
    }
}
