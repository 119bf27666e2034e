//! A Unix socket of a container that the host has, too.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use snug_client::host_service;
use snug_core::name::ContainerName;
use snug_core::text::{escape, is_unsafe};
use thiserror::Error;

/// The longest path of a socket in bytes (`sun_path` of unix(7), without its zero).
const LONGEST_PATH: usize = 107;

/// A Unix socket of a container that the host has, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Socket {
    /// Whose.
    pub container: ContainerName,
    /// Where it is in the container: an absolute path.
    pub path: String,
    /// Its file name on the host.
    pub name: String,
}

/// A socket as the index has it: another program, or somebody's hand, may have written it.
#[derive(Deserialize)]
struct Written {
    container: ContainerName,
    path: String,
    name: String,
}

impl TryFrom<Written> for Socket {
    type Error = Unfit;

    fn try_from(written: Written) -> Result<Self, Unfit> {
        Self::new(written.container, &written.path, &written.name)
    }
}

/// What cannot be exported.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unfit {
    /// Neither `PATH` nor `PATH=NAME`.
    #[error("'{0}' is no absolute path of a socket in a container")]
    Path(String),
    /// The name on the host.
    #[error("'{0}' cannot be the name of a socket on the host")]
    Name(String),
}

impl Socket {
    /// From `PATH` or `PATH=NAME`; without a name it has that of its file.
    ///
    /// # Errors
    /// A path or a name that cannot be one.
    pub fn parse(container: ContainerName, text: &str) -> Result<Self, Unfit> {
        let (path, named) = match text.rsplit_once('=') {
            Some((path, name)) => (path, Some(name)),
            None => (text, None),
        };
        let name = named.unwrap_or_else(|| path.rsplit('/').next().unwrap_or_default());
        Self::new(container, path, name)
    }

    fn new(container: ContainerName, path: &str, name: &str) -> Result<Self, Unfit> {
        let is_plain = |text: &str| !text.chars().any(is_unsafe);
        if !path.starts_with('/') || path.len() > LONGEST_PATH || path.ends_with('/') || !is_plain(path) {
            return Err(Unfit::Path(escape(path).into_owned()));
        }
        if name.is_empty() || name.starts_with(['.', '-']) || name.contains('/') || !is_plain(name) {
            return Err(Unfit::Name(escape(name).into_owned()));
        }
        Ok(Self { container, path: path.to_owned(), name: name.to_owned() })
    }

    /// Where the host has it.
    ///
    /// # Errors
    /// The user has no directory for it, or the path is longer than one of a socket may be.
    pub fn place(&self) -> io::Result<PathBuf> {
        let place = host_service::run_directory()?.join(self.container.as_str()).join(&self.name);
        if place.as_os_str().len() > LONGEST_PATH {
            let text = format!("{}: a socket's path has at most {LONGEST_PATH} bytes", place.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(place)
    }

    /// Whether somebody has made a socket there.
    #[must_use]
    pub fn is_there(&self) -> bool {
        let status = self.place().and_then(fs::symlink_metadata);
        status.is_ok_and(|status| {
            status.file_type().is_socket() && status.uid() == rustix::process::getuid().as_raw()
        })
    }
}

/// The directory of a socket's place, made if need be; it and the one above, in which all of Snug's are, must be the user's own: who
/// has that one has what is in it.
///
/// # Errors
/// It is somebody else's, or cannot be made.
pub fn make_directory(place: &Path) -> io::Result<()> {
    let Some(directory) = place.parent() else { return Err(io::ErrorKind::InvalidInput.into()) };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut both = directory.parent().into_iter().chain([directory]);
    match both.find(|directory| !host_service::is_own(directory)) {
        Some(foreign) => {
            let text = format!("{} is not a directory of yours that you alone may write", foreign.display());
            Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(text: &str) -> Result<Socket, Unfit> {
        Socket::parse("dev".parse().unwrap(), text)
    }

    #[test]
    fn a_socket_is_named_by_its_file_or_by_another_name() {
        for (text, path, name) in [
            ("/run/docker.sock", "/run/docker.sock", "docker.sock"),
            ("/run/docker.sock=d", "/run/docker.sock", "d"),
            ("/run/a=b/c=d", "/run/a=b/c", "d"),
        ] {
            let socket = socket(text).unwrap();
            assert_eq!((socket.path.as_str(), socket.name.as_str()), (path, name), "{text}");
        }
        for text in ["", "run/x", "/", "/run/", "=x", "/run/\nx", &format!("/{}", "x".repeat(107))] {
            assert!(matches!(socket(text), Err(Unfit::Path(_))), "{text:?}");
        }
        for text in ["/run/x=", "/run/x=..", "/run/x=-y", "/run/.x", "/run/x=\u{202e}y"] {
            assert!(matches!(socket(text), Err(Unfit::Name(_))), "{text:?}");
        }
    }

    #[test]
    fn sockets_are_made_where_the_user_alone_may_write() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let snug = directory.path().join("snug");
        let place = snug.join("dev/x.sock");
        make_directory(&place).unwrap();
        for changed in [&snug, &snug.join("dev")] {
            for (mode, good) in [(0o770, false), (0o707, false), (0o755, true), (0o700, true)] {
                fs::set_permissions(changed, fs::Permissions::from_mode(mode)).unwrap();
                assert_eq!(make_directory(&place).is_ok(), good, "{} {mode:o}", changed.display());
            }
        }
        fs::rename(&snug, directory.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", &snug).unwrap();
        assert!(make_directory(&place).is_err());
    }
}
