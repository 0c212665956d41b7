//! The end states of a job: committed, quarantined with a reason, or cancelled (invariant 1 in
//! ARCHITECTURE.md).
//!
//! Each method records one end state and returns when it is durable. Only then does the job loop
//! acknowledge the delivery (invariant 3 in ARCHITECTURE.md).

use std::sync::Arc;

use bytes::Bytes;
use jhalak_common::artifact::check_version;
use jhalak_common::hash;
use jhalak_common::queue::{Channel, Queue};
use jhalak_common::run::job::{Job, JobResult, MAX_MESSAGE_BYTES, MESSAGE_VERSION, Outcome, QuarantineRecord};
use jhalak_common::run::{self, UNREADABLE_RUN, quarantine_key};
use jhalak_common::store::{ObjectStore, check_key};
use jhalak_common::telemetry::list::QUARANTINED;
use jhalak_common::{Error, Result};
use serde_json::Value;

use crate::jobs::JobProgress;

/// Records the end states of jobs in the store and on the queue.
pub(crate) struct EndStates {
    store: Arc<dyn ObjectStore>,
    queue: Arc<dyn Queue>,
    /// The id of this worker.
    worker: String,
}

/// The attempt of a job that has ended.
pub(crate) struct Attempt<'a> {
    /// Number of attempts before it, crashes included.
    pub(crate) number: u32,
    /// The progress that the job reported.
    pub(crate) progress: &'a JobProgress,
}

/// Characters of an unreadable message that its record keeps, where the message is too long.
const KEPT_CHARS: usize = 1_000;

impl EndStates {
    /// Writes records to `store`, and results and quarantined messages to `queue`, in the name of
    /// the worker with this id.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, queue: Arc<dyn Queue>, worker: String) -> Self {
        EndStates { store, queue, worker }
    }

    /// Reports that every artifact of the job exists; `made` of them were committed by this
    /// attempt.
    pub(crate) async fn commit(&self, job: &Job, attempt: &Attempt<'_>, made: usize) -> Result<()> {
        let seconds = attempt.progress.seconds();
        self.publish_result(job, Some(attempt), Outcome::Committed { made, seconds: seconds.clone() }).await?;
        let took = attempt.progress.total_seconds();
        tracing::info!(artifacts = made, seconds = took, steps = ?seconds, "job committed");
        Ok(())
    }

    /// Reports that the job was dropped with its run. This counts as no attempt.
    pub(crate) async fn cancel(&self, job: &Job, progress: &JobProgress) -> Result<()> {
        self.publish_result(job, None, Outcome::Cancelled).await?;
        tracing::info!(seconds = progress.total_seconds(), "job dropped: its run was cancelled");
        Ok(())
    }

    /// Quarantines the job: writes its record to the store, publishes the message to the
    /// quarantine, then the result.
    pub(crate) async fn quarantine(&self, job: &Job, attempt: &Attempt<'_>, error: &Error) -> Result<()> {
        let body = job.encode()?;
        let record = QuarantineRecord {
            seconds: attempt.progress.seconds(),
            ..self.record(&job.run, &job.id, job.task.about(), error, attempt.number.saturating_add(1), as_json(&body))
        };
        run::put_json(self.store.as_ref(), &quarantine_key(&job.run, &job.id), &record).await?;
        // `jhalak run` shows its own line of each quarantined job, and leaves out this target.
        tracing::error!(
            target: "jhalak_worker::job_quarantined",
            error_kind = error.kind().name(),
            reason = %error.chain(),
            attempts = record.attempts,
            seconds = attempt.progress.total_seconds(),
            "job quarantined"
        );
        QUARANTINED.increment(&[job.task.work_kind().name(), error.kind().name()]);
        self.queue.publish(&Channel::Quarantine, body).await?;
        let outcome = Outcome::Quarantined { error: error.kind(), reason: error.chain() };
        self.publish_result(job, Some(attempt), outcome).await
    }

    /// Quarantines a message that is not a job that this worker believes: no job at all, of another
    /// version, or without a valid signature or a planned run. Its fields are not believed: the
    /// record goes to [`UNREADABLE_RUN`], never to the run that the message names, and no result is
    /// published. The message is kept unchanged unless it is too long to be one.
    pub(crate) async fn quarantine_unreadable(&self, body: &Bytes, redeliveries: u32, error: &Error) -> Result<()> {
        let is_too_long = body.len() > MAX_MESSAGE_BYTES;
        let message = match is_too_long {
            true => Value::from(String::from_utf8_lossy(&body[..KEPT_CHARS]).into_owned()),
            false => as_json(body),
        };
        let named = message.get("id").and_then(Value::as_str).map(str::to_string);
        let job = named.unwrap_or_else(|| hash::of_bytes(body).short());
        let other_version = !is_too_long && check_version(&message, MESSAGE_VERSION, "the job").is_err();
        let about = match (is_too_long, other_version && message.get("version").is_some()) {
            (true, _) => "message that is too long",
            _ if Job::decode(body).is_ok() => "job without a valid signature or run",
            (false, true) => "message of another version",
            (false, false) => "message that is not a job",
        };
        let attempts = redeliveries.saturating_add(1);
        let record = self.record(UNREADABLE_RUN, &job, about.into(), error, attempts, message);
        run::put_json(self.store.as_ref(), &quarantine_key(UNREADABLE_RUN, &job), &record).await?;
        tracing::error!(reason = %error.chain(), "message quarantined");
        match is_too_long {
            true => Ok(()),
            false => self.queue.publish(&Channel::Quarantine, body.clone()).await,
        }
    }

    fn record(
        &self,
        run: &str,
        job: &str,
        about: String,
        error: &Error,
        attempts: u32,
        message: Value,
    ) -> QuarantineRecord {
        QuarantineRecord {
            worker: Some(self.worker.clone()),
            ..QuarantineRecord::new(run, job, about, error, attempts, message)
        }
    }

    async fn publish_result(&self, job: &Job, attempt: Option<&Attempt<'_>>, outcome: Outcome) -> Result<()> {
        let result = JobResult {
            attempt: attempt.map(|attempt| attempt.number),
            worker: Some(self.worker.clone()),
            ..JobResult::new(&job.id, &job.run, outcome)
        };
        self.queue.publish(&Channel::Results(job.run.clone()), result.encode()?).await
    }
}

/// Whether `run` can be a run's id. It becomes part of keys and of a queue's name, and a message
/// may come from anybody.
pub(crate) fn is_run_id(run: &str) -> bool {
    run.len() <= 200 && !run.contains('/') && check_key(&run::run_key(run, "x")).is_ok()
}

fn as_json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(body).into_owned()))
}
