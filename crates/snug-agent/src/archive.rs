//! `pack` and `unpack`: a tar stream out of the guest and into it, for `snug cp`. Both run as an ordinary command, with
//! no more rights than the user whose command it is.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use snug_wire::pack::{Entry, NO_PERMISSION, Packer, umask};
use tar::{Archive, EntryType};

use crate::report;
use snug_exec::sys::signal;

/// The reason alone, without the words of the crates it came through, behind the path it is about.
fn named(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| {
        let outer: &dyn std::error::Error = &error;
        let reason = std::iter::successors(Some(outer), |error| error.source()).last().unwrap_or(outer);
        io::Error::new(error.kind(), format!("{}: {reason}", shown(path)))
    }
}

/// A path for one line of a terminal.
fn shown(path: &Path) -> String {
    let mut text = String::new();
    for c in path.display().to_string().chars() {
        if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
    }
    text
}

/// Writes `path`, a file or a directory with everything in it, under its own name; answers what was left out, each with
/// its path. Links stay links.
fn pack(path: &Path, output: impl Write) -> io::Result<Vec<io::Error>> {
    // `dir/.` and `dir/..` have no name of their own.
    let real;
    let (path, name) = match path.file_name() {
        Some(name) => (path, name),
        None => {
            real = fs::canonicalize(path).map_err(named(path))?;
            (real.as_path(), real.file_name().unwrap_or(OsStr::new("root")))
        }
    };
    // What was asked for itself is not left out of anything.
    let entry = Entry::open(path).map_err(named(path))?;
    let mut packer = Packer::new(output);
    packer.add_entry(entry, Path::new(name))?;
    Ok(packer.finish()?.into_iter().map(|it| named(&it.path)(it.error)).collect())
}

/// Where a copy to `path` of something called `name` goes: a directory, and the name in it (cp(1)).
fn destination<'a>(path: &'a Path, name: &'a OsStr) -> io::Result<(&'a Path, &'a OsStr)> {
    let named = named(path);
    let means_directory = path.as_os_str().as_bytes().ends_with(b"/");
    match fs::metadata(path) {
        Ok(status) if status.is_dir() => return Ok((path, name)),
        Ok(_) if means_directory => return Err(named(io::ErrorKind::NotADirectory.into())),
        Err(error) if means_directory || error.kind() != io::ErrorKind::NotFound => return Err(named(error)),
        _ => {}
    }
    let name = path.file_name().ok_or_else(|| named(io::Error::other("this is no name for a copy")))?;
    Ok((path.parent().unwrap_or(Path::new("/")), name))
}

/// Reads a tar stream into the directory `into`; its first component becomes `name`, its modes are less the umask. Nothing
/// is written outside of `into`, no device, and no one else's file.
fn unpack(into: &Path, name: &OsStr, input: impl Read) -> io::Result<()> {
    let umask = umask();
    let mut archive = Archive::new(input);
    // Whose program it was is not whose it becomes: nothing is set for its user or group.
    archive.set_preserve_permissions(false);
    archive.set_mask(umask);
    archive.set_preserve_mtime(true);
    archive.set_overwrite(true);
    let base = fs::canonicalize(into).map_err(named(into))?;
    // Modes and times of directories are set last: a mode may forbid writing, and what is written changes the time.
    let mut directories = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        let path = target(&entry.path()?, name)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse | EntryType::Symlink => {}
            EntryType::Directory => {
                directories.push((base.join(&path), entry.header().mode()?, entry.header().mtime()?));
                let directory = inside(&base, &path)?;
                match fs::symlink_metadata(&directory) {
                    Ok(status) if status.is_dir() => {}
                    // A link there is neither followed, for it may lead out, nor lost.
                    Ok(_) => {
                        return Err(named(&directory)(io::Error::other("is there and is no directory")));
                    }
                    Err(_) => fs::create_dir(&directory).map_err(named(&directory))?,
                }
                continue;
            }
            _ => continue,
        }
        let path = inside(&base, &path)?;
        // What is there is replaced, not written through.
        if fs::symlink_metadata(&path).is_ok_and(|status| !status.is_dir()) {
            fs::remove_file(&path).map_err(named(&path))?;
        }
        entry.unpack(&path).map_err(named(&path))?;
    }
    for (directory, mode, modified) in directories.into_iter().rev() {
        // A later entry may have put a link in its place.
        if fs::symlink_metadata(&directory).is_ok_and(|status| status.is_dir()) {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode & 0o1777 & !umask);
            fs::set_permissions(&directory, mode).map_err(named(&directory))?;
            let time = Timespec { tv_sec: modified.try_into().unwrap_or(i64::MAX), tv_nsec: 0 };
            let times = Timestamps { last_access: time, last_modification: time };
            utimensat(CWD, &directory, &times, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| named(&directory)(error.into()))?;
        }
    }
    Ok(())
}

