//! The job loop: takes deliveries, runs their jobs, and brings each job to one end state.
//!
//! Order of invariant 3 in ARCHITECTURE.md: put the artifacts, put their commit record, publish the
//! result, acknowledge the delivery. A worker that dies in between leaves the delivery
//! unacknowledged: it comes again and finds what is committed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jhalak_common::queue::{Channel, Deliveries, Delivery, Queue, WorkKind};
use jhalak_common::run::SigningKey;
use jhalak_common::run::job::Job;
use jhalak_common::settings::{OnStop, Settings};
use jhalak_common::store::ObjectStore;
use jhalak_common::telemetry::health::Health;
use jhalak_common::telemetry::list::{IDLE, MESSAGES_REFUSED, QUEUE_OLDEST, READY, SLOTS};
use jhalak_common::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::at_work::{HeldJob, Holding};
use crate::job_metrics::{Counted, End};
use crate::job_runner::JobRunner;
use crate::jobs::Context;
use crate::jobs::RunJob;
use crate::reachability::Reachability;
use crate::settlement::{Settlement, settle_as};

/// How often the limits of a worker are checked.
const LIMITS_INTERVAL: Duration = Duration::from_millis(200);

/// How long the broker may refuse deliveries (a password that is being changed, a virtual host that
/// is being restored) before the worker ends.
const MAX_REFUSED: Duration = Duration::from_secs(300);

/// When a worker stops by itself. It then finishes running jobs, as after a signal to stop.
#[derive(Debug, Clone, Copy, Default)]
pub struct WorkerLimits {
    /// After it had no job for this long.
    pub until_idle: Option<Duration>,
    /// After it took this many jobs.
    pub max_jobs: Option<u64>,
    /// After it ran for this long.
    pub max_age: Option<Duration>,
}

/// A worker: takes jobs of some kinds and runs them side by side.
pub struct Worker {
    queue: Arc<dyn Queue>,
    runner: Arc<JobRunner>,
    slots: usize,
    grace: Duration,
    limits: WorkerLimits,
    store: Arc<dyn ObjectStore>,
    reachability: Arc<Reachability>,
    /// Jobs taken.
    taken: AtomicU64,
    /// Since when it has had no job, as far as that was looked at.
    idle_since: Mutex<Instant>,
}

impl Worker {
    /// A worker on `queue` whose jobs read and write through `context`.
    ///
    /// # Errors
    /// The key that rabbitmq.signing_key_file names cannot be read.
    pub fn new(queue: Arc<dyn Queue>, context: Arc<Context>, settings: &Settings) -> Result<Self> {
        let store = context.store.clone();
        Self::with_jobs(queue, store, Box::new(context), settings)
    }

