//! Containers of `snug x` that nobody uses: stopped after a minute, removed after two weeks.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use snug_core::name::ContainerName;

use super::making;
use super::store::Store;
use crate::bus::Bus;
use crate::bus::change::Change;
use crate::bus::options::Options;
use crate::context::{Context, OWN_PROGRAM};
use crate::error::{CommandError, Kind};

/// How long one runs on when its command has ended: a loop of a shell's pays for its start once.
const IDLE: Duration = Duration::from_secs(60);
/// How long one is kept.
const KEPT: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Has a process of its own stop and remove what is not used any more, and goes on. Where there is one already, that does it.
///
/// # Errors
/// It cannot be started.
pub fn begin() -> io::Result<()> {
    let mut command = Command::new(OWN_PROGRAM);
    command.arg0("snug").args(["--quiet", "x", "--collect"]).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // It outlives the terminal.
    // SAFETY: setsid(2) is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            Ok(())
        });
    }
    // Nobody waits for it: it is init's when this process has ended.
    command.spawn().map(drop)
}

/// Stops each container when nobody has used it for a minute, and removes what is old; ends when none of them runs.
///
/// # Errors
/// The daemon or the store cannot be asked.
pub fn collect(context: &Context, store: &Store) -> Result<(), CommandError> {
    let Some(_alone) = store.collector().map_err(unreadable)? else { return Ok(()) };
    loop {
        let bus = context.bus()?;
        remove_old(&bus, store)?;
        let Some(wait) = stop_idle(&bus, store)? else { return Ok(()) };
        drop(bus);
        thread::sleep(wait);
    }
}

/// Removes those that nobody has used for two weeks; their names.
///
/// # Errors
/// The daemon or the store cannot be asked.
pub fn remove_old(bus: &Bus, store: &Store) -> Result<Vec<ContainerName>, CommandError> {
    let mut removed = Vec::new();
    for name in store.names().map_err(unreadable)? {
        let Some(held) = store.try_take(&name).map_err(unreadable)? else { continue };
        let unused = held.used().map_err(unreadable)?.elapsed().unwrap_or_default();
        if unused < KEPT {
            continue;
        }
        match making::remove(bus, &name) {
            Err(error) if error.kind != Kind::NotFound => return Err(error),
            _ => store.forget(&name, held).map_err(unreadable)?,
        }
        removed.push(name);
    }
    Ok(removed)
}

/// Stops those that have been idle for long enough. How long until there may be something to stop again; nothing where none runs.
fn stop_idle(bus: &Bus, store: &Store) -> Result<Option<Duration>, CommandError> {
    let mut wait: Option<Duration> = None;
    for name in store.names().map_err(unreadable)? {
        match bus.get(name.as_str(), &Options::new()) {
            Ok(container) if container.state != "stopped" => {}
            Ok(_) => continue,
            Err(error) if error.kind == Kind::NotFound => continue,
            Err(error) => return Err(error),
        }
        let idle = match store.try_take(&name).map_err(unreadable)? {
            // A command runs in it; that it has ended is seen then.
            None => Duration::ZERO,
            Some(held) => {
                let idle = held.used().map_err(unreadable)?.elapsed().unwrap_or_default();
                if idle >= IDLE {
                    bus.change(&Change::stop(name.as_str(), Options::new()))?;
                    continue;
                }
                idle
            }
        };
        let left = IDLE.saturating_sub(idle);
        wait = Some(wait.map_or(left, |wait| wait.min(left)));
    }
    Ok(wait)
}

fn unreadable(error: io::Error) -> CommandError {
    CommandError::failed("what `snug x` keeps cannot be read").caused_by(error)
}
