//! One command or application of the index, for whoever has no time: what else is there is passed over.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use serde::Deserialize;
use snug_wire::small_file;

use crate::application::ApplicationName;
use crate::command::Command;
use crate::index::{FILE, LONGEST};

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow, default)]
    commands: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Applications<'a> {
    #[serde(borrow, default)]
    applications: Vec<ApplicationEntry<'a>>,
}

#[derive(Deserialize)]
struct ApplicationEntry<'a> {
    #[serde(borrow, default)]
    container: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    directory: Option<Cow<'a, str>>,
}

/// What is to be known of an application that is started.
#[derive(Debug, PartialEq, Eq)]
pub struct Started {
    /// Which.
    pub name: ApplicationName,
    /// Where it is to run in the container.
    pub directory: Option<String>,
}

/// An entry of which a later version may have made something else.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    container: Cow<'a, str>,
    #[serde(borrow, default)]
    path: Cow<'a, str>,
}

/// The command of that name in the index of this directory ([`crate::directory`]); no index has none.
///
/// # Errors
/// The index cannot be read or understood, or is another user's.
pub fn lookup(directory: &Path, name: &str) -> io::Result<Option<Command>> {
    of_file(directory, |text| find(text, name))
}

/// The application whose link has that name; as of [`lookup`].
///
/// # Errors
/// As of [`lookup`].
pub fn lookup_application(directory: &Path, link: &str) -> io::Result<Option<Started>> {
    let Some(name) = ApplicationName::parse(link) else { return Ok(None) };
    of_file(directory, |text| find_application(text, name))
}

fn of_file<T>(directory: &Path, find: impl FnOnce(&[u8]) -> io::Result<Option<T>>) -> io::Result<Option<T>> {
    let file = directory.join(FILE);
    let read = match small_file::read_own(&file, LONGEST) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read,
    };
    let about = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    read.and_then(|text| find(&text)).map_err(about)
}

fn find_application(text: &[u8], name: ApplicationName) -> io::Result<Option<Started>> {
    let Applications { applications } = serde_json::from_slice(text)?;
    let is_it = |entry: &ApplicationEntry<'_>| {
        entry.container == name.container.as_str() && entry.id == name.id.as_str()
    };
    let entry = applications.into_iter().find(is_it);
    let directory = |entry: ApplicationEntry<'_>| {
        entry.directory.map(Cow::into_owned).filter(|path| path.starts_with('/') && !path.contains('\0'))
    };
    Ok(entry.map(|entry| Started { name, directory: directory(entry) }))
}

fn find(text: &[u8], name: &str) -> io::Result<Option<Command>> {
    let File { commands } = serde_json::from_slice(text)?;
    let Some(entry) = commands.into_iter().find(|entry| entry.name == name) else { return Ok(None) };
    let unfit = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
    let name = entry.name.parse().map_err(|error: crate::command::Unfit| unfit(error.to_string()))?;
    let container =
        entry.container.parse().map_err(|error: snug_core::name::NameError| unfit(error.to_string()))?;
    Command::new(name, container, entry.path.into_owned()).map(Some).map_err(|error| unfit(error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::index::Exports;

    fn command(name: &str, path: &str) -> Command {
        Command::new(name.parse().unwrap(), "dev".parse().unwrap(), path.to_owned()).unwrap()
    }

    #[test]
    fn it_finds_what_was_written() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(lookup(directory.path(), "rg").unwrap(), None);
        let exports = Exports::new(directory.path().into());
        let odd = command("a\"b\\", "/opt/ü \"x\"\\/y");
        exports.change(|index| index.commands.extend([command("rg", "/usr/bin/rg"), odd.clone()])).unwrap();
        assert_eq!(lookup(directory.path(), "rg").unwrap(), Some(command("rg", "/usr/bin/rg")));
        assert_eq!(lookup(directory.path(), "a\"b\\").unwrap(), Some(odd));
        assert_eq!(lookup(directory.path(), "fd").unwrap(), None);
    }

    #[test]
    fn what_a_later_version_has_written_is_passed_over() {
        let text = json!({"version": 3, "commands": [
            {"name": "x", "image": "alpine"}, {}, {"name": "rg", "container": "dev", "path": "/usr/bin/rg", "as": ["root"]}],
            "sockets": {"now": "elsewhere"}});
        let found = |name| find(text.to_string().as_bytes(), name);
        assert_eq!(found("rg").unwrap(), Some(command("rg", "/usr/bin/rg")));
        assert!(found("x").is_err());
        assert_eq!(found("y").unwrap(), None);
    }

    #[test]
    fn an_application_is_found_by_its_link() {
        let text = json!({"version": 3, "commands": [], "applications": [{"later": 1},
            {"container": "dev", "id": "tool", "directory": "/opt", "files": {}}, {"container": "web", "id": "tool"}]});
        let found = |link: &str| {
            find_application(text.to_string().as_bytes(), ApplicationName::parse(link).unwrap()).unwrap()
        };
        assert_eq!(found("snug.dev.tool").unwrap().directory.as_deref(), Some("/opt"));
        assert_eq!(found("snug.web.tool").unwrap().directory, None);
        assert_eq!(found("snug.web.other"), None);
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(lookup_application(directory.path(), "snug.dev.tool").unwrap(), None);
        assert_eq!(lookup_application(directory.path(), "../x").unwrap(), None);
    }

    #[test]
    fn nothing_of_a_broken_index_is_believed() {
        for (container, path) in [("../../x", "/x"), ("", "/x"), ("dev", "x"), ("dev", ""), ("dev", "/a\nb")]
        {
            let text =
                json!({"version": 2, "commands": [{"name": "rg", "container": container, "path": path}]});
            assert!(find(text.to_string().as_bytes(), "rg").is_err(), "{text}");
        }
        for text in ["", "{", "1", r#"{"commands": 1}"#] {
            assert!(find(text.as_bytes(), "rg").is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_reads_as_the_index_does(text in "[ \\[\\]{}:,\"a-c/\\\\0-9]{0,60}") {
            let _ = find(text.as_bytes(), "a");
        }
    }
}
