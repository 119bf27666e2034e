//! `snug-hook start-host …`: the words of its command line, which snugd writes into the container's configuration.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use snug_wire::network::LOG;

use crate::check;
use crate::daemon::say;
use crate::guest::Guest;
use crate::keeper;
use crate::owner::Owner;

const USAGE: &str = "usage: snug-hook start-host --pasta PROGRAM --owner UID:GID --run-dir DIR
       snug-hook start-host --bridged --owner UID:GID --run-dir DIR
       snug-hook stop --run-dir DIR
LXC starts it for a container with network=mirror or behind the bridge; LXC_PID is the container's process 1.";

/// Longer than the keeper takes for anything before it says that it is ready.
const READY: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
/// Longer than everything of a container that has ended takes to end.
const ENDING: Duration = Duration::from_secs(5);

#[derive(Debug, PartialEq, Eq)]
enum Hook {
    /// `lxc.hook.start-host`; with pasta of a guest that mirrors the host's network, without of one behind the bridge.
    StartHost { pasta: Option<PathBuf>, owner: Owner, run_directory: PathBuf },
    /// `lxc.hook.stop`
    Stop { run_directory: PathBuf },
}

fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<Hook> {
    let verb = arguments.next()?;
    let (mut pasta, mut bridged, mut owner, mut run_directory) = (None, false, None, None);
    while let Some(argument) = arguments.next() {
        match argument.to_str()? {
            "--owner" => {
                let value = arguments.next()?;
                let (uid, gid) = value.to_str()?.split_once(':')?;
                owner = Some(Owner { uid: uid.parse().ok()?, gid: gid.parse().ok()? });
            }
            "--bridged" => bridged = true,
            "--pasta" => pasta = Some(PathBuf::from(arguments.next()?)),
            "--run-dir" => run_directory = Some(PathBuf::from(arguments.next()?)),
            _ => return None,
        }
    }
    let run_directory = run_directory?;
    match verb.to_str()? {
        "start-host" => {
            let owner = owner?;
            // The forwarder becomes the owner. Root would keep its rights.
            if !bridged && (owner.uid == 0 || owner.gid == 0) {
                return None;
            }
            (bridged != pasta.is_some()).then_some(Hook::StartHost { pasta, owner, run_directory })
        }
        "stop" if pasta.is_none() && !bridged && owner.is_none() => Some(Hook::Stop { run_directory }),
        _ => None,
    }
}

/// Does what the arguments say. A hook that fails stops the container's start: a guest without network is better than none, so only
/// a wrong command line does.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(hook) = parse(arguments) else {
        say(format_args!("{USAGE}"));
        return ExitCode::from(2);
    };
    close_inherited();
    let done = match hook {
        Hook::StartHost { pasta: Some(pasta), owner, run_directory } => {
            let socket = run_directory.join(snug_wire::ports::SOCKET);
            mirror(&run_directory, &keeper::Task { pasta, owner, socket })
        }
        Hook::StartHost { pasta: None, owner, run_directory } => {
            look(&check::Task { owner, directory: run_directory })
        }
        Hook::Stop { run_directory } => stop(&run_directory),
    };
    if let Err(error) = done {
        say(format_args!("snug-hook: {error}"));
    }
    ExitCode::SUCCESS
}

/// Closes what LXC has left open, before this process opens anything.
fn close_inherited() {
    let (first, last) = (3, libc::c_uint::MAX);
    // SAFETY: nothing in this process has a descriptor yet but the three streams.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}

/// The guest that starts, and the log, which is locked until the last has ended who has it open.
fn begin(run_directory: &Path) -> io::Result<(Guest, File)> {
    let pid = std::env::var("LXC_PID").ok().and_then(|pid| pid.parse().ok());
    let pid = pid.ok_or_else(|| io::Error::other("LXC_PID is not set: LXC starts this program"))?;
    // Of the guest that has rebooted.
    stop(run_directory)?;
    let log = run_directory.join(LOG);
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", log.display()));
    let log = File::options().append(true).create(true).mode(0o600).open(&log).map_err(named)?;
    // Whoever can open it can lock it, and with that hold up the start. One of an earlier version may be open to its owner.
    log.set_permissions(Permissions::from_mode(0o600))?;
    flock(&log, FlockOperation::LockExclusive)?;
    log.set_len(0)?;
    Ok((Guest::open(pid)?, log))
}

fn mirror(run_directory: &Path, task: &keeper::Task) -> io::Result<()> {
    let (guest, log) = begin(run_directory)?;
    let ready = keeper::start(&guest, task, &log)?;
    // Without it the guest begins a little before its network.
    let _ = poll(&mut [PollFd::new(&ready, PollFlags::IN)], Some(&READY));
    Ok(())
}

/// What keeps it from looking is in the log: nobody reads what a hook says.
fn look(task: &check::Task) -> io::Result<()> {
    let (guest, mut log) = begin(&task.directory)?;
    check::start(&guest, task, &log).or_else(|error| writeln!(log, "the network was not looked at: {error}"))
}

/// Waits until nothing of what was started for the container is left: LXC removes the cgroup next that all of it is in, and a
/// process there would keep that. Each of them has the log open, which the first has locked.
fn stop(run_directory: &Path) -> io::Result<()> {
    let log = match File::open(run_directory.join(LOG)) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let (unlocked, wait) = channel();
    // A lock has no deadline: a thread that waits in vain ends with this process.
    let waiting =
        thread::Builder::new().spawn(move || unlocked.send(flock(&log, FlockOperation::LockExclusive)))?;
    match wait.recv_timeout(ENDING) {
        Ok(locked) => {
            // Whoever forks next has one thread.
            let panicked = |_| io::Error::other("the thread that waits for the lock panicked");
            waiting.join().map_err(panicked)?.map_err(io::Error::other)?;
            Ok(locked?)
        }
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<Hook> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn a_command_line_is_whole_or_nothing() {
        let owner = Owner { uid: 1000, gid: 100 };
        assert_eq!(
            parsed("start-host --pasta /p --owner 1000:100 --run-dir /x"),
            Some(Hook::StartHost { pasta: Some("/p".into()), owner, run_directory: "/x".into() })
        );
        assert_eq!(
            parsed("start-host --bridged --owner 1000:100 --run-dir /x"),
            Some(Hook::StartHost { pasta: None, owner, run_directory: "/x".into() })
        );
        // Nothing becomes the owner there.
        let root = Owner { uid: 0, gid: 0 };
        assert_eq!(
            parsed("start-host --bridged --owner 0:0 --run-dir /x"),
            Some(Hook::StartHost { pasta: None, owner: root, run_directory: "/x".into() })
        );
        assert_eq!(parsed("stop --run-dir /x"), Some(Hook::Stop { run_directory: "/x".into() }));
        for wrong in [
            "stop",
            "stop --run-dir /x extra",
            "stop --pasta /p --run-dir /x",
            "stop --bridged --run-dir /x",
            "start-host --bridged --pasta /p --owner 1000:100 --run-dir /x",
            "start-host --bridged --run-dir /x",
            "start-host --bridged --owner 1000 --run-dir /x",
            "start-host --bridged --owner 1000:100",
            "",
            "start-host",
            "start-host --owner 1000:100 --run-dir /x",
            "start-host --pasta /p --owner 1000:100",
            "start-host --pasta /p --owner 1000 --run-dir /x",
            "start-host --pasta /p --owner 0:0 --run-dir /x",
            "start-host --pasta /p --owner 1000:0 --run-dir /x",
            "start-host --pasta /p --owner 1000:100 --run-dir /x extra",
            "post-stop --owner 1000:100 --run-dir /x",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
