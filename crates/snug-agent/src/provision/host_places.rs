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
use snug_wire::provision::{Provision, TEMPORARY};

use super::{home, mounts, systemd_cleaners};
use crate::files::entries;
use crate::init::Kind;
use crate::places::Guest;

/// A directory for each runlevel of OpenRC, with a link for each service that it starts.
const OPENRC_RUNLEVELS: &str = "/etc/runlevels";
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
    paths: Vec<PathBuf>,
}

impl Binding {
    fn is_cleaned(&self) -> bool {
        self.paths.iter().any(|path| is_cleaned(path))
    }
}

/// Whether inits clean what is there.
fn is_cleaned(path: &Path) -> bool {
    TEMPORARY.iter().any(|cleaned| path == Path::new(cleaned))
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
            let paths = cleaned.iter().flat_map(|binding| &binding.paths).map(PathBuf::as_path).collect();
            systemd_cleaners::exclude(guest, &paths).and_then(|()| mount_all(&cleaned))
        }
        Kind::None => mount_all(&cleaned),
        // By `make_late`.
        Kind::OpenRc if only_bootmisc_cleans(guest)? => Ok(()),
        Kind::OpenRc => keeps_own("a service of this guest may empty /tmp at any time"),
        Kind::Other => keeps_own("this guest's init may empty /tmp"),
    };
    all.and(cleaned)
}

/// Puts those there that had to wait for the guest's early boot.
///
/// # Errors
/// As [`make`].
pub fn make_late(guest: &Guest, provision: &Provision) -> io::Result<()> {
    if !only_bootmisc_cleans(guest)? {
        return Ok(());
    }
    let (bindings, found) = bindings(guest, provision);
    let cleaned: Vec<Binding> = bindings.into_iter().filter(Binding::is_cleaned).collect();
    found.and(mount_all(&cleaned))
}

/// Whether no other service of OpenRC does, in any runlevel: what is started later would clean what is mounted by then.
fn only_bootmisc_cleans(guest: &Guest) -> io::Result<bool> {
    for level in entries(&guest.path(OPENRC_RUNLEVELS))? {
        let services = entries(&level)?;
        let mut names = services.iter().filter_map(|service| service.file_name());
        if names.any(|name| name.to_string_lossy().contains(OPENRC_CLEANER)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the guest's `/tmp` may be the host's: a guest whose init is not known keeps its own.
pub fn may_share_tmp(provision: &Provision) -> bool {
    provision.places.iter().flat_map(|place| &place.paths).any(|path| path == Path::new(TEMPORARY[0]))
}

/// Each target once: where a guest has one place as a link to another, the first that leads there is it. With the error of
/// the first that is none.
fn bindings(guest: &Guest, provision: &Provision) -> (Vec<Binding>, io::Result<()>) {
    let mut bindings: Vec<Binding> = Vec::new();
    let mut all = Ok(());
    for place in &provision.places {
        for path in &place.paths {
            match directory(guest, path) {
                Ok(target) => match bindings.iter_mut().find(|binding| binding.target == target) {
                    Some(binding) => binding.paths.push(path.clone()),
                    None => {
                        let inside =
                            Path::new("/").join(target.strip_prefix(guest.path("/")).unwrap_or(&target));
                        let source = guest.path(&place.source);
                        bindings.push(Binding { source, target, paths: vec![inside, path.clone()] });
                    }
                },
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
        assert_eq!(bindings[0].paths, ["/var/mnt", "/mnt", "/var/mnt"].map(PathBuf::from));
        // Rules of tmpfiles.d for either spelling reach it.
        assert_eq!(bindings[1].paths, ["/tmp", "/tmp", "/var/tmp"].map(PathBuf::from));
        assert!(error.unwrap_err().to_string().starts_with("/round: "));
    }

    #[test]
    fn a_guest_of_openrc_with_another_cleaner_keeps_its_own_tmp() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        let level = guest.path("/etc/runlevels/default");
        fs::create_dir_all(&level).unwrap();
        fs::write(level.join("bootmisc"), "").unwrap();
        let provision = sharing(&[&["/tmp"]]);
        assert!(make(&guest, &provision, Kind::OpenRc).is_ok());
        fs::write(level.join("systemd-tmpfiles-clean"), "").unwrap();
        make_late(&guest, &provision).unwrap();
        let told = make(&guest, &provision, Kind::OpenRc).unwrap_err();
        assert!(told.to_string().contains("keeps its own"), "{told}");
        assert!(make(&guest, &provision, Kind::Other).is_err());
    }
}
