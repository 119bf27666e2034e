//! Things that take time.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::client::{Call, Client};
use crate::envelope;
use crate::error::Error;
use crate::event::{Event, EventFilter, EventKind, Subscription};
use crate::json::null_as_default;
use crate::path::ApiPath;
use crate::{Result, StatusCode, Timestamp};

/// What Incus says about an operation.
#[derive(Clone, Debug, Default, Deserialize)]
#[non_exhaustive]
pub struct OperationInfo {
    /// Id (UUID).
    #[serde(default)]
    pub id: String,
    /// `task`, `websocket` or `token`.
    #[serde(default)]
    pub class: String,
    /// What is done, in Incus' words.
    #[serde(default)]
    pub description: String,
    /// When it was made.
    #[serde(default)]
    pub created_at: Timestamp,
    /// When it changed last.
    #[serde(default)]
    pub updated_at: Timestamp,
    /// Status.
    #[serde(default)]
    pub status_code: StatusCode,
    /// Kind of resource (`instances`, …) to URLs.
    #[serde(default, deserialize_with = "null_as_default")]
    pub resources: BTreeMap<String, Vec<String>>,
    /// What depends on the kind of operation.
    #[serde(default, deserialize_with = "null_as_default")]
    pub metadata: BTreeMap<String, Value>,
    /// Whether it can be cancelled now.
    #[serde(default)]
    pub may_cancel: bool,
    /// Why it failed; empty otherwise.
    #[serde(default, deserialize_with = "null_as_default")]
    pub err: String,
    /// Code of that error in the manner of HTTP, where it is known: Incus sends it to who waits, and only there.
    #[serde(skip)]
    pub err_code: Option<u16>,
    /// Method and target of the request that made it, as in `POST /1.0/instances?project=dev`; empty where this client
    /// did not: in a list, an event, or by its id.
    #[serde(skip)]
    pub request: String,
    /// Cluster member.
    #[serde(default, deserialize_with = "null_as_default")]
    pub location: String,
}

impl OperationInfo {
    /// An operation that was over before it could be seen.
    pub(crate) fn succeeded(metadata: Value) -> Self {
        let metadata = serde_json::from_value(metadata).unwrap_or_default();
        Self { status_code: StatusCode::Success, metadata, ..Self::default() }
    }

    /// Fingerprint of the image that an import, a pull or a publish has made.
    pub fn fingerprint(&self) -> Option<&str> {
        self.metadata.get("fingerprint")?.as_str()
    }

    /// Exit code of an exec operation. It is there even when the operation counts as failed, as with 126
    /// and 127: read it before `err`.
    pub fn exit_code(&self) -> Option<i32> {
        self.metadata.get("return")?.as_i64()?.try_into().ok()
    }

    /// How far it is, if it says so.
    pub fn progress(&self) -> Option<Progress> {
        Progress::read(&self.metadata)
    }

    /// The end as a result: failure and cancellation are errors.
    pub fn into_result(self) -> Result<Self> {
        match self.status_code {
            StatusCode::Success => Ok(self),
            StatusCode::Cancelled => Err(Error::OperationCancelled { operation: Box::new(self) }),
            _ => {
                // 400 is the status of every failed operation.
                let code = self.err_code.unwrap_or(400);
                Err(Error::OperationFailed { code, operation: Box::new(self) })
            }
        }
    }
}

/// How far an operation is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What is being done: `download`, `create_instance_from_image_unpack`, …
    pub stage: String,
    /// 0 to 100, where it is known.
    pub percent: Option<u8>,
    /// Bytes done, where they are known.
    pub processed: Option<u64>,
    /// Bytes a second, where they are known.
    pub speed: Option<u64>,
    /// Incus' own words, such as `rootfs: 38% (12.10MB/s)`.
    pub text: String,
}

