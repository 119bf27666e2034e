//! By which name it was called, and where the index is.
//!
//! The link that was executed tells both: its name, and by the link that it leads to Snug's data directory. So neither a changed
//! `argv[0]` matters, nor that cron and system units have another environment than the shell in which the command was exported.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use snug_exports::{APPLICATIONS, DIRECTORY, SHIM};

/// Links that are followed (`MAXSYMLINKS` of the kernel).
const DEPTH: usize = 40;

/// What the program was called for.
#[derive(Debug, PartialEq, Eq)]
pub struct Called {
    /// The name of the command, or of the application's link.
    pub name: OsString,
    /// It is an application's.
    pub is_application: bool,
    /// The directory of the index.
    pub directory: PathBuf,
}

/// From the path that was `executed`, as the kernel knows it; where that is none of a link (a descriptor was executed), from the `first`
/// argument, and where that is no path, from the environment.
///
/// # Errors
/// Nothing tells where the index is.
pub fn called(
    executed: Option<&OsStr>,
    first: Option<&OsStr>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> io::Result<Called> {
    let first_path = first.filter(|first| first.as_bytes().contains(&b'/'));
    if let Some(called) = [executed, first_path].into_iter().flatten().find_map(|path| followed(path.into()))
    {
        return Ok(called);
    }
    let directory = snug_exports::directory(variable("XDG_DATA_HOME"), variable("HOME").map(PathBuf::from))?;
    let path = first.or(executed).unwrap_or_default();
    let name = Path::new(path).file_name().unwrap_or_default().to_owned();
    Ok(Called { name, is_application: false, directory })
}

/// Follows links to that in Snug's directory: the last one before it is the command's. Whoever makes a link of his own to a command, under
/// whichever name, has the command.
fn followed(mut path: PathBuf) -> Option<Called> {
    for _ in 0..DEPTH {
        let target = path.parent()?.join(rustix::fs::readlink(&path, Vec::new()).map(target).ok()?);
        let directory = target.parent()?;
        if target.file_name() == Some(OsStr::new(SHIM))
            && directory.file_name() == Some(OsStr::new(DIRECTORY))
        {
            let name = path.file_name()?.to_owned();
            let is_application = is_of_applications(path.parent()?);
            return Some(Called { name, is_application, directory: directory.to_owned() });
        }
        path = target;
    }
    None
}

/// Whether links in that directory are those of applications.
fn is_of_applications(directory: &Path) -> bool {
    directory.file_name() == Some(OsStr::new(APPLICATIONS))
        && directory.parent().and_then(Path::file_name) == Some(OsStr::new(DIRECTORY))
}

fn target(text: std::ffi::CString) -> PathBuf {
    OsStr::from_bytes(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn nothing(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn the_link_that_was_executed_tells_the_name_and_the_index() {
        let home = tempfile::tempdir().unwrap();
        let at = |path: &str| home.path().join(path);
        for directory in ["bin", "share/snug", "other"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        symlink("/usr/libexec/snug/snug-shim", at("share/snug/shim")).unwrap();
        symlink(at("share/snug/shim"), at("bin/rg")).unwrap();
        symlink("../share/snug/shim", at("bin/relative")).unwrap();
        symlink("../bin/rg", at("other/search")).unwrap();
        symlink(at("other/search"), at("other/again")).unwrap();
        symlink("loop", at("other/loop")).unwrap();
        let of = |executed: &Path, first: &str| {
            called(Some(executed.as_os_str()), Some(first.as_ref()), nothing).ok()
        };
        for (executed, name) in
            [("bin/rg", "rg"), ("bin/relative", "relative"), ("other/search", "rg"), ("other/again", "rg")]
        {
            let found = of(&at(executed), "whatever").unwrap();
            assert_eq!((found.name.to_str(), found.is_application), (Some(name), false), "{executed}");
            assert_eq!(found.directory.canonicalize().unwrap(), at("share/snug").canonicalize().unwrap());
        }
        fs::create_dir(at("share/snug/applications")).unwrap();
        symlink(at("share/snug/shim"), at("share/snug/applications/snug.dev.tool")).unwrap();
        symlink(at("share/snug/applications/snug.dev.tool"), at("bin/tool")).unwrap();
        for executed in ["share/snug/applications/snug.dev.tool", "bin/tool"] {
            let found = of(&at(executed), "whatever").unwrap();
            assert_eq!((found.name.to_str(), found.is_application), (Some("snug.dev.tool"), true));
        }
        // A descriptor was executed (fexecve(3)): the first argument may be the path.
        let rg = at("bin/rg");
        assert_eq!(of(Path::new("/dev/fd/none"), rg.to_str().unwrap()).unwrap().name, "rg");
        for odd in ["other/loop", "nowhere", "share/snug/shim"] {
            assert_eq!(of(&at(odd), "rg"), None, "{odd}");
        }
    }

    #[test]
    fn without_a_link_the_environment_tells() {
        let variable = |name: &str| (name == "HOME").then(|| OsString::from("/home/u"));
        let found = called(Some("/dev/fd/5".as_ref()), Some("rg".as_ref()), variable).unwrap();
        assert_eq!(
            found,
            Called {
                name: "rg".into(),
                is_application: false,
                directory: "/home/u/.local/share/snug".into()
            }
        );
        let found = called(None, None, variable).unwrap();
        assert_eq!(found.name, "");
        assert!(called(None, Some("rg".as_ref()), nothing).is_err());
    }
}
