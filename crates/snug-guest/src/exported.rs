//! A command that a container has exported, called in another one.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use snug_wire::host::{EXPORTED_COMMANDS, EXPORTED_COMMANDS_OF_HOST};

/// Where the host has the command of this name, if this process was started as one that is exported: the host's own PATH may find
/// another one, or none.
pub fn on_host(name: &OsStr) -> Option<OsString> {
    // Shells tell the word that was typed (`arguments[0]`), the kernel the file (getauxval(3), AT_EXECFN).
    let file = Path::new(OsStr::from_bytes(rustix::param::linux_execfn().to_bytes())).to_owned();
    // Not `home_dir`, which asks the name service where the variable is missing.
    let home = env::var_os("HOME").map(PathBuf::from);
    place(&file, home.as_deref()).filter(|_| file.file_name() == Some(name))
}

fn place(file: &Path, home: Option<&Path>) -> Option<OsString> {
    let directory = file.parent()?;
    if !directory.is_absolute() || !directory.ends_with(EXPORTED_COMMANDS) {
        return None;
    }
    let default = Path::new(".local/share").join(EXPORTED_COMMANDS);
    // The owner's home, also for a guest's root who has called it by its path.
    let owners = directory.ends_with(&default).then(|| directory.ancestors().nth(default.iter().count()));
    let home = owners.flatten().or(home).filter(|home| home.is_absolute())?;
    Some(PathBuf::from(home).join(EXPORTED_COMMANDS_OF_HOST).join(file.file_name()?).into_os_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_called_where_exports_are_is_one() {
        let home = Some(Path::new("/home/a"));
        for (file, home, wanted) in [
            ("/home/a/.local/share/snug/for-guests/rg", home, Some("/home/a/.local/bin/rg")),
            (
                "/home/a/.local/share/snug/for-guests/rg",
                Some(Path::new("/root")),
                Some("/home/a/.local/bin/rg"),
            ),
            ("/data/snug/for-guests/rg", home, Some("/home/a/.local/bin/rg")),
            ("/data/snug/for-guests/rg", None, None),
            ("/data/snug/for-guests/rg", Some(Path::new("relative")), None),
            ("/usr/local/bin/rg", home, None),
            ("/home/a/bin/for-guests/rg", home, None),
            ("snug/for-guests/rg", home, None),
            ("rg", home, None),
            ("", home, None),
        ] {
            let found = place(Path::new(file), home);
            assert_eq!(found.as_deref(), wanted.map(OsStr::new), "{file} {home:?}");
        }
    }
}