impl Progress {
    /// Reads `progress` (all strings) and `<stage>_progress` (Incus `operations/util.go`).
    fn read(metadata: &BTreeMap<String, Value>) -> Option<Self> {
        let text =
            metadata.iter().find_map(|(key, value)| Some((key.strip_suffix("_progress")?, value.as_str()?)));
        let fields = metadata.get("progress").and_then(Value::as_object);
        if text.is_none() && fields.is_none() {
            return None;
        }
        let field = |name: &str| fields.and_then(|fields| fields.get(name)).and_then(Value::as_str);
        let stage = field("stage").filter(|stage| !stage.is_empty());
        // Of a download the words are all that there is (`cmd/incusd/daemon_images.go`, 6.0.4).
        let percent = field("percent").or_else(|| percent_of(text?.1));
        Some(Self {
            stage: stage.or(text.map(|(stage, _)| stage)).unwrap_or_default().to_owned(),
            percent: percent.and_then(|text| text.parse().ok()).filter(|percent| *percent <= 100),
            processed: field("processed").and_then(|text| text.parse().ok()),
            speed: field("speed").and_then(|text| text.parse().ok()),
            text: text.map(|(_, text)| text).unwrap_or_default().to_owned(),
        })
    }
}

/// The digits of `rootfs: 38% (12.10MB/s)`.
fn percent_of(text: &str) -> Option<&str> {
    let (before, _) = text.split_once('%')?;
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next()?;
    (!digits.is_empty()).then_some(digits)
}

/// How the wait for an operation ended.
#[derive(Clone, Debug)]
enum Outcome {
    Ended(Box<OperationInfo>),
    Failed(Error),
}

#[derive(Debug)]
struct Shared {
    client: Client,
    info: OperationInfo,
    outcome: watch::Receiver<Option<Outcome>>,
    waiter: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(waiter) = &self.waiter {
            waiter.abort();
        }
    }
}

/// An operation that is followed from its beginning.
///
/// A finished operation vanishes 5 s after its end, so a task waits for it from the moment it was
/// made until the last clone of this handle is dropped. Dropping the handle does not cancel the
/// operation.
#[derive(Clone, Debug)]
pub struct Operation {
    shared: Arc<Shared>,
}

impl Operation {
    /// Follows an operation that Incus has just made.
    pub(crate) fn follow(client: Client, info: OperationInfo) -> Self {
        if info.status_code.is_final() {
            return Self::ended(client, info);
        }
        let (sender, outcome) = watch::channel(None);
        let waiter = tokio::spawn({
            let (client, id, made) = (client.clone(), info.id.clone(), info.clone());
            async move {
                let outcome = match wait_for(&client, &id, &made).await {
                    Ok(info) => Outcome::Ended(Box::new(OperationInfo { request: made.request, ..info })),
                    Err(error) => Outcome::Failed(error),
                };
                sender.send_replace(Some(outcome));
            }
        });
        Self { shared: Arc::new(Shared { client, info, outcome, waiter: Some(waiter) }) }
    }

    /// An operation that is over.
    pub(crate) fn ended(client: Client, info: OperationInfo) -> Self {
        let (_, outcome) = watch::channel(Some(Outcome::Ended(Box::new(info.clone()))));
        Self { shared: Arc::new(Shared { client, info, outcome, waiter: None }) }
    }

    /// Id (UUID).
    pub fn id(&self) -> &str {
        &self.shared.info.id
    }

    /// The operation as it was when it was made.
    pub fn info(&self) -> &OperationInfo {
        &self.shared.info
    }

    /// Waits for the end; failure and cancellation are errors.
    ///
    /// # Errors
    /// [`Error::OperationFailed`], [`Error::OperationCancelled`]; [`Error::OperationUnknown`] when the
    /// connection was lost and the operation is gone.
    pub async fn wait(&self) -> Result<OperationInfo> {
        self.wait_end().await?.into_result()
    }

