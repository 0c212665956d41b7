//! The job loop: takes deliveries, runs jobs, and settles each in one end state.
//!
//! The order is that of the invariants: artifacts are put, then their commit record, then the result is sent, then the delivery is
//! acknowledged. What dies in between is delivered again and finds what is committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jhalak_common::artifact::check_version;
use jhalak_common::job::{Job, JobResult, MESSAGE_VERSION, Outcome, QuarantineRecord, Task};
use jhalak_common::queue::{Channel, Deliveries, Delivery, Queue, WorkKind};
use jhalak_common::run::{self, quarantine_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, ErrorKind, Result};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::jobs::{self, Context};

/// What a job did: how many artifacts it made, and the seconds of its steps.
#[derive(Debug, Default)]
pub struct Done {
    /// Artifacts that this job committed.
    pub made: usize,
    /// Seconds a step.
    pub seconds: BTreeMap<String, f64>,
}

/// A worker: takes jobs of some kinds and runs them side by side.
pub struct Worker {
    queue: Arc<dyn Queue>,
    context: Arc<Context>,
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

    /// Brings one delivery to its end. What fails here (the broker or the store is away) leaves the delivery unacknowledged, and it comes
    /// back.
    async fn settle(&self, delivery: Delivery, cut: CancellationToken) {
        let body = delivery.body.clone();
        let redeliveries = delivery.redeliveries;
        let settled = match Job::decode(&body) {
            Ok(job) => self.settle_job(delivery, job, redeliveries, cut).await,
            Err(error) => self.set_aside(delivery, &body, redeliveries, &error).await,
        };
        if let Err(error) = settled {
            tracing::warn!(error = %error.chain(), "a delivery could not be settled and will come again");
        }
    }

    async fn settle_job(&self, delivery: Delivery, job: Job, redeliveries: u32, cut: CancellationToken) -> Result<()> {
        let tried = job.attempt + redeliveries;
        let outcome = if tried >= self.attempts {
            Err(Error::bug(format!("its worker crashed or lost its connection at each of {tried} attempts")))
        } else {
            tracing::info!(job = %job.id, run = %job.run, attempt = tried, "job started");
            jobs::run(&self.context, &job, cut).await
        };
        match outcome {
            Ok(done) => {
                tracing::info!(job = %job.id, run = %job.run, made = done.made, seconds = ?done.seconds, "job committed");
                self.send_result(&job, Outcome::Committed { made: done.made, seconds: done.seconds }).await?;
            }
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                tracing::info!(job = %job.id, "job handed back");
                // Uncounted: a shutdown burns no attempt.
                return delivery.requeue().await;
            }
            Err(error) if error.kind().is_transient() && tried + 1 < self.attempts => {
                tracing::warn!(job = %job.id, attempt = tried + 1, error = %error.chain(), "job failed for now and will be tried again");
                let again = Job { attempt: tried + 1, ..job };
                let tier = usize::try_from(tried).unwrap_or(usize::MAX);
                self.queue.publish_later(again.task.work_kind(), tier, again.encode()?).await?;
            }
            Err(error) => self.quarantine(&job, tried + 1, &error).await?,
        }
        if !delivery.ack().await? {
            tracing::debug!("acknowledged too late: the job will be delivered again and found committed");
        }
        Ok(())
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
    async fn set_aside(&self, delivery: Delivery, body: &Bytes, redeliveries: u32, error: &Error) -> Result<()> {
        tracing::error!(reason = %error.chain(), "message quarantined");
        let message = as_json(body);
        let word = |name: &str| message.get(name).and_then(Value::as_str).map(str::to_string);
        // A run's id becomes part of a key: one that could not have come from this program is not trusted.
        let run =
            word("run").filter(|r| jhalak_common::store::check_key(&run::run_key(r, "x")).is_ok() && !r.contains('/'));
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
        self.queue.publish(&Channel::Quarantine, body.clone()).await?;
        delivery.ack().await?;
        Ok(())
    }

    async fn send_result(&self, job: &Job, outcome: Outcome) -> Result<()> {
        let result = JobResult { version: MESSAGE_VERSION, job: job.id.clone(), run: job.run.clone(), outcome };
        self.queue.publish(&Channel::Results(job.run.clone()), result.encode()?).await
    }

    fn store(&self) -> &dyn ObjectStore {
        self.context.store.as_ref()
    }
}

fn about(task: &Task) -> String {
    match task {
        Task::Extract(task) => format!("trailer of {}", task.trailer.subject.id),
        Task::Cell(task) => format!("cell {}, fold {}", task.cell.name(), task.fold),
    }
}

fn as_json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(body).into_owned()))
}
