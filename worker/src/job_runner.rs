//! Runs one job and brings it to one end state, or back to the queue.
//!
//! A job that fails is in the hands of [`FailedJobs`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jhalak_common::hash::{self, Hash};
use jhalak_common::process::fault_point;
use jhalak_common::queue::{Channel, Delivery, Queue, WorkKind};
use jhalak_common::run::job::{Envelope, Job, MAX_MESSAGE_BYTES, Task};
use jhalak_common::run::{self, RunState, SigningKey, UNREADABLE_RUN, run_key};
use jhalak_common::settings::WorkerSettings;
use jhalak_common::store::ObjectStore;
use jhalak_common::telemetry::trace::{self, TraceContext};
use jhalak_common::{Error, ErrorKind, Result};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::at_work::HeldJobs;
use crate::cancellation::RunWatch;
use crate::end_state::{Attempt, EndStates, is_run_id};
use crate::failure::FailedJobs;
use crate::health::Health;
use crate::job_metrics::End;
use crate::jobs::JobProgress;
use crate::jobs::RunJob;
use crate::planned_work::Planned;
use crate::settlement::{Settlement, settle_as};

/// How often a worker hands one message back that it cannot verify, after which pause, and how many
/// such messages it remembers.
const MAX_HANDED_BACK: u32 = 3;
const UNVERIFIED_PAUSE: Duration = Duration::from_secs(1);
const MAX_UNVERIFIED: usize = 1_000;

/// A stopped extraction ends within this time.
const OVERDUE: Duration = Duration::from_secs(120);

/// Runs jobs and records their end states.
pub(crate) struct JobRunner {
    queue: Arc<dyn Queue>,
    store: Arc<dyn ObjectStore>,
    jobs: Arc<dyn RunJob>,
    end_states: Arc<EndStates>,
    failed_jobs: FailedJobs,
    pub(crate) runs: Arc<RunWatch>,
    pub(crate) running: Arc<HeldJobs>,
    pub(crate) health: Arc<Health>,
    redeliveries: u32,
    limit: Duration,
    signing_key: Option<SigningKey>,
    /// How often each message was handed back that could not be verified, by the hash of its bytes.
    handed_back: Mutex<BTreeMap<Hash, u32>>,
}

/// How a job stopped running.
enum Ended {
    /// By itself: the number of artifacts committed, or the error.
    Itself(Result<usize>),
    /// It was stopped at the time limit.
    AtLimit,
}

impl JobRunner {
    pub(crate) fn new(
        queue: Arc<dyn Queue>,
        store: Arc<dyn ObjectStore>,
        jobs: Box<dyn RunJob>,
        slots: usize,
        settings: &WorkerSettings,
        signing_key: Option<SigningKey>,
    ) -> Self {
        let running = HeldJobs::new(store.clone(), slots);
        let (jobs, health): (Arc<dyn RunJob>, _) = (jobs.into(), Arc::new(Health::default()));
        let end_states = Arc::new(EndStates::new(store.clone(), queue.clone(), running.identity.id()));
        let failed_jobs = FailedJobs {
            queue: queue.clone(),
            jobs: jobs.clone(),
            end_states: end_states.clone(),
            running: running.clone(),
            health: health.clone(),
            attempts: settings.attempts,
            signing_key: signing_key.clone(),
        };
        JobRunner {
            jobs,
            end_states,
            failed_jobs,
            runs: RunWatch::new(store.clone()),
            running,
            health,
            queue,
            store,
            redeliveries: settings.redeliveries,
            limit: Duration::from_millis(settings.job_limit_ms),
            signing_key,
            handed_back: Mutex::default(),
        }
    }

    /// The span of a job: each log line inside carries its fields. At the level of errors, so that
    /// no filter hides it from them.
    pub(crate) fn span(&self, job: &Job, redeliveries: u32, context: &TraceContext) -> Span {
        let (kind, trailer) = match &job.task {
            Task::Extract(task) => ("extract", Some(task.trailer.subject.id.as_str())),
            Task::Cell(_) => ("cell", None),
            Task::Fit(_) => ("fit", None),
            Task::Probe(_) => ("probe", None),
        };
        let (attempt, worker) = (job.attempt.saturating_add(redeliveries), self.running.identity.id());
        let trace_id = context.trace_id();
        tracing::error_span!("job", run = job.run, job = job.id, kind, attempt, trailer, worker, trace_id)
    }

