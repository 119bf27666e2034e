//! What is measured on: a container of Snug's, and a plain one of Incus' from the same image, pool and bridge.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Doing, Error, Result};
use crate::session::bed::Bed;
use crate::session::container::Container;
use crate::stack::incus;
use crate::stack::users::Account;

/// The image of both.
pub const IMAGE: &str = "local:debian/13";
/// Whose container it is.
pub const USER: &str = "tester";
/// The container's name.
pub const NAME: &str = "bench";
/// Where there is one, the plain container is on it: most have a network.
const BRIDGE: &str = "snugbr0";
const PLAIN: &str = "snug-bench-reference";

/// Both containers; gone when dropped.
#[derive(Debug)]
pub struct Guest<'a> {
    /// The bed.
    pub bed: &'a Bed,
    /// The container's owner.
    pub account: Account,
    /// Snug's container.
    pub snug: Container<'a>,
    pool: String,
    network: Option<&'static str>,
}

impl<'a> Guest<'a> {
    /// Makes Snug's container, running.
    pub fn make(bed: &'a Bed) -> Result<Guest<'a>> {
        remove_plain(PLAIN);
        let snug = bed.try_container(USER, NAME, IMAGE, &[])?;
        snug.run(["true"]).run()?.ok()?;
        let path = format!("/1.0/instances/{NAME}?project={}", bed.project(USER));
        let answer = bed.incus(["query", &path]).ok()?;
        let instance: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap_or_default();
        let devices = instance["expanded_devices"].as_object().cloned().unwrap_or_default();
        let find = |key: &str| devices.values().find_map(|device| device[key].as_str()).map(str::to_owned);
        let pool = find("pool").ok_or_else(|| Error::Unfit(format!("{NAME} has no root disk in a pool")))?;
        // The container itself has none: its network is the host's.
        let bridge = bed.incus(["network", "get", BRIDGE, "ipv4.address"]).succeeds();
        Ok(Guest { bed, account: bed.account(USER), snug, pool, network: bridge.then_some(BRIDGE) })
    }

    /// The first process of the running container, as the host numbers it.
    pub fn init(&self) -> Result<i32> {
        let path = format!("/1.0/instances/{NAME}/state?project={}", self.bed.project(USER));
        let answer = self.bed.incus(["query", &path]).ok()?;
        let state: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap_or_default();
        let pid = state["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        pid.filter(|pid| *pid > 0).ok_or_else(|| Error::Unfit(format!("{NAME} does not run")))
    }

    /// How long `snug ARGS` takes as the owner, started without anything between.
    pub fn time_snug<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<Duration> {
        let mut command = Command::new("/usr/bin/snug");
        command.args(args);
        self.time_owner(command)
    }

    /// How long a program of the host takes as the owner, in the same way.
    pub fn time_owner(&self, mut command: Command) -> Result<Duration> {
        self.as_owner(&mut command);
        time(command)
    }

    /// Lets a program of the host be the owner's, in his home.
    pub fn as_owner(&self, command: &mut Command) {
        command.uid(self.account.uid).gid(self.account.gid).current_dir(&self.account.home);
        command.env_clear().env("HOME", &self.account.home).env("USER", &self.account.name);
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("PWD", &self.account.home);
    }

    /// A plain container of Incus'; `incus init` alone.
    pub fn init_plain(&self) -> Result<Plain> {
        let mut args = vec!["init", IMAGE, PLAIN, "--storage", &self.pool];
        if let Some(network) = self.network {
            args.extend(["--network", network]);
        }
        let started = Instant::now();
        incus::client().args(args).deadline(Duration::from_secs(120)).ok()?;
        Ok(Plain { took: started.elapsed() })
    }
}

/// Incus' own container; gone when dropped.
#[derive(Debug)]
pub struct Plain {
    /// How long `incus init` took.
    pub took: Duration,
}

impl Plain {
    /// `incus start`, and the guest's own time from its first process to `sysinit.target`.
    pub fn start(&self) -> Result<Duration> {
        let started = Instant::now();
        incus::client().args(["start", PLAIN]).deadline(Duration::from_secs(120)).ok()?;
        Ok(started.elapsed() + self.time_to_sysinit()?)
    }

    /// Stops it.
    pub fn stop(&self) -> Result<()> {
        incus::client().args(["stop", "--force", PLAIN]).deadline(Duration::from_secs(120)).ok().map(drop)
    }

    fn time_to_sysinit(&self) -> Result<Duration> {
        // Until the guest's bus is there, systemctl cannot wait and is asked again; none of this is in the time.
        let script = "until systemctl is-system-running --wait 2>/dev/null | grep -qE 'running|degraded'; do sleep 0.1; done; \
            systemctl show --value -p UserspaceTimestampMonotonic; \
            systemctl show --value -p ActiveEnterTimestampMonotonic sysinit.target";
        let output = incus::client().args(["exec", PLAIN, "--", "sh", "-c", script]).ok()?.text();
        let numbers: Vec<u64> = output.lines().filter_map(|line| line.trim().parse().ok()).collect();
        match numbers[..] {
            [start, end] if end > start => Ok(Duration::from_micros(end - start)),
            _ => Err(Error::Unfit(format!("no time of sysinit.target in {output:?}"))),
        }
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        remove_plain(PLAIN);
    }
}

fn remove_plain(name: &str) {
    let _ = incus::client().args(["delete", "--force", name]).run();
}

/// How long a command takes that must succeed and shows nothing.
pub fn time(mut command: Command) -> Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let shown = crate::tool::shown(&command);
    let started = Instant::now();
    let mut child = command.spawn().doing(|| format!("starting `{shown}`"))?;
    let status = child.wait().doing(|| format!("waiting for `{shown}`"))?;
    let took = started.elapsed();
    if status.success() {
        return Ok(took);
    }
    let mut output = String::new();
    let _ = child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut output));
    Err(Error::Program { command: shown, how: status.to_string(), output })
}
