//! Where a PATH has a command.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Whether a directory is one of a PATH.
#[must_use]
pub fn has(path: &OsStr, directory: &Path) -> bool {
    std::env::split_paths(path).any(|there| is_same(&there, directory))
}

/// The first file of that name that this user may execute, in a directory other than `except`, and whether it comes before that
/// on the way.
#[must_use]
pub fn find_elsewhere(path: &OsStr, name: &str, except: &Path) -> Option<(PathBuf, bool)> {
    let mut before = true;
    for directory in std::env::split_paths(path).filter(|directory| directory.is_absolute()) {
        if is_same(&directory, except) {
            before = false;
            continue;
        }
        let file = directory.join(name);
        if is_command(&file) {
            return Some((file, before));
        }
    }
    None
}

/// Whether that is a file that this user may execute.
#[must_use]
pub fn is_command(file: &Path) -> bool {
    file.is_file() && access(file, Access::EXEC_OK).is_ok()
}

/// By name, or as the same directory: homes have several spellings.
fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |path: &Path| path.metadata().ok().map(|status| (status.dev(), status.ino()));
    one == other || id(one).is_some_and(|found| id(other) == Some(found))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_directory_is_found_by_each_of_its_spellings() {
        let root = tempfile::tempdir().unwrap();
        let (bin, link) = (root.path().join("bin"), root.path().join("link"));
        fs::create_dir(&bin).unwrap();
        symlink("bin", &link).unwrap();
        let path = |directories: &[&Path]| std::env::join_paths(directories).unwrap();
        assert!(has(&path(&["/usr/bin".as_ref(), &bin]), &bin));
        assert!(has(&path(&[&link]), &bin));
        assert!(!has(&path(&["/usr/bin".as_ref()]), &bin) && !has(&OsString::new(), &bin));
        // It may not be there yet.
        assert!(has("/no/such/bin".as_ref(), "/no/such/bin".as_ref()));
    }

    #[test]
    fn what_the_host_has_is_found_with_its_place_on_the_way() {
        let root = tempfile::tempdir().unwrap();
        let [first, own, last] = ["first", "own", "last"].map(|name| root.path().join(name));
        let make = |file: &Path, mode| {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
        };
        make(&first.join("early"), 0o755);
        make(&first.join("plain"), 0o644);
        fs::create_dir(first.join("directory")).unwrap();
        make(&own.join("mine"), 0o755);
        make(&last.join("late"), 0o755);
        let path = std::env::join_paths([first.as_path(), &own, &last, Path::new("relative")]).unwrap();
        let found = |name| find_elsewhere(&path, name, &own);
        assert_eq!(found("early"), Some((first.join("early"), true)));
        assert_eq!(found("late"), Some((last.join("late"), false)));
        for name in ["mine", "plain", "directory", "none"] {
            assert_eq!(found(name), None, "{name}");
        }
    }
}
