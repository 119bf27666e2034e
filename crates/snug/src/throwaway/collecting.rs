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
use crate::bus::view::Container;
use crate::context::{Context, OWN_PROGRAM};
use crate::error::{CommandError, Kind};

/// How long one runs on when its command has ended: a loop of a shell's pays for its start once.
const IDLE: Duration = Duration::from_secs(60);
/// How long one is kept.
const KEPT: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Has a process of its own stop and remove what is not used any more, and goes on. Where there is one already, that does it. It is begun while
/// a container is used: whoever uses it may be killed.
pub fn begin_for(context: &Context, name: &ContainerName) {
    if let Err(error) = begin() {
        context.printer.warning(&format!("{name} will run on when it is not used: {error}"));
    }
}

fn begin() -> io::Result<()> {
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
    let Some(mut alone) = store.collector().map_err(unreadable)? else { return Ok(()) };
    loop {
        let seen = alone.wanted().map_err(unreadable)?;
        let bus = context.bus()?;
        let (_, removed) = remove_old(&bus, store)?;
        let (wait, stopped) = stop_idle(&bus, store)?;
        let Some(wait) = wait else {
            match alone.leave(seen).map_err(unreadable)? {
                Some(again) => alone = again,
                None => return removed.and(stopped),
            }
            continue;
        };
        drop(bus);
        thread::sleep(wait);
    }
}

/// Removes those that nobody has used for two weeks; their names, and what has become of the first that could not be removed.
///
/// # Errors
/// The store cannot be asked.
pub fn remove_old(
    bus: &Bus,
    store: &Store,
) -> Result<(Vec<ContainerName>, Result<(), CommandError>), CommandError> {
    let (mut removed, mut done) = (Vec::new(), Ok(()));
    for name in store.names().map_err(unreadable)? {
        match remove_if_old(bus, store, &name) {
            Ok(true) => removed.push(name),
            Ok(false) => {}
            // The others are none the worse for it.
            Err(error) => done = done.and(Err(error)),
        }
    }
    Ok((removed, done))
}

fn remove_if_old(bus: &Bus, store: &Store, name: &ContainerName) -> Result<bool, CommandError> {
    let Some(held) = store.try_take(name).map_err(unreadable)? else { return Ok(false) };
    if held.used().map_err(unreadable)?.elapsed().unwrap_or_default() < KEPT {
        return Ok(false);
    }
    let is_own = own(bus, store, name)?.is_some();
    if is_own {
        match making::remove(bus, name) {
            Err(error) if error.kind != Kind::NotFound => return Err(error),
            _ => {}
        }
    }
    store.forget(name, held).map_err(unreadable)?;
    Ok(is_own)
}

/// The container of that name, if it is the one that was made here.
fn own(bus: &Bus, store: &Store, name: &ContainerName) -> Result<Option<Container>, CommandError> {
    let there = match bus.get(name.as_str(), &Options::new()) {
        Err(error) if error.kind == Kind::NotFound => return Ok(None),
        there => there?,
    };
    let record = store.read(name).map_err(unreadable)?.unwrap_or_default();
    Ok(record.is_of(&there.created).then_some(there))
}

/// Stops those that have been idle for long enough. How long until there may be something to stop again, nothing where none runs; and what
/// has become of the first that could not be stopped, for which nobody waits.
fn stop_idle(bus: &Bus, store: &Store) -> Result<(Option<Duration>, Result<(), CommandError>), CommandError> {
    let (mut wait, mut done) = (None::<Duration>, Ok(()));
    for name in store.names().map_err(unreadable)? {
        match stop_if_idle(bus, store, &name) {
            Ok(None) => {}
            Ok(Some(left)) => wait = Some(wait.map_or(left, |wait| wait.min(left))),
            Err(error) => done = done.and(Err(error)),
        }
    }
    Ok((wait, done))
}

fn stop_if_idle(bus: &Bus, store: &Store, name: &ContainerName) -> Result<Option<Duration>, CommandError> {
    let taken = || store.try_take(name).map_err(unreadable);
    // A command runs in it, or it is being made: that this has ended is seen then.
    if taken()?.is_none() {
        return Ok(Some(IDLE));
    }
    if own(bus, store, name)?.is_none_or(|container| container.state == "stopped") {
        return Ok(None);
    }
    let Some(held) = taken()? else { return Ok(Some(IDLE)) };
    let idle = held.used().map_err(unreadable)?.elapsed().unwrap_or_default();
    if idle < IDLE {
        return Ok(Some(IDLE.saturating_sub(idle)));
    }
    match bus.change(&Change::stop(name.as_str(), Options::new())) {
        Err(error) if error.kind != Kind::NotFound => Err(error),
        _ => Ok(None),
    }
}

fn unreadable(error: io::Error) -> CommandError {
    CommandError::failed("what `snug x` keeps cannot be read").caused_by(error)
}
