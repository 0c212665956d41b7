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
use jhalak_common::run::job::{Job, JobResult, MESSAGE_VERSION, Outcome, QuarantineRecord, Task};
use jhalak_common::run::{self, quarantine_key};
use jhalak_common::store::{ObjectStore, check_key};
use jhalak_common::{Error, Result};
use serde_json::Value;

use crate::jobs::JobStats;

/// Records the end states of jobs in the store and on the queue.
pub(crate) struct EndStates {
    store: Arc<dyn ObjectStore>,
    queue: Arc<dyn Queue>,
}

impl EndStates {
    /// Writes records to `store`, and results and quarantined messages to `queue`.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, queue: Arc<dyn Queue>) -> Self {
        EndStates { store, queue }
    }

    /// Reports that every artifact of the job exists.
    pub(crate) async fn commit(&self, job: &Job, stats: JobStats) -> Result<()> {
        tracing::info!(artifacts = stats.committed, seconds = ?stats.seconds, "job committed");
        self.publish_result(job, Outcome::Committed { made: stats.committed, seconds: stats.seconds }).await
    }

    /// Reports that the job was dropped with its run. This counts as no attempt.
    pub(crate) async fn cancel(&self, job: &Job) -> Result<()> {
        tracing::info!("job dropped: its run was cancelled");
        self.publish_result(job, Outcome::Cancelled).await
    }

    /// Quarantines the job: writes its record to the store, publishes the message to the
    /// quarantine, then the result.
    pub(crate) async fn quarantine(&self, job: &Job, attempts: u32, error: &Error) -> Result<()> {
        tracing::error!(error_kind = ?error.kind(), reason = %error.chain(), attempts, "job quarantined");
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
        run::put_json(self.store.as_ref(), &quarantine_key(&job.run, &job.id), &record).await?;
        self.queue.publish(&Channel::Quarantine, body).await?;
        self.publish_result(job, Outcome::Quarantined { error: error.kind(), reason: error.chain() }).await
    }

    /// Quarantines a message that is not a job, or a job of a newer version. The message is kept
    /// unchanged; a record and a result are written where it names a valid run.
    pub(crate) async fn quarantine_unreadable(&self, body: &Bytes, redeliveries: u32, error: &Error) -> Result<()> {
        let message = as_json(body);
        let field = |name: &str| message.get(name).and_then(Value::as_str).map(str::to_string);
        let run = field("run").filter(|run| is_run_id(run));
        tracing::error!(run, reason = %error.chain(), "message quarantined");
        if let Some(run) = run {
            let job = field("id").unwrap_or_else(|| hash::of_bytes(body).to_string());
            let other_version = check_version(&message, MESSAGE_VERSION, "the job").is_err();
            let record = QuarantineRecord {
                version: MESSAGE_VERSION,
                about: if other_version { "message of another version" } else { "message that is not a job" }.into(),
                error: error.kind(),
                reason: error.chain(),
                attempts: redeliveries.saturating_add(1),
                message: message.clone(),
                job: job.clone(),
                run: run.clone(),
            };
            run::put_json(self.store.as_ref(), &quarantine_key(&run, &job), &record).await?;
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

    async fn publish_result(&self, job: &Job, outcome: Outcome) -> Result<()> {
        let result = JobResult { version: MESSAGE_VERSION, job: job.id.clone(), run: job.run.clone(), outcome };
        self.queue.publish(&Channel::Results(job.run.clone()), result.encode()?).await
    }
}

/// Whether `run` can be a run's id. It becomes part of keys and of a queue's name, and a message
/// may come from anybody.
pub(crate) fn is_run_id(run: &str) -> bool {
    run.len() <= 200 && !run.contains('/') && check_key(&run::run_key(run, "x")).is_ok()
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
