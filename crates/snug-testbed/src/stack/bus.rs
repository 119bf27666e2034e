//! The system bus and polkit.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Doing, Error, Result};
use crate::host::{self, Services};
use crate::process::{self, Process};
use crate::state::{RUN_DIR, State};
use crate::tool::{self, Tool};

/// Where the system bus listens.
pub const SOCKET: &str = "/run/dbus/system_bus_socket";

/// Whether a system bus answers.
pub fn answers() -> bool {
    call("GetId", &[]).is_ok()
}

/// Starts the system bus unless one answers.
pub fn start(state: &mut State) -> Result<()> {
    if answers() {
        return Ok(());
    }
    if host::services() == Services::Systemd {
        Tool::new("systemctl").args(["start", "dbus.socket", "dbus.service"]).ok()?;
        return Ok(());
    }
    host::say("starting the system bus");
    state.remember(|state| state.bus = true)?;
    prepare()?;
    let log = log_file("dbus")?;
    let mut child = Command::new("setsid")
        .args(["dbus-daemon", "--system", "--nofork", "--nopidfile", "--nosyslog", "--print-address=1"])
        .env_clear()
        .env("PATH", tool::PATH)
        .env(process::MARK, "bus")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .doing(|| "starting dbus-daemon".to_owned())?;
    // It prints its address once it listens.
    let stdout = child.stdout.take().ok_or_else(|| Error::Unfit("dbus-daemon has no stdout".to_owned()))?;
    let deadline = Duration::from_secs(20);
    let _ = process::wait_readable(&stdout, Some(Instant::now() + deadline));
    let mut line = String::new();
    if process::wait_readable(&stdout, Some(Instant::now())).is_ok() {
        let _ = BufReader::new(stdout).read_line(&mut line);
    }
    if line.is_empty() || !answers() {
        let log = fs::read_to_string(Path::new(RUN_DIR).join("dbus.log")).unwrap_or_default();
        return Err(Error::Program {
            command: "dbus-daemon --system".into(),
            how: "does not answer".into(),
            output: log,
        });
    }
    Ok(())
}

/// Has polkit running: the bus activates it, also again should it die.
pub fn start_polkit() -> Result<()> {
    call("StartServiceByName", &["string:org.freedesktop.PolicyKit1", "uint32:0"]).map(drop)
}

/// The process that owns a name on the bus.
pub fn owner(name: &str) -> Option<Process> {
    let answer = call("GetConnectionUnixProcessID", &[&format!("string:{name}")]).ok()?;
    Process::now(answer.split_whitespace().last()?.parse().ok()?)
}

/// Has the bus read its policy and activation files again.
pub fn reload() -> Result<()> {
    call("ReloadConfig", &[]).map(drop)
}

/// What the bus activated (its launch helper clears the environment, so the bed's mark is not there).
pub fn activated() -> Vec<Process> {
    process::all().into_iter().filter(|p| p.has_variable("DBUS_STARTER_BUS_TYPE", Some("system"))).collect()
}

fn call(method: &str, args: &[&str]) -> Result<String> {
    let output = Tool::new("dbus-send")
        .args(["--system", "--print-reply", "--reply-timeout=20000", "--dest=org.freedesktop.DBus"])
        .args(["/org/freedesktop/DBus", &format!("org.freedesktop.DBus.{method}")])
        .args(args)
        .deadline(Duration::from_secs(25))
        .ok()?;
    Ok(output.text())
}

fn prepare() -> Result<()> {
    let dir = Path::new("/run/dbus");
    fs::create_dir_all(dir).doing(|| "making /run/dbus".to_owned())?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).doing(|| "opening /run/dbus".to_owned())?;
    // Left behind by a bus that was killed; nobody answers on it.
    let _ = fs::remove_file(SOCKET);
    Tool::new("dbus-uuidgen").arg("--ensure").ok()?;
    Ok(())
}

/// A log file in the bed's directory, appended to.
pub(crate) fn log_file(name: &str) -> Result<File> {
    fs::create_dir_all(RUN_DIR).doing(|| format!("making {RUN_DIR}"))?;
    let path = Path::new(RUN_DIR).join(format!("{name}.log"));
    File::options().create(true).append(true).open(&path).doing(|| format!("opening {}", path.display()))
}