    /// Waits for the end, whatever it is.
    ///
    /// # Errors
    /// Only those that leave the end unknown.
    pub async fn wait_end(&self) -> Result<OperationInfo> {
        let mut outcome = self.shared.outcome.clone();
        let ended = outcome.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        match ended {
            Ok(Some(Outcome::Ended(info))) => Ok(*info),
            Ok(Some(Outcome::Failed(error))) => Err(error),
            Ok(None) | Err(_) => Err(unknown(self.id(), "its waiter has ended")),
        }
    }

    /// Waits for the end and reports progress on the way; failure and cancellation are errors.
    ///
    /// Progress comes from the event stream; where that cannot be opened, only the end is reported.
    ///
    /// # Errors
    /// As [`Operation::wait`].
    pub async fn wait_with_progress(&self, mut report: impl FnMut(Progress)) -> Result<OperationInfo> {
        let end = self.wait();
        tokio::pin!(end);
        let mut events = tokio::select! {
            biased;
            ended = &mut end => return ended,
            events = self.progress_events() => events.ok(),
        };
        let mut last = None;
        if let Ok(info) = self.refresh().await {
            announce(info.progress(), &mut last, &mut report);
        }
        loop {
            tokio::select! {
                biased;
                event = next(&mut events) => match event {
                    Some(Event::Operation { operation, .. }) if operation.id == self.id() => {
                        announce(operation.progress(), &mut last, &mut report);
                    }
                    Some(_) => {}
                    None => events = None,
                },
                ended = &mut end => return ended,
            }
        }
    }

    /// Events of operations: of all projects where that is allowed, since the operation may belong to the
    /// project whose images or profiles this one uses.
    async fn progress_events(&self) -> Result<Subscription> {
        let filter = EventFilter::new([EventKind::Operation]);
        match self.shared.client.events(filter.clone().all_projects()).await {
            Err(Error::Api { .. }) => self.shared.client.events(filter).await,
            opened => opened,
        }
    }

    /// Asks Incus how the operation is now.
    pub async fn refresh(&self) -> Result<OperationInfo> {
        self.shared.client.get(&operation_path(self.id())).await
    }

    /// Asks Incus to cancel. That the operation has ended is told by [`Operation::wait`].
    ///
    /// # Errors
    /// 400 when the operation cannot be cancelled, 404 when it has ended.
    pub async fn cancel(&self) -> Result<()> {
        let path = operation_path(self.id());
        self.shared.client.change(Method::DELETE, &path, &(), None).await
    }
}

/// Reports what differs from the last report.
fn announce(progress: Option<Progress>, last: &mut Option<Progress>, report: &mut impl FnMut(Progress)) {
    if let Some(progress) = progress
        && last.as_ref() != Some(&progress)
    {
        *last = Some(progress.clone());
        report(progress);
    }
}

/// The next event; never, when there is no stream.
async fn next(events: &mut Option<Subscription>) -> Option<Event> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

fn operation_path(id: &str) -> ApiPath {
    ApiPath::new(["operations", id]).server_wide()
}

fn unknown(id: &str, reason: impl ToString) -> Error {
    Error::OperationUnknown { id: id.to_owned(), reason: reason.to_string() }
}

/// A connection that is lost while waiting is made again this often. More than once means that something
/// between the two drops it; that incusd restarted shows as "not found" at the first time.
const WAIT_ATTEMPTS: u32 = 5;

