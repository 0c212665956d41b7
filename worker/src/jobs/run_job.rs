//! The work of one job, as the job loop needs it.

use std::sync::Arc;

use async_trait::async_trait;
use jhalak_common::Result;
use jhalak_common::run::job::Job;
use tokio_util::sync::CancellationToken;

use crate::jobs::{self, Context, JobProgress};

/// Runs one job. The job loop settles its delivery.
#[async_trait]
pub trait RunJob: Send + Sync {
    /// Runs `job` until each of its artifacts is committed, or `stop` is cancelled. Returns the
    /// number of artifacts that it committed.
    ///
    /// # Errors
    /// Their kind decides: a transient one is tried again, Cancelled and Unable hand the job back,
    /// every other one quarantines it unless [`RunJob::check`] fails.
    async fn run_job(&self, job: &Job, progress: &Arc<JobProgress>, stop: CancellationToken) -> Result<usize>;

    /// Checks that this machine can run jobs.
    ///
    /// # Errors
    /// Of a kind that is the machine's, see [`ErrorKind::is_of_machine`].
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Sets the gauges of the machine.
    fn observe(&self) {}
}

#[async_trait]
impl RunJob for Arc<Context> {
    async fn run_job(&self, job: &Job, progress: &Arc<JobProgress>, stop: CancellationToken) -> Result<usize> {
        jobs::run(self, job, progress, stop).await
    }

    async fn check(&self) -> Result<()> {
        self.scratch.check().await
    }

    fn observe(&self) {
        self.scratch.observe();
    }
}
