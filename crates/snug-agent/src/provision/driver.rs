//! The files of the host's graphics driver, where the guest's linker and its programs look for them (`snug_wire::driver`).

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use snug_wire::driver::{CURRENT, DIRECTORY, FILES, LIBRARIES, PLACES};

use super::guest_program;
use crate::files::{read_text, remove_if_there, replace};
use crate::places::{Guest, Places};

/// For the linker's cache (ldconfig(8)); the first of its directory, since the guest's own driver, if it has one, is not that of the
/// kernel.
const CONFIGURATION: &str = "/etc/ld.so.conf.d/00-snug-driver.conf";
/// Its program, where the guest has glibc.
const LDCONFIG: [&str; 2] = ["/sbin/ldconfig", "/usr/sbin/ldconfig"];

/// How long it is waited for at a start, since the first command needs what it does: less than the daemon waits for a silent agent.
pub const AT_START: Duration = Duration::from_secs(5);
/// The same while the guest runs: less than the daemon waits for an answer.
pub const LATER: Duration = Duration::from_secs(3);

/// Makes links to what the host has and the guest does not, removes those to what is gone, and tells the linker where libraries are.
/// Its cache is for [`update`].
pub fn link(guest: &Guest, places: &Places) -> io::Result<()> {
    let mut first = Ok(());
    for place in PLACES {
        first = first.and(link_in(guest, place));
    }
    first.and(configure(guest, places))
}

/// In one directory of the guest; goes on after an error and answers the first.
fn link_in(guest: &Guest, place: &str) -> io::Result<()> {
    let mut first = Ok(());
    let meant = Path::new(DIRECTORY).join(CURRENT).join(FILES).join(&place[1..]);
    let own = guest.path(place);
    let there = names(&guest.path(&meant))?;
    if !there.is_empty() {
        fs::create_dir_all(&own)?;
    }
    for name in &there {
        let made = std::os::unix::fs::symlink(meant.join(name), own.join(name));
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => first = first.and(Err(error)),
            // What the guest has itself stays.
            _ => {}
        }
    }
    // The directory stays, even an empty one: it may be the guest's own.
    for name in names(&own)? {
        let path = own.join(&name);
        if !there.contains(&name) && fs::read_link(&path).is_ok_and(|to| to == meant.join(&name)) {
            first = first.and(fs::remove_file(&path));
        }
    }
    first
}

/// What is in a directory; nothing in one that is not there.
fn names(directory: &Path) -> io::Result<HashSet<OsString>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(HashSet::new())
        }
        Err(error) => Err(error),
    }
}

/// The text names the generation: it is another one when the cache has to be made again.
fn configure(guest: &Guest, places: &Places) -> io::Result<()> {
    let file = guest.path(CONFIGURATION);
    let generation = fs::read_link(guest.path(DIRECTORY).join(CURRENT)).ok();
    let wanted = generation.filter(|_| file.parent().is_some_and(Path::is_dir)).map(|generation| {
        let [wide, narrow] = LIBRARIES.map(|name| format!("{DIRECTORY}/{CURRENT}/{name}"));
        format!(
            "# Written by Snug for the host's graphics driver ({}).\n{wide}\n{narrow}\n",
            generation.display()
        )
    });
    match wanted {
        Some(text) if read_text(&file).is_ok_and(|present| present == text) => return Ok(()),
        Some(text) => replace(&file, text.as_bytes(), 0o644)?,
        None if !remove_if_there(&file)? => return Ok(()),
        None => {}
    }
    fs::create_dir_all(&places.state)?;
    fs::write(places.driver_changed(), "")
}

