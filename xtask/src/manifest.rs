//! The list of what was installed, so that exactly that is removed.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error, Result};
use crate::layout::Place;

/// What an installation put into the system; paths are without the destination directory.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Files.
    pub files: BTreeSet<PathBuf>,
    /// Directories that were not there before.
    pub directories: BTreeSet<PathBuf>,
}

impl Manifest {
    /// Where it is kept.
    pub fn path(place: &Place) -> PathBuf {
        place.vendor().join("manifest.json")
    }

    /// What is installed now; `None` if nothing is.
    pub fn load(place: &Place) -> Result<Option<Manifest>> {
        let path = place.below_destdir(&Manifest::path(place));
        let reading = || format!("reading {}", path.display());
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(std::io::Error::from).doing(reading),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).doing(reading),
        }
    }

    /// Makes a directory, remembering each part that was missing.
    pub fn make_directory(&mut self, place: &Place, dir: &Path) -> Result<()> {
        let missing: Vec<&Path> =
            dir.ancestors().take_while(|part| !place.below_destdir(part).exists()).collect();
        for part in missing.into_iter().rev() {
            let path = place.below_destdir(part);
            fs::create_dir(&path).doing(|| format!("making {}", path.display()))?;
            self.directories.insert(part.to_owned());
        }
        Ok(())
    }

    /// Writes it, before the files that it lists: an installation that is killed can still be removed.
    pub fn save(&mut self, place: &Place) -> Result<()> {
        let path = Manifest::path(place);
        self.make_directory(place, &place.vendor())?;
        self.files.insert(path.clone());
        let path = place.below_destdir(&path);
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::from);
        let text = text.doing(|| "writing the manifest".to_owned())?;
        fs::write(&path, text).doing(|| format!("writing {}", path.display()))
    }

    /// Removes what it lists, the manifest itself last; directories only when empty. Everything is tried.
    pub fn remove(&self, place: &Place) -> Result<()> {
        let own = Manifest::path(place);
        let mut failed = Vec::new();
        for file in self.files.iter().filter(|file| **file != own) {
            failed.extend(remove_file(&place.below_destdir(file)));
        }
        if !failed.is_empty() {
            return Err(Error::Check(failed.join("\n")));
        }
        failed.extend(remove_file(&place.below_destdir(&own)));
        // Inner ones first. One that somebody else put a file into stays.
        for dir in self.directories.iter().rev() {
            let _ = fs::remove_dir(place.below_destdir(dir));
        }
        if failed.is_empty() { Ok(()) } else { Err(Error::Check(failed.join("\n"))) }
    }
}

fn remove_file(path: &Path) -> Option<String> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Some(format!("removing {}: {error}", path.display()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_what_was_installed_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let place = Place { destdir: root.path().to_owned(), ..Place::default() };
        fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        fs::write(root.path().join("usr/bin/other"), "").unwrap();
        let mut manifest = Manifest::default();
        manifest.make_directory(&place, Path::new("/usr/libexec/snug")).unwrap();
        for file in ["/usr/bin/snug", "/usr/libexec/snug/snugd"] {
            manifest.files.insert(file.into());
        }
        manifest.save(&place).unwrap();
        for file in ["usr/bin/snug", "usr/libexec/snug/snugd"] {
            fs::write(root.path().join(file), "").unwrap();
        }
        let loaded = Manifest::load(&place).unwrap().unwrap();
        assert_eq!(loaded, manifest);
        loaded.remove(&place).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(root.path().join("usr")).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["bin"]);
        assert!(root.path().join("usr/bin/other").exists() && !root.path().join("usr/bin/snug").exists());
        assert_eq!(Manifest::load(&place).unwrap(), None);
        loaded.remove(&place).unwrap();
    }
}
