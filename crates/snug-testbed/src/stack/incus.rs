//! lxcfs and incusd: started, restarted, stopped; and the `incus` client.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::process::{Pid, PidfdFlags, Resource, Signal};

use super::{bus, mount_namespace, mounts, packages};
use crate::error::{Doing, Error, Result};
use crate::host::{self, Services};
use crate::process::{self, Process};
use crate::state::{LASTING_DIR, RUN_DIR, State};
use crate::tool::{self, Tool};

/// The daemon's socket.
pub const SOCKET: &str = "/var/lib/incus/unix.socket";
/// Where lxcfs shows its files.
const LXCFS_DIR: &str = "/var/lib/lxcfs";
const READY: Duration = Duration::from_secs(120);

/// The `incus` client as root, with a configuration of the bed's own: root's is left alone.
pub fn client() -> Tool {
    client_environment().into_iter().fold(Tool::new("incus"), |tool, (key, value)| tool.env(key, value))
}

/// What makes an `incus` use that configuration.
pub fn client_environment() -> [(&'static str, String); 2] {
    [("INCUS_CONF", format!("{RUN_DIR}/incus")), ("HOME", "/root".to_owned())]
}

/// Whether an incusd listens, whoever started it.
pub fn listens() -> bool {
    UnixStream::connect(SOCKET).is_ok()
}

/// The bed's own incusd.
pub fn own_daemon() -> Option<Process> {
    process::marked().into_iter().find(|process| is_daemon(*process))
}

/// Starts lxcfs and incusd unless an incusd listens; one that the bed did not start is left as it is.
pub fn start(state: &mut State) -> Result<()> {
    if host::services() == Services::Systemd {
        return start_units(state);
    }
    if let Some(daemon) = own_daemon() {
        if listens() && mount_namespace::receives_shared(daemon) {
            if let Err(error) = start_lxcfs(Some(daemon)) {
                host::say(format_args!("{error}; going on without lxcfs"));
            }
            return wait_ready();
        }
    } else if listens() {
        host::say("an incusd that is not the bed's own runs: using it as it is");
        return Ok(());
    }
    host::say("starting incusd");
    state.remember(|state| state.incus = true)?;
    if !Path::new(DATA).join("database").exists() {
        fs::create_dir_all(LASTING_DIR).doing(|| format!("making {LASTING_DIR}"))?;
        fs::write(own_data_mark(), "").doing(|| "noting that the data of Incus is the bed's".to_owned())?;
    }
    let resident = mount_namespace::resident().filter(|resident| {
        let usable = mount_namespace::receives_shared(*resident);
        if !usable {
            host::say("the namespace of the earlier incusd no longer sees /var/lib/snug: starting afresh");
        }
        usable
    });
    if resident.is_none() {
        sweep(Duration::from_secs(10));
    }
    // lxcfs makes the namespace; incusd then joins it.
    if let Err(error) = start_lxcfs(resident) {
        // Seen in a container of a container. Guests then show the host's /proc/meminfo and the like.
        host::say(format_args!("{error}; going on without lxcfs"));
    }
    start_daemon()
}

/// Incus' state directory.
pub const DATA: &str = "/var/lib/incus";

fn own_data_mark() -> PathBuf {
    Path::new(LASTING_DIR).join("incus-data-is-the-beds")
}

/// Whether Incus had no data here before the bed first ran it.
pub fn data_is_own() -> bool {
    own_data_mark().exists()
}

/// Starts the bed's incusd in the namespace where its guests (if any outlived it) run.
pub fn start_daemon() -> Result<()> {
    if own_daemon().is_some_and(Process::is_alive) && listens() {
        return wait_ready();
    }
    let resident = mount_namespace::resident();
    raise_open_files();
    let log = bus::log_file("incusd")?;
    fs::create_dir_all("/var/log/incus").doing(|| "making /var/log/incus".to_owned())?;
    mount_namespace::within(resident, move || {
        Command::new("setsid")
            .arg(packages::incusd_path()?)
            .args(["--group", "incus-admin", "--logfile=/var/log/incus/incus.log"])
            .env_clear()
            .env("PATH", format!("/usr/libexec/incus:{}", tool::PATH))
            .env(process::MARK, "incusd")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().doing(|| "copying a descriptor".to_owned())?)
            .stderr(log)
            .spawn()
            .doing(|| "starting incusd".to_owned())
            .map(drop)
    })?;
    wait_ready()
}

/// Stops the bed's incusd; guests go on. `hard` is a `kill -9`, as a crash would be.
pub fn stop_daemon(hard: bool) -> Result<()> {
    let Some(daemon) = own_daemon() else { return Ok(()) };
    // SIGTERM leaves guests alone (SIGPWR would stop them).
    daemon.signal(if hard { Signal::KILL } else { Signal::TERM });
    let deadline = Duration::from_secs(60);
    if daemon.wait_end(deadline) {
        Ok(())
    } else {
        Err(Error::Deadline { what: "the end of incusd".into(), deadline })
    }
}

/// Stops the guests and the incusd that the bed started; whatever is left then is killed. Not for another's incusd.
pub fn shut_down() -> Vec<String> {
    let daemon = own_daemon();
    if listens() {
        host::say("stopping guests and incusd");
        let patience = Duration::from_secs(60);
        let outcome = client().args(["admin", "shutdown", "--timeout=45"]).deadline(patience).run();
        if let Err(error) = outcome {
            host::say(format_args!("{error}; killing what is left"));
        }
    }
    if let Some(daemon) = daemon {
        daemon.wait_end(Duration::from_secs(5));
    }
    sweep(Duration::from_secs(5))
}

