//! Work that takes time: each is an object on the bus that belongs to its caller.
//!
//! | module | what |
//! |---|---|
//! | [`table`] | all jobs, their objects' life, and the queue of each container |
//! | this | one job: stage, percentage, log, cancel, end |

pub mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use zbus::{OwnedVariant, Variant};

use crate::bus::outbox::Outbox;
use crate::error::{Error, ErrorKind, Result};

/// Name of the interface on the bus.
pub const INTERFACE: &str = "org.snug.Snug1.Job";
/// Lines of a job's log that are kept.
const LOG_LINES: usize = 500;

/// What a job answers when it is done.
pub type Answer = HashMap<String, OwnedVariant>;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Another job of the same container comes first.
    Queued,
    /// At work.
    Running,
    /// Ended well.
    Done,
    /// Ended badly; what it did is undone, where that can be ([`snug_core::plan::Step::undo`]).
    Failed,
    /// The caller cancelled it; what it did is undone in the same way.
    Cancelled,
}

impl State {
    /// The word on the bus.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Nothing changes any more.
    #[must_use]
    pub fn ended(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// Whose job it is and what it does.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The caller's connection: signals go there.
    pub connection: String,
    /// The caller's uid: the object exists for him alone.
    pub uid: u32,
    /// The verb, as in the method's name.
    pub verb: &'static str,
    /// The container or image that it is about.
    pub container: String,
}

struct Status {
    state: State,
    stage: String,
    percent: f64,
    answer: Answer,
    error: Option<Error>,
    log: Vec<String>,
    notices: Vec<String>,
}

/// One job.
pub struct Job {
    id: u64,
    subject: Subject,
    outbox: Outbox,
    status: Mutex<Status>,
    state: watch::Sender<State>,
    cancel: watch::Sender<bool>,
}

impl Job {
    fn new(id: u64, subject: Subject, outbox: Outbox) -> Arc<Self> {
        Arc::new(Self {
            id,
            subject,
            outbox,
            status: Mutex::new(Status {
                state: State::Queued,
                stage: String::new(),
                percent: -1.0,
                answer: Answer::new(),
                error: None,
                log: Vec::new(),
                notices: Vec::new(),
            }),
            state: watch::Sender::new(State::Queued),
            cancel: watch::Sender::new(false),
        })
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its number, the last part of its path.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The object's path.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/job/{}", crate::bus::ROOT, self.id)
    }

    /// Whose job it is.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Where it stands.
    #[must_use]
    pub fn current(&self) -> State {
        self.status().state
    }

    /// Says what goes on now, for a person; a new stage has no percentage yet.
    pub fn stage(&self, words: impl Into<String>) {
        let words = words.into();
        {
            let mut status = self.status();
            if status.stage == words {
                return;
            }
            tracing::info!(job = self.id, container = self.subject.container, "{words}");
            push(&mut status.log, words.clone());
            status.stage.clone_from(&words);
            status.percent = -1.0;
        }
        self.announce(&[("Stage", Variant::from(words)), ("Percent", Variant::from(-1.0))]);
    }

    /// How far the stage is; only whole steps are told to the client.
    pub fn percent(&self, percent: f64) {
        {
            let mut status = self.status();
            if (status.percent - percent).abs() < 1.0 && percent < 100.0 {
                return;
            }
            status.percent = percent;
        }
        self.announce(&[("Percent", Variant::from(percent))]);
    }

    /// Adds a line to the log.
    pub fn log(&self, line: impl Into<String>) {
        let line = line.into();
        tracing::debug!(job = self.id, "{line}");
        push(&mut self.status().log, line);
    }

    /// Something that a person should know, also when all went well: in the log and, under `notices`, in the result.
    pub fn notice(&self, words: impl Into<String>) {
        let words = words.into();
        push(&mut self.status().notices, words.clone());
        self.log(words);
    }

    /// The log so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.status().log.clone()
    }

    /// Asks the job to stop; it undoes what it did.
    pub fn cancel(&self) {
        self.cancel.send_replace(true);
    }

