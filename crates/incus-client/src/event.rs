//! The event stream.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;
use crate::json::null_as_default;
use crate::operation::OperationInfo;
use crate::path::ApiPath;
use crate::websocket::WebSocket;
use crate::{Result, Timestamp};

/// Kinds of events that can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Changes of operations; each repeats the whole operation.
    Operation,
    /// What happened to which object.
    Lifecycle,
    /// Messages of incusd's log; needs an administrator.
    Logging,
}

impl EventKind {
    fn name(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Lifecycle => "lifecycle",
            Self::Logging => "logging",
        }
    }
}

/// What to subscribe to.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    kinds: Vec<EventKind>,
    all_projects: bool,
}

impl EventFilter {
    /// Events of these kinds in the client's project.
    pub fn new(kinds: impl IntoIterator<Item = EventKind>) -> Self {
        Self { kinds: kinds.into_iter().collect(), all_projects: false }
    }

    /// Events of all projects.
    #[must_use]
    pub fn all_projects(mut self) -> Self {
        self.all_projects = true;
        self
    }

    fn path(&self) -> ApiPath {
        let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.name()).collect();
        let path = ApiPath::new(["events"]).query("type", &kinds.join(","));
        // Naming a project and all of them is refused.
        if self.all_projects { path.query("all-projects", "true").server_wide() } else { path }
    }
}

/// Who asked for what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Requestor {
    /// User name.
    #[serde(default)]
    pub username: String,
    /// `unix`, `tls` or `oidc`.
    #[serde(default)]
    pub protocol: String,
    /// Address; empty for a unix socket.
    #[serde(default)]
    pub address: String,
}

/// What happened to an object.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Lifecycle {
    /// `instance-started`, `instance-ready`, …
    #[serde(default)]
    pub action: String,
    /// URL of the object, with its project where that is not the default one.
    #[serde(default)]
    pub source: String,
    /// Name of the object; empty where Incus does not send it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// Project of the object; empty where Incus does not send it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub project: String,
    /// Who asked for it; none when it happened by itself.
    #[serde(default)]
    pub requestor: Option<Requestor>,
    /// More, by action.
    #[serde(default)]
    pub context: Value,
}

impl Lifecycle {
    /// Name of the instance that this is about, if it is about one.
    pub fn instance(&self) -> Option<String> {
        let path = self.source.split('?').next().unwrap_or_default();
        let name = path.strip_prefix("/1.0/instances/")?.split('/').next()?;
        Some(crate::path::decode(name))
    }
}

/// An event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// An operation changed.
    Operation {
        /// The operation as it is now.
        operation: Box<OperationInfo>,
        /// Its project.
        project: String,
    },
    /// Something happened to an object.
    Lifecycle {
        /// What and to which.
        lifecycle: Box<Lifecycle>,
        /// Its project.
        project: String,
        /// When.
        timestamp: Timestamp,
    },
    /// A log message of incusd, as sent.
    Logging(Value),
    /// The stream was interrupted (or the consumer was too slow) and goes on: events are missing. There is
    /// no replay, so list again what matters.
    Reconnected,
}

#[derive(Deserialize)]
struct RawEvent {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    timestamp: Timestamp,
    #[serde(default)]
    metadata: Value,
    #[serde(default, deserialize_with = "null_as_default")]
    project: String,
}

/// Reads an event; `None` for kinds that this crate does not know.
fn parse(text: &str) -> Option<Event> {
    let raw: RawEvent = serde_json::from_str(text).ok()?;
    match raw.kind.as_str() {
        "operation" => {
            let operation = Box::new(serde_json::from_value(raw.metadata).ok()?);
            Some(Event::Operation { operation, project: raw.project })
        }
        "lifecycle" => {
            let lifecycle: Box<Lifecycle> = Box::new(serde_json::from_value(raw.metadata).ok()?);
            let project = if raw.project.is_empty() { lifecycle.project.clone() } else { raw.project };
            Some(Event::Lifecycle { lifecycle, project, timestamp: raw.timestamp })
        }
        "logging" => Some(Event::Logging(raw.metadata)),
        _ => None,
    }
}

