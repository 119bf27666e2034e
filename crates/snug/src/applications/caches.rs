//! Telling the desktop that applications have come or gone, where it keeps lists of them. Without its programs it looks by itself.

use std::io;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
use snug_exports::{Files, search};

use crate::context::Context;
use crate::env_vars;
use crate::exports;
use crate::packages::commands::HOSTS;
use crate::packages::streams;

/// How long one program may take: with thousands of entries on a slow disk it is seconds. What it makes is a list that others make, too.
const PATIENCE: Duration = Duration::from_secs(30);

/// Has lists renewed; `with_icons`: those of icons, too.
pub fn renew(context: &Context, files: &Files, with_icons: bool) {
    let (entries, theme) = (files.entries(), files.theme());
    if entries.is_dir() {
        run(context, "update-desktop-database", &["-q".as_ref(), entries.as_os_str()]);
    }
    if with_icons && theme.is_dir() {
        // A cache that is not there is not made: icons that others put there would not be seen any more, since GTK believes a cache that is
        // as new as its directory.
        if theme.join("icon-theme.cache").exists() {
            run(
                context,
                "gtk-update-icon-cache",
                &["-q".as_ref(), "-t".as_ref(), "-f".as_ref(), theme.as_os_str()],
            );
        } else {
            // By its time programs that run see that it has changed (Icon Theme Specification, "Implementation Notes").
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            let times = Timestamps { last_access: now, last_modification: now };
            // Whose it is nobody else's: what cannot be done here they do at the next login.
            let _ = utimensat(CWD, &theme, &times, AtFlags::empty());
        }
    }
    let desktop = env_vars::non_empty(env_vars::XDG_CURRENT_DESKTOP).unwrap_or_default();
    let is_kde = desktop.to_string_lossy().split(':').any(|word| word.eq_ignore_ascii_case("kde"));
    if is_kde && !run(context, "kbuildsycoca6", &[]) {
        run(context, "kbuildsycoca5", &[]);
    }
}

/// Runs a program of the host's, never one of a container by that name; whether it is there.
fn run(context: &Context, program: &str, arguments: &[&std::ffi::OsStr]) -> bool {
    let links = exports::of_user().and_then(|exports| exports::links(&exports));
    let mut path = env_vars::non_empty(env_vars::PATH).unwrap_or_default();
    path.push(if path.is_empty() { "" } else { ":" });
    path.push(HOSTS);
    let Some((file, _)) = links.ok().and_then(|links| search::find_elsewhere(&path, program, links.bin()))
    else {
        return false;
    };
    match ended(Command::new(&file).args(arguments), PATIENCE) {
        Ok(Some(status)) if status.success() => {}
        Ok(Some(status)) => context.printer.detail(&format!("{}: {status}", file.display())),
        Ok(None) => context.printer.warning(&format!(
            "menus may be old until the next login: {} had not ended after {} seconds",
            file.display(),
            PATIENCE.as_secs()
        )),
        Err(error) => context.printer.detail(&format!("{}: {error}", file.display())),
    }
    true
}

/// How a program without streams ended; `None` where it had not by then, and was killed.
fn ended(command: &mut Command, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let ended = streams::wait(&mut child, Instant::now() + patience);
    if !matches!(ended, Ok(Some(_))) {
        child.kill()?;
        // One that the kernel does not let go (a home that does not answer) is not waited for either.
        streams::wait(&mut child, Instant::now() + patience)?;
    }
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_end_is_not_waited_for() {
        let mut shell = Command::new("sh");
        let status = ended(shell.args(["-c", "exit 3"]), Duration::from_secs(60)).unwrap().unwrap();
        assert_eq!(status.code(), Some(3));
        let begin = Instant::now();
        let mut sleep = Command::new("sleep");
        assert_eq!(ended(sleep.arg("60"), Duration::from_millis(50)).unwrap(), None);
        assert!(begin.elapsed() < Duration::from_secs(30));
        assert!(ended(&mut Command::new("/nowhere/program"), Duration::from_secs(1)).is_err());
    }
}