    /// A worker on `queue` that runs its jobs with `jobs` and keeps their records in `store`.
    ///
    /// # Errors
    /// Same as [`Worker::new`].
    pub fn with_jobs(
        queue: Arc<dyn Queue>,
        store: Arc<dyn ObjectStore>,
        jobs: Box<dyn RunJob>,
        settings: &Settings,
    ) -> Result<Self> {
        let slots = match settings.worker.slots {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let grace = match settings.worker.on_stop {
            OnStop::Finish => Duration::from_millis(settings.worker.grace_ms),
            OnStop::HandBack => Duration::ZERO,
        };
        let key = SigningKey::load(settings.rabbitmq.signing_key_file.as_deref())?;
        let runner = Arc::new(JobRunner::new(queue.clone(), store.clone(), jobs, slots, &settings.worker, key));
        let taken = AtomicU64::new(0);
        Ok(Worker {
            queue,
            runner,
            slots,
            grace,
            limits: WorkerLimits::default(),
            store,
            reachability: Arc::default(),
            taken,
            idle_since: Mutex::new(Instant::now()),
        })
    }

    /// Makes the worker stop by itself.
    pub fn with_limits(self, limits: WorkerLimits) -> Self {
        Worker { limits, ..self }
    }

    /// Cancelled when the worker has stopped taking jobs because it cannot do them.
    fn unfit(&self) -> CancellationToken {
        self.runner.health.unfit.clone()
    }

    /// Whether the worker takes jobs: it is fit, and store and broker answered within the last
    /// minute.
    fn is_ready(&self) -> bool {
        /// Silence of store or broker after which the worker is not ready.
        const MAX_SILENCE: Duration = Duration::from_secs(60);
        !self.unfit().is_cancelled() && self.reachability.silence() < MAX_SILENCE
    }

    /// Whether a new process would do better: an extraction continues long after its time limit
    /// stopped it, or store or broker have not answered for ten minutes.
    fn is_stuck(&self) -> bool {
        /// Silence of store or broker after which the worker should be started again.
        const MAX_SILENCE: Duration = Duration::from_secs(600);
        self.reachability.silence() > MAX_SILENCE || self.runner.has_overdue_job()
    }

    /// Checks that this worker can work: its scratch folder, and that its store takes writes.
    ///
    /// # Errors
    /// Those of the part that does not work.
    pub async fn check(&self) -> Result<()> {
        self.runner.check_at_start().await
    }

    /// Takes and runs jobs of `kinds` until `stop` is cancelled. Then finishes running jobs within
    /// the grace period, hands the rest back and returns (invariant 6 in ARCHITECTURE.md).
    ///
    /// # Errors
    /// The queue refuses to deliver. This worker cannot do the jobs that it takes (its scratch
    /// folder is gone, a disk is full, its store refuses it, a model is missing): every job was
    /// handed back.
    pub async fn run(self: Arc<Self>, kinds: &[WorkKind], stop: CancellationToken) -> Result<()> {
        let slots = Arc::new(Semaphore::new(self.slots));
        // Both sets abort their tasks when this function returns.
        let mut helpers = JoinSet::new();
        helpers.spawn(self.runner.runs.clone().poll());
        helpers.spawn(self.runner.running.clone().report());
        helpers.spawn(self.reachability.clone().watch(self.store.clone(), self.queue.clone()));
        let stop = stop.child_token();
        helpers.spawn(self.clone().stop_at_limits(stop.clone()));
        let mut takers = JoinSet::new();
        for &kind in kinds {
            let prefetch = u16::try_from(self.slots).unwrap_or(u16::MAX);
            let deliveries = self.queue.consume(&Channel::Work(kind), prefetch).await?;
            takers.spawn(self.clone().take(kind, deliveries, slots.clone(), stop.clone()));
        }
        let mut worked = Ok(());
        while let Some(taker) = takers.join_next().await {
            let ended = taker.map_err(|e| Error::bug("a job loop panicked").with_source(e)).flatten();
            worked = worked.and(ended);
        }
        self.runner.running.remove_records().await;
        match self.runner.health.reason() {
            Some(reason) => Err(reason),
            None => worked,
        }
    }

    /// Returns for how long the worker has had no job.
    fn idle(&self) -> Duration {
        // No code that holds the lock can panic.
        let mut since = self.idle_since.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.runner.running.is_empty() {
            *since = Instant::now();
        }
        since.elapsed()
    }

    /// Returns the health of the worker for probes, and sets its gauges.
    pub fn observe(&self) -> Health {
        let health = match (self.is_stuck(), self.is_ready()) {
            (true, _) => Health::Stuck,
            (false, true) => Health::Ready,
            (false, false) => Health::NotReady,
        };
        SLOTS.set(&[], self.slots as f64);
        READY.set(&[], f64::from(u8::from(health == Health::Ready)));
        IDLE.set(&[], self.idle().as_secs_f64());
        self.runner.running.observe();
        self.runner.observe_machine();
        health
    }

    /// Cancels `stop` when a limit of the worker is reached.
    async fn stop_at_limits(self: Arc<Self>, stop: CancellationToken) {
        let began = Instant::now();
        loop {
            tokio::time::sleep(LIMITS_INTERVAL).await;
            let idle = self.idle();
            let WorkerLimits { until_idle, max_jobs, max_age } = self.limits;
            let reason = if until_idle.is_some_and(|limit| idle >= limit) {
                "no job arrived within --until-idle"
            } else if max_jobs.is_some_and(|limit| self.taken.load(Ordering::SeqCst) >= limit) {
                "--max-jobs is reached"
            } else if max_age.is_some_and(|limit| began.elapsed() >= limit) {
                "--max-age is reached"
            } else {
                continue;
            };
            tracing::info!(reason, "the worker stops by itself");
            return stop.cancel();
        }
    }

    /// Whether the worker may take one more job.
    fn takes_another(&self) -> bool {
        let count = self.taken.fetch_add(1, Ordering::SeqCst);
        self.limits.max_jobs.is_none_or(|limit| count < limit)
    }

    async fn take(
        self: Arc<Self>,
        kind: WorkKind,
        mut deliveries: Box<dyn Deliveries>,
        slots: Arc<Semaphore>,
        stop: CancellationToken,
    ) -> Result<()> {
        // Cancelled at the end of the grace period.
        let grace_over = CancellationToken::new();
        let unfit = self.unfit();
        let mut running = JoinSet::new();
        let mut refused_since: Option<Instant> = None;
        // Takes a delivery before a slot: a kind without work must not hold a slot that another
        // kind could use.
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = unfit.cancelled() => break,
                next = deliveries.next() => next,
            };
            let next = match next {
                Ok(next) => next,
                // The broker refuses deliveries for now. Asking again asks the broker again.
                Err(error) if refused_since.get_or_insert_with(Instant::now).elapsed() < MAX_REFUSED => {
                    tracing::warn!(error = %error.chain(), "the broker delivers no jobs: trying again");
                    continue;
                }
                Err(error) => return Err(error),
            };
            refused_since = None;
            while running.try_join_next().is_some() {}
            let Some(delivery) = next else { break };
            let received = Instant::now();
            if let Some(waited) = delivery.waited {
                QUEUE_OLDEST.set(&[kind.name()], waited.as_secs_f64());
            }
            let job = match self.runner.decode(&delivery.body) {
                Ok(job) => job,
                Err(error) => {
                    MESSAGES_REFUSED.increment(&[kind.name()]);
                    let runner = self.runner.clone();
                    running.spawn(async move { runner.quarantine_unreadable(delivery, kind, error).await });
                    continue;
                }
            };
            let held = match self.runner.running.hold(&job) {
                Holding::First(held) => held,
                // Needs no slot: nothing is computed for it.
                Holding::Copy(first) => {
                    tracing::info!(run = job.run, job = job.id, "this worker has the job already: holding its copy");
                    running.spawn(settle_copy(delivery, first));
                    continue;
                }
            };
            if !self.takes_another() {
                drop(held);
                delivery.requeue().await?;
                break;
            }
            let slot = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                () = unfit.cancelled() => None,
                slot = slots.clone().acquire_owned() => slot.ok(),
            };
            let Some(slot) = slot else {
                drop(held);
                delivery.requeue().await?;
                break;
            };
            let runner = self.runner.clone();
            let taken = Taken { job, delivery, held, received, slot };
            running.spawn(taken.run(runner, grace_over.clone()));
        }
        self.runner.running.ask_to_save();
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
}

