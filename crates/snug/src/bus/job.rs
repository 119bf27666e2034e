//! Following jobs to their end: progress while they run, Ctrl-C asks the daemon to undo them, a daemon that leaves the
//! bus ends them.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use futures_util::StreamExt;
use futures_util::future::{Either, OptionFuture, join_all, select};
use snug_client::signals::Signals;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use zbus::fdo::{DBusProxy, PropertiesProxy};
use zbus::names::InterfaceName;
use zbus::{Connection, OwnedObjectPath, OwnedVariant};

use super::change::Change;
use super::error;
use super::proxy::{JobProxy, ManagerProxy, NAME};
use super::view::{text_of, texts_of};
use crate::error::{CommandError, Kind};
use crate::printer::Printer;
use crate::progress::{Line, Progress, TICK};

const JOB: &str = "org.snug.Snug1.Job";

/// How a job ended well.
#[derive(Debug, Default)]
pub struct Ended {
    /// What would be done, with `dry-run`.
    pub plan: Vec<String>,
    /// What a person should know.
    pub notices: Vec<String>,
    /// Names of what was removed, for `prune`.
    pub removed: Vec<String>,
    /// The snapshot that was taken, or that the disk went back to.
    pub snapshot: Option<String>,
    /// The snapshot of what was there before, for `undo`.
    pub kept: Option<String>,
    /// The user gave up by this signal when it was done already: what was to follow is not begun.
    pub given_up: Option<i32>,
}

/// What the user wants, as far as signals tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    GoOn,
    /// Undo: the signal that said so.
    Undo(i32),
    /// Do not even wait for that.
    Leave(i32),
}

impl Wish {
    /// By which the user has given up.
    fn signal(self) -> Option<i32> {
        match self {
            Self::GoOn => None,
            Self::Undo(signal) | Self::Leave(signal) => Some(signal),
        }
    }
}

impl Ended {
    /// Goes on only where the user has not given up.
    ///
    /// # Errors
    /// He has.
    pub fn go_on(&self) -> Result<(), CommandError> {
        match self.given_up {
            None => Ok(()),
            Some(signal) => {
                Err(CommandError::new(Kind::Cancelled(signal), "given up before anything else was done"))
            }
        }
    }
}

/// Signals as something the executor can wait for. They are blocked for the whole following, so that Ctrl-C between the
/// call and its answer is not lost, and nobody is left with a job that he gave up.
struct Interrupts(Signals);

