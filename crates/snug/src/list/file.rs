//! The file of a list: bounded when it is read, written in one piece and by one at a time. A link, as managers of dotfiles make them, stays,
//! and what it leads to changes.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
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
/// How long another change may take: those of Snug take milliseconds, and one of a slow disk some seconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Random letters in the name of a file that is to come in another one's place.
const RANDOM: usize = 6;
/// Bytes of the other one's name in it: with the rest less than the 255 of a name.
const LONGEST_NAME: usize = 200;
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
    Err(Errno::LOOP.into())
}

/// Changes a file, alone; `None` is one that there is not. What is changed to the same is not written.
///
/// # Errors
/// It cannot be read or written, or `change` refuses: it is as it was then.
pub fn change(
    path: &Path,
    change: impl FnOnce(Option<&str>) -> Result<Option<String>, CommandError>,
) -> Result<(), CommandError> {
    change_within(path, PATIENCE, change)
}

fn change_within(
    path: &Path,
    patience: Duration,
    change: impl FnOnce(Option<&str>) -> Result<Option<String>, CommandError>,
) -> Result<(), CommandError> {
    let unwritten = |error: io::Error| {
        CommandError::failed(format!("{} cannot be written", shown(path))).caused_by(error)
    };
    let target = target(path).map_err(unwritten)?;
    let directory = target.parent().unwrap_or(Path::new("/"));
    // The file itself is another one after each change.
    let _lock = lock(directory, patience).map_err(unwritten)?.ok_or_else(|| in_use(path, directory))?;
    remove_left(&target, directory);
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

/// A directory's lock; `None` where somebody else has had it all that time.
fn lock(directory: &Path, patience: Duration) -> io::Result<Option<File>> {
    let lock = File::open(directory)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => {}
        locked => return locked.map(|()| Some(lock)).map_err(Into::into),
    }
    // The call knows no deadline: who has given up leaves it to a thread, which lets go of what it gets.
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let locked = loop {
            match flock(&lock, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                locked => break locked,
            }
        };
        tell.send(locked.map(|()| lock))
    });
    match told.recv_timeout(patience) {
        Ok(locked) => locked.map(Some).map_err(Into::into),
        Err(_) => Ok(None),
    }
}

fn in_use(path: &Path, directory: &Path) -> CommandError {
    let holder = holder(directory).unwrap_or_else(|| "another process".to_owned());
    let place = shown(directory);
    CommandError::failed(format!("{} cannot be changed: {holder} keeps {place} locked (flock)", shown(path)))
        .hint("the same command again when that has ended")
}

/// Who has a directory's lock, by proc_locks(5); nobody where that does not say it for certain.
fn holder(directory: &Path) -> Option<String> {
    let inode = fs::metadata(directory).ok()?.ino();
    let locks = small_file::read(Path::new("/proc/locks"), LONGEST).ok()?;
    let process = holder_in(&String::from_utf8_lossy(&locks), inode)?;
    let name = small_file::read(Path::new(&format!("/proc/{process}/comm")), 64).unwrap_or_default();
    let name = escape(String::from_utf8_lossy(&name).trim_end()).into_owned();
    Some(if name.is_empty() { format!("process {process}") } else { format!("{name} (process {process})") })
}

/// The one process that has such a lock of a file with this number: the device there is not that of stat(2) on btrfs.
fn holder_in(locks: &str, inode: u64) -> Option<u32> {
    let mut processes = locks.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, process, file, ..] = words[..] else { return None };
        (file.rsplit(':').next()?.parse() == Ok(inode)).then(|| process.parse().ok()).flatten()
    });
    let process = processes.next().filter(|process| *process > 0)?;
    processes.next().is_none().then_some(process)
}

/// How names of files begin that are to come in the place of this one. As much of its name as leaves room for the rest.
fn begun_prefix(target: &Path) -> OsString {
    let name = target.file_name().unwrap_or_default().as_bytes();
    let name = &name[..name.len().min(LONGEST_NAME)];
    OsString::from_vec([b".snug-", name, b"."].concat())
}

/// Removes what somebody who was killed while he wrote has left; whoever writes now has the lock. What cannot be removed is in nobody's way.
fn remove_left(target: &Path, directory: &Path) {
    let prefix = begun_prefix(target);
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let random = name.as_bytes().strip_prefix(prefix.as_bytes());
        let is_left = random
            .is_some_and(|random| random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric));
        if is_left && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let _ = fs::remove_file(entry.path());
        }
    }
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
    let prefix = begun_prefix(target);
    builder.prefix(&prefix).rand_bytes(RANDOM).permissions(Permissions::from_mode(0o666));
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
    fn a_lock_that_somebody_keeps_is_said_and_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tools.toml");
        let other = File::open(home.path()).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        let set = |_: Option<&str>| Ok(Some("x".to_owned()));
        let error = change_within(&path, Duration::from_millis(50), set).unwrap_err();
        assert!(error.to_string().contains("tools.toml cannot be changed: "), "{error}");
        assert!(!path.exists() && !error.hints.is_empty());
        // Who had given up keeps nobody else from it.
        drop(other);
        change(&path, set).unwrap();
    }

    #[test]
    fn who_has_a_lock_is_said_where_one_alone_can_be_meant() {
        let locks = "1: POSIX  ADVISORY  READ  17 00:2b:12 128 128\n2: FLOCK  ADVISORY  WRITE 1234 08:02:77 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 99 08:02:77 0 EOF\n3: FLOCK  ADVISORY  WRITE 0 08:02:78 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 5 08:02:79 0 EOF\n5: FLOCK  ADVISORY  WRITE 6 08:03:79 0 EOF\nx\n";
        for (inode, process) in [(77, Some(1234)), (12, None), (78, None), (79, None), (80, None)] {
            assert_eq!(holder_in(locks, inode), process, "{inode}");
        }
    }

    #[test]
    fn what_a_killed_change_has_left_goes_with_the_next_one_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tools.toml");
        let left = begin(&path, home.path()).unwrap().keep().unwrap().1;
        let others =
            [".snug-config", ".snug-tools.toml.", ".snug-tools.toml.backup2", ".snug-other.toml.Ab12Cd"];
        others.iter().for_each(|name| fs::write(home.path().join(name), "mine").unwrap());
        change(&path, |_| Ok(Some("x".to_owned()))).unwrap();
        assert!(!left.exists());
        others.iter().for_each(|name| assert!(home.path().join(name).exists(), "{name}"));
        let long = home.path().join("x".repeat(255));
        change(&long, |_| Ok(Some("x".to_owned()))).unwrap();
        assert_eq!(fs::read_to_string(long).unwrap(), "x");
    }

    #[test]
    fn two_at_once_lose_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tools.toml");
        thread::scope(|scope| {
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