/// A path of the archive, with its first component renamed.
fn target(path: &Path, name: &OsStr) -> io::Result<PathBuf> {
    let mut components = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(component) => components.push(component),
            Component::CurDir => {}
            _ => return Err(leads_out(path)),
        }
    }
    if let Some(first) = components.first_mut() {
        *first = name;
    }
    Ok(components.into_iter().collect())
}

/// Where `path` is, if the way there stays below `base`: a link in the archive could lead elsewhere. Directories on
/// the way are made one by one, each checked before the next.
fn inside(base: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut parent = base.to_path_buf();
    for name in path.parent().into_iter().flat_map(Path::components) {
        parent.push(name);
        if !parent.exists() {
            fs::create_dir(&parent).map_err(named(&parent))?;
        }
        if !fs::canonicalize(&parent).map_err(named(&parent))?.starts_with(base) {
            return Err(leads_out(path));
        }
    }
    Ok(base.join(path))
}

fn leads_out(path: &Path) -> io::Error {
    named(path)(io::Error::other("it leads out of the directory"))
}

/// `pack PATH`; `unpack PATH NAME`, into `PATH` under `NAME` where that is a directory, and as `PATH` where it is none. What
/// went wrong is told on standard error, and in the status.
pub fn run(verb: &str, arguments: &[OsString]) -> ExitCode {
    // A reader that has seen enough (a link that it follows, a full disk) ends a writer without a word.
    signal::reset_dispositions(0);
    let result = match (verb, arguments) {
        ("pack", [path]) => pack(Path::new(path), io::stdout().lock()),
        ("unpack", [path, name]) if Path::new(name).file_name() == Some(name) => {
            destination(Path::new(path), name)
                .and_then(|(into, name)| unpack(into, name, io::stdin().lock()))
                .map(|()| Vec::new())
        }
        _ => Err(io::Error::other("usage: snug-agent pack PATH | unpack PATH NAME")),
    };
    let (word, errors) = match result {
        Ok(left_out) => ("warning: left out", left_out),
        Err(error) => ("error", vec![error]),
    };
    for error in &errors {
        report(&format!("{word}: {error}"));
    }
    if errors.iter().any(|error| error.kind() == io::ErrorKind::PermissionDenied) {
        return ExitCode::from(NO_PERMISSION);
    }
    ExitCode::from(u8::from(!errors.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::time::{Duration, SystemTime};
    use tar::Builder;

    #[test]
    fn a_tree_arrives_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let (source, into) = (directory.path().join("tree"), directory.path().join("into"));
        fs::create_dir_all(source.join("closed")).unwrap();
        fs::create_dir(&into).unwrap();
        fs::write(source.join("closed/file"), "text").unwrap();
        fs::set_permissions(source.join("closed/file"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("/nonexistent", source.join("link")).unwrap();
        fs::set_permissions(source.join("closed"), fs::Permissions::from_mode(0o555)).unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for directory in [&source, &source.join("closed")] {
            fs::File::open(directory).unwrap().set_modified(long_ago).unwrap();
        }
        let mut stream = Vec::new();
        pack(&source, &mut stream).unwrap();
        for name in ["tree", "other"] {
            unpack(&into, OsStr::new(name), stream.as_slice()).unwrap();
            let tree = into.join(name);
            assert_eq!(fs::read_to_string(tree.join("closed/file")).unwrap(), "text");
            assert_eq!(fs::metadata(tree.join("closed/file")).unwrap().mode() & 0o777, 0o640);
            assert_eq!(fs::metadata(tree.join("closed")).unwrap().mode() & 0o777, 0o555);
            for directory in [&tree, &tree.join("closed")] {
                assert_eq!(fs::metadata(directory).unwrap().modified().unwrap(), long_ago);
            }
            assert_eq!(fs::read_link(tree.join("link")).unwrap(), Path::new("/nonexistent"));
        }
    }

    #[test]
    fn one_file_may_get_another_name() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), "text").unwrap();
        let mut stream = Vec::new();
        pack(&directory.path().join("a"), &mut stream).unwrap();
        unpack(directory.path(), OsStr::new("b"), stream.as_slice()).unwrap();
        assert_eq!(fs::read_to_string(directory.path().join("b")).unwrap(), "text");
    }

    #[test]
    fn a_copy_goes_into_a_directory_and_else_gets_the_name_that_was_given() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        fs::create_dir(base.join("dir")).unwrap();
        fs::write(base.join("file"), "").unwrap();
        symlink("dir", base.join("link")).unwrap();
        let name = OsStr::new("own");
        for (path, into, as_name) in [
            ("dir", "dir", "own"),
            ("dir/", "dir/", "own"),
            ("link", "link", "own"),
            ("file", "", "file"),
            ("new", "", "new"),
            ("missing/new", "missing", "new"),
        ] {
            let path = base.join(path);
            assert_eq!(destination(&path, name).unwrap(), (base.join(into).as_path(), OsStr::new(as_name)));
        }
        assert_eq!(destination(Path::new("/"), name).unwrap(), (Path::new("/"), name));
        for (path, kind) in [("file/", io::ErrorKind::NotADirectory), ("new/", io::ErrorKind::NotFound)] {
            let error = destination(&base.join(path), name).unwrap_err();
            assert!(error.kind() == kind && error.to_string().contains(path), "{error}");
        }
    }

    #[test]
    fn nothing_keeps_the_rights_of_whose_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a");
        fs::write(&file, "text").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o6777)).unwrap();
        let mut stream = Vec::new();
        pack(&file, &mut stream).unwrap();
        unpack(directory.path(), OsStr::new("b"), stream.as_slice()).unwrap();
        assert_eq!(fs::metadata(directory.path().join("b")).unwrap().mode() & 0o7777, 0o777 & !umask());
    }

    #[test]
    fn an_error_names_the_path_on_one_line_and_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), "text").unwrap();
        let mut stream = Vec::new();
        pack(&directory.path().join("a"), &mut stream).unwrap();
        let into = directory.path().join("two\nlines");
        let missing = unpack(&into, OsStr::new("b"), stream.as_slice()).unwrap_err();
        assert!(missing.to_string().contains("two\\nlines: No such file"), "{missing}");
        fs::create_dir_all(into.join("b")).unwrap();
        let in_the_way = unpack(&into, OsStr::new("b"), stream.as_slice()).unwrap_err();
        assert!(in_the_way.to_string().contains("two\\nlines/b: Is a directory"), "{in_the_way}");
    }

    #[test]
    fn nothing_is_written_outside_of_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let into = directory.path().join("into");
        fs::create_dir(&into).unwrap();
        let stream = |entries: &[(&str, Option<&str>)]| {
            let mut builder = Builder::new(Vec::new());
            for (path, link) in entries {
                let mut header = tar::Header::new_gnu();
                // Past the checks of the crate, as an attacker would.
                let bytes = path.as_bytes();
                header.as_gnu_mut().unwrap().name[..bytes.len()].copy_from_slice(bytes);
                header.set_mode(0o644);
                header.set_size(0);
                if let Some(link) = link {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_link_name(link).unwrap();
                }
                header.set_cksum();
                builder.append(&header, io::empty()).unwrap();
            }
            builder.into_inner().unwrap()
        };
        for entries in [
            &[("../evil", None)][..],
            &[("/evil", None)],
            &[("a/../../evil", None)],
            &[("link", Some("..")), ("link/evil", None)],
            &[("link", Some("..")), ("link/evil/file", None)],
        ] {
            assert!(unpack(&into, OsStr::new("link"), stream(entries).as_slice()).is_err(), "{entries:?}");
            assert!(!directory.path().join("evil").exists());
        }
        // A directory's own name may be a link too: neither it nor what it leads to changes.
        let aside = directory.path().join("aside");
        fs::create_dir(&aside).unwrap();
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o700)).unwrap();
        symlink("../aside", into.join("dir")).unwrap();
        let mut builder = Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o777);
        header.set_size(0);
        builder.append_data(&mut header, "dir", io::empty()).unwrap();
        let error = unpack(&into, OsStr::new("dir"), builder.into_inner().unwrap().as_slice()).unwrap_err();
        assert!(error.to_string().contains("no directory"), "{error}");
        assert_eq!(fs::metadata(&aside).unwrap().mode() & 0o777, 0o700);
        // A link under the file's own name is replaced, not followed.
        let entries = [("x", Some("../evil")), ("x", None)];
        unpack(&into, OsStr::new("x"), stream(&entries).as_slice()).unwrap();
        assert!(!directory.path().join("evil").exists());
        assert!(fs::symlink_metadata(into.join("x")).unwrap().is_file());
    }
}