/// The units that belong together: the socket would start the daemon again.
pub const UNITS: [&str; 3] = ["lxcfs.service", "incus.socket", "incus.service"];

/// Ends every process of the bed's Incus: guests first, then monitors, dnsmasq, lxcfs. Returns what still runs.
fn sweep(patience: Duration) -> Vec<String> {
    let mut left = process::end(&guest_processes(), Duration::ZERO);
    let own = Process::now(std::process::id().cast_signed()).and_then(Process::mount_namespace);
    let marked: Vec<Process> =
        process::marked().into_iter().filter(|p| !p.has_variable(process::MARK, Some("bus"))).collect();
    let namespaces: Vec<u64> = marked.iter().filter_map(|process| process.mount_namespace()).collect();
    let mut ours = marked;
    for process in process::all() {
        let shares = process.mount_namespace().is_some_and(|ns| Some(ns) != own && namespaces.contains(&ns));
        if shares && !ours.contains(&process) {
            ours.push(process);
        }
    }
    left.extend(process::end(&ours, patience));
    left.iter().map(|process| format!("process {} ({})", process.pid, process.command_line())).collect()
}

/// Processes of guests: liblxc puts those of `X` in the cgroup `lxc.payload.X`, and Incus keeps a log directory `X`.
/// (A guest outlives its monitor, and its processes carry no mark.)
pub(crate) fn guest_processes() -> Vec<Process> {
    process::all()
        .into_iter()
        .filter(|process| process.cgroup().is_some_and(|path| is_guest_cgroup(&path)))
        .collect()
}

fn is_guest_cgroup(path: &str) -> bool {
    let Some(first) = path.trim_start_matches('/').split('/').next() else { return false };
    ["lxc.payload.", "lxc.monitor."].iter().any(|kind| {
        first.strip_prefix(kind).is_some_and(|name| {
            // A second container of the name gets `-1` appended.
            let plain = name.rsplit_once('-').map_or(name, |(plain, _)| plain);
            [name, plain].iter().any(|name| {
                ["/var/log/incus", "/run/incus"].iter().any(|dir| Path::new(dir).join(name).is_dir())
            })
        })
    })
}

fn start_units(state: &mut State) -> Result<()> {
    for unit in UNITS {
        if Tool::new("systemctl").args(["is-active", "--quiet", unit]).succeeds() {
            continue;
        }
        state.remember(|state| state.units.extend([unit.to_owned()]))?;
        Tool::new("systemctl").args(["start", unit]).deadline(READY).ok()?;
    }
    wait_ready()
}

fn wait_ready() -> Result<()> {
    Tool::new(packages::incusd_path()?).args(["waitready", "--timeout=100"]).deadline(READY).ok()?;
    Ok(())
}

fn start_lxcfs(resident: Option<Process>) -> Result<()> {
    let runs =
        process::marked().into_iter().any(|process| process.program().is_some_and(|p| p.ends_with("lxcfs")));
    if runs {
        return Ok(());
    }
    fs::create_dir_all(LXCFS_DIR).doing(|| format!("making {LXCFS_DIR}"))?;
    let log = bus::log_file("lxcfs")?;
    mount_namespace::within(resident, move || {
        // What a killed lxcfs left is a mount that answers nothing.
        for point in mounts::below(Path::new(LXCFS_DIR), &mounts::of("thread-self")) {
            let _ = rustix::mount::unmount(&point, rustix::mount::UnmountFlags::DETACH);
        }
        let watch = File::open("/proc/thread-self/mountinfo").doing(|| "opening mountinfo".to_owned())?;
        let mut child = Command::new("setsid")
            .args(["lxcfs", &format!("--pidfile={RUN_DIR}/lxcfs.pid"), LXCFS_DIR])
            .env_clear()
            .env("PATH", tool::PATH)
            .env(process::MARK, "lxcfs")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().doing(|| "copying a descriptor".to_owned())?)
            .stderr(log)
            .spawn()
            .doing(|| "starting lxcfs".to_owned())?;
        let patience = Duration::from_secs(20);
        let deadline = Instant::now() + patience;
        let pidfd = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty())
            .doing(|| "opening the process of lxcfs".to_owned())?;
        while mounts::below(Path::new(LXCFS_DIR), &mounts::of("thread-self")).is_empty() {
            if child.try_wait().doing(|| "waiting for lxcfs".to_owned())?.is_some() {
                let output = fs::read_to_string(format!("{RUN_DIR}/lxcfs.log")).unwrap_or_default();
                return Err(Error::Program { command: "lxcfs".into(), how: "ended at once".into(), output });
            }
            // The kernel reports a change of the mount table as an exceptional condition.
            let events = [(watch.as_fd(), PollFlags::PRI), (pidfd.as_fd(), PollFlags::IN)];
            process::wait_for_any(&events, Some(deadline))
                .map_err(|_| Error::Deadline { what: "the mount of lxcfs".into(), deadline: patience })?;
        }
        Ok(())
    })
}

fn is_daemon(process: Process) -> bool {
    // Monitors (`incusd forkstart`) and proxies are the same program with a verb as first argument.
    process.program().is_some_and(|path| path.ends_with("incusd"))
        && process.command_line().split(' ').nth(1).is_some_and(|first| first.starts_with("--"))
}

/// Each guest costs incusd descriptors; the soft limit of a shell is not made for it.
fn raise_open_files() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
}
