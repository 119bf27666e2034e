//! A file of the machine with other content for the time of a test. It is written down what it was before: of a test that is killed, the next
//! `up` or `down` undoes it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::{Doing, Result};
use crate::state::{LASTING_DIR, write_json};

/// What a file was.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    path: PathBuf,
    /// Its content and mode; none if it was not there.
    file: Option<(Vec<u8>, u32)>,
    /// Directories that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

impl Before {
    fn of(path: &Path) -> io::Result<Self> {
        let file = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => Some((read?, fs::metadata(path)?.permissions().mode() & 0o7777)),
        };
        let made = path.ancestors().skip(1).take_while(|directory| !directory.exists());
        Ok(Self { path: path.to_owned(), file, made: made.map(Path::to_owned).collect() })
    }

    fn restore(&self) -> io::Result<()> {
        match &self.file {
            Some((content, mode)) => {
                fs::write(&self.path, content)?;
                fs::set_permissions(&self.path, Permissions::from_mode(*mode))?;
            }
            None => match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
        }
        for directory in &self.made {
            // One that somebody else put a file into stays.
            let _ = fs::remove_dir(directory);
        }
        Ok(())
    }
}

/// See the module.
pub struct HostFile {
    before: Before,
    record: PathBuf,
}

impl HostFile {
    /// Writes the text there, until this is dropped.
    ///
    /// # Panics
    /// When it cannot be written: the test fails.
    #[track_caller]
    #[must_use]
    pub fn write(path: impl AsRef<Path>, text: &str) -> Self {
        Self::try_write(path.as_ref(), text).expect("a file of the host")
    }

    fn try_write(path: &Path, text: &str) -> Result<Self> {
        let doing = || format!("writing {}", path.display());
        let file = Self { before: Before::of(path).doing(doing)?, record: new_record() };
        write_json(&file.record, &file.before)?;
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).doing(doing)?;
        fs::write(path, text).doing(doing)?;
        fs::set_permissions(path, Permissions::from_mode(0o644)).doing(doing)?;
        Ok(file)
    }
}

impl Drop for HostFile {
    fn drop(&mut self) {
        self.before.restore().expect("what a test changed can be changed back");
        let _ = fs::remove_file(&self.record);
    }
}

fn records() -> PathBuf {
    Path::new(LASTING_DIR).join("changed")
}

/// Named by the time, so that they have an order.
fn new_record() -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    records().join(format!("{:024}.json", now.as_nanos()))
}

/// Undoes what tests have left that were killed, the last one first. What was undone.
///
/// # Errors
/// A file that cannot be restored; the others are.
pub fn undo_all() -> Result<Vec<PathBuf>> {
    undo_all_in(&records())
}

fn undo_all_in(records: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(records).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort();
    let mut undone = Vec::new();
    let mut failed = None;
    for record in found.iter().rev() {
        let undo = || -> io::Result<PathBuf> {
            let before: Before = serde_json::from_slice(&fs::read(record)?)?;
            before.restore()?;
            fs::remove_file(record)?;
            Ok(before.path)
        };
        match undo().doing(|| format!("undoing {}", record.display())) {
            Ok(path) => undone.push(path),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(undone), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_tests_changed_is_as_it_was_before_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let (records, file) = (directory.path().join("changed"), directory.path().join("etc/a/file"));
        let other = directory.path().join("other");
        fs::write(&other, "before").unwrap();
        fs::set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
        let changes = [(&file, "one"), (&file, "two"), (&other, "three")];
        for (number, (path, text)) in changes.into_iter().enumerate() {
            write_json(&records.join(format!("{number}.json")), &Before::of(path).unwrap()).unwrap();
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(undo_all_in(&records).unwrap(), [other.clone(), file.clone(), file]);
        assert!(!directory.path().join("etc").exists());
        assert_eq!(fs::read_to_string(&other).unwrap(), "before");
        assert_eq!(fs::metadata(&other).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(undo_all_in(&records).unwrap(), Vec::<PathBuf>::new());
        fs::write(records.join("9.json"), "{").unwrap();
        assert!(undo_all_in(&records).is_err());
    }
}
