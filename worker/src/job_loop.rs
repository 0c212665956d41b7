//! The job loop: takes deliveries, runs their jobs, and brings each job to one end state.
//!
//! Order of invariant 3 in ARCHITECTURE.md: put the artifacts, put their commit record, publish the
//! result, acknowledge the delivery. A worker that dies in between leaves the delivery
//! unacknowledged: it comes again and finds what is committed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jhalak_common::process::fault_point;
use jhalak_common::queue::{Channel, Deliveries, Delivery, Queue, WorkKind};
use jhalak_common::run;
use jhalak_common::run::job::{Job, Task};
use jhalak_common::settings::Settings;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, ErrorKind, Result};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::cancellation::CancellationWatch;
use crate::end_state::{EndStates, is_run_id};
use crate::jobs::{self, Context, JobStats};

/// How long a worker waits before it hands back a delivery that the store or the broker did not let
/// it settle.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Runs one job. The job loop settles its delivery.
#[async_trait]
pub trait RunJob: Send + Sync {
    /// Runs `job` until each of its artifacts is committed, or `stop` is cancelled.
    ///
    /// # Errors
    /// Their kind decides: a transient one is tried again, Cancelled hands the job back, every
    /// other one quarantines it.
    async fn run_job(&self, job: &Job, stop: CancellationToken) -> Result<JobStats>;
}

#[async_trait]
impl RunJob for Arc<Context> {
    async fn run_job(&self, job: &Job, stop: CancellationToken) -> Result<JobStats> {
        jobs::run(self, job, stop).await
    }
}

/// A worker: takes jobs of some kinds and runs them side by side.
pub struct Worker {
    queue: Arc<dyn Queue>,
    store: Arc<dyn ObjectStore>,
    jobs: Box<dyn RunJob>,
    end_states: EndStates,
    cancellations: Arc<CancellationWatch>,
    slots: usize,
    attempts: u32,
    grace: Duration,
}

impl Worker {
    /// A worker on `queue` whose jobs read and write through `context`.
    pub fn new(queue: Arc<dyn Queue>, context: Arc<Context>, settings: &Settings) -> Self {
        let store = context.store.clone();
        Self::with_jobs(queue, store, Box::new(context), settings)
    }

    /// A worker on `queue` that runs its jobs with `jobs` and keeps their records in `store`.
    pub fn with_jobs(
        queue: Arc<dyn Queue>,
        store: Arc<dyn ObjectStore>,
        jobs: Box<dyn RunJob>,
        settings: &Settings,
    ) -> Self {
        let slots = match settings.worker.slots {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        Worker {
            jobs,
            end_states: EndStates::new(store.clone(), queue.clone()),
            cancellations: CancellationWatch::new(store.clone()),
            queue,
            store,
            slots,
            attempts: settings.worker.attempts,
            grace: Duration::from_millis(settings.worker.grace_ms),
        }
    }

    /// Takes and runs jobs of `kinds` until `stop` is cancelled. Then finishes running jobs within
    /// the grace period, hands the rest back and returns (invariant 6 in ARCHITECTURE.md).
    ///
    /// # Errors
    /// The queue refuses to deliver.
    pub async fn run(self: Arc<Self>, kinds: &[WorkKind], stop: CancellationToken) -> Result<()> {
        let slots = Arc::new(Semaphore::new(self.slots));
        // Both sets abort their tasks when this function returns.
        let mut polling = JoinSet::new();
        polling.spawn(self.cancellations.clone().poll());
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
        // Cancelled at the end of the grace period.
        let grace_over = CancellationToken::new();
        let mut running = JoinSet::new();
        // Takes a delivery before a slot: a kind without work must not hold a slot that another
        // kind could use.
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
            let (worker, grace_over) = (self.clone(), grace_over.clone());
            running.spawn(async move {
                worker.settle(delivery, grace_over).await;
                drop(slot);
            });
            while running.try_join_next().is_some() {}
        }
        // Returns prefetched deliveries to the queue, uncounted.
        drop(deliveries);
        self.drain(running, grace_over).await;
        Ok(())
    }

    /// Waits for running jobs, and hands back those that outlast the grace period.
    async fn drain(&self, mut running: JoinSet<()>, grace_over: CancellationToken) {
        let finished = tokio::time::timeout(self.grace, async { while running.join_next().await.is_some() {} }).await;
        if finished.is_err() {
            tracing::warn!(jobs = running.len(), "the grace period is over: handing running jobs back");
            grace_over.cancel();
            while running.join_next().await.is_some() {}
        }
    }

    /// Processes one delivery and settles it.
    async fn settle(&self, delivery: Delivery, grace_over: CancellationToken) {
        match decode(&delivery.body) {
            Ok(job) => {
                let span = job_span(&job, delivery.redeliveries);
                let settled = async {
                    let processed = self.process(job, delivery.redeliveries, grace_over).await;
                    settle_as(delivery, processed).await;
                };
                settled.instrument(span).await;
            }
            Err(error) => {
                let quarantined =
                    self.end_states.quarantine_unreadable(&delivery.body, delivery.redeliveries, &error).await;
                settle_as(delivery, quarantined.map(|()| Settlement::Acknowledge)).await;
            }
        }
    }