/// A delivered job with its slot.
struct Taken {
    job: Job,
    delivery: Delivery,
    held: HeldJob,
    received: Instant,
    slot: OwnedSemaphorePermit,
}

impl Taken {
    /// Runs the job and settles its delivery and the copies of it.
    async fn run(self, runner: Arc<JobRunner>, grace_over: CancellationToken) {
        let Taken { job, delivery, held, received, slot } = self;
        let (kind, redeliveries) = (job.task.work_kind(), delivery.redeliveries);
        let counted = Counted::start(kind, redeliveries, received);
        let (mut traced, context) = runner.trace(&job, redeliveries);
        held.progress.set_context(context.clone());
        let span = runner.span(&job, redeliveries, &context);
        let _busy = runner.running.begin(kind);
        let settled = async {
            let processed = runner.process(job, redeliveries, received, &held.progress, grace_over).await;
            let end = processed.as_ref().map(|end| *end).map_err(|error| error.kind());
            match end {
                Ok(end) => traced.set("jhalak.outcome", end.name()),
                Err(kind) => traced.fail(kind),
            }
            let settled = settle_as(delivery, processed.map(End::settlement)).await;
            if let Some(settlement) = settled.of_copies() {
                held.settled(settlement);
            }
            counted.end(end, settled, &held.progress);
        };
        settled.instrument(span).await;
        drop((held, slot, traced));
    }
}

/// Settles the copy of a job like the first delivery of it. Where that is unknown, the copy goes
/// back to the queue: it will be found committed, or run.
async fn settle_copy(copy: Delivery, mut first: watch::Receiver<Option<Settlement>>) {
    let settlement = first.wait_for(Option::is_some).await.ok().and_then(|settled| *settled);
    // A copy that cannot be settled comes again.
    let _ = settle_as(copy, Ok(settlement.unwrap_or(Settlement::HandBack))).await;
}
