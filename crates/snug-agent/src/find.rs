//! `snug-agent find WORD…`: where commands of the guest are, for the user that it runs as. Images without a shell have no other
//! way to tell.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Where guests have Snug's programs.
const OWN_PROGRAMS: &str = "/.snug/bin";

/// Writes for each word the absolute path of its command and a zero; for one that has none the zero alone.
pub fn run(words: &[OsString]) -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut answer = Vec::new();
    for word in words {
        answer.extend(find(word, &path).map(|found| found.into_os_string().into_vec()).unwrap_or_default());
        answer.push(0);
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(&answer).and_then(|()| stdout.flush()).map_err(|error| error.to_string())
}

/// A path stands for itself; a name is looked up as execvp(3) does, in directories that everybody means the same by.
fn find(word: &OsStr, path: &OsStr) -> Option<PathBuf> {
    if word.as_bytes().contains(&b'/') {
        let file = PathBuf::from(word);
        return (file.is_absolute() && is_command(&file)).then_some(file);
    }
    let directories = std::env::split_paths(path).filter(|directory| directory.is_absolute());
    directories.map(|directory| directory.join(word)).find(|file| !word.is_empty() && is_command(file))
}

/// What leads to Snug's own programs is none of the guest's commands: an export of a link to `host-exec` would call itself, from the
/// host to the guest and back.
fn is_command(file: &Path) -> bool {
    let is_snugs = || file.canonicalize().is_ok_and(|file| file.starts_with(OWN_PROGRAMS));
    file.is_file() && access(file, Access::EXEC_OK).is_ok() && !is_snugs()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_first_file_on_the_path_that_may_be_executed_is_the_command() {
        let root = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| root.path().join(name));
        for (file, mode) in [
            (first.join("plain"), 0o644),
            (second.join("plain"), 0o755),
            (first.join("both"), 0o755),
            (second.join("both"), 0o755),
            (second.join("directory"), 0o755),
        ] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(first.join("directory")).unwrap();
        // An exported command of this very container, as its guest sees it.
        symlink("/nowhere/snug-shim", first.join("exported")).unwrap();
        symlink("both", second.join("exported")).unwrap();
        let path = std::env::join_paths([Path::new("relative"), &first, &second]).unwrap();
        let found = |word: &str| find(word.as_ref(), &path);
        assert_eq!(found("plain"), Some(second.join("plain")));
        assert_eq!(found("both"), Some(first.join("both")));
        assert_eq!(found("directory"), Some(second.join("directory")));
        assert_eq!(found("exported"), Some(second.join("exported")));
        assert_eq!(found(first.join("both").to_str().unwrap()), Some(first.join("both")));
        for word in ["none", "", "./both", "first/both", first.join("plain").to_str().unwrap(), "/", "/tmp"] {
            assert_eq!(found(word), None, "{word}");
        }
    }
}