    /// Runs a job and records its end state; returns how its delivery must be settled.
    ///
    /// # Errors
    /// The end state could not be recorded: the store or the broker is unreachable.
    async fn process(&self, job: Job, redeliveries: u32, grace_over: CancellationToken) -> Result<Settlement> {
        let attempt = attempt(&job, redeliveries);
        let watched = self.cancellations.watch(&job.run).await;
        let cancelled = &watched.cancelled;
        if cancelled.is_cancelled() {
            self.end_states.cancel(&job).await?;
            return Ok(Settlement::Acknowledge);
        }
        let outcome = if attempt >= self.attempts {
            Err(Error::bug(format!("the worker crashed or lost its connection in each of {attempt} attempts")))
        } else {
            tracing::info!("job started");
            self.run_until(&job, &grace_over, cancelled).await
        };
        match outcome {
            Ok(stats) => {
                self.end_states.commit(&job, stats).await?;
                fault_point::reach("after-result");
            }
            Err(error) if error.kind() == ErrorKind::Cancelled && cancelled.is_cancelled() => {
                self.end_states.cancel(&job).await?;
            }
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                tracing::info!("job handed back: the worker is stopping");
                // Uncounted: a shutdown is not an attempt (invariant 4 in ARCHITECTURE.md).
                return Ok(Settlement::HandBack);
            }
            Err(error) if error.kind().is_transient() => self.retry(job, attempt, error).await?,
            Err(error) => {
                self.end_states.quarantine(&job, attempt.saturating_add(1).min(self.attempts), &error).await?
            }
        }
        Ok(Settlement::Acknowledge)
    }

    /// Sends a job that failed with a transient error again later, or quarantines it after its last
    /// attempt.
    async fn retry(&self, job: Job, attempt: u32, error: Error) -> Result<()> {
        // A store that does not answer at all is not this job's failure: hand back uncounted.
        run::is_cancelled(self.store.as_ref(), &job.run).await.map_err(|away| away.with_source(error.chain()))?;
        let attempts = attempt.saturating_add(1);
        if attempts >= self.attempts {
            return self.end_states.quarantine(&job, attempts, &error).await;
        }
        tracing::warn!(attempts, error = %error.chain(), "job failed and will be tried again");
        let next = Job { attempt: attempts, ..job };
        let tier = usize::try_from(attempt).unwrap_or(usize::MAX);
        self.queue.publish_later(next.task.work_kind(), tier, next.encode()?).await
    }

    /// Runs the job until it ends, the grace period is over, or its run is cancelled.
    async fn run_until(
        &self,
        job: &Job,
        grace_over: &CancellationToken,
        cancelled: &CancellationToken,
    ) -> Result<JobStats> {
        let stop = CancellationToken::new();
        let mut running = self.jobs.run_job(job, stop.clone());
        tokio::select! {
            ended = &mut running => return ended,
            () = grace_over.cancelled() => {}
            () = cancelled.cancelled() => {}
        }
        stop.cancel();
        running.await
    }
}

/// How the delivery of a processed job is settled.
enum Settlement {
    /// Acknowledge: the job has its end state, or waits in a retry tier.
    Acknowledge,
    /// Return to the queue unchanged and uncounted.
    HandBack,
}

/// Settles `delivery`. A delivery that cannot be settled comes again.
async fn settle_as(delivery: Delivery, processed: Result<Settlement>) {
    let settled = match processed {
        Ok(Settlement::Acknowledge) => {
            fault_point::reach("before-ack");
            match delivery.ack().await {
                Ok(false) => {
                    tracing::debug!("acknowledged too late: the job comes again and will be found committed");
                    Ok(())
                }
                other => other.map(drop),
            }
        }
        Ok(Settlement::HandBack) => delivery.requeue().await,
        // Uncounted: the store or the broker is unreachable, and the job is not the cause.
        Err(error) if error.kind().is_transient() => {
            tracing::warn!(error = %error.chain(), "cannot settle the delivery now: handing it back");
            tokio::time::sleep(RETRY_PAUSE).await;
            delivery.requeue().await
        }
        // Dropped without acknowledgement: comes again, counted.
        Err(error) => Err(error),
    };
    if let Err(error) = settled {
        tracing::warn!(error = %error.chain(), "cannot settle the delivery: it will come again");
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// The number of attempts before this one, crashes included.
fn attempt(job: &Job, redeliveries: u32) -> u32 {
    job.attempt.saturating_add(redeliveries)
}

/// The span of a job: each log line inside carries its fields. At the level of errors, so that no
/// filter hides it from them.
fn job_span(job: &Job, redeliveries: u32) -> Span {
    let (kind, trailer) = match &job.task {
        Task::Extract(task) => ("extract", Some(task.trailer.subject.id.as_str())),
        Task::Cell(_) => ("cell", None),
        Task::Fit(_) => ("fit", None),
        Task::Probe(_) => ("probe", None),
    };
    let attempt = attempt(job, redeliveries);
    tracing::error_span!("job", run = job.run, job = job.id, kind, attempt, trailer)
}

fn decode(body: &[u8]) -> Result<Job> {
    let job = Job::decode(body)?;
    match is_run_id(&job.run) {
        true => Ok(job),
        false => Err(Error::invalid(format!("`{}` is not a valid run id", job.run.escape_debug()))),
    }
}