impl AsRawFd for Interrupts {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Asks for all changes at once and follows their jobs side by side.
///
/// # Errors
/// Only when signals cannot be waited for; the jobs' own errors are in the answer.
pub async fn follow_all(
    connection: &Connection,
    manager: &ManagerProxy<'_>,
    changes: &[Change],
    progress: &Progress,
    printer: Printer,
) -> Result<Vec<Result<Ended, CommandError>>, CommandError> {
    let signals = Signals::block()
        .and_then(|signals| {
            // SAFETY: `Interrupts` owns the signalfd, gives the same number each time and closes it when dropped.
            let registered =
                unsafe { AsyncFd::register_with_interest(Interrupts(signals), Interest::READABLE) };
            registered.map_err(std::io::Error::from)
        })
        .map_err(|error| CommandError::failed(format!("signals cannot be waited for: {error}")))?;
    let (wish, wishes) = watch::channel(Wish::GoOn);
    let all =
        join_all(changes.iter().map(|change| one(connection, manager, change, progress, wishes.clone())));
    let ended = match select(Box::pin(all), Box::pin(listen(&signals, &wish, printer))).await {
        Either::Left((ended, _)) => ended,
        Either::Right((never, _)) => match never {},
    };
    Ok(ended)
}

/// Turns signals into wishes, for ever.
async fn listen(
    signals: &AsyncFd<Interrupts>,
    wish: &watch::Sender<Wish>,
    printer: Printer,
) -> std::convert::Infallible {
    loop {
        let Ok(mut ready) = signals.readable().await else {
            // The descriptor is ours and stays open; without it the jobs are simply followed to their end.
            return futures_util::future::pending().await;
        };
        while let Some(signal) = signals.get_ref().0.next() {
            match signal {
                SIGINT | SIGTERM | SIGHUP | SIGQUIT => {
                    let next =
                        if *wish.borrow() == Wish::GoOn { Wish::Undo(signal) } else { Wish::Leave(signal) };
                    if matches!(next, Wish::Undo(_)) {
                        printer.detail("giving up: what was done is being undone");
                    }
                    wish.send_replace(next);
                }
                SIGTSTP => signals.get_ref().0.stop_job(),
                _ => {}
            }
        }
        ready.clear_ready();
    }
}

const SIGHUP: i32 = rustix::process::Signal::HUP.as_raw();
const SIGINT: i32 = rustix::process::Signal::INT.as_raw();
const SIGQUIT: i32 = rustix::process::Signal::QUIT.as_raw();
const SIGTERM: i32 = rustix::process::Signal::TERM.as_raw();
const SIGTSTP: i32 = rustix::process::Signal::TSTP.as_raw();

async fn one(
    connection: &Connection,
    manager: &ManagerProxy<'_>,
    change: &Change,
    progress: &Progress,
    wishes: watch::Receiver<Wish>,
) -> Result<Ended, CommandError> {
    let mut line = progress.line(&change.subject);
    line.update(change.doing(), None);
    let path = change.ask(manager).await.map_err(|error| error::from_call(&error))?;
    let followed = follow(connection, path, &mut line, progress.is_visible(), change, wishes).await;
    drop(line);
    followed
}

async fn follow(
    connection: &Connection,
    path: OwnedObjectPath,
    line: &mut Line,
    visible: bool,
    change: &Change,
    mut wishes: watch::Receiver<Wish>,
) -> Result<Ended, CommandError> {
    let bus_error = |error: zbus::Error| error::from_job(&error);
    let job = JobProxy::builder(connection)
        .path(path.clone())
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .map_err(bus_error)?;
    let properties =
        PropertiesProxy::builder(connection).destination(NAME).path(path).build().await.map_err(bus_error)?;
    let interface = InterfaceName::from_static_str_unchecked(JOB);
    let mut owners = DBusProxy::new(connection)
        .await
        .map_err(bus_error)?
        .receive_name_owner_changed_with_args(&[(0, NAME)])
        .await
        .map_err(bus_error)?;
    // Progress is asked for only where somebody sees it: the way to a started container is measured.
    let mut changed = None;
    if visible {
        changed = Some(properties.receive_properties_changed().await.map_err(bus_error)?);
        let all = properties.get_all(interface.clone()).await.map_err(|error| bus_error(error.into()))?;
        show(line, &all);
    }
    let mut tick = tokio::time::interval(TICK);
    let ended = job.wait();
    tokio::pin!(ended);
    let state = loop {
        let next_change = OptionFuture::from(changed.as_mut().map(StreamExt::next));
        tokio::select! {
            state = &mut ended => break state.map_err(bus_error)?,
            Some(_) = owners.next() => return Err(error::daemon_left()),
            Some(Some(signal)) = next_change => {
                if let Ok(arguments) = signal.args() {
                    let mut all = HashMap::new();
                    for (key, value) in arguments.changed_properties() {
                        if let Ok(value) = OwnedVariant::try_from(value) {
                            all.insert((*key).to_owned(), value);
                        }
                    }
                    show(line, &all);
                }
            }
            Ok(()) = wishes.changed() => {
                let wish = *wishes.borrow_and_update();
                match wish {
                    Wish::GoOn => {}
                    Wish::Undo(_) if change.cancellable => {
                        line.update("undoing what was done", None);
                        // When it ended meanwhile there is nothing to cancel, and its end comes next.
                        let _ = job.cancel().await;
                    }
                    Wish::Undo(_) => line.update("has to be finished", None),
                    Wish::Leave(signal) => return Err(left(change, signal)),
                }
            }
            _ = tick.tick(), if visible => line.tick(),
        }
    };
    let all = properties.get_all(interface).await.map_err(|error| bus_error(error.into()))?;
    conclude(&state, &all, change, *wishes.borrow())
}

fn left(change: &Change, signal: i32) -> CommandError {
    CommandError::new(
        Kind::Cancelled(signal),
        format!("{} was left alone while {}", change.subject, change.doing()),
    )
    .hint("the daemon goes on with what it was doing; `snug list` shows how it ends")
}

fn show(line: &mut Line, properties: &HashMap<String, OwnedVariant>) {
    let stage = text_of(properties, "Stage");
    let percent = properties.get("Percent").and_then(|percent| f64::try_from(percent).ok());
    if let Some(stage) = stage.filter(|stage| !stage.is_empty()) {
        line.stage(&stage);
    }
    if let Some(percent) = percent {
        line.percent((percent >= 0.0).then_some(percent));
    }
}

fn conclude(
    state: &str,
    properties: &HashMap<String, OwnedVariant>,
    change: &Change,
    wish: Wish,
) -> Result<Ended, CommandError> {
    let result: HashMap<String, OwnedVariant> = properties
        .get("Result")
        .and_then(|result| result.try_clone().ok())
        .and_then(|result| HashMap::try_from(result).ok())
        .unwrap_or_default();
    match state {
        "done" => Ok(Ended {
            plan: texts_of(&result, "plan"),
            notices: texts_of(&result, "notices"),
            removed: texts_of(&result, "removed"),
            snapshot: text_of(&result, "snapshot"),
            kept: text_of(&result, "kept"),
            given_up: wish.signal(),
        }),
        "cancelled" => {
            let signal = wish.signal().unwrap_or(SIGINT);
            let message =
                format!("{} was given up while {}; what was done is undone", change.subject, change.doing());
            Err(CommandError::new(Kind::Cancelled(signal), message))
        }
        _ => {
            let name = text_of(properties, "Error").unwrap_or_default();
            let message = text_of(properties, "Message").filter(|message| !message.is_empty());
            let message = message.unwrap_or_else(|| format!("{} failed: {}", change.doing(), change.subject));
            Err(error::from_daemon(&name, &message, texts_of(properties, "Hints")))
        }
    }
}
