//! Notes the end states of the jobs of a stage.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jhalak_common::Result;
use jhalak_common::queue::Deliveries;
use jhalak_common::run::Stage;
use jhalak_common::run::job::{JobResult, Outcome};

use super::state::Dispatch;
use crate::run::context::Ended;
use crate::run::end_states;

/// After a cancellation, results of running jobs are awaited until none has arrived for this long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

impl Dispatch<'_> {
    /// Records the end state of a job, unless it has one already or is not of this stage.
    pub(super) fn settle(&mut self, result: JobResult) {
        let JobResult { job: id, attempt, worker, outcome, .. } = result;
        let id = id.as_str();
        if self.lost.is_answer(id) {
            return;
        }
        let Some(i) = self.pending.remove(id) else { return };
        let (kind, about) = (self.jobs.kind().name(), self.jobs.about(i));
        let trailer = self.jobs.trailer(i).and_then(|t| self.plan.trailers.trailers.get(t));
        let trailer = trailer.as_ref().map(|trailer| trailer.subject.id.as_str());
        let _span = tracing::error_span!("job", job = id, kind, attempt, trailer, worker).entered();
        match outcome {
            Outcome::Committed { made, seconds } => {
                if let Some(movie) = trailer {
                    self.context.timings.trailer(movie, seconds);
                }
                tracing::debug!(made, "job committed");
                self.progressed = jiff::Timestamp::now();
                self.made = self.made.saturating_add(made);
                self.count_cost(i);
                self.bar.step(&about);
            }
            Outcome::Quarantined { reason, .. } => {
                tracing::debug!(reason, "job quarantined");
                self.quarantined += 1;
                self.progressed = jiff::Timestamp::now();
                self.count_cost(i);
                self.bar.quarantined(&about, &reason);
            }
            // Stays pending: the job counts as not started.
            Outcome::Cancelled => {
                tracing::debug!("job dropped: its run was cancelled");
                self.dropped.push((Instant::now(), i));
                self.pending.insert(id.to_string(), i);
            }
        }
    }

    /// After a cancellation: takes the last results, then writes how many jobs were left.
    pub(super) async fn drain(&mut self, results: &mut dyn Deliveries) -> Result<Ended<usize>> {
        let mut cancelled = BTreeSet::new();
        while cancelled.len() < self.pending.len() {
            let Ok(delivery) = tokio::time::timeout(DRAIN_TIMEOUT, results.next()).await else { break };
            let Some(delivery) = delivery? else { break };
            if let Some(result) = read_result(&delivery.body) {
                if result.outcome == Outcome::Cancelled {
                    cancelled.insert(result.job.clone());
                }
                self.settle(result);
            }
            delivery.ack().await?;
        }
        for result in end_states::find(self.store(), self.plan, self.jobs, &self.pending).await? {
            self.settle(result);
        }
        self.stage = Stage::Cancelled;
        self.write_state(self.open()).await?;
        Ok(Ended::Cancelled)
    }

    /// Adds the cost of a job that has ended, and shows the share of the work that is done.
    fn count_cost(&mut self, i: usize) {
        self.costs.1 += self.jobs.cost(i);
        self.bar.share(self.share());
    }
}

/// Reads a result; None, with a warning, if it is unreadable.
pub(super) fn read_result(body: &[u8]) -> Option<JobResult> {
    match JobResult::decode(body) {
        Ok(result) => Some(result),
        Err(error) => {
            tracing::warn!(error = %error.chain(), "unreadable result ignored: the store will show the end state");
            None
        }
    }
}
