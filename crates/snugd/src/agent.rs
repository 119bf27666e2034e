//! The agent of a guest, seen from the host: is it there, and hang up its commands.
//!
//! What answers is treated as hostile: bounded, with a deadline, without descriptors, on a thread of its own that nobody
//! waits for beyond its time.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rustix::fs::inotify;
use rustix::io::Errno;
use snug_core::text;
use snug_wire::message::{FromAgent, ToAgent};
use snug_wire::provision::Followed;
use snug_wire::socket::{Connection, Descriptors, WireError, connect};
use tokio::io::unix::AsyncFd;

use crate::error::{Error, ErrorKind, Result, failed};
use crate::host::credentials::{self, Credentials};
use crate::host::readiness;
use crate::turns::Turns;

/// How long an agent that accepted may take for its first message.
const HELLO: Duration = Duration::from_secs(2);
/// Connecting, and the greeting.
const GREETING: Duration = Duration::from_secs(4);
/// How much longer than its deadlines a thread may take.
const OVERDUE: Duration = Duration::from_secs(1);
/// Between bind(2) and listen(2) a socket refuses connections and no event tells when that ends; the agent needs
/// microseconds for it.
const NOT_LISTENING: Duration = Duration::from_millis(2);
/// As often is an agent asked at that pace: for a tenth of a second.
const MOST_REFUSED: u32 = 50;
/// Until an agent that accepted and said nothing is asked again.
const MUTE: Duration = Duration::from_millis(250);
/// How often one is asked whose directory cannot be watched.
const UNWATCHED: Duration = Duration::from_millis(50);

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
                String::from_utf8_lossy(&version).chars().filter(|c| !text::is_unsafe(*c)).take(64).collect();
            Ok((connection, Hello { version, settled }))
        }
        _ => Err(WireError::Interrupted),
    }
}

/// Threads that talk to guests, by the directory of their owner.
static TALKING: LazyLock<Turns<PathBuf>> = LazyLock::new(|| Turns::new(MOST_TALKING));
/// As many may one owner's guests hold; ordinary talk takes milliseconds.
const MOST_TALKING: usize = 16;

