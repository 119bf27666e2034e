//! A program of the guest that makes something of what provisioning has put there. It alone knows what else goes into that, and
//! nothing of provisioning depends on it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::files::remove_if_there;
use crate::places::{Guest, Places};
use snug_exec::sys::process::{self, Child, Fork, Strings, c_string};
use snug_exec::sys::{descriptor, signal};

/// Starts the first of `programs` that the guest has, if the file `changed` says that there is something for it. Whoever calls may
/// wait for its end, and the server takes note of it.
pub fn start_if_changed(
    guest: &Guest,
    places: &Places,
    changed: &Path,
    programs: &[&str],
) -> io::Result<Option<Child>> {
    let present = programs.iter().find(|program| guest.path(program).is_file());
    once(changed, || present.map(|program| start(program, places)).transpose())
}

/// The file is taken before the start: of two callers one starts, and a change that is told meanwhile is told again. It is put back
/// when the start fails, so that the next caller tries again.
fn once<T>(changed: &Path, start: impl FnOnce() -> io::Result<Option<T>>) -> io::Result<Option<T>> {
    if !remove_if_there(changed)? {
        return Ok(None);
    }
    start().inspect_err(|_| {
        let _ = fs::write(changed, "");
    })
}

fn start(program: &str, places: &Places) -> io::Result<Child> {
    match process::fork_into(None)? {
        Fork::Parent(child) => Ok(child),
        Fork::Child => {
            let _ = become_program(program, places);
            process::exit(127)
        }
    }
}

fn become_program(program: &str, places: &Places) -> io::Result<()> {
    rustix::process::setsid()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for number in 0..3 {
        descriptor::place(null.as_fd(), number)?;
    }
    descriptor::close_on_exec_from(3);
    signal::reset_dispositions(0);
    signal::unblock_all();
    let words = Strings::new([program.as_bytes().to_vec()]);
    let path = [&b"PATH="[..], snug_exec::environment::DEFAULT_PATH].concat();
    // Debian's leaves its temporary files when it is killed with the guest: in `/tmp` they would be the host's.
    let temporary = [&b"TMPDIR="[..], places.state.as_os_str().as_bytes()].concat();
    Err(process::execute(&c_string(program.into()), &words, &Strings::new([path, temporary])).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_started_is_tried_again_and_what_was_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let changed = directory.path().join("changed");
        let fails = || -> io::Result<Option<()>> { Err(io::ErrorKind::WouldBlock.into()) };
        let never = || -> io::Result<Option<()>> { panic!("nothing has changed") };
        assert_eq!(once(&changed, never).unwrap(), None);
        fs::write(&changed, "").unwrap();
        for _ in 0..2 {
            assert_eq!(once(&changed, fails).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            assert!(changed.exists());
        }
        assert_eq!(once(&changed, || Ok(Some(()))).unwrap(), Some(()));
        assert_eq!(once(&changed, never).unwrap(), None);
        // Told again while it starts.
        fs::write(&changed, "").unwrap();
        once(&changed, || fs::write(&changed, "").map(Some)).unwrap();
        assert!(changed.exists());
    }

    #[test]
    fn a_guest_without_the_program_is_not_asked_again() {
        let directory = tempfile::tempdir().unwrap();
        let guest = Guest::at(directory.path());
        let places = Places { run: directory.path().join("run"), state: directory.path().join("state") };
        let changed = directory.path().join("changed");
        fs::write(&changed, "").unwrap();
        assert!(start_if_changed(&guest, &places, &changed, &["/sbin/missing"]).unwrap().is_none());
        assert!(!changed.exists());
    }
}
