//! What of a user's containers is on his host, by his own wish.
//!
//! | module | what |
//! |---|---|
//! | [`index`] | the file that says all of it: `exports.json` in the user's data directory |
//! | [`lookup`] | one command of the index, for whoever has no time |
//! | [`socket`] | a Unix socket |
//! | [`command`] | a command: its name, and which it gets where that is taken |
//! | [`documents`] | its package, manual pages, completions |
//! | [`application`] | an application of the host's menus: its id and its files |
//! | [`files`] | the files of applications: what is there, written, removed |
//! | [`link`] | the links by which the host finds commands |
//! | [`search`] | where a PATH has a command |
//!
//! An exported command is a link `~/.local/bin/NAME` to `DATA/snug/shim`, which is a link to the installed `snug-shim`: one place to
//! repair when that has moved. The program reads by which name it was called, and the index says which container and path that is.
//! Links are made before the index names them and removed after it has forgotten them, so whoever is interrupted leaves a
//! link that says it leads nowhere, and nothing worse.
//!
//! An application's entry runs a link of that kind in [`APPLICATIONS`], where no PATH leads, with the guest's command line as its arguments.

pub mod application;
pub mod command;
pub mod documents;
pub mod files;
pub mod index;
pub mod link;
pub mod lookup;
pub mod search;
pub mod socket;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

pub use application::{Application, ApplicationId, ApplicationName};
pub use command::{Command, CommandName, Wanted};
pub use documents::Documents;
pub use files::Files;
pub use index::{Exports, Index};
pub use link::Links;
pub use socket::Socket;

/// The name of the link in the data directory that all commands lead to.
pub const SHIM: &str = "shim";
/// The directory of links of applications, in Snug's.
pub const APPLICATIONS: &str = "applications";
/// Snug's directory in the user's data directory.
pub const DIRECTORY: &str = "snug";

/// Snug's directory among the user's data: `XDG_DATA_HOME`, else `~/.local/share`.
///
/// # Errors
/// He has no home.
pub fn directory(data_home: Option<OsString>, home: Option<PathBuf>) -> io::Result<PathBuf> {
    base_directory(data_home, home, ".local/share").map(|data| data.join(DIRECTORY))
}

/// A base directory of a user: what its variable says where that is an absolute path, else its usual place in the home (XDG Base Directory
/// Specification).
///
/// # Errors
/// He has no home.
pub fn base_directory(variable: Option<OsString>, home: Option<PathBuf>, usual: &str) -> io::Result<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let named = variable.map(PathBuf::from).and_then(absolute);
    let directory = named.or_else(|| home.and_then(absolute).map(|home| home.join(usual)));
    directory.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no home directory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_that_is_relative_is_none() {
        let home = || Some(PathBuf::from("/home/u"));
        for (data, directory_of) in [
            (Some("/data"), "/data/snug"),
            (Some("data"), "/home/u/.local/share/snug"),
            (Some(""), "/home/u/.local/share/snug"),
            (None, "/home/u/.local/share/snug"),
        ] {
            assert_eq!(directory(data.map(OsString::from), home()).unwrap(), PathBuf::from(directory_of));
        }
        assert!(directory(None, None).is_err() && directory(None, Some("home".into())).is_err());
    }
}
