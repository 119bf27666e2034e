//! Steps on the running guest: start, wait for its agent, hang up, stop.

use std::time::Duration;

use incus_client::{Action, ExecRequest, StateChange};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use snug_core::paths::GUEST_AGENT;

use super::Work;
use super::provision::HANGUP_GRACE;
use crate::agent;
use crate::container::console;
use crate::error::{Error, ErrorKind, Result, failed};
use crate::failpoint;
use crate::host::{bridge, readiness};
use crate::incus::{network, quirks};

/// How long an agent may take: it answers before the guest's init runs, within a quarter of a second; a machine under
/// load or a cold disk needs longer.
const AGENT: Duration = Duration::from_secs(30);

/// After this long a running guest's agent is taken for dead: it needs less than a second even under load.
const SILENCE: Duration = Duration::from_secs(6);

/// Lines of the console that tell why a start failed.
const CONSOLE_LINES: usize = 5;

impl Work {
    async fn change_state(&self, change: &StateChange, place: &str) -> Result<(), incus_client::Error> {
        let instances = self.incus().instances();
        self.with_room(|| async {
            let operation = instances.set_state(self.name.as_str(), change).await?;
            failpoint::reach(place);
            operation.wait().await.map(|_| ())
        })
        .await
    }

    pub(super) async fn start_instance(&self) -> Result<()> {
        self.keep_apart().await;
        match self.change_state(&StateChange::start(), "start-instance:during").await {
            Ok(()) => Ok(()),
            Err(error) if quirks::is_already_running(&error.to_string()) => Ok(()),
            Err(error) => {
                let mut error = Error::from(error);
                if let Some(reason) = self.tell_lxc_log().await {
                    self.notice(error.message.clone());
                    error.message = reason;
                }
                Err(error
                    .context(format!("start '{}'", self.name))
                    .hint("the job's log has what Incus and LXC say about it"))
            }
        }
    }

    /// Keeps the guests of the bridge from each other, before this one is there. A host that cannot do it is no reason to refuse the
    /// container, but one to tell.
    async fn keep_apart(&self) {
        let kept = async {
            let found = self.found().await?;
            let bridge = found.instance.devices.get("eth0").and_then(|nic| nic.get("network"));
            match bridge {
                Some(bridge) => network::separate(self.daemon.incus(), bridge).await,
                None => Ok(()),
            }
        };
        let kept: Result<()> = kept.await;
        if let Err(error) = kept {
            self.notice(format!(
                "other containers behind the bridge may reach this one through the host: {error}"
            ));
        }
    }

    /// Puts the errors of liblxc into the job's log: Incus' own message does not repeat them. The first one is nearest to
    /// the reason.
    async fn tell_lxc_log(&self) -> Option<String> {
        let log = self.incus().instances().log(self.name.as_str(), "lxc.log").await.ok()?;
        let text = String::from_utf8_lossy(&log).into_owned();
        let errors: Vec<&str> = text.lines().filter(|line| line.contains(" ERROR ")).collect();
        for line in errors.iter().rev().take(10).rev() {
            self.notice(format!("lxc: {}", line.escape_debug()));
        }
        // "NAME TIME ERROR module - file:function:line - text"
        let text = errors.first()?.splitn(3, " - ").nth(2)?;
        Some(text.chars().filter(|c| !c.is_control()).collect())
    }

    pub(super) async fn unfreeze(&self) -> Result<()> {
        Ok(self.change_state(&StateChange::new(Action::Unfreeze), "unfreeze:during").await?)
    }

    pub(super) async fn wait_for_agent(&self) -> Result<()> {
        let (answered, ()) = tokio::join!(self.agent_answers(), self.tie_address());
        answered
    }

    /// Ties the guest's hardware address to its port of the bridge. A bridge that cannot do it is no reason to refuse the
    /// container, but one to tell.
    async fn tie_address(&self) {
        let tied = async {
            let (instance, _) = self.incus().instances().get(self.name.as_str()).await?;
            let volatile = |key: &str| instance.config.get(&format!("volatile.eth0.{key}")).cloned();
            let port = volatile("host_name").filter(|port| !port.is_empty());
            let address = volatile("hwaddr").and_then(|text| bridge::parse_hardware(&text));
            let (Some(port), Some(address)) = (port, address) else { return Ok(()) };
            self.blocking(move || bridge::tie(&port, address)).await
        };
        let tied: Result<()> = tied.await;
        if let Err(error) = tied {
            self.notice(format!("other containers may take this one's traffic: {error}"));
        }
    }

