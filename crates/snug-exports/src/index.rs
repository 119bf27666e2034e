//! The index of exports: `exports.json` in Snug's data directory.
//!
//! Written in one piece and by one at a time. A reader takes of a later version's file what it understands; a writer refuses to
//! write that, and keeps what it does not know of a file of its own version.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use snug_core::name::ContainerName;
use snug_wire::small_file;

use crate::application::Application;
use crate::command::Command;
use crate::socket::Socket;

/// The version of the file's shape that is written here. The first one had no commands.
const VERSION: u64 = 2;
/// The file's name.
pub const FILE: &str = "exports.json";
/// Bytes; more than anybody exports.
pub(crate) const LONGEST: u64 = 1 << 20;

/// Bytes of one container's applications, and of its commands. Some hundred applications, with ten files each, have half of it.
const SHARE: usize = 256 << 10;

const SOCKETS: &str = "sockets";
const COMMANDS: &str = "commands";
const APPLICATIONS: &str = "applications";

/// What is exported.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Index {
    /// Sockets, in the order of their containers.
    pub sockets: Vec<Socket>,
    /// Commands, in the order of their names.
    pub commands: Vec<Command>,
    /// Applications, in the order of their containers.
    pub applications: Vec<Application>,
    /// The file as it is, with what is not known here.
    file: Map<String, Value>,
}

impl Index {
    fn parse(text: &[u8]) -> io::Result<Self> {
        let file: Map<String, Value> = serde_json::from_slice(text)?;
        let version = file.get("version").and_then(Value::as_u64);
        let later = is_later(version.ok_or_else(|| unfit("it has no version"))?);
        Ok(Self {
            sockets: entries(&file, SOCKETS, later)?,
            commands: entries(&file, COMMANDS, later)?,
            applications: entries(&file, APPLICATIONS, later)?,
            file,
        })
    }

    /// Whether a later version has written it.
    fn is_later(&self) -> bool {
        self.file.get("version").and_then(Value::as_u64).is_some_and(is_later)
    }

    /// The file's new text: each entry with what is not known here.
    fn text(&self) -> io::Result<Vec<u8>> {
        let mut file = self.file.clone();
        file.insert("version".to_owned(), VERSION.into());
        file.insert(SOCKETS.to_owned(), written(&self.file, SOCKETS, &self.sockets)?);
        file.insert(COMMANDS.to_owned(), written(&self.file, COMMANDS, &self.commands)?);
        if !self.applications.is_empty() || file.contains_key(APPLICATIONS) {
            file.insert(APPLICATIONS.to_owned(), written(&self.file, APPLICATIONS, &self.applications)?);
        }
        let mut text = serde_json::to_vec_pretty(&file)?;
        text.push(b'\n');
        Ok(text)
    }

    /// Whether there is room for another application of its container ([`is_within_share`]).
    #[must_use]
    pub fn has_room_for(&self, application: &Application) -> bool {
        let name = application.name();
        let others = self.applications.iter().filter(|one| one.container == name.container && !one.is(&name));
        // What it had before counts only until its files are written.
        let written = Application { replaces: BTreeMap::new(), ..application.clone() };
        is_within_share(others.chain([&written]))
    }

    /// Whether something of that container is exported.
    #[must_use]
    pub fn has(&self, container: &ContainerName) -> bool {
        self.sockets.iter().any(|socket| socket.container == *container)
            || self.commands.iter().any(|command| command.container == *container)
            || self.applications.iter().any(|application| application.container == *container)
    }
}

/// Whether what one container has leaves room for what others have: when the index is full nobody can export anything.
pub fn is_within_share<'a, T: Serialize + 'a>(own: impl Iterator<Item = &'a T>) -> bool {
    own.map(|entry| serde_json::to_vec_pretty(entry).map_or(0, |text| text.len())).sum::<usize>() <= SHARE
}

fn is_later(version: u64) -> bool {
    version > VERSION
}

fn unfit(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}

/// The entries of a list; of a later version's those that are understood.
fn entries<T: DeserializeOwned>(file: &Map<String, Value>, key: &str, later: bool) -> io::Result<Vec<T>> {
    let list = match file.get(key) {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) if later => return Ok(Vec::new()),
        Some(_) => return Err(unfit(&format!("its {key} are no list"))),
    };
    let parsed = list.iter().map(|entry| serde_json::from_value(entry.clone()));
    if later { Ok(parsed.filter_map(Result::ok).collect()) } else { Ok(parsed.collect::<Result<_, _>>()?) }
}

