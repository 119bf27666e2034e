//! A place of its own for each test: home, configuration, state, and a bus with a daemon that plays what the test says.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(missing_docs, clippy::unwrap_used, reason = "only tests see it")]

pub mod agent;
pub mod applications;
pub mod daemon;
pub mod debian;
pub mod packages;
pub mod session;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The environment of one test. Nothing of the host's is seen, nothing outlives it.
pub struct TestEnv {
    root: tempfile::TempDir,
    bus: Option<Bus>,
}

struct Bus {
    process: Child,
    address: String,
    _daemon: Option<daemon::Running>,
}

impl Drop for Bus {
    fn drop(&mut self) {
        self._daemon = None;
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a command did.
pub struct Ran {
    pub status: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            signal: output.status.signal(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl TestEnv {
    /// Without any bus.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for directory in [
            "home/.config/snug",
            "root/etc/snug",
            "root/usr/lib/snug",
            "root/var/lib/snug",
            "run",
            "programs",
        ] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
            // Of the user alone, whatever his umask is.
            fs::set_permissions(root.path().join(directory), fs::Permissions::from_mode(0o700)).unwrap();
        }
        Self { root, bus: None }
    }

    /// With a bus on which no daemon is.
    pub fn with_bus() -> Self {
        let mut environment = Self::new();
        environment.bus = Some(start_bus(environment.root.path()));
        environment
    }

    /// With a bus and a daemon that knows these containers and plays its part by their names (see [`daemon`]).
    pub fn with_daemon(containers: &[&str]) -> Self {
        let mut environment = Self::with_bus();
        let bus = environment.bus.as_mut().unwrap();
        bus._daemon = Some(daemon::start(&bus.address, containers));
        environment
    }

    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// `XDG_RUNTIME_DIR`.
    pub fn runtime(&self) -> PathBuf {
        self.root.path().join("run")
    }

    /// Programs that the session finds before the host's.
    pub fn programs(&self) -> PathBuf {
        self.root.path().join("programs")
    }

    /// Below it are /etc/snug, /usr/lib/snug and /var/lib/snug.
    pub fn system(&self) -> PathBuf {
        self.root.path().join("root")
    }

    /// Has an agent serve that container, and its commands (see [`agent::Agent::serve`]).
    pub fn agent(&self, container: &str, commands: &[(&str, &str)]) -> agent::Agent {
        let uid = rustix::process::getuid().as_raw();
        let directory = self.system().join(format!("var/lib/snug/run/{uid}/{container}"));
        agent::Agent::serve(&directory, commands)
    }

    /// Has a program installed where links of exported commands lead to.
    pub fn install_shim(&self) -> PathBuf {
        let shim = self.system().join("usr/libexec/snug/snug-shim");
        fs::create_dir_all(shim.parent().unwrap()).unwrap();
        fs::write(&shim, "").unwrap();
        fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).unwrap();
        shim
    }

    /// Calls that the daemon got: `Stop dev force=true`.
    pub fn calls(&self) -> Vec<String> {
        self.bus.as_ref().and_then(|bus| bus._daemon.as_ref()).map(daemon::Running::calls).unwrap_or_default()
    }

    /// The user's configuration.
    pub fn configure(&self, text: &str) {
        fs::write(self.home().join(".config/snug/config.toml"), text).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_snug"), arguments)
    }

    /// Another program, with the same environment.
    pub fn command_of(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        let nowhere = format!("unix:path={}", self.root.path().join("no-bus").display());
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", "/usr/bin:/bin")
            .env("TERM", "xterm")
            .env("XDG_RUNTIME_DIR", self.runtime())
            .env("SNUG_TEST_ROOT", self.system())
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.bus.as_ref().map_or(&nowhere, |bus| &bus.address))
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    pub fn snug(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }
}

fn start_bus(directory: &Path) -> Bus {
    let socket = directory.join("bus");
    let configuration = directory.join("bus.conf");
    fs::write(
        &configuration,
        format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>"#,
            socket.display()
        ),
    )
    .unwrap();
    let mut process = Command::new("dbus-daemon")
        .arg(format!("--config-file={}", configuration.display()))
        .args(["--nofork", "--print-address"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("dbus-daemon is installed (package dbus)");
    // The address is printed when the bus listens.
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    Bus { process, address: format!("unix:path={}", socket.display()), _daemon: None }
}

/// What a person would see, escapes and all.
pub fn on_a_terminal(environment: &TestEnv, arguments: &[&str], typed: &str) -> String {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let slave = fs::File::options().read(true).write(true).open(name).unwrap();
    let mut child = environment
        .command(arguments)
        .env("DISPLAY", ":0")
        .stdin(slave.try_clone().unwrap())
        .stderr(slave)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut master = fs::File::from(master);
    master.write_all(typed.as_bytes()).unwrap();
    child.wait().unwrap();
    // The other side is closed now: what was written can still be read, then EIO says the end.
    let mut screen = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = master.read(&mut buffer) {
        if count == 0 {
            break;
        }
        screen.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&screen).into_owned()
}
