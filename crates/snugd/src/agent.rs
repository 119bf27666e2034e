//! The agent of a guest, seen from the host: is it there, and hang up its commands.
//!
//! What answers is treated as hostile: bounded, with a deadline, without descriptors, on a thread of its own that nobody
//! waits for beyond its time.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::inotify;
use snug_wire::message::{FromAgent, ToAgent};
use snug_wire::socket::{Connection, Descriptors, WireError, connect};
use tokio::io::unix::AsyncFd;

use crate::error::{Error, ErrorKind, Result, failed};
use crate::host::credentials::{self, Credentials};
use crate::host::readiness;

/// How long an agent that accepted may take for its first message.
const HELLO: Duration = Duration::from_secs(2);
/// Connecting, and the greeting.
const GREETING: Duration = Duration::from_secs(4);
/// How much longer than its deadlines a thread may take.
const OVERDUE: Duration = Duration::from_secs(1);
/// Between bind(2) and listen(2) a socket refuses connections and no event tells when that ends; the agent needs
/// microseconds for it.
const NOT_LISTENING: Duration = Duration::from_millis(2);
/// Until an agent that accepted and said nothing is asked again.
const MUTE: Duration = Duration::from_millis(250);

/// What an agent said first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Its version, made printable.
    pub version: String,
    /// The guest's early boot is done.
    pub settled: bool,
}

/// Asks the agent who it is. Blocks.
fn greet(socket: &Path) -> Result<(Connection, Hello), WireError> {
    let deadline = Instant::now() + HELLO;
    let mut connection = connect(socket, HELLO, Descriptors::Refuse)?;
    match connection.receive::<FromAgent>(Some(deadline))? {
        Some(FromAgent::Hello { version, settled, .. }) => {
            let version =
                String::from_utf8_lossy(&version).chars().filter(|c| !c.is_control()).take(64).collect();
            Ok((connection, Hello { version, settled }))
        }
        _ => Err(WireError::Interrupted),
    }
}

/// Sockets whose thread is overdue.
static STUCK: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Talks to the guest at `socket` on a thread of its own and waits for it as long as `patience` and a bit.
///
/// Deadlines hold while the thread waits, not while the kernel works for it: with a kernel before 6.16 a guest may send a
/// descriptor whose closing takes hours. Such a thread is left to itself; until it has ended the guest counts as silent, so
/// that each holds one thread at most.
///
/// # Errors
/// [`WireError::TimedOut`] for a guest that holds a thread, else what `talk` says.
async fn apart<T: Send + 'static>(
    socket: PathBuf,
    patience: Duration,
    talk: impl FnOnce(&Path) -> Result<T, WireError> + Send + 'static,
) -> Result<T, WireError> {
    let stuck = || STUCK.lock().unwrap_or_else(PoisonError::into_inner);
    if stuck().contains(&socket) {
        return Err(WireError::TimedOut);
    }
    let (answer, mut wait) = tokio::sync::oneshot::channel();
    let path = socket.clone();
    std::thread::Builder::new().name("agent".into()).stack_size(256 << 10).spawn(move || {
        let result = talk(&path);
        let mut stuck = stuck();
        // Under the lock, so that nobody is called stuck who has just come back.
        let _ = answer.send(result);
        stuck.remove(&path);
    })?;
    if let Ok(ended) = tokio::time::timeout(patience + OVERDUE, &mut wait).await {
        return ended.unwrap_or(Err(WireError::Interrupted));
    }
    let mut stuck = stuck();
    match wait.try_recv() {
        Ok(result) => result,
        Err(_) => {
            tracing::warn!("{}: what answers there holds a thread of this daemon", socket.display());
            stuck.insert(socket);
            Err(WireError::TimedOut)
        }
    }
}

/// Asks the agent who it is; `None` when nobody answers.
pub async fn probe(socket: PathBuf) -> Option<Hello> {
    apart(socket, GREETING, |socket| greet(socket).map(|(_, hello)| hello)).await.ok()
}

