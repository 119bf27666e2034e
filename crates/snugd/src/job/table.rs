//! All jobs, the life of their objects, and the queue of each container.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::{Answer, Job, Subject, cancelled};
use crate::bus::outbox::Outbox;
use crate::error::{Result, failed};
use crate::turns::{Turn, Turns};

/// How long the object of an ended job can still be asked.
const KEPT: Duration = Duration::from_secs(60);
/// Ended jobs of one user that are kept for that long: he must not fill the memory.
const MOST_KEPT: usize = 512;

/// What must wait for each other: one user's container (or image) of that name.
pub type Key = (u32, String);

#[derive(Default)]
struct Inner {
    jobs: HashMap<u64, Arc<Job>>,
    last: u64,
    /// The daemon ends: what begins now is cancelled as it begins.
    closing: bool,
}

/// All jobs.
pub struct Table {
    inner: Mutex<Inner>,
    queues: Turns<Key>,
    active: watch::Sender<usize>,
    outbox: Outbox,
}

/// Work under way.
pub struct Active(Arc<Table>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.send_modify(|count| *count -= 1);
    }
}

impl Table {
    /// An empty table whose jobs announce themselves through `outbox`.
    #[must_use]
    pub fn new(outbox: Outbox) -> Arc<Self> {
        // Numbers go on where no earlier daemon can have been: a client that waits for a job of a daemon that died
        // must not find another one under its path.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let last = u64::try_from(now.as_millis()).unwrap_or_default();
        Arc::new(Self {
            inner: Mutex::new(Inner { last, ..Inner::default() }),
            queues: Turns::new(1),
            active: watch::Sender::new(0),
            outbox,
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job of that number, when it belongs to `uid`.
    #[must_use]
    pub fn find(&self, id: u64, uid: u32) -> Option<Arc<Job>> {
        self.inner().jobs.get(&id).filter(|job| job.subject().uid == uid).cloned()
    }

    /// All jobs of `uid`.
    #[must_use]
    pub fn of(&self, uid: u32) -> Vec<Arc<Job>> {
        self.inner().jobs.values().filter(|job| job.subject().uid == uid).cloned().collect()
    }

    /// Number of jobs that have not ended; changes can be waited for.
    #[must_use]
    pub fn active(&self) -> watch::Receiver<usize> {
        self.active.subscribe()
    }

    /// Work that is nobody's job, for as long as the answer is kept: the daemon does not leave during it.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> Active {
        self.active.send_modify(|count| *count += 1);
        Active(self.clone())
    }

    /// Asks every job to stop, those too that a call begins after this.
    pub fn cancel_all(&self) {
        let mut inner = self.inner();
        inner.closing = true;
        for job in inner.jobs.values() {
            job.cancel();
        }
    }

    /// Waits until nothing else is at work on `key`; the turn keeps it so.
    pub async fn reserve(&self, key: Key) -> Turn {
        self.queues.take(key).await
    }

    fn forget_oldest(&self, uid: u32) {
        let mut inner = self.inner();
        let ended = |job: &&Arc<Job>| job.subject().uid == uid && job.current().ended();
        let mut ids: Vec<u64> = inner.jobs.values().filter(ended).map(|job| job.id()).collect();
        if let Some(excess) = ids.len().checked_sub(MOST_KEPT) {
            ids.sort_unstable();
            for job in ids.iter().take(excess).filter_map(|id| inner.jobs.remove(id)) {
                self.tell_removed(&job);
            }
        }
    }

    fn tell_removed(&self, job: &Job) {
        self.outbox.object_removed(&job.subject().connection, &job.path(), super::INTERFACE);
    }

    /// Starts a job: it waits for its turn, does `work`, and ends. `repair` runs when `work` panicked, which leaves
    /// what it did behind.
    pub fn spawn<W, F, R, G>(self: &Arc<Self>, subject: Subject, key: Key, work: W, repair: R) -> Arc<Job>
    where
        W: FnOnce(Arc<Job>) -> F + Send + 'static,
        F: Future<Output = Result<Answer>> + Send + 'static,
        R: FnOnce() -> G + Send + 'static,
        G: Future<Output = ()> + Send + 'static,
    {
        let job = {
            let mut inner = self.inner();
            inner.last += 1;
            let job = Job::new(inner.last, subject, self.outbox.clone());
            inner.jobs.insert(job.id(), job.clone());
            if inner.closing {
                job.cancel();
            }
            // Here, so that nothing is told of it before.
            let interfaces = HashMap::from([(super::INTERFACE, job.properties())]);
            self.outbox.object_added(&job.subject().connection, &job.path(), &interfaces);
            job
        };
        let active = self.begin();
        let table = self.clone();
        let worker = job.clone();
        tokio::spawn(async move {
            let outcome = run(&worker, table.reserve(key), work, repair).await;
            worker.finish(outcome);
            drop(active);
            let (id, uid) = (worker.id(), worker.subject().uid);
            // What is forgotten is not kept by this either.
            drop(worker);
            table.forget_oldest(uid);
            tokio::time::sleep(KEPT).await;
            if let Some(job) = table.inner().jobs.remove(&id) {
                table.tell_removed(&job);
            }
        });
        job
    }
}

async fn run<W, F, R, G>(
    job: &Arc<Job>,
    turn: impl Future<Output = Turn>,
    work: W,
    repair: R,
) -> Result<Answer>
where
    W: FnOnce(Arc<Job>) -> F + Send + 'static,
    F: Future<Output = Result<Answer>> + Send + 'static,
    R: FnOnce() -> G + Send + 'static,
    G: Future<Output = ()> + Send + 'static,
{
    let _turn = tokio::select! {
        // One that is cancelled already does not begin.
        biased;
        () = job.cancelled() => return Err(cancelled()),
        turn = turn => turn,
    };
    job.start();
    // A task of its own, so that a panic ends the job and not the daemon (release builds abort: the next daemon
    // repairs then).
    match tokio::spawn(work(job.clone())).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(job = job.id(), "{error}");
            repair().await;
            Err(failed(format!(
                "{} of '{}' hit a bug in snugd: {error}",
                job.subject().verb,
                job.subject().container
            ))
            .hint("what it did was undone; please report it with the journal of snugd.service"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use tokio::sync::oneshot;

    fn subject(uid: u32, container: &str) -> Subject {
        Subject { connection: ":1.1".into(), uid, verb: "Start", container: container.into() }
    }

    fn answer() -> Result<Answer> {
        Ok(Answer::new())
    }

    #[tokio::test]
    async fn two_jobs_of_one_container_queue_and_others_do_not_wait() {
        let table = Table::new(Outbox::discarding());
        let (release, gate) = oneshot::channel::<()>();
        let first = table.spawn(
            subject(1, "dev"),
            (1, "dev".into()),
            |_| async move {
                gate.await.unwrap();
                answer()
            },
            || async {},
        );
        let second = table.spawn(subject(1, "dev"), (1, "dev".into()), |_| async { answer() }, || async {});
        let other = table.spawn(subject(2, "dev"), (2, "dev".into()), |_| async { answer() }, || async {});
        assert_eq!(other.ended().await, State::Done);
        assert_eq!(second.current(), State::Queued);
        release.send(()).unwrap();
        assert_eq!(second.ended().await, State::Done);
        assert_eq!(first.current(), State::Done);
    }

    #[tokio::test]
    async fn a_queued_job_can_be_cancelled_at_once() {
        let table = Table::new(Outbox::discarding());
        let (_hold, gate) = oneshot::channel::<()>();
        table.spawn(
            subject(1, "dev"),
            (1, "dev".into()),
            |_| async move {
                let _ = gate.await;
                answer()
            },
            || async {},
        );
        let ran = Arc::new(AtomicBool::new(false));
        let seen = ran.clone();
        let second = table.spawn(
            subject(1, "dev"),
            (1, "dev".into()),
            move |_| async move {
                seen.store(true, Ordering::SeqCst);
                answer()
            },
            || async {},
        );
        second.cancel();
        assert_eq!(second.ended().await, State::Cancelled);
        assert!(!ran.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn what_a_late_call_begins_while_the_daemon_ends_does_nothing() {
        let table = Table::new(Outbox::discarding());
        table.cancel_all();
        let work = |_| async { panic!("it must not begin") };
        let job = table.spawn(subject(1, "dev"), (1, "dev".into()), work, || async {});
        assert_eq!(job.ended().await, State::Cancelled);
    }

    #[tokio::test]
    async fn a_panic_ends_the_job_after_the_repair_and_frees_the_queue() {
        let table = Table::new(Outbox::discarding());
        let repaired = Arc::new(AtomicUsize::new(0));
        let count = repaired.clone();
        let job = table.spawn(
            subject(1, "dev"),
            (1, "dev".into()),
            |_| async { panic!("a bug") },
            move || async move {
                count.fetch_add(1, Ordering::SeqCst);
            },
        );
        assert_eq!(job.ended().await, State::Failed);
        assert_eq!(repaired.load(Ordering::SeqCst), 1);
        let next = table.spawn(subject(1, "dev"), (1, "dev".into()), |_| async { answer() }, || async {});
        assert_eq!(next.ended().await, State::Done);
    }

    #[tokio::test]
    async fn many_ended_jobs_of_one_user_are_forgotten_and_nobody_elses() {
        let table = Table::new(Outbox::discarding());
        let spawn =
            |uid| table.spawn(subject(uid, "dev"), (uid, "dev".into()), |_| async { answer() }, || async {});
        let other = spawn(2);
        other.ended().await;
        for _ in 0..MOST_KEPT + 8 {
            spawn(1).ended().await;
        }
        tokio::task::yield_now().await;
        assert!(table.of(1).len() <= MOST_KEPT + 1, "{}", table.of(1).len());
        assert!(table.find(other.id(), 2).is_some());
    }

    #[tokio::test]
    async fn a_job_does_not_exist_for_another_user() {
        let table = Table::new(Outbox::discarding());
        let job = table.spawn(subject(1, "dev"), (1, "dev".into()), |_| async { answer() }, || async {});
        assert!(table.find(job.id(), 1).is_some());
        assert!(table.find(job.id(), 2).is_none());
    }
}