    /// Whether the caller wants it to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.cancel.borrow()
    }

    /// Resolves when the caller wants it to stop.
    pub async fn cancelled(&self) {
        let mut receiver = self.cancel.subscribe();
        // The sender lives in `self`, so the channel cannot close while this future does.
        let _ = receiver.wait_for(|cancelled| *cancelled).await;
    }

    /// # Errors
    /// [`ErrorKind::Cancelled`] when the caller wants it to stop.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(cancelled()) } else { Ok(()) }
    }

    /// Resolves with the final state.
    pub async fn ended(&self) -> State {
        let mut receiver = self.state.subscribe();
        match receiver.wait_for(|state| state.ended()).await {
            Ok(state) => *state,
            Err(_) => State::Failed,
        }
    }

    fn start(&self) {
        self.status().state = State::Running;
        self.state.send_replace(State::Running);
        self.announce(&[("State", Variant::from("running"))]);
    }

    fn finish(&self, outcome: Result<Answer>) {
        let (state, changes) = {
            let mut status = self.status();
            match outcome {
                Ok(mut answer) => {
                    status.state = State::Done;
                    if !status.notices.is_empty()
                        && let Ok(notices) = Variant::from(status.notices.clone()).try_into()
                    {
                        answer.insert("notices".to_owned(), notices);
                    }
                    status.answer = answer;
                }
                Err(error) => {
                    let cancelled = error.kind == ErrorKind::Cancelled;
                    status.state = if cancelled { State::Cancelled } else { State::Failed };
                    push(&mut status.log, format!("error: {error}"));
                    for hint in &error.hints {
                        push(&mut status.log, format!("hint: {hint}"));
                    }
                    status.error = Some(error);
                }
            }
            (status.state, properties(&self.subject, &status))
        };
        self.announce_map(changes);
        self.state.send_replace(state);
    }

    /// All properties of the object.
    #[must_use]
    pub fn properties(&self) -> HashMap<&'static str, Variant<'static>> {
        properties(&self.subject, &self.status())
    }

    fn announce(&self, changes: &[(&'static str, Variant<'static>)]) {
        let changes = changes.iter().filter_map(|(key, value)| Some((*key, value.try_clone().ok()?)));
        self.announce_map(changes.collect());
    }

    fn announce_map(&self, changes: HashMap<&'static str, Variant<'static>>) {
        self.outbox.properties_changed(&self.subject.connection, &self.path(), INTERFACE, &changes);
    }
}

/// The error of a job that its caller cancelled.
#[must_use]
pub fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "cancelled")
}

fn push(log: &mut Vec<String>, line: String) {
    if log.len() >= LOG_LINES {
        log.remove(0);
    }
    log.push(line);
}

fn properties(subject: &Subject, status: &Status) -> HashMap<&'static str, Variant<'static>> {
    let answer: HashMap<String, Variant<'static>> = status
        .answer
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), Variant::from(value.try_clone().ok()?))))
        .collect();
    let (error, message, hints) = match &status.error {
        Some(error) => (error.bus_name(), error.message.clone(), error.hints.clone()),
        None => (String::new(), String::new(), Vec::new()),
    };
    HashMap::from([
        ("State", Variant::from(status.state.word())),
        ("Verb", Variant::from(subject.verb)),
        ("Container", Variant::from(subject.container.clone())),
        ("Stage", Variant::from(status.stage.clone())),
        ("Percent", Variant::from(status.percent)),
        ("Result", Variant::from(answer)),
        ("Error", Variant::from(error)),
        ("Message", Variant::from(message)),
        ("Hints", Variant::from(hints)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Arc<Job> {
        let subject =
            Subject { connection: ":1.1".into(), uid: 1000, verb: "Create", container: "dev".into() };
        Job::new(7, subject, Outbox::discarding())
    }

    #[test]
    fn a_job_that_failed_says_what_and_why() {
        let job = job();
        job.finish(Err(Error::new(ErrorKind::NoSpace, "full").hint("free some")));
        let all = job.properties();
        assert_eq!(all["State"], Variant::from("failed"));
        assert_eq!(all["Error"], Variant::from("org.snug.Snug1.Error.NoSpace"));
        assert_eq!(job.lines(), ["error: full", "hint: free some"]);
    }

    #[test]
    fn a_cancelled_job_is_no_failed_job() {
        let job = job();
        job.cancel();
        let outcome = job.check().map(|()| Answer::new());
        job.finish(outcome);
        assert_eq!(job.current(), State::Cancelled);
    }

    #[test]
    fn a_log_is_bounded() {
        let job = job();
        for n in 0..2000 {
            job.log(n.to_string());
        }
        assert_eq!(job.lines().len(), LOG_LINES);
        assert_eq!(job.lines().last().unwrap(), "1999");
    }
}
