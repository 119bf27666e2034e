//! The file of a list: bounded when it is read, written in one piece and by one at a time. A link, as managers of dotfiles make them, stays,
//! and what it leads to changes.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use snug_core::config::Config;
use snug_core::text::{escape, escape_lines};
use snug_wire::small_file;
use tempfile::NamedTempFile;

use super::List;
use super::read::{Mistake, read};
use crate::error::{CommandError, Kind};
use crate::printer::Printer;

/// Bytes; more than anybody writes.
const LONGEST: u64 = 1 << 20;
/// Mistakes that are told.
const TOLD_MISTAKES: usize = 20;
/// Links that may lead to each other (`MAXSYMLINKS`, linux/namei.h).
const MOST_LINKS: usize = 40;
/// The word for standard input.
pub const STDIN: &str = "-";

/// What messages call it.
pub fn shown(path: &Path) -> String {
    if path == Path::new(STDIN) {
        "standard input".to_owned()
    } else {
        escape(&path.display().to_string()).into_owned()
    }
}

/// The text of a list; `-` is standard input.
///
/// # Errors
/// It cannot be read, is too long, or is no text.
pub fn text(path: &Path) -> Result<String, CommandError> {
    let bytes = if path == Path::new(STDIN) {
        let mut bytes = Vec::new();
        io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes).and_then(|_| match bytes.len() as u64 {
            ..=LONGEST => Ok(bytes),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has more than {LONGEST} bytes"))),
        })
    } else {
        small_file::read(path, LONGEST)
    };
    bytes.and_then(as_text).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => {
            unread(path, error).hint("`-` in its place is standard input, for what is no file")
        }
        _ => unread(path, error),
    })
}

fn as_text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

fn unread(path: &Path, error: io::Error) -> CommandError {
    let kind = if error.kind() == io::ErrorKind::NotFound { Kind::NotFound } else { Kind::User };
    CommandError::new(kind, format!("{} cannot be read", shown(path))).caused_by(error)
}

/// The list that a text is.
///
/// # Errors
/// What is wrong with it: of several mistakes the first are told, and the error says how many there are.
pub fn list(path: &Path, text: &str, config: &Config, printer: Printer) -> Result<List, CommandError> {
    let mut mistakes = match read(text, config) {
        Ok(list) => return Ok(list),
        Err(mistakes) => mistakes,
    };
    let named = |mistake: &Mistake| {
        let text = format!("{}, line {}: {}", shown(path), mistake.line, escape_lines(&mistake.text));
        CommandError::user(text).with_hints(mistake.hints.iter().cloned())
    };
    if mistakes.len() == 1 {
        return Err(named(&mistakes.remove(0)));
    }
    for mistake in mistakes.iter().take(TOLD_MISTAKES) {
        printer.error(&named(mistake));
    }
    if mistakes.len() > TOLD_MISTAKES {
        printer.warning(&format!("the first {TOLD_MISTAKES} were told"));
    }
    let text = format!("{} is no list yet: {} mistakes", shown(path), mistakes.len());
    Err(CommandError::user(text).hint("nothing was done"))
}

/// Where a file is that links lead to, whether it is there or not.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = std::path::absolute(path)?;
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("/")).join(link),
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// Changes a file, alone; `None` is one that there is not. What is changed to the same is not written.
///
/// # Errors
/// It cannot be read or written, or `change` refuses: it is as it was then.
pub fn change(
    path: &Path,
    change: impl FnOnce(Option<&str>) -> Result<Option<String>, CommandError>,
) -> Result<(), CommandError> {
    let unwritten = |error: io::Error| {
        CommandError::failed(format!("{} cannot be written", shown(path))).caused_by(error)
    };
    let target = target(path).map_err(unwritten)?;
    let directory = target.parent().unwrap_or(Path::new("/"));
    // The file itself is another one after each change.
    let lock = File::open(directory).map_err(unwritten)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| unwritten(error.into()))?;
    let before = match small_file::read(&target, LONGEST).and_then(as_text) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        read => Some(read.map_err(|error| unread(path, error))?),
    };
    let Some(after) = change(before.as_deref())? else { return Ok(()) };
    if before.as_deref() == Some(&*after) {
        return Ok(());
    }
    write(&target, directory, after.as_bytes()).map_err(unwritten)
}

/// Whether a file can be changed, before anything is done that it is to say.
///
/// # Errors
/// It cannot.
pub fn can_be_written(path: &Path) -> Result<(), CommandError> {
    let target = target(path);
    let begun = target.and_then(|target| begin(&target, target.parent().unwrap_or(Path::new("/"))).map(drop));
    begun.map_err(|error| CommandError::failed(format!("{} cannot be written", shown(path))).caused_by(error))
}

fn write(target: &Path, directory: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = begin(target, directory)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(target).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

/// The file that is to come in the place of another one.
fn begin(target: &Path, directory: &Path) -> io::Result<NamedTempFile> {
    // What its owner has protected stays; who may not write it learns so here.
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;
    let permissions = match OpenOptions::new().write(true).custom_flags(flags).open(target) {
        Ok(file) => Some(file.metadata()?.permissions()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut builder = tempfile::Builder::new();
    // As any new file's: the caller's umask takes away.
    builder.prefix(".snug-").permissions(Permissions::from_mode(0o666));
    let file = builder.tempfile_in(directory)?;
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_stays_and_what_it_leads_to_changes_with_its_rights() {
        let home = tempfile::tempdir().unwrap();
        let (dotfiles, link) = (home.path().join("dotfiles"), home.path().join("tools.toml"));
        fs::create_dir(&dotfiles).unwrap();
        let real = dotfiles.join("tools.toml");
        symlink("dotfiles/second", &link).unwrap();
        symlink("tools.toml", dotfiles.join("second")).unwrap();
        // Before there is anything.
        change(&link, |text| Ok(Some(format!("{text:?}")))).unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "None");
        fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        change(&link, |text| Ok(text.map(|text| text.to_owned() + "+"))).unwrap();
        assert_eq!(fs::read_to_string(&link).unwrap(), "None+");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        let names =
            fs::read_dir(&dotfiles).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(
            names.collect::<std::collections::BTreeSet<_>>(),
            ["second", "tools.toml"].map(str::to_owned).into()
        );
    }

    #[test]
    fn what_is_refused_leaves_the_file_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tools.toml");
        fs::write(&path, "text").unwrap();
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        assert!(change(&path, |_| Err(CommandError::user("no"))).is_err());
        change(&path, |_| Ok(None)).unwrap();
        change(&path, |text| Ok(text.map(str::to_owned))).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
        fs::write(&path, b"\xff").unwrap();
        let refused = change(&path, |_| Ok(Some(String::new()))).unwrap_err().to_string();
        assert!(refused.contains("tools.toml cannot be read"), "{refused}");
        symlink("loop", home.path().join("loop")).unwrap();
        assert!(change(&home.path().join("loop"), |_| Ok(Some(String::new()))).is_err());
        assert!(change(&home.path().join("none/x"), |_| Ok(Some(String::new()))).is_err());
        assert!(change(home.path(), |_| Ok(Some(String::new()))).is_err());
        fs::write(&path, vec![b'x'; LONGEST as usize + 1]).unwrap();
        assert!(text(&path).is_err());
    }

    #[test]
    fn two_at_once_lose_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tools.toml");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        change(&path, |text| Ok(Some(text.unwrap_or_default().to_owned() + "x"))).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "x".repeat(80));
    }
}
