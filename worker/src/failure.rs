//! Ends jobs that failed: by the fault of the job, of this machine, or of what this worker lacks.
//!
//! A failure is a job's own only if this worker is sound: before it blames the job, it checks
//! itself. A job that it cannot run goes back to the queue, uncounted.

use std::sync::Arc;

use bytes::Bytes;
use jhalak_common::queue::{Queue, WorkKind};
use jhalak_common::run::job::Job;
use jhalak_common::run::{SigningKey, encode_signed};
use jhalak_common::{Error, ErrorKind, Result};
use jhalak_media::CrashOrHang;

use crate::at_work::HeldJobs;
use crate::end_state::{Attempt, EndStates};
use crate::health::Health;
use crate::job_metrics::End;
use crate::jobs::RunJob;

/// The retry tier of a job that does not fit this worker: long enough that other workers meet it,
/// and that it keeps nobody busy.
const MISFIT_TIER: usize = 1;

/// A job that only one of several workers tried is offered to the others up to this many times its
/// attempts.
const MAX_PATIENCE: u32 = 3;

/// Decides how failed jobs end, and brings them there.
pub(crate) struct FailedJobs {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) jobs: Arc<dyn RunJob>,
    pub(crate) end_states: Arc<EndStates>,
    pub(crate) running: Arc<HeldJobs>,
    pub(crate) health: Arc<Health>,
    /// Attempts of a job before it is quarantined.
    pub(crate) attempts: u32,
    pub(crate) signing_key: Option<SigningKey>,
}

impl FailedJobs {
    /// Decides the end state of a job that failed.
    pub(crate) async fn end(&self, job: Job, attempt: Attempt<'_>, error: Error) -> Result<End> {
        match error.kind() {
            ErrorKind::Throttled => return Err(error),
            ErrorKind::StorageFull => return Ok(self.hand_back(&error, &error).await),
            _ => {}
        }
        match self.check(&job.run).await {
            Ok(()) if error.kind() == ErrorKind::Unable => self.leave_to_others(job, error).await,
            Err(_) if error.kind() == ErrorKind::Unable => Ok(self.hand_back(&error, &error).await),
            // A store that does not answer at all is nobody's failure: handed back uncounted.
            Err(away) if away.kind().is_transient() => Err(Error::transient(away.chain()).with_source(error.chain())),
            Err(cause) => Ok(self.hand_back(&cause, &error).await),
            Ok(()) => {
                self.health.worked();
                match error.kind().is_permanent() && error.kind() != ErrorKind::NotFound {
                    true => {
                        self.end_states.quarantine(&job, &attempt, &error).await?;
                        Ok(End::Quarantined)
                    }
                    false => self.retry(job, attempt, error).await,
                }
            }
        }
    }

    /// Returns a job to the queue that failed with `error` because this worker is sick of `cause`.
    async fn hand_back(&self, cause: &Error, error: &Error) -> End {
        let pause = self.health.failed(cause);
        tracing::warn!(
            cause = %cause.chain(), error = %error.chain(), "this worker cannot do the job: handing it back"
        );
        tokio::time::sleep(pause).await;
        End::HandedBack
    }

    /// Sends a job again later, uncounted, that asks for what this worker does not have: another
    /// store, version or model. Another worker may do it, and this one does other jobs.
    async fn leave_to_others(&self, job: Job, error: Error) -> Result<End> {
        let (kind, run, id) = (job.task.work_kind(), job.run.clone(), job.id.clone());
        let body = encode_signed(job, self.signing_key.as_ref())?;
        self.send_to_others(kind, &run, &id, body, &error).await?;
        Ok(End::LeftToOthers)
    }

    pub(crate) async fn send_to_others(
        &self,
        kind: WorkKind,
        run: &str,
        id: &str,
        body: Bytes,
        error: &Error,
    ) -> Result<()> {
        self.running.note_unable(run, &error.chain());
        tracing::warn!(run, job = id, error = %error.chain(), "this worker cannot do the job: leaving it to others");
        let pause = self.health.misfit(id, error, self.is_only_worker(kind).await);
        self.queue.publish_later(kind, MISFIT_TIER, body).await?;
        // Others get the next jobs.
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Whether no other worker takes jobs of this kind, as far as the broker can tell.
    async fn is_only_worker(&self, kind: WorkKind) -> bool {
        self.queue.backlog(kind).await.map_or(1, |backlog| backlog.consumers) <= 1
    }

    /// Checks scratch space, and that the store takes writes of this run.
    async fn check(&self, run: &str) -> Result<()> {
        self.jobs.check().await?;
        self.running.write_record(run).await
    }

    /// Sends a job again later that failed with a transient error, or because its trailer or
    /// another object was not found, or quarantines it. A transient error takes all attempts, a
    /// missing object one. Where other workers take jobs too, two of them must have failed: this
    /// one may see another store, or an old state of it.
    async fn retry(&self, mut job: Job, attempt: Attempt<'_>, error: Error) -> Result<End> {
        let attempts = job.attempt.saturating_add(1);
        let tier = usize::try_from(job.attempt).unwrap_or(usize::MAX);
        let kind = job.task.work_kind();
        let mut failed_on = job.failed_on.clone();
        failed_on.insert(self.running.identity.id());
        let is_missing = error.kind() == ErrorKind::NotFound;
        if is_missing || attempts >= self.attempts {
            let only_here = failed_on.len() == 1 && attempts < self.attempts.saturating_mul(MAX_PATIENCE);
            if !only_here || self.is_only_worker(kind).await {
                self.end_states.quarantine(&job, &attempt, &blame_file(error)).await?;
                return Ok(End::Quarantined);
            }
        }
        let seconds = attempt.progress.total_seconds();
        tracing::warn!(attempts, seconds, error = %error.chain(), "job failed and will be tried again");
        job.traceparent = attempt.progress.context().traceparent();
        job.attempt = attempts;
        job.failed_on = failed_on;
        self.queue.publish_later(kind, tier, encode_signed(job, self.signing_key.as_ref())?).await?;
        Ok(End::Retried)
    }
}

/// After the last attempt, a crash or a hang of the decoder is the fault of the trailer, which the
/// next run does not try again.
fn blame_file(error: Error) -> Error {
    match std::error::Error::source(&error).is_some_and(|source| source.is::<CrashOrHang>()) {
        true => Error::invalid(error.chain()),
        false => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_media::MediaError;

    #[test]
    fn after_the_last_attempt_a_crash_is_the_files_fault_and_a_full_pipe_is_not() {
        let crash = Error::from(MediaError::Crashed { signal: 11, message: "in a filter".into() });
        assert_eq!(crash.kind(), ErrorKind::Transient);
        let blamed = blame_file(crash);
        assert!(
            blamed.kind() == ErrorKind::InvalidInput && blamed.chain().ends_with("signal 11: in a filter"),
            "{blamed}"
        );
        let machine = Error::from(MediaError::transient("no new process"));
        assert_eq!(blame_file(machine).kind(), ErrorKind::Transient);
    }
}