/// Has the guest's linker look for libraries again if the driver is another one, and waits for that. Without the linker's program,
/// or when the time is over, it goes on.
pub fn update(guest: &Guest, places: &Places, patience: Duration) -> io::Result<()> {
    let started = guest_program::start_if_changed(guest, places, &places.driver_changed(), &LDCONFIG)?;
    let Some(child) = started else { return Ok(()) };
    let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
    poll(&mut [PollFd::new(&child.pidfd, PollFlags::IN)], Some(&patience))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::tests::guest;

    const GENERATION: &str = "/.snug/driver/0a";

    fn with_driver(files: &[&str]) -> (tempfile::TempDir, Guest, Places) {
        let (directory, guest) = guest(&["/etc/ld.so.conf.d", "/usr/local/bin", GENERATION]);
        std::os::unix::fs::symlink("0a", guest.path(DIRECTORY).join(CURRENT)).unwrap();
        for file in files {
            let path = guest.path(GENERATION).join(FILES).join(&file[1..]);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let places = Places { run: directory.path().join("run"), state: directory.path().join("state") };
        (directory, guest, places)
    }

    const ICD: &str = "/etc/vulkan/icd.d/nvidia_icd.json";
    const SMI: &str = "/usr/local/bin/nvidia-smi";
    const VENDOR: &str = "/etc/glvnd/egl_vendor.d/10_nvidia.json";

    #[test]
    fn what_the_guest_lacks_is_linked_and_what_it_has_stays() {
        let own = "/usr/local/bin/own";
        let (_directory, guest, places) = with_driver(&[ICD, SMI, own, VENDOR]);
        let empty = guest.path(Path::new(VENDOR).parent().unwrap());
        fs::create_dir_all(&empty).unwrap();
        fs::write(guest.path(own), "the guest's").unwrap();
        let target = |path: &str| fs::read_link(guest.path(path)).ok();
        for _ in 0..2 {
            link(&guest, &places).unwrap();
        }
        assert_eq!(target(SMI), Some(format!("/.snug/driver/current/files{SMI}").into()));
        assert!(target(ICD).is_some() && target(VENDOR).is_some() && target(own).is_none());
        // The host has no driver any more, and the grant is gone with the next start.
        fs::remove_dir_all(guest.path(DIRECTORY)).unwrap();
        std::os::unix::fs::symlink("/elsewhere", guest.path("/usr/local/bin/other")).unwrap();
        link(&guest, &places).unwrap();
        assert!(target(SMI).is_none() && target("/usr/local/bin/other").is_some());
        assert!(empty.is_dir() && fs::read_dir(&empty).unwrap().next().is_none(), "the guest's, if empty");
        assert_eq!(read_text(&guest.path(own)).unwrap(), "the guest's");
    }

    #[test]
    fn the_linker_is_told_once_of_each_driver() {
        let (_directory, guest, places) = with_driver(&[]);
        let changed = || fs::remove_file(places.driver_changed()).is_ok();
        let text = || read_text(&guest.path(CONFIGURATION)).unwrap_or_default();
        link(&guest, &places).unwrap();
        assert!(changed() && text().contains("\n/.snug/driver/current/lib\n/.snug/driver/current/lib32\n"));
        link(&guest, &places).unwrap();
        assert!(!changed());
        fs::remove_file(guest.path(DIRECTORY).join(CURRENT)).unwrap();
        std::os::unix::fs::symlink("0b", guest.path(DIRECTORY).join(CURRENT)).unwrap();
        link(&guest, &places).unwrap();
        assert!(changed() && text().contains("0b"));
        fs::remove_file(guest.path(DIRECTORY).join(CURRENT)).unwrap();
        link(&guest, &places).unwrap();
        assert!(changed() && !guest.path(CONFIGURATION).exists());
        link(&guest, &places).unwrap();
        assert!(!changed());
    }

    #[test]
    fn a_guest_without_the_linkers_directory_is_left_alone() {
        let (_directory, guest, places) = with_driver(&[]);
        fs::remove_dir(guest.path("/etc/ld.so.conf.d")).unwrap();
        link(&guest, &places).unwrap();
        assert!(!guest.path("/etc/ld.so.conf.d").exists() && !places.driver_changed().exists());
        update(&guest, &places, LATER).unwrap();
    }
}
