//! What package managers have said: a file for each container, of which the last lines are shown when one fails.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use snug_core::name::ContainerName;

use super::state_file;
use crate::context::Context;
use crate::error::CommandError;
use crate::words;

/// Lines that are shown on failure: enough for what dpkg says of a script that failed.
const SHOWN: usize = 20;
/// Bytes after which a log begins anew; the one before it is kept.
const LONGEST: u64 = 1 << 20;
/// Bytes that one change may add: thousands of packages say less.
const MOST: usize = 8 << 20;

/// The log of one change.
pub struct Log<'a> {
    context: &'a Context,
    file: Option<(PathBuf, File)>,
    last: VecDeque<String>,
    written: usize,
}

impl<'a> Log<'a> {
    /// Begins one with what was asked for. Where it cannot be written there is none, which is no reason to install nothing.
    pub fn begin(context: &'a Context, container: &ContainerName, what: &str) -> Self {
        let opened = state_file(container, "log").and_then(|path| Ok((path.clone(), open(&path)?)));
        let file = opened.map_err(|error| context.printer.detail(&format!("no log is kept: {error}"))).ok();
        let mut log = Self { context, file, last: VecDeque::new(), written: 0 };
        log.write(&format!("== {} snug {what}", words::now()));
        log
    }

    /// Adds a line of a package manager's, whose reader has made it harmless.
    pub fn line(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        self.context.printer.detail(line);
        self.write(line);
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }

    fn write(&mut self, line: &str) {
        self.written += line.len() + 1;
        if let Some((_, file)) = &mut self.file
            && self.written <= MOST
        {
            // A disk that is full is told by the package manager.
            let _ = writeln!(file, "{line}");
        }
    }

    /// Adds a line of Snug's own: what it made of what was said.
    pub fn note(&mut self, line: &str) {
        self.write(&format!("-- {}", snug_core::text::escape(line)));
    }

    /// Shows its last lines, and says where the others are: something has failed.
    pub fn explain(&self, error: CommandError) -> CommandError {
        for line in &self.last {
            self.context.printer.complain(&format!("  {}\n", snug_core::text::escape(line)));
        }
        match &self.file {
            Some((path, _)) => error.hint(format!("all that was said is in {}", path.display())),
            None => error,
        }
    }
}

/// For what is added to it. A long one makes room.
fn open(path: &Path) -> io::Result<File> {
    if fs::symlink_metadata(path).is_ok_and(|status| status.len() > LONGEST) {
        fs::rename(path, path.with_extension("log.old"))?;
    }
    // A pipe in its place waits for nobody.
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_grows_and_a_long_one_makes_room() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tools.log");
        for line in ["one\n", "two\n"] {
            open(&path).unwrap().write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        fs::write(&path, vec![b'x'; LONGEST as usize + 1]).unwrap();
        open(&path).unwrap().write_all(b"new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(fs::metadata(path.with_extension("log.old")).unwrap().len(), LONGEST + 1);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        assert!(open(&path).is_err(), "a link is followed");
    }
}