    /// Whether an extraction is held long after its time limit.
    pub(crate) fn has_overdue_job(&self) -> bool {
        self.running.has_extraction_older_than(self.limit + OVERDUE)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// InvalidInput for a message that is not a job of this version, is too long, names no valid
    /// run, or is not signed although this worker has a key.
    pub(crate) fn decode(&self, body: &[u8]) -> Result<Job> {
        if body.len() > MAX_MESSAGE_BYTES {
            let size = body.len();
            return Err(Error::invalid(format!(
                "the message of {size} bytes is longer than {MAX_MESSAGE_BYTES} and not read"
            )));
        }
        let job = Job::decode(body)?;
        if !is_run_id(&job.run) {
            return Err(Error::invalid(format!("`{}` is not a valid run id", job.run.escape_debug())));
        }
        if let Some(key) = &self.signing_key
            && let Err(error) = key.verify(&job)
        {
            self.running.note_unable(&job.run, &error.chain());
            return Err(error);
        }
        Ok(job)
    }

    /// Sets the gauges of the machine.
    pub(crate) fn observe_machine(&self) {
        self.jobs.observe();
    }

    /// Checks scratch space, and that the store takes writes, before the first job.
    pub(crate) async fn check_at_start(&self) -> Result<()> {
        self.jobs.check().await?;
        let key = format!("doctor/worker-{}.txt", self.running.identity.id());
        self.store.put(&key, "written by jhalak-worker at its start".into()).await?;
        self.store.delete(&key).await
    }

    /// Settles a message of the `kind` queue that this program cannot read because of `error`: one
    /// of a newer version is left to other workers, any other is quarantined.
    pub(crate) async fn quarantine_unreadable(&self, delivery: Delivery, kind: WorkKind, error: Error) {
        let body = &delivery.body;
        let quarantine_unreadable = async {
            match Envelope::of_newer_job(body) {
                Some(newer) if self.waits_for_newer_workers(&newer).await? => {
                    let error =
                        Error::unable(format!("{}, or start workers of the coordinator's version", error.chain()));
                    self.failed_jobs.send_to_others(kind, &newer.run, &newer.id, body.clone(), &error).await?;
                }
                _ if self.leaves_to_other_keys(body).await? => {
                    tracing::warn!(error = %error.chain(), "handing back a job of a planned run that this worker cannot verify");
                    tokio::time::sleep(UNVERIFIED_PAUSE).await;
                    return Ok(Settlement::HandBack);
                }
                _ => self.end_states.quarantine_unreadable(body, delivery.redeliveries, &error).await?,
            }
            Ok(Settlement::Acknowledge)
        };
        let settlement = quarantine_unreadable.await;
        settle_as(delivery, settlement).await;
    }

    /// Whether a job without a valid signature is left to other workers: its run is planned here,
    /// so that this worker's key may be the wrong one. Each message is handed back a few times
    /// only: it may be forged.
    async fn leaves_to_other_keys(&self, body: &Bytes) -> Result<bool> {
        let Ok(job) = Job::decode(body) else { return Ok(false) };
        if self.signing_key.is_none() || !is_run_id(&job.run) || job.store != self.store.url() {
            return Ok(false);
        }
        if !run::is_planned(self.store.as_ref(), &job.run).await? {
            return Ok(false);
        }
        let mut handed_back = self.handed_back.lock().unwrap_or_else(PoisonError::into_inner);
        if handed_back.len() >= MAX_UNVERIFIED {
            handed_back.clear();
        }
        let times = handed_back.entry(hash::of_bytes(body)).or_default();
        *times += 1;
        Ok(*times <= MAX_HANDED_BACK)
    }

    /// Whether a job of a newer version belongs to a run in progress.
    async fn waits_for_newer_workers(&self, newer: &Envelope) -> Result<bool> {
        if !is_run_id(&newer.run) {
            return Ok(false);
        }
        let store = self.store.as_ref();
        if newer.store != store.url() {
            return Ok(true);
        }
        if !run::is_planned(store, &newer.run).await? || run::is_cancelled(store, &newer.run).await? {
            return Ok(false);
        }
        let state: Option<RunState> = run::get_json(store, &run_key(&newer.run, "state.json")).await?;
        Ok(!state.is_some_and(|state| state.stage.is_final()))
    }

    /// Begins the span of a delivered job in its trace.
    pub(crate) fn trace(&self, job: &Job, redeliveries: u32) -> (trace::Span, TraceContext) {
        let sent = TraceContext::read(job.traceparent.as_deref());
        let destination = self.queue.name(&Channel::Work(job.task.work_kind()));
        let mut span = sent.message(trace::Role::Processes, &destination, None);
        span.set("messaging.message.id", job.id.clone());
        span.set("messaging.message.conversation_id", job.run.clone());
        span.set("jhalak.attempt", i64::from(job.attempt.saturating_add(redeliveries)));
        if let Task::Extract(task) = &job.task {
            span.set("jhalak.trailer", task.trailer.subject.id.clone());
        }
        let context = span.context_or(&sent);
        (span, context)
    }

    /// Runs a job and records its end state; returns how it ended. `received`: when the delivery
    /// was taken, from which the broker counts as well.
    ///
    /// # Errors
    /// The end state could not be recorded: the store or the broker is unreachable or refuses.
    pub(crate) async fn process(
        &self,
        job: Job,
        redeliveries: u32,
        received: Instant,
        progress: &Arc<JobProgress>,
        grace_over: CancellationToken,
    ) -> Result<End> {
        let watched = self.runs.watch(&job.run).await;
        let cancelled = &watched.cancelled;
        if cancelled.is_cancelled() {
            self.end_states.cancel(&job, progress).await?;
            return Ok(End::Cancelled);
        }
        let disbelief = match &watched.planned {
            Some(Planned::No) => Some(format!("is not planned in {}: its jobs are not run", job.store)),
            Some(Planned::Yes(work)) if !work.has(&job.task) => {
                Some("does not contain this job: the job is not run".to_owned())
            }
            _ => None,
        };
        if let Some(why) = disbelief.filter(|_| self.commits_to_its_run(&job)) {
            let error = Error::invalid(format!(
                "the run `{}` {why} (remove the message: `jhalak quarantine drop {UNREADABLE_RUN}`)",
                job.run
            ));
            self.end_states.quarantine_unreadable(&job.encode()?, redeliveries, &error).await?;
            return Ok(End::Quarantined);
        }
        if (redeliveries > 0 || job.is_copy) && self.running.is_at_work_elsewhere(&job).await? {
            let seconds = progress.total_seconds();
            // The message of a worker that dies comes again by itself; a copy that was sent is not
            // needed.
            if job.is_copy && redeliveries == 0 {
                tracing::info!(seconds, "another worker is at work on the job: dropping its copy");
                return Ok(End::Copy);
            }
            tracing::info!(seconds, "another worker is at work on the job: handing its copy back");
            return Ok(End::HandedBack);
        }
        let attempt = Attempt { number: job.attempt.saturating_add(redeliveries), progress };
        if redeliveries >= self.redeliveries {
            let error =
                Error::bug(format!("its worker crashed or lost its connection at each of {redeliveries} deliveries"));
            // This delivery is no attempt: nothing was run.
            let last = Attempt { number: attempt.number - 1, progress };
            self.end_states.quarantine(&job, &last, &error).await?;
            return Ok(End::Quarantined);
        }
        tracing::info!("job started");
        match self.run_until(&job, received, progress, &grace_over, cancelled).await {
            Ended::Itself(Ok(committed)) => {
                self.health.worked();
                self.end_states.commit(&job, &attempt, committed).await?;
                fault_point::reach("after-result");
                Ok(if committed > 0 { End::Committed } else { End::Found })
            }
            Ended::Itself(Err(error)) if error.kind() == ErrorKind::Cancelled && cancelled.is_cancelled() => {
                self.end_states.cancel(&job, progress).await?;
                Ok(End::Cancelled)
            }
            Ended::Itself(Err(error)) if error.kind() == ErrorKind::Cancelled => {
                tracing::info!(seconds = progress.total_seconds(), "job handed back: the worker is stopping");
                // Uncounted: a shutdown is not an attempt (invariant 4 in ARCHITECTURE.md).
                Ok(End::HandedBack)
            }
            Ended::Itself(Err(error)) => self.failed_jobs.end(job, attempt, error).await,
            Ended::AtLimit if matches!(job.task, Task::Extract(_)) => {
                let error = Error::invalid(format!(
                    "it ran longer than {} s: raise worker.job_limit_ms (and above it rabbitmq.consumer_timeout_ms, with the \
                     broker's consumer_timeout), then `jhalak retry`",
                    self.limit.as_secs()
                ));
                self.end_states.quarantine(&job, &attempt, &error).await?;
                Ok(End::Quarantined)
            }
            Ended::AtLimit => {
                let seconds = progress.total_seconds();
                tracing::info!(seconds, "job handed back at its time limit: it resumes from the state that it saved");
                Ok(End::HandedBack)
            }
        }
    }

    /// Whether the job belongs to a run of this worker's store. A probe belongs to none, and jobs
    /// of other stores are refused when they run.
    fn commits_to_its_run(&self, job: &Job) -> bool {
        !matches!(job.task, Task::Probe(_)) && job.store == self.store.url()
    }

    /// Runs the job until it ends, the grace period is over, its run is cancelled, or its time is
    /// up.
    async fn run_until(
        &self,
        job: &Job,
        received: Instant,
        progress: &Arc<JobProgress>,
        grace_over: &CancellationToken,
        cancelled: &CancellationToken,
    ) -> Ended {
        let stop = CancellationToken::new();
        let running = progress.traced(self.jobs.run_job(job, progress, stop.clone()));
        let mut running = std::pin::pin!(running);
        let mut limit = received + self.limit;
        let mut warned = false;
        let at_limit = loop {
            tokio::select! {
                ended = &mut running => return Ended::Itself(ended),
                () = grace_over.cancelled() => break false,
                () = cancelled.cancelled() => break false,
                () = tokio::time::sleep_until(limit.into()) => {}
            }
            // A training without a saved state would begin again: it continues, and copies of it
            // that the broker delivers are held here and by other workers.
            if matches!(job.task, Task::Extract(_)) || progress.has_saved() {
                break true;
            }
            if !std::mem::replace(&mut warned, true) {
                tracing::warn!(
                    limit_s = self.limit.as_secs(),
                    "the job exceeds its time limit and continues: it has saved no state"
                );
            }
            limit += self.limit / 4;
        };
        stop.cancel();
        match running.await {
            // It may have ended at this very moment.
            Err(error) if at_limit && error.kind() == ErrorKind::Cancelled => Ended::AtLimit,
            ended => Ended::Itself(ended),
        }
    }
}