/// Waits for the end of an operation that was `made` like this.
///
/// A success is answered with the operation. A failure is answered with HTTP 200 and an error envelope that
/// has the error's code and text, but not the operation [measured with 6.0.4]: that is asked for afterwards,
/// since an exec's `return` is in it.
async fn wait_for(client: &Client, id: &str, made: &OperationInfo) -> Result<OperationInfo> {
    let path = ApiPath::new(["operations", id, "wait"]).query("timeout", "-1").server_wide();
    let mut lost = None;
    for _ in 0..WAIT_ATTEMPTS {
        // The server answers when the operation ends: there is no deadline.
        let call = Call::new(Method::GET, &path).timeout(std::time::Duration::MAX);
        match client.call(call).await {
            Ok(reply) => {
                let info: OperationInfo = envelope::metadata(&reply.context, reply.envelope)?;
                if info.status_code.is_final() {
                    return Ok(info);
                }
            }
            Err(Error::Api { status, http_status: 200, message, .. }) => {
                match after_failure(client, made, status, &message).await? {
                    Some(ended) => return Ok(ended),
                    // It was the wait that failed.
                    None => lost = Some(unknown(id, message)),
                }
            }
            Err(error @ Error::ConnectionLost { .. }) => lost = Some(error),
            // That the server is away says nothing about the operation, which it had accepted.
            Err(error) if error.is_not_found() || error.is_unavailable() => {
                return Err(unknown(id, lost.unwrap_or(error)));
            }
            Err(error) => return Err(error),
        }
    }
    Err(unknown(id, lost.map_or_else(|| "it does not end".to_owned(), |error| error.to_string())))
}

/// The failed operation with all that can be learnt of it; `None` when it goes on.
async fn after_failure(
    client: &Client,
    made: &OperationInfo,
    code: u16,
    message: &str,
) -> Result<Option<OperationInfo>> {
    let mut ended: OperationInfo = match client.get(&operation_path(&made.id)).await {
        Ok(ended) => ended,
        Err(error) if error.is_not_found() => {
            OperationInfo { status_code: StatusCode::Failure, may_cancel: false, ..made.clone() }
        }
        Err(error) => return Err(unknown(&made.id, error)),
    };
    if !ended.status_code.is_final() {
        return Ok(None);
    }
    if ended.err.is_empty() {
        message.clone_into(&mut ended.err);
    }
    ended.err_code = Some(code);
    Ok(Some(ended))
}

/// Operations of a server.
impl Client {
    /// All operations that Incus knows in this project: those under way and those that ended in the last 5 s.
    pub async fn operations(&self) -> Result<Vec<OperationInfo>> {
        let path = ApiPath::new(["operations"]).query("recursion", "1");
        // Grouped by status name.
        let groups: Option<BTreeMap<String, Vec<OperationInfo>>> = self.get(&path).await?;
        Ok(groups.unwrap_or_default().into_values().flatten().collect())
    }

    /// Follows an operation that is known by its id.
    ///
    /// # Errors
    /// 404 when it does not exist or has ended more than 5 s ago.
    pub async fn operation(&self, id: &str) -> Result<Operation> {
        let info = self.get(&operation_path(id)).await?;
        Ok(Operation::follow(self.clone(), info))
    }
}

#[cfg(test)]
mod tests {
    use super::{OperationInfo, Progress};

    fn info(json: serde_json::Value) -> OperationInfo {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn progress_comes_from_strings_and_from_text() {
        let both = info(serde_json::json!({"id": "a", "metadata": {
            "download_progress": "rootfs: 38% (1MB/s)",
            "progress": {"stage": "download", "percent": "38", "processed": "12", "speed": "0"}}}));
        let expected = Progress {
            stage: "download".into(),
            percent: Some(38),
            processed: Some(12),
            speed: Some(0),
            text: "rootfs: 38% (1MB/s)".into(),
        };
        assert_eq!(both.progress(), Some(expected));
        let download =
            info(serde_json::json!({"metadata": {"download_progress": "rootfs: 38% (12.10MB/s)"}}));
        assert_eq!(download.progress().map(|p| (p.stage, p.percent)), Some(("download".into(), Some(38))));
        let text = info(serde_json::json!({"metadata": {"fs_progress": "x: 1MB"}}));
        assert_eq!(text.progress().map(|p| (p.stage, p.percent)), Some(("fs".into(), None)));
        assert_eq!(info(serde_json::json!({"metadata": null})).progress(), None);
    }

    #[test]
    fn a_percentage_that_is_none_is_not_reported() {
        let odd = info(serde_json::json!({"metadata": {"progress": {"percent": "-1", "stage": "x"}}}));
        assert_eq!(odd.progress().unwrap().percent, None);
    }
}