/// Talks to the guest at `socket` on a thread of its own and waits for it as long as `patience` and a bit, and as long again
/// for its turn.
///
/// Deadlines hold while the thread waits, not while the kernel works for it: with a kernel before 6.16 a guest may send a
/// descriptor whose closing takes hours. Such a thread is left to itself, and counts as its owner's until it has ended.
///
/// # Errors
/// [`WireError::TimedOut`] for a guest that holds its thread, for an owner whose guests hold all that they may, and when the
/// system has no thread left; else what `talk` says.
async fn apart<T: Send + 'static>(
    socket: PathBuf,
    patience: Duration,
    talk: impl FnOnce(&Path) -> Result<T, WireError> + Send + 'static,
) -> Result<T, WireError> {
    // `…/run/UID/NAME/guest/agent.sock`
    let owner = socket.ancestors().nth(3).unwrap_or(&socket).to_owned();
    let Ok(turn) = tokio::time::timeout(patience + OVERDUE, TALKING.take(owner)).await else {
        return Err(WireError::TimedOut);
    };
    let (answer, wait) = tokio::sync::oneshot::channel();
    let path = socket.clone();
    let thread = std::thread::Builder::new().name("agent".into()).stack_size(256 << 10).spawn(move || {
        let _turn = turn;
        let _ = answer.send(talk(&path));
    });
    if let Err(error) = thread {
        tracing::warn!("no thread to talk to a guest: {error}");
        return Err(WireError::TimedOut);
    }
    match tokio::time::timeout(patience + OVERDUE, wait).await {
        Ok(ended) => ended.unwrap_or(Err(WireError::Interrupted)),
        Err(_) => {
            tracing::warn!("{}: what answers there holds a thread of this daemon", socket.display());
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
    let watch = match watch(directory) {
        // What guests have counts as root's: any of them can use up all that there are.
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NOSPC)) => {
            tracing::warn!("{}: {error}: too many are watched (fs.inotify of sysctl)", directory.display());
            None
        }
        watch => Some(watch.map_err(system)?),
    };
    let mut refused = 0;
    loop {
        let greeting = apart(socket.to_owned(), GREETING, |socket| greet(socket).map(|(_, hello)| hello));
        match greeting.await {
            Ok(hello) => return Ok(hello),
            Err(WireError::System(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                refused += 1;
                // A guest whose socket is bound and never listens must not keep us busy.
                tokio::time::sleep(if refused > MOST_REFUSED { MUTE } else { NOT_LISTENING }).await;
            }
            // Somebody serves there and does not say hello: a guest must not keep us busy.
            Err(error @ (WireError::TimedOut | WireError::Interrupted)) => {
                tracing::debug!("{}: {error}", socket.display());
                tokio::time::sleep(MUTE).await;
            }
            Err(error) => {
                tracing::debug!("{}: {error}", socket.display());
                match &watch {
                    Some(watch) => readiness::drain(watch).await.map_err(system)?,
                    None => tokio::time::sleep(UNWATCHED).await,
                }
            }
        }
    }
}

fn watch(directory: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let events = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::ATTRIB;
    inotify::add_watch(&watch, directory, events)?;
    readiness::register(watch)
}

/// Hangs up every command of the guest and waits until they are gone; what ignores it is killed after `grace`.
///
/// # Errors
/// When the agent does not answer; then there is nobody to hang up.
pub async fn hang_up(socket: PathBuf, owner: Credentials, grace: Duration) -> Result<()> {
    // The kill itself and the answer need a moment after the grace.
    let patience = grace + Duration::from_millis(750);
    let grace = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
    if let Err(refusal) = ask(socket, owner, ToAgent::HangUpAll { grace }, patience).await? {
        tracing::warn!("the agent does not hang up: {refusal}");
    }
    Ok(())
}

/// How long a guest may take for what has changed on the host: some small files.
const FOLLOWING: Duration = Duration::from_secs(5);

/// Tells the guest what has changed on the host.
///
/// # Errors
/// When the agent does not answer, or says what of it failed.
pub async fn follow(socket: PathBuf, owner: Credentials, followed: Followed) -> Result<()> {
    let answer = ask(socket, owner, ToAgent::Follow(followed), FOLLOWING).await?;
    answer.map_err(|refusal| failed(format!("the agent says: {refusal}")))
}

/// Asks the agent for something that it does for the owner and the guest's root alone: the connection is made as the owner.
/// Answers with what the agent said where it did not do it, fit for a terminal.
async fn ask(
    socket: PathBuf,
    owner: Credentials,
    request: ToAgent,
    patience: Duration,
) -> Result<std::result::Result<(), String>> {
    let work = move |socket: &Path| -> Result<_, WireError> {
        let (mut connection, _) = greet(socket)?;
        let deadline = Some(Instant::now() + patience);
        connection.send(&request, &[], deadline)?;
        loop {
            match connection.receive::<FromAgent>(deadline)? {
                Some(FromAgent::Done) => return Ok(Ok(())),
                Some(FromAgent::Notice(_)) => {}
                Some(FromAgent::Failed { text, .. }) => {
                    return Ok(Err(String::from_utf8_lossy(&text).escape_debug().to_string()));
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
            let hello = FromAgent::Hello {
                protocol: 1,
                oldest: 1,
                version: b"1.2\x1b[".to_vec(),
                settled: true,
                offered: false,
            };
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
    async fn guests_hold_no_more_threads_than_their_owner_may() {
        let socket = |owner: &str| PathBuf::from(format!("/nowhere/{owner}/dev/guest/agent.sock"));
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let held = std::sync::Arc::new(std::sync::Mutex::new(held));
        let mut all = Vec::new();
        for _ in 0..MOST_TALKING {
            let held = held.clone();
            let talk = move |_: &Path| {
                let _ = held.lock().unwrap().recv();
                Ok(())
            };
            all.push(tokio::spawn(apart(socket("1"), Duration::ZERO, talk)));
        }
        for one in all {
            assert!(matches!(one.await.unwrap(), Err(WireError::TimedOut)));
        }
        let more = apart(socket("1"), Duration::ZERO, |_| -> Result<(), _> { panic!("one thread too many") });
        assert!(matches!(more.await, Err(WireError::TimedOut)));
        assert!(apart(socket("2"), Duration::from_secs(60), |_| Ok(())).await.is_ok());
        drop(let_go);
        assert!(apart(socket("1"), Duration::from_secs(60), |_| Ok(())).await.is_ok());
    }

    #[tokio::test]
    async fn nobody_and_something_that_is_no_socket_are_no_agent() {
        let base = tempfile::tempdir().unwrap();
        assert_eq!(probe(base.path().join("agent.sock")).await, None);
        std::fs::write(base.path().join("file"), "x").unwrap();
        assert_eq!(probe(base.path().join("file")).await, None);
    }
}
