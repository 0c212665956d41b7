//! The job loop: takes deliveries, runs jobs, and settles each in one end state.
//!
//! The order is that of the invariants: artifacts are put, then their commit record, then the result is sent, then the delivery is
//! acknowledged. What dies in between is delivered again and finds what is committed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jhalak_common::artifact::check_version;
use jhalak_common::process::fault_point;
use jhalak_common::queue::{Channel, Deliveries, Delivery, Queue, WorkKind};
use jhalak_common::run::job::{Job, JobResult, MESSAGE_VERSION, Outcome, QuarantineRecord, Task};
use jhalak_common::run::{self, quarantine_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, ErrorKind, Result};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cancellation::RunWatch;
use crate::jobs::{self, Context, JobStats};

/// What cannot be settled now is handed back after this long: the store or the broker is away.
const AWAY: Duration = Duration::from_secs(1);

/// A worker: takes jobs of some kinds and runs them side by side.
pub struct Worker {
    queue: Arc<dyn Queue>,
    context: Arc<Context>,
    runs: Arc<RunWatch>,
    slots: usize,
    attempts: u32,
    grace: Duration,
}

impl Worker {
    /// A worker on `queue` whose jobs read and write through `context`.
    pub fn new(queue: Arc<dyn Queue>, context: Arc<Context>, settings: &Settings) -> Self {
        let slots = match settings.worker.slots {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        Worker {
            queue,
            runs: RunWatch::new(context.store.clone()),
            context,
            slots,
            attempts: settings.worker.attempts,
            grace: Duration::from_millis(settings.worker.grace_ms),
        }
    }

    /// Takes and runs jobs of `kinds` until `stop` is cancelled; then finishes what runs within the grace period, hands the rest back
    /// and returns.
    pub async fn run(self: Arc<Self>, kinds: &[WorkKind], stop: CancellationToken) -> Result<()> {
        let slots = Arc::new(Semaphore::new(self.slots));
        // Both end with this function.
        let mut watching = JoinSet::new();
        watching.spawn(self.runs.clone().keep_looking());
        let mut takers = JoinSet::new();
        for &kind in kinds {
            let prefetch = u16::try_from(self.slots).unwrap_or(u16::MAX);
            let deliveries = self.queue.consume(&Channel::Work(kind), prefetch).await?;
            takers.spawn(self.clone().take(deliveries, slots.clone(), stop.clone()));
        }
        while let Some(taker) = takers.join_next().await {
            taker.map_err(|e| Error::bug("a job loop panicked").with_source(e))??;
        }
        Ok(())
    }

    async fn take(
        self: Arc<Self>,
        mut deliveries: Box<dyn Deliveries>,
        slots: Arc<Semaphore>,
        stop: CancellationToken,
    ) -> Result<()> {
        // Cancelled when the grace period is over: jobs that still run are handed back.
        let cut = CancellationToken::new();
        let mut running = JoinSet::new();
        // A delivery is taken before a slot, so that a kind without work holds no slot that another kind could use.
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                next = deliveries.next() => next?,
            };
            let Some(delivery) = next else { break };
            let slot = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                slot = slots.clone().acquire_owned() => slot.ok(),
            };
            let Some(slot) = slot else {
                delivery.requeue().await?;
                break;
            };
            let (worker, cut) = (self.clone(), cut.clone());
            running.spawn(async move {
                worker.settle(delivery, cut).await;
                drop(slot);
            });
            while running.try_join_next().is_some() {}
        }
        // What was fetched ahead and not started goes back uncounted.
        drop(deliveries);
        let finished = tokio::time::timeout(self.grace, async { while running.join_next().await.is_some() {} }).await;
        if finished.is_err() {
            tracing::warn!(jobs = running.len(), "the grace period is over: handing back what runs");
            cut.cancel();
            while running.join_next().await.is_some() {}
        }
        Ok(())
    }

    /// Brings one delivery to its end.
    async fn settle(&self, delivery: Delivery, cut: CancellationToken) {
        let body = delivery.body.clone();
        let redeliveries = delivery.redeliveries;
        let ended = match decode(&body) {
            Ok(job) => self.bring_to_end(job, redeliveries, cut).await,
            Err(error) => self.set_aside(&body, redeliveries, &error).await.map(|()| End::Settled),
        };
        let settled = match ended {
            Ok(End::Settled) => {
                fault_point::reach("before-ack");
                match delivery.ack().await {
                    Ok(false) => {
                        tracing::debug!("acknowledged too late: the job will be delivered again and found committed");
                        Ok(())
                    }
                    other => other.map(drop),
                }
            }
            Ok(End::HandBack) => delivery.requeue().await,
            // Nobody's fault: not counted. Anything else leaves the delivery unacknowledged, and it comes back counted.
            Err(error) if error.kind().is_transient() => {
                tracing::warn!(error = %error.chain(), "a job cannot be settled now and is handed back");
                tokio::time::sleep(AWAY).await;
                delivery.requeue().await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = settled {
            tracing::warn!(error = %error.chain(), "a delivery could not be settled and will come again");
            tokio::time::sleep(AWAY).await;
        }
    }

    /// Runs a job and tells of its end; the delivery is settled by the caller.
    ///
    /// # Errors
    /// The end could not be told: the store or the broker is away.
    async fn bring_to_end(&self, job: Job, redeliveries: u32, cut: CancellationToken) -> Result<End> {
        let tried = job.attempt + redeliveries;
        let entered = self.runs.enter(&job.run).await;
        let cancelled = entered.cancelled.clone();
        if cancelled.is_cancelled() {
            return self.drop_job(&job).await;
        }
        let outcome = if tried >= self.attempts {
            Err(Error::bug(format!("its worker crashed or lost its connection at each of {tried} attempts")))
        } else {
            tracing::info!(job = %job.id, run = %job.run, attempt = tried, "job started");
            self.run_until(&job, &cut, &cancelled).await
        };
        match outcome {
            Ok(done) => {
                tracing::info!(job = %job.id, run = %job.run, made = done.committed, seconds = ?done.seconds, "job committed");
                self.send_result(&job, Outcome::Committed { made: done.committed, seconds: done.seconds }).await?;
                fault_point::reach("after-result");
            }
            Err(error) if error.kind() == ErrorKind::Cancelled && cancelled.is_cancelled() => {
                return self.drop_job(&job).await;
            }
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                tracing::info!(job = %job.id, "job handed back");
                // Uncounted: a shutdown burns no attempt.
                return Ok(End::HandBack);
            }
            Err(error) if error.kind().is_transient() => {
                // Where the store does not answer at all it is not this job that failed, and nothing could be written down of it.
                run::is_cancelled(self.store(), &job.run).await.map_err(|away| away.with_source(error.chain()))?;
                if tried + 1 < self.attempts {
                    tracing::warn!(job = %job.id, attempt = tried + 1, error = %error.chain(), "job failed for now and will be tried again");
                    let again = Job { attempt: tried + 1, ..job };
                    let tier = usize::try_from(tried).unwrap_or(usize::MAX);
                    self.queue.publish_later(again.task.work_kind(), tier, again.encode()?).await?;
                } else {
                    self.quarantine(&job, tried + 1, &error).await?;
                }
            }
            Err(error) => self.quarantine(&job, (tried + 1).min(self.attempts), &error).await?,
        }
        Ok(End::Settled)
    }

    /// Runs the job until it has ended, the worker's grace is over (`cut`) or its run is cancelled.
    async fn run_until(&self, job: &Job, cut: &CancellationToken, cancelled: &CancellationToken) -> Result<JobStats> {
        let stop = CancellationToken::new();
        let mut running = std::pin::pin!(jobs::run(&self.context, job, stop.clone()));
        tokio::select! {
            done = &mut running => return done,
            () = cut.cancelled() => {}
            () = cancelled.cancelled() => {}
        }
        stop.cancel();
        running.await
    }

    /// The job's run was cancelled: that is its end state, and no attempt.
    async fn drop_job(&self, job: &Job) -> Result<End> {
        tracing::info!(job = %job.id, run = %job.run, "job dropped: its run was cancelled");
        self.send_result(job, Outcome::Cancelled).await?;
        Ok(End::Settled)
    }

    /// Gives a job up: its record in the store, then the message among the dead letters, then the result.
    async fn quarantine(&self, job: &Job, attempts: u32, error: &Error) -> Result<()> {
        tracing::error!(job = %job.id, run = %job.run, kind = ?error.kind(), reason = %error.chain(), "job quarantined");
        let body = job.encode()?;
        let record = QuarantineRecord {
            version: MESSAGE_VERSION,
            job: job.id.clone(),
            run: job.run.clone(),
            about: about(&job.task),
            error: error.kind(),
            reason: error.chain(),
            attempts,
            message: as_json(&body),
        };
        run::put_json(self.store(), &quarantine_key(&job.run, &job.id), &record).await?;
        self.queue.publish(&Channel::Quarantine, body).await?;
        self.send_result(job, Outcome::Quarantined { error: error.kind(), reason: error.chain() }).await
    }

    /// Quarantines a message that is no job, or a newer one: kept as it is, with what is known of it.
    async fn set_aside(&self, body: &Bytes, redeliveries: u32, error: &Error) -> Result<()> {
        tracing::error!(reason = %error.chain(), "message quarantined");
        let message = as_json(body);
        let word = |name: &str| message.get(name).and_then(Value::as_str).map(str::to_string);
        // A run's id becomes part of a key: one that could not have come from this program is not trusted.
        let run = word("run").filter(|run| is_run_id(run));
        if let Some(run) = run {
            let job = word("id").unwrap_or_else(|| jhalak_common::hash::of_bytes(body).to_string());
            let newer = check_version(&message, MESSAGE_VERSION, "the job").is_err();
            let record = QuarantineRecord {
                version: MESSAGE_VERSION,
                about: if newer { "a message of another version".into() } else { "a message that is no job".into() },
                error: error.kind(),
                reason: error.chain(),
                attempts: redeliveries + 1,
                message: message.clone(),
                job: job.clone(),
                run: run.clone(),
            };
            run::put_json(self.store(), &quarantine_key(&run, &job), &record).await?;
            let result = JobResult {
                version: MESSAGE_VERSION,
                job,
                run: run.clone(),
                outcome: Outcome::Quarantined { error: error.kind(), reason: error.chain() },
            };
            self.queue.publish(&Channel::Results(run), result.encode()?).await?;
        }
        self.queue.publish(&Channel::Quarantine, body.clone()).await
    }

    async fn send_result(&self, job: &Job, outcome: Outcome) -> Result<()> {
        let result = JobResult { version: MESSAGE_VERSION, job: job.id.clone(), run: job.run.clone(), outcome };
        self.queue.publish(&Channel::Results(job.run.clone()), result.encode()?).await
    }

    fn store(&self) -> &dyn ObjectStore {
        self.context.store.as_ref()
    }
}

/// What becomes of a delivery whose job has come to an end.
enum End {
    /// It has its end state, or waits in a retry tier.
    Settled,
    /// It goes back as it came.
    HandBack,
}

/// A run's id becomes part of keys and of a queue's name: one that could not have come from this program is not trusted.
fn is_run_id(run: &str) -> bool {
    run.len() <= 200 && !run.contains('/') && jhalak_common::store::check_key(&run::run_key(run, "x")).is_ok()
}

fn decode(body: &[u8]) -> Result<Job> {
    let job = Job::decode(body)?;
    match is_run_id(&job.run) {
        true => Ok(job),
        false => Err(Error::invalid(format!("`{}` is no run id", job.run.escape_debug()))),
    }
}

fn about(task: &Task) -> String {
    match task {
        Task::Extract(task) => format!("trailer of {}", task.trailer.subject.id),
        Task::Cell(task) => format!("cell {}, fold {}", task.cell.name(), task.fold),
        Task::Probe(_) => "probe".into(),
        Task::Fit(task) => format!("the final model of {}", task.dataset.id),
    }
}

fn as_json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(body).into_owned()))
}