/// Waits until the agent answers. Drop the future to stop waiting.
///
/// # Errors
/// When its directory cannot be watched.
pub async fn wait(socket: &Path) -> Result<Hello> {
    let directory = socket.parent().unwrap_or(Path::new("/"));
    let system = |error: io::Error| Error::system(format!("watch {}", directory.display()), error);
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
        .map_err(|errno| system(errno.into()))?;
    let events = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::ATTRIB;
    inotify::add_watch(&watch, directory, events).map_err(|errno| system(errno.into()))?;
    let watch = readiness::register(watch).map_err(system)?;
    loop {
        let greeting = apart(socket.to_owned(), GREETING, |socket| greet(socket).map(|(_, hello)| hello));
        match greeting.await {
            Ok(hello) => return Ok(hello),
            Err(WireError::System(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                tokio::time::sleep(NOT_LISTENING).await;
            }
            // Somebody serves there and does not say hello: a guest must not keep us busy.
            Err(error @ (WireError::TimedOut | WireError::Interrupted)) => {
                tracing::debug!("{}: {error}", socket.display());
                tokio::time::sleep(MUTE).await;
            }
            Err(error) => {
                tracing::debug!("{}: {error}", socket.display());
                drain(&watch).await.map_err(system)?;
            }
        }
    }
}

/// Waits for an event and takes all that there are.
async fn drain(watch: &AsyncFd<OwnedFd>) -> io::Result<()> {
    loop {
        let mut ready = watch.readable().await?;
        let mut buffer = [0; 4096];
        match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut buffer)?)) {
            Ok(read) => return read.map(|_| ()),
            Err(_would_block) => {}
        }
    }
}

/// Hangs up every command of the guest and waits until they are gone; what ignores it is killed after `grace`.
///
/// The agent takes this from the owner and from the guest's root alone: the connection is made as the owner.
///
/// # Errors
/// When the agent does not answer; then there is nobody to hang up.
pub async fn hang_up(socket: PathBuf, owner: Credentials, grace: Duration) -> Result<()> {
    // The kill itself and the answer need a moment after the grace.
    let patience = grace + Duration::from_millis(750);
    let work = move |socket: &Path| -> Result<(), WireError> {
        let (mut connection, _) = greet(socket)?;
        let deadline = Some(Instant::now() + patience);
        let grace = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
        connection.send(&ToAgent::HangUpAll { grace }, &[], deadline)?;
        loop {
            match connection.receive::<FromAgent>(deadline)? {
                Some(FromAgent::Done) => return Ok(()),
                Some(FromAgent::Notice(_)) => {}
                Some(FromAgent::Failed { text, .. }) => {
                    tracing::warn!(
                        "the agent does not hang up: {}",
                        String::from_utf8_lossy(&text).escape_debug()
                    );
                    return Ok(());
                }
                _ => return Err(WireError::Interrupted),
            }
        }
    };
    let talk = move |socket: &Path| {
        let socket = socket.to_owned();
        credentials::with(owner, move || work(&socket))
            .map_err(|error| io::Error::other(error.to_string()))?
    };
    apart(socket, GREETING + patience, talk)
        .await
        .map_err(|error| failed(format!("the agent does not answer: {error}")))
}

/// The error of a guest whose agent stays silent.
#[must_use]
pub fn silent(name: &str, after: Duration) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("'{name}' runs, but its agent did not answer within {} s", after.as_secs()),
    )
    .hint(format!("see what the guest says: snug logs {name}"))
    .hint(format!("start it again: snug restart {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn serve(listener: UnixListener) {
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut connection = Connection::new(stream.into(), Descriptors::Refuse);
            let hello =
                FromAgent::Hello { protocol: 1, oldest: 1, version: b"1.2\x1b[".to_vec(), settled: true };
            connection.send(&hello, &[], None).unwrap();
        });
    }

    #[tokio::test]
    async fn an_agent_that_comes_later_is_noticed_without_asking_again_and_again() {
        let base = tempfile::tempdir().unwrap();
        let socket = base.path().join("agent.sock");
        let path = socket.clone();
        let waiting = tokio::spawn(async move { wait(&path).await });
        tokio::task::yield_now().await;
        serve(UnixListener::bind(&socket).unwrap());
        let hello = tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap().unwrap();
        assert_eq!(hello, Hello { version: "1.2[".into(), settled: true });
    }

    #[tokio::test]
    async fn a_guest_that_holds_a_thread_counts_as_silent_until_the_thread_is_back() {
        let socket = PathBuf::from("/nowhere/stuck.sock");
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let talk = move |_: &Path| {
            let _ = held.recv();
            Ok(())
        };
        let first = apart(socket.clone(), Duration::ZERO, talk).await;
        assert!(matches!(first, Err(WireError::TimedOut)));
        let second =
            apart(socket.clone(), Duration::ZERO, |_| -> Result<(), _> { panic!("no second thread") });
        assert!(matches!(second.await, Err(WireError::TimedOut)));
        drop(let_go);
        while STUCK.lock().unwrap().contains(&socket) {
            std::thread::yield_now();
        }
        assert!(apart(socket, Duration::from_secs(60), |_| Ok(())).await.is_ok());
    }

    #[tokio::test]
    async fn nobody_and_something_that_is_no_socket_are_no_agent() {
        let base = tempfile::tempdir().unwrap();
        assert_eq!(probe(base.path().join("agent.sock")).await, None);
        std::fs::write(base.path().join("file"), "x").unwrap();
        assert_eq!(probe(base.path().join("file")).await, None);
    }
}
