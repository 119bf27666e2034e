//! The host's device nodes under the names that they have there: links in the guest's `/dev` to a tree that the host keeps.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use snug_wire::devices::{DEEPEST, DIRECTORY};

use crate::places::Guest;

/// Makes a link for each name of the tree that the guest's `/dev` does not have, and removes links of ours to what is gone. A
/// directory that is not there is one link, and what comes and goes in it needs no other. What the guest has itself stays.
pub fn link(guest: &Guest) -> io::Result<()> {
    let (dev, tree) = (guest.path("/dev"), guest.path(DIRECTORY));
    link_in(&dev, &tree, Path::new(DIRECTORY), DEEPEST)
}

/// In one directory; goes on after an error and answers the first. `meant` is what the links say: `tree` as the guest calls it.
fn link_in(dev: &Path, tree: &Path, meant: &Path, depth: usize) -> io::Result<()> {
    let mut first = Ok(());
    let there: HashSet<PathBuf> = names(tree)?.into_iter().collect();
    for name in &there {
        let (ours, target) = (dev.join(name), meant.join(name));
        match fs::symlink_metadata(&ours) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                first = first.and(std::os::unix::fs::symlink(&target, &ours));
            }
            Err(error) => first = first.and(Err(error)),
            Ok(_) => {}
        }
    }
    let file_system = fs::symlink_metadata(dev).ok().map(|about| about.dev());
    for name in names(dev)? {
        let (ours, target) = (dev.join(&name), meant.join(&name));
        let Ok(about) = fs::symlink_metadata(&ours) else { continue };
        // Not into what is mounted there (`pts`, `shm`, Incus' own): no link of ours is in it.
        if about.is_dir() && depth > 1 && Some(about.dev()) == file_system {
            // Also where the tree has it no more: there may be links of ours in it.
            first = first.and(link_in(&ours, &tree.join(&name), &target, depth - 1));
        } else if !there.contains(&name) && fs::read_link(&ours).is_ok_and(|to| to == target) {
            first = first.and(fs::remove_file(&ours));
        }
    }
    first
}

/// Names in a directory; none in one that is not there, or is none.
fn names(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().into())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(guest: &Guest, path: &str) {
        let path = guest.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn what_the_guest_lacks_is_linked_and_what_it_has_stays() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        for own in ["/dev/null", "/dev/snd/own"] {
            make(&guest, own);
        }
        link(&guest).unwrap();
        for node in ["null", "ttyACM0", "snd/timer", "bus/usb/001/002"] {
            make(&guest, &format!("{DIRECTORY}/{node}"));
        }
        for _ in 0..2 {
            link(&guest).unwrap();
        }
        let target = |path: &str| fs::read_link(guest.path(path)).ok();
        let meant = |path: &str| Some(Path::new(DIRECTORY).join(path));
        assert_eq!(target("/dev/ttyACM0"), meant("ttyACM0"));
        assert_eq!(target("/dev/bus"), meant("bus"));
        assert_eq!(target("/dev/snd/timer"), meant("snd/timer"));
        assert_eq!((target("/dev/null"), target("/dev/snd/own")), (None, None));
        fs::remove_file(guest.path(DIRECTORY).join("ttyACM0")).unwrap();
        fs::remove_dir_all(guest.path(DIRECTORY).join("snd")).unwrap();
        std::os::unix::fs::symlink("/elsewhere", guest.path("/dev/other")).unwrap();
        link(&guest).unwrap();
        assert_eq!((target("/dev/ttyACM0"), target("/dev/snd/timer")), (None, None));
        assert!(target("/dev/other").is_some());
    }
}