    async fn agent_answers(&self) -> Result<()> {
        let socket = self.daemon.paths().agent_socket(self.uid(), &self.name);
        let cancelled = async {
            match &self.job {
                Some(job) => job.cancelled().await,
                None => std::future::pending().await,
            }
        };
        // A server that died at once is started again before the guest is given up.
        let again = async {
            tokio::time::sleep(SILENCE).await;
            self.notice("the agent is silent: starting it again");
            if let Err(error) = self.repair_agent().await {
                self.notice(error.to_string());
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            hello = agent::wait(&socket) => hello.map(drop),
            () = again => Ok(()),
            () = self.instance_ended() => Err(self.died().await),
            () = tokio::time::sleep(AGENT) => {
                self.tell_console(true).await;
                Err(agent::silent(self.name.as_str(), AGENT))
            }
            () = cancelled => Err(crate::job::cancelled()),
        }
    }

    /// Resolves when the guest's process 1 has ended; never when that cannot be told.
    async fn instance_ended(&self) {
        let pid = match self.incus().instances().state(self.name.as_str()).await {
            Ok(state) => match state.init_pid() {
                Some(pid) => pid,
                None => return,
            },
            Err(_) => return std::future::pending().await,
        };
        let descriptor = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
            .and_then(|descriptor| readiness::register(descriptor).ok());
        match descriptor {
            Some(descriptor) => drop(descriptor.readable().await),
            None => std::future::pending().await,
        }
    }

    /// Puts the end of what the guest has written to its console since somebody last read it into the job's log: while it
    /// starts, of this start, unless `snug logs` was faster.
    async fn tell_console(&self, running: bool) {
        let read = console::read(&self.incus(), self.daemon.paths(), self.uid(), &self.name, running).await;
        let text = match read {
            Ok(console) => console.fresh,
            Err(error) => {
                return tracing::warn!(container = %self.name, "the console cannot be read: {error}");
            }
        };
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        for line in lines.iter().skip(lines.len().saturating_sub(CONSOLE_LINES)) {
            self.notice(format!("console: {}", line.trim_end().escape_debug()));
        }
    }

    async fn died(&self) -> Error {
        self.tell_lxc_log().await;
        self.tell_console(false).await;
        failed(format!("'{}' stopped while it was starting", self.name))
            .hint(format!("see what the guest said: snug logs {}", self.name))
    }

    pub(super) async fn repair_agent(&self) -> Result<()> {
        let request = ExecRequest::new([GUEST_AGENT, "serve"]).cwd("/");
        // It goes on for as long as the guest runs: nobody waits for its end.
        let operation = self.incus().instances().exec_detached(self.name.as_str(), &request).await;
        operation.map(|_| ()).map_err(|error| {
            Error::from(error)
                .context(format!("start the agent of '{}' again", self.name))
                .hint(format!("start the container again: snug restart {}", self.name))
        })
    }

    pub(super) async fn hang_up_commands(&self) -> Result<()> {
        let socket = self.daemon.paths().agent_socket(self.uid(), &self.name);
        let grace = Duration::from_millis(HANGUP_GRACE.into());
        if let Err(error) = agent::hang_up(socket, self.owner.credentials.clone(), grace).await {
            // The stop that follows ends them all the same.
            self.notice(format!("commands were not hung up: {error}"));
        }
        Ok(())
    }

    pub(super) async fn stop_instance(&self, force: bool, timeout: u32) -> Result<()> {
        let ended = |error: &incus_client::Error| {
            error.is_not_found() || quirks::is_already_stopped(&error.to_string())
        };
        if !force {
            let asked = StateChange::stop().timeout_seconds(timeout);
            match self.change_state(&asked, "stop-instance:during").await {
                Ok(()) => return Ok(()),
                Err(error) if ended(&error) => return Ok(()),
                Err(error) if error.is_unavailable() => return Err(error.into()),
                Err(error) => self.notice(format!("it did not stop by itself: {error}")),
            }
        }
        match self.change_state(&StateChange::stop().force(true), "stop-instance:during").await {
            Ok(()) => Ok(()),
            Err(error) if ended(&error) => Ok(()),
            Err(error) if error.is_unavailable() => Err(error.into()),
            Err(error) => {
                let error = Error::from(error).context(format!("stop '{}'", self.name));
                Err(Error { kind: ErrorKind::Failed, ..error })
            }
        }
    }
}