/// The list to be written.
fn written<T: Serialize + DeserializeOwned + PartialEq>(
    file: &Map<String, Value>,
    key: &str,
    entries: &[T],
) -> io::Result<Value> {
    let before = file.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let known: Vec<(T, Value)> = before
        .into_iter()
        .filter_map(|value| serde_json::from_value(value.clone()).ok().map(|entry| (entry, value)))
        .collect();
    let write = |entry: &T| match known.iter().find(|(same, _)| same == entry) {
        Some((_, value)) => Ok(value.clone()),
        None => serde_json::to_value(entry),
    };
    Ok(Value::Array(entries.iter().map(write).collect::<Result<_, _>>()?))
}

/// The index of a user.
#[derive(Debug, Clone)]
pub struct Exports {
    directory: PathBuf,
}

impl Exports {
    /// That in this directory ([`crate::directory`]).
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The directory that it is in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// What is exported. No file: nothing is.
    ///
    /// # Errors
    /// A file that cannot be read or understood, or is another user's.
    pub fn read(&self) -> io::Result<Index> {
        let read = match small_file::read_own(&self.file(), LONGEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Index::default()),
            read => read,
        };
        read.and_then(|text| Index::parse(&text)).map_err(|error| self.about(error))
    }

    fn about(&self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.file().display()))
    }

    /// Changes it, alone; what `change` says is handed on.
    ///
    /// # Errors
    /// The file cannot be read or written, or was written by a later version; then it is as it was.
    pub fn change<T>(&self, change: impl FnOnce(&mut Index) -> T) -> io::Result<T> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let lock = open(self.directory.join("exports.lock"), flags, Mode::from_raw_mode(0o600))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        let before = self.read()?;
        if before.is_later() {
            return Err(self.about(unfit("it was written by a later version of Snug")));
        }
        let mut index = before.clone();
        let said = change(&mut index);
        if index != before {
            index.sockets.sort();
            index.commands.sort();
            index.applications.sort();
            self.write(&index.text()?)?;
        }
        Ok(said)
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        if text.len() as u64 > LONGEST {
            return Err(self.about(unfit("it would be longer than it may be")));
        }
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(text)?;
        file.as_file().sync_all()?;
        file.persist(self.file()).map_err(|error| error.error)?;
        File::open(&self.directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, FileType, mknodat};
    use serde_json::json;

    use super::*;
    use crate::application::ApplicationName;

    fn socket(path: &str) -> Socket {
        Socket::parse("dev".parse().unwrap(), path).unwrap()
    }

    fn command(name: &str) -> Command {
        Command::new(name.parse().unwrap(), "dev".parse().unwrap(), format!("/usr/bin/{name}")).unwrap()
    }

    fn exports(directory: &tempfile::TempDir) -> Exports {
        Exports::new(directory.path().join("snug"))
    }

    /// With this in the place of the index.
    fn with(text: &str) -> (tempfile::TempDir, Exports) {
        let directory = tempfile::tempdir().unwrap();
        let exports = exports(&directory);
        fs::create_dir(exports.directory()).unwrap();
        fs::write(exports.file(), text).unwrap();
        (directory, exports)
    }

    #[test]
    fn what_was_written_is_read_in_good_order() {
        let directory = tempfile::tempdir().unwrap();
        let exports = exports(&directory);
        assert_eq!(exports.read().unwrap(), Index::default());
        let added = |index: &mut Index| {
            index.sockets.extend([socket("/run/b.sock"), socket("/run/a.sock")]);
            index.commands.extend([command("rg"), command("fd")]);
        };
        exports.change(added).unwrap();
        let read = exports.read().unwrap();
        assert_eq!(read.sockets, [socket("/run/a.sock"), socket("/run/b.sock")]);
        assert_eq!(read.commands, [command("fd"), command("rg")]);
        exports.change(|index| index.commands.retain(|there| *there == command("fd"))).unwrap();
        assert_eq!(exports.read().unwrap().commands, [command("fd")]);
        // Nothing is left of how it was written.
        let mut left: Vec<_> = fs::read_dir(exports.directory())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["exports.json", "exports.lock"]);
    }

    #[test]
    fn a_file_of_the_first_version_has_no_commands_and_gets_some() {
        let (_directory, exports) =
            with(r#"{"version": 1, "sockets": [{"container": "dev", "path": "/run/x", "name": "x"}]}"#);
        assert_eq!(exports.read().unwrap().sockets, [socket("/run/x")]);
        exports.change(|index| index.commands.push(command("rg"))).unwrap();
        let written: Value = serde_json::from_slice(&fs::read(exports.file()).unwrap()).unwrap();
        assert_eq!(
            written,
            json!({
                "version": 2,
                "sockets": [{"container": "dev", "path": "/run/x", "name": "x"}],
                "commands": [{"name": "rg", "container": "dev", "path": "/usr/bin/rg"}],
            })
        );
    }

    #[test]
    fn what_cannot_be_understood_is_left_alone() {
        let command = |container: &str, path: &str, name: &str| {
            let command = json!({"container": container, "path": path, "name": name});
            json!({"version": 2, "commands": [command]}).to_string()
        };
        assert!(with(&command("dev", "/x", "x")).1.read().is_ok());
        for text in [
            String::new(),
            "{".into(),
            "[]".into(),
            "{}".into(),
            r#"{"version": "2"}"#.into(),
            r#"{"version": 2, "sockets": {}}"#.into(),
            r#"{"version": 2, "commands": [1]}"#.into(),
            r#"{"version": 1, "sockets": [{"container": "dev", "path": "run/x", "name": "x"}]}"#.into(),
            command("../x", "/x", "x"),
            command("dev", "x", "x"),
            command("dev", "/x", "../x"),
            command("dev", "/x", ""),
            command("dev", "/x", "a\nb"),
            "[".repeat(100_000),
        ] {
            let (_directory, exports) = with(&text);
            assert!(exports.read().is_err(), "{text}");
            assert!(exports.change(|index| index.commands.clear()).is_err(), "{text}");
            assert_eq!(fs::read_to_string(exports.file()).unwrap(), text);
        }
    }

    #[test]
    fn of_a_later_version_is_read_what_is_understood_and_nothing_is_written() {
        let text = r#"{"version": 3, "sockets": "elsewhere", "commands": [{"container": "dev", "path": "/usr/bin/rg",
            "name": "rg", "as": "root"}, {"name": "x", "image": "alpine"}]}"#;
        let (_directory, exports) = with(text);
        let read = exports.read().unwrap();
        assert_eq!((read.sockets, read.commands), (vec![], vec![command("rg")]));
        let refused = exports.change(|index| index.commands.clear()).unwrap_err().to_string();
        assert!(refused.ends_with("exports.json: it was written by a later version of Snug"), "{refused}");
        assert_eq!(fs::read_to_string(exports.file()).unwrap(), text);
    }

    #[test]
    fn what_is_not_known_of_a_file_of_this_version_survives_a_change() {
        let rg = json!({"container": "dev", "path": "/usr/bin/rg", "name": "rg", "package": "ripgrep"});
        let fd = json!({"container": "dev", "path": "/usr/bin/fd", "name": "fd", "package": "fd-find"});
        let text = json!({"version": 2, "commands": [rg, fd], "things": [{"id": "x"}]}).to_string();
        let (_directory, exports) = with(&text);
        exports
            .change(|index| {
                index.commands.retain(|there| *there != command("fd"));
                index.commands.push(command("jq"));
            })
            .unwrap();
        let written: Value = serde_json::from_slice(&fs::read(exports.file()).unwrap()).unwrap();
        assert_eq!(written["things"], json!([{"id": "x"}]));
        let jq = json!({"container": "dev", "path": "/usr/bin/jq", "name": "jq"});
        assert_eq!(written["commands"], json!([jq, rg]));
    }

    #[test]
    fn applications_are_in_it_with_their_files() {
        let directory = tempfile::tempdir().unwrap();
        let exports = exports(&directory);
        let digest = "0123456789abcdef0123456789abcdef".to_owned();
        let application = Application {
            container: "dev".parse().unwrap(),
            id: "tool".parse().unwrap(),
            path: "/usr/share/applications/tool.desktop".to_owned(),
            directory: None,
            package: Some("tools".to_owned()),
            version: None,
            files: [("applications/snug.dev.tool.desktop".to_owned(), digest)].into(),
            replaces: Default::default(),
        };
        exports.change(|index| index.applications.push(application.clone())).unwrap();
        let read = exports.read().unwrap();
        assert!(read.applications == [application] && read.has(&"dev".parse().unwrap()));
        let (_other, strange) = with(
            r#"{"version": 2, "applications": [{"container": "dev", "id": "x", "path": "/x", "files": {"../x": ""}}]}"#,
        );
        assert!(strange.read().is_err());
        exports.change(|index| index.applications.clear()).unwrap();
        assert!(exports.read().unwrap().applications.is_empty());
    }

    #[test]
    fn a_container_with_many_applications_leaves_room_for_others() {
        let application = |container: &str, number: usize| {
            let name = ApplicationName {
                container: container.parse().unwrap(),
                id: format!("tool{number}").parse().unwrap(),
            };
            let place = |size: usize| format!("icons/hicolor/{size}x{size}/apps/{}.png", name.stem());
            Application {
                path: "/x".to_owned(),
                directory: None,
                package: None,
                version: None,
                files: (1..=100).map(|size| (place(size), "0".repeat(32))).collect(),
                replaces: Default::default(),
                container: name.container,
                id: name.id,
            }
        };
        let mut index = Index::default();
        let mut left = 0;
        for one in (0..200).map(|number| application("play", number)) {
            if index.has_room_for(&one) { index.applications.push(one) } else { left += 1 }
        }
        assert!(index.applications.len() > 10 && left > 100, "{left}");
        assert!(index.has_room_for(&index.applications[0]), "its own place is none that is missing");
        let mut renewed = index.applications[0].clone();
        renewed.replaces = renewed.files.clone();
        assert!(index.has_room_for(&renewed), "what it had before is none of it for long");
        assert!(index.has_room_for(&application("tools", 0)));
        assert!((index.text().unwrap().len() as u64) < LONGEST / 2);
    }

    #[test]
    fn a_pipe_a_directory_or_something_huge_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let exports = exports(&directory);
        fs::create_dir(exports.directory()).unwrap();
        let refused = |why: &str| {
            let error = exports.read().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert!(exports.change(|index| index.commands.push(command("rg"))).is_err());
        };
        mknodat(CWD, exports.file(), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        refused("it is no regular file");
        fs::remove_file(exports.file()).unwrap();
        fs::create_dir(exports.file()).unwrap();
        refused("exports.json: ");
        fs::remove_dir(exports.file()).unwrap();
        File::create(exports.file()).unwrap().set_len(LONGEST + 1).unwrap();
        refused("it has more than 1048576 bytes");
    }

    #[test]
    fn an_index_of_another_user_is_refused() {
        // Only root can make one.
        if !rustix::process::getuid().is_root() {
            return;
        }
        let (_directory, exports) = with(r#"{"version": 2, "commands": []}"#);
        assert!(exports.read().is_ok());
        std::os::unix::fs::chown(exports.file(), Some(54321), None).unwrap();
        let refused = exports.read().unwrap_err().to_string();
        assert!(refused.ends_with("it belongs to the user with uid 54321"), "{refused}");
        assert!(exports.change(|index| index.commands.push(command("rg"))).is_err());
    }

    #[test]
    fn more_than_is_read_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let exports = exports(&directory);
        let many = |index: &mut Index| {
            index.commands.extend((0..20_000).map(|number| command(&format!("command-{number}"))));
        };
        assert!(exports.change(many).is_err());
        assert_eq!(exports.read().unwrap(), Index::default());
    }

    #[test]
    fn two_writers_lose_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let exports = exports(&directory);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let exports = &exports;
                scope.spawn(move || {
                    for number in 0..10 {
                        let added = format!("{writer}-{number}");
                        exports
                            .change(|index| {
                                index.sockets.push(socket(&format!("/run/{added}")));
                                index.commands.push(command(&added));
                            })
                            .unwrap();
                    }
                });
            }
        });
        let read = exports.read().unwrap();
        assert_eq!((read.sockets.len(), read.commands.len()), (40, 40));
    }
}
