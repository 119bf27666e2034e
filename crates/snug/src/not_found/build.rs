//! How a list is made.
//!
//! By whom and when: by a command that asks for it, and otherwise in the background, by a process of the user's that has nothing of the one
//! that starts it, yields to all others and is one at a time. That is started where a list is due while its container runs anyway: by the first
//! command that is not found, and by what installs and searches. A container is started only by the command that asks.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use snug_core::name::ContainerName;
use snug_packages::command::Action;
use snug_packages::distribution;
use snug_wire::policy::Entry;

use super::list;
use super::store::{OLD, Store, Turn};
use crate::context::{Context, OWN_PROGRAM};
use crate::error::{CommandError, Kind};
use crate::packages::guest::Guest;
use crate::packages::log::Log;
use crate::packages::turn;

/// How long an agent may take to accept a connection, for whoever only wants to know whether it runs: the kernel does it.
const SOON: Duration = Duration::from_millis(20);

/// Makes the list of a container, which is made and started where it has to be.
///
/// # Errors
/// It has no package manager that is known; what there is cannot be fetched; nothing can be written.
pub fn now(context: &Context, container: &ContainerName) -> Result<(), CommandError> {
    let store = Store::of_user().map_err(unwritten)?;
    store.want().map_err(unwritten)?;
    let bus = context.bus()?;
    let guest = Guest::reach(context, &bus, container, true)?;
    let Some(turn) = store.turn(container, true).map_err(unwritten)? else { return Ok(()) };
    let (commands, packages) = make(&guest, &turn, &|| true)?;
    context.printer.notice(&format!("{commands} commands of {packages} packages of {container} are known"));
    Ok(())
}

/// The same in the background: where it is due, nobody else is at it, and the container runs.
///
/// # Errors
/// As of [`now`].
pub fn in_background(context: &Context, container: &ContainerName) -> Result<(), CommandError> {
    let store = Store::of_user().map_err(unwritten)?;
    if !store.is_wanted()
        || !store.is_due(container, store.read(container).is_some())
        || !is_running(context, container, SOON)
    {
        return Ok(());
    }
    let Some(turn) = store.turn(container, false).map_err(unwritten)? else { return Ok(()) };
    make(&Guest::running(context, container)?, &turn, &|| is_running(context, container, SOON)).map(drop)
}

/// Starts that, if it is due; whether it was. Whoever calls has been told what he wanted to know: nothing of this is said.
pub fn start_if_due(context: &Context, container: &ContainerName) -> bool {
    let Ok(store) = Store::of_user() else { return false };
    store.is_wanted()
        && store.is_due(container, store.read(container).is_some())
        && is_running(context, container, SOON)
        && spawn(container).is_ok()
}

/// Whether its agent answers, without starting anything; and whether it is entered without an administrator's word, for which nobody is to be
/// asked by the way.
pub fn is_running(context: &Context, container: &ContainerName, patience: Duration) -> bool {
    let target = context.target(container);
    let policy = target.policy();
    policy.entry == Entry::Direct && !policy.stopping && target.open(false, Instant::now() + patience).is_ok()
}

fn spawn(container: &ContainerName) -> std::io::Result<()> {
    let mut command = Command::new(OWN_PROGRAM);
    command
        .arg0("snug")
        .args(["--quiet", "command-not-found", "--refresh", "--background", "-c", container.as_str()])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // SAFETY: both are async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            // The terminal's end is not its, nor is its Ctrl-C. That it cannot yield does not matter.
            libc::setsid();
            libc::setpriority(libc::PRIO_PROCESS, 0, 19);
            Ok(())
        });
    }
    command.spawn().map(drop)
}

/// Asks the guest and writes; how many commands and packages there are. Each question would start a container that has been stopped meanwhile:
/// `goes_on` says whether it may.
fn make(guest: &Guest<'_>, turn: &Turn, goes_on: &dyn Fn() -> bool) -> Result<(usize, usize), CommandError> {
    let check = || {
        let stopped = || CommandError::failed(format!("{} has been stopped", guest.container));
        if goes_on() { Ok(()) } else { Err(stopped()) }
    };
    let distribution = guest.ask(&distribution::name())?;
    check()?;
    renew(guest, "list of commands", OLD)?;
    check()?;
    let all = guest.ask(&guest.manager.manager.commands())?;
    let (text, counted) = list::written(guest.manager.manager, distribution.as_deref(), all);
    if counted.0 == 0 {
        return Err(CommandError::failed(format!(
            "the package manager of {} knows no commands of packages",
            guest.container
        ))
        .hint(format!("`snug search -c {} TERM` shows what it knows", guest.container)));
    }
    turn.write(&text).map_err(unwritten)?;
    Ok(counted)
}

/// Fetches what commands are looked up in, where there is none or it is older than that. What is there is good enough where it cannot be
/// renewed.
///
/// # Errors
/// There is none, and none can be fetched.
pub fn renew(guest: &Guest<'_>, what: &str, oldest: Duration) -> Result<(), CommandError> {
    let manager = guest.manager.manager;
    let (refresh, refreshed) = match (manager.refresh_index(), manager.index_refreshed()) {
        (Some(refresh), Some(refreshed)) => (Some(refresh), refreshed),
        _ => (manager.refresh(), manager.refreshed()),
    };
    let then = guest.ask(&refreshed)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let is_fresh = then.is_some_and(|then| now.saturating_sub(Duration::from_secs(then)) < oldest);
    let Some(refresh) = refresh.filter(|_| !is_fresh) else { return Ok(()) };
    match fetch(guest, what, &refresh) {
        Err(error) if then.is_some() && !matches!(error.kind, Kind::Cancelled(_)) => {
            guest.context.printer.detail(&format!("what there is could not be renewed: {error}"));
            Ok(())
        }
        renewed => renewed,
    }
}

/// Carries out an action that fetches, with its progress and its log.
///
/// # Errors
/// It fails; the user has given up.
pub fn fetch(guest: &Guest<'_>, what: &str, refresh: &Action) -> Result<(), CommandError> {
    // What is kept beside the packages is in nobody's way: an installation does not wait for it.
    let manager = guest.manager.manager;
    let is_apart = manager.has_index_apart() && manager.refresh_index().as_ref() == Some(refresh);
    let _changing = (!is_apart).then(|| turn::Turn::wait(guest.context, guest.container, what));
    let mut log = Log::begin(guest.context, guest.container, what);
    let progress = guest.context.printer.progress();
    let mut line = progress.line(guest.container.as_str());
    line.stage("reading what there is");
    guest.carry_out(refresh, &mut line, &mut log)
}

fn unwritten(error: std::io::Error) -> CommandError {
    CommandError::failed("the list of commands cannot be written").caused_by(error)
}
