//! The connection's life: take the name, read calls, leave when there is nothing to do, lose no call on the way out.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::Instant;
use zbus::message::{Flags, Message, Type};
use zbus::{Connection, MessageStream};

use super::admission::LARGEST;
use super::call::{Call, Refusal, uid_of};
use super::names::{self, DBUS, DBUS_PATH};
use super::{NAME, dispatch};
use crate::daemon::Daemon;
use crate::error::{Error, ErrorKind, Result};
use crate::place::Place;

/// How long jobs get to undo what they did when the daemon is told to end; systemd kills after 45 s
/// (`TimeoutStopSec=` of the unit).
const FAREWELL: Duration = Duration::from_secs(30);

/// How long calls get to be answered after that.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// systemd's SIGTERM follows at once when the name is given back.
const AFTER_RETURN: Duration = Duration::from_secs(5);
/// How long late calls may go on then: enough is left for [`FAREWELL`] and [`LAST_ANSWERS`] until systemd kills.
const LATE: Duration = Duration::from_secs(10);

/// Why the daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing to do.
    Idle,
    /// SIGTERM or SIGINT.
    Told,
    /// The bus is gone.
    Disconnected,
}

/// Serves until there is nothing to do for `idle`, a signal comes, or the bus goes.
///
/// # Errors
/// When the name cannot be had, or the bus fails.
pub async fn run(daemon: &Arc<Daemon>, idle: Duration) -> Result<End> {
    let bus = daemon.bus().clone();
    let mut messages = MessageStream::from(&bus);
    // Only departures: arrivals are of no interest, and each signal would wake us.
    let rule = "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg2=''";
    bus.call_method(DBUS, DBUS_PATH, DBUS, "AddMatch", &rule).await?;
    take_name(&bus).await?;
    tracing::info!("serving {NAME}");

    let system = |error| Error::system("wait for signals", error);
    let mut terminate = signal(SignalKind::terminate()).map_err(system)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system)?;
    let mut work = daemon.work();
    let mut calls = JoinSet::new();
    let mut quiet_since = Instant::now();
    // When it gave its name back last, and took it again; and until when it ends, as soon as it may.
    let (mut stayed, mut ending) = (None::<Instant>, None::<Instant>);
    loop {
        let idle = if ending.is_some() { Duration::ZERO } else { idle };
        let busy = !calls.is_empty() || daemon.is_at_work();
        tokio::select! {
            message = messages.next() => match message {
                None => return Ok(End::Disconnected),
                Some(Err(error)) => tracing::warn!("an unreadable message: {error}"),
                Some(Ok(message)) => {
                    if take_in(daemon, message, &mut calls) {
                        quiet_since = Instant::now();
                    }
                }
            },
            Some(_) = calls.join_next() => quiet_since = Instant::now(),
            _ = work.changed() => quiet_since = Instant::now(),
            () = tokio::time::sleep_until(quiet_since + idle), if !busy => {
                if leave(daemon, &mut messages, &mut calls).await? {
                    return Ok(End::Idle);
                }
                stayed = Some(Instant::now());
                quiet_since = Instant::now();
            }
            // systemd ends a service that gives its name back, and does not see that we took it again for a call that
            // came just before: that call is served first, and those that come meanwhile (systemd.service(5), Type=dbus).
            _ = terminate.recv() => {
                if stayed.take().is_none_or(|since| since.elapsed() >= AFTER_RETURN) {
                    return farewell(daemon, messages, calls).await;
                }
                tracing::debug!("told to end while a late call is served");
                ending.get_or_insert(Instant::now() + LATE);
            }
            () = tokio::time::sleep_until(ending.unwrap_or(quiet_since)), if ending.is_some() => {
                return farewell(daemon, messages, calls).await;
            }
            _ = interrupt.recv() => return farewell(daemon, messages, calls).await,
        }
    }
}

/// Whether the message is somebody's wish.
fn take_in(daemon: &Arc<Daemon>, message: Message, calls: &mut JoinSet<()>) -> bool {
    match message.message_type() {
        Type::MethodCall => {
            let Some(place) = place(daemon, &message) else {
                refuse(daemon, &message, calls);
                return true;
            };
            let daemon = daemon.clone();
            calls.spawn(async move {
                answer(&daemon, message).await;
                drop(place);
            });
            true
        }
        Type::Signal => {
            departed(daemon, &message);
            false
        }
        _ => false,
    }
}

fn place(daemon: &Daemon, message: &Message) -> Option<Place<String>> {
    let header = message.header();
    let sender = header.sender()?;
    (message.data().len() <= LARGEST).then(|| daemon.admission().connection(sender.as_str())).flatten()
}