/// Events that wait for a slow consumer; what comes when it is full is replaced by one
/// [`Event::Reconnected`].
const QUEUE: usize = 1024;

/// Pauses between attempts to reconnect double from the first to the last of these: there is nothing to
/// wait on while incusd is down.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// A stream of events that mends itself. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    events: mpsc::Receiver<Event>,
}

impl Subscription {
    /// The next event; waits as long as it takes, also while Incus is down. `None` only when the runtime
    /// shuts down.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Client {
    /// Subscribes to events. When this returns, the stream is open: what happens afterwards is seen.
    ///
    /// # Errors
    /// Those of the first connection; later ones are mended.
    pub async fn events(&self, filter: EventFilter) -> Result<Subscription> {
        let path = filter.path();
        let socket = self.websocket(&path).await?;
        let (sender, events) = mpsc::channel(QUEUE);
        tokio::spawn(read(self.clone(), path, socket, sender));
        Ok(Subscription { events })
    }
}

/// Reads events until the subscription is dropped, over as many connections as it takes.
async fn read(client: Client, path: ApiPath, mut socket: WebSocket, sender: mpsc::Sender<Event>) {
    loop {
        if forward(&mut socket, &sender).await == Ended::ByConsumer {
            // incusd logs connections that just break.
            let _ = socket.close(None).await;
            return;
        }
        tracing::debug!(endpoint = %client.endpoint(), "event stream interrupted");
        socket = tokio::select! {
            socket = reconnect(&client, &path) => socket,
            () = sender.closed() => return,
        };
        // incusd may have been upgraded meanwhile.
        client.cache_server(None);
        if sender.send(Event::Reconnected).await.is_err() {
            return;
        }
    }
}

/// Who ended a connection.
#[derive(PartialEq, Eq)]
enum Ended {
    ByServer,
    ByConsumer,
}

/// Passes events on until the connection ends. It never waits for the consumer alone: pings must be
/// answered meanwhile.
async fn forward(socket: &mut WebSocket, sender: &mpsc::Sender<Event>) -> Ended {
    let mut missing = false;
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            () = sender.closed() => return Ended::ByConsumer,
            permit = sender.reserve(), if missing => {
                if let Ok(permit) = permit {
                    permit.send(Event::Reconnected);
                    missing = false;
                }
                continue;
            }
        };
        match message {
            Some(Ok(Message::Text(text))) => {
                if let Some(event) = parse(&text)
                    && !missing
                {
                    missing = sender.try_send(event).is_err();
                }
            }
            // The answer was queued by reading; it leaves with the next flush.
            Some(Ok(Message::Ping(_))) => {
                if socket.flush().await.is_err() {
                    return Ended::ByServer;
                }
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Ended::ByServer,
            Some(Ok(_)) => {}
        }
    }
}

async fn reconnect(client: &Client, path: &ApiPath) -> WebSocket {
    let (mut pause, longest) = RETRY_PAUSES;
    loop {
        match client.websocket(path).await {
            Ok(socket) => return socket,
            Err(error) => tracing::debug!(%error, "event stream not yet back"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, EventFilter, EventKind, parse};

    #[test]
    fn an_unknown_kind_and_garbage_are_passed_over() {
        assert!(parse(r#"{"type":"ovn","metadata":{}}"#).is_none());
        assert!(parse("{").is_none());
    }

    #[test]
    fn a_lifecycle_event_names_its_instance() {
        let text = r#"{"type":"lifecycle","timestamp":"2026-11-23T01:00:00Z","project":"p",
            "metadata":{"action":"instance-started","source":"/1.0/instances/c1?project=p","new":1}}"#;
        let Some(Event::Lifecycle { lifecycle, project, .. }) = parse(text) else { panic!("no lifecycle") };
        assert_eq!((lifecycle.instance().as_deref(), project.as_str()), (Some("c1"), "p"));
    }

    #[test]
    fn all_projects_excludes_naming_one() {
        let filter = EventFilter::new([EventKind::Operation, EventKind::Lifecycle]).all_projects();
        let target = filter.path().target(Some("p"));
        assert_eq!(target, "/1.0/events?type=operation%2Clifecycle&all-projects=true");
    }
}