/// Who wants no answer gets none: that is what a flood is made of. The bus bounds how many wait for one.
fn refuse(daemon: &Arc<Daemon>, message: &Message, calls: &mut JoinSet<()>) {
    if message.primary_header().flags().contains(Flags::NO_REPLY_EXPECTED) {
        return;
    }
    let text = "too many calls at once, or too large a one";
    let header = message.header();
    match Message::error(&header, "org.freedesktop.DBus.Error.LimitsExceeded").build(&text) {
        Ok(refusal) => {
            let bus = daemon.bus().clone();
            calls.spawn(async move { drop(bus.send(&refusal).await) });
        }
        Err(error) => tracing::warn!("a refusal was not sent: {error}"),
    }
}

fn departed(daemon: &Daemon, message: &Message) {
    let header = message.header();
    if header.member().is_some_and(|member| member.as_str() == "NameOwnerChanged")
        && header.sender().is_some_and(|sender| sender.as_str() == "org.freedesktop.DBus")
        && let Ok((name, _, new)) = message.body().deserialize::<(String, String, String)>()
        && new.is_empty()
    {
        daemon.subscribers().remove(&name);
    }
}

async fn answer(daemon: &Arc<Daemon>, message: Message) {
    let Some(sender) = message.header().sender().map(ToString::to_string) else { return };
    let known = daemon.subscribers().uid(&sender);
    let is_new = known.is_none();
    let uid = match known {
        Some(uid) => uid,
        None => match uid_of(daemon.bus(), &sender).await {
            Ok(uid) => {
                daemon.subscribers().add(&sender, uid);
                uid
            }
            Err(error) => {
                // It has left the bus already: nobody waits for an answer.
                tracing::debug!("{sender}: {error}");
                return;
            }
        },
    };
    let Some(call) = Call::new(message, uid) else { return };
    let answer = match daemon.admission().user(uid) {
        Some(_place) => {
            // Who waits for the end of a job waits for no turn of others: he asks for nothing.
            let _turn = if dispatch::waits_for_job(daemon, &call) {
                None
            } else {
                Some(daemon.admission().turn(uid).await)
            };
            dispatch::call(daemon, &call).await
        }
        None => Err(Refusal::Bus("LimitsExceeded", "too many calls at once".to_owned())),
    };
    call.send(daemon.bus(), answer).await;
    if is_new && !is_there(daemon.bus(), &sender).await {
        // It left before it was known, so that nobody noticed.
        daemon.subscribers().remove(&sender);
    }
}

async fn is_there(bus: &Connection, name: &str) -> bool {
    names::is_taken(bus, name).await.unwrap_or(false)
}

async fn take_name(bus: &Connection) -> Result<()> {
    if names::take(bus, NAME).await? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Busy, format!("another daemon already serves {NAME}"))
        .hint("stop it first: systemctl stop snugd"))
}

/// Gives the name back; whether it may end now. Calls that came before the bus took the name from us lie in front of
/// its answer: they are served, and the daemon stays. What comes later starts a new daemon.
async fn leave(daemon: &Arc<Daemon>, messages: &mut MessageStream, calls: &mut JoinSet<()>) -> Result<bool> {
    let bus = daemon.bus().clone();
    let mut late = false;
    let mut take = |message: zbus::Result<Message>| match message {
        Ok(message) => late |= take_in(daemon, message, calls),
        Err(error) => tracing::warn!("an unreadable message: {error}"),
    };
    let released = bus.call_method(DBUS, DBUS_PATH, DBUS, "ReleaseName", &NAME);
    tokio::pin!(released);
    // More may lie in front of the answer than the connection reads ahead.
    loop {
        tokio::select! {
            Some(message) = messages.next() => take(message),
            answer = &mut released => break answer.map(drop)?,
        }
    }
    while let Some(Some(message)) = messages.next().now_or_never() {
        take(message);
    }
    if late || daemon.is_at_work() {
        tracing::debug!("a call came while leaving");
        take_name(&bus).await?;
        return Ok(false);
    }
    Ok(true)
}

/// Ends on request: no new call, jobs undo what they did.
async fn farewell(daemon: &Arc<Daemon>, messages: MessageStream, mut calls: JoinSet<()>) -> Result<End> {
    tracing::info!("told to end");
    // What nobody reads any more must not stand in front of the bus' own answers.
    drop(messages);
    // The bus may have gone before: the jobs are told all the same.
    if let Err(error) = daemon.bus().call_method(DBUS, DBUS_PATH, DBUS, "ReleaseName", &NAME).await {
        tracing::warn!("the name was not given back: {error}");
    }
    daemon.jobs().cancel_all();
    let end = Instant::now() + FAREWELL;
    let answered = async { while calls.join_next().await.is_some() {} };
    let mut active = daemon.jobs().active();
    let ended = tokio::time::timeout_at(end, active.wait_for(|count| *count == 0)).await.is_ok();
    if ended && tokio::time::timeout(LAST_ANSWERS, answered).await.is_err() {
        tracing::debug!("a call is left without its answer");
    }
    // One of those calls may have begun a job that was cancelled as it began.
    if tokio::time::timeout_at(end, active.wait_for(|count| *count == 0)).await.is_err() {
        tracing::warn!("jobs did not end in time; the next daemon finishes or undoes them");
    }
    Ok(End::Told)
}
