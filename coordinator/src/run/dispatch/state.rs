//! The state of a stage in progress: its jobs, and how far each has come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use jhalak_common::Result;
use jhalak_common::queue::Backlog;
use jhalak_common::run::{RunState, Stage};
use jhalak_common::store::ObjectStore;

use super::lost_jobs::LostJobs;
use super::window::Window;
use crate::console::progress::Bar;
use crate::plan::Plan;
use crate::run::context::RunContext;
use crate::run::gauges::{self, JobCounts};
use crate::run::jobs::Jobs;

/// A stage in progress.
pub(super) struct Dispatch<'a> {
    pub(super) context: &'a RunContext,
    pub(super) plan: &'a Plan,
    pub(super) stage: Stage,
    pub(super) jobs: &'a Jobs<'a>,
    pub(super) bar: Bar,
    pub(super) all: usize,
    /// Jobs that had their end state before the stage began.
    pub(super) before: usize,
    pub(super) since: jiff::Timestamp,
    /// When the last job ended, or the stage began.
    pub(super) progressed: jiff::Timestamp,
    pub(super) window: Window,
    pub(super) lost: LostJobs,
    /// Jobs that a worker held when that was observed last.
    pub(super) held: BTreeSet<String>,
    /// Why workers cannot do jobs of this run, as reported.
    pub(super) unable: BTreeSet<String>,
    /// The backlog of the queue as observed last; None when the broker did not answer.
    pub(super) backlog: Option<Backlog>,
    /// Whether jobs may be sent: not while those of an earlier coordinator wait for workers.
    pub(super) may_send: bool,
    /// The index of the next job to send.
    pub(super) next: usize,
    /// The index, by id, of each job that was sent and has no end state.
    pub(super) pending: BTreeMap<String, usize>,
    /// Artifacts that workers reported as made.
    pub(super) made: usize,
    pub(super) quarantined: usize,
    /// The costs of all jobs that this process sends, and of those that have ended.
    pub(super) costs: (u64, u64),
    /// Jobs that workers dropped, and when they reported it.
    pub(super) dropped: Vec<(Instant, usize)>,
}

impl Dispatch<'_> {
    /// Writes the state record of the run; `cancelled` jobs were left after a cancellation.
    pub(super) async fn write_state(&self, cancelled: usize) -> Result<()> {
        let state = RunState {
            jobs: self.all,
            committed: self.all.saturating_sub(self.open() + self.quarantined),
            quarantined: self.quarantined,
            cancelled,
            before: self.before,
            progressed: Some(self.progressed),
            share: Some(self.share()),
            since: Some(self.since),
            ..RunState::of(self.stage)
        };
        let (committed, quarantined) = (state.committed, state.quarantined);
        let counts =
            JobCounts { waiting: self.jobs.len() - self.next, sent: self.pending.len(), committed, quarantined };
        gauges::note_jobs(&self.plan.spec.id, self.stage, counts);
        gauges::note_backlog(self.jobs.kind(), self.backlog);
        self.context.write_state(&self.plan.spec.id, &state).await
    }

    /// The share of the work of this process that is done, from 0 to 1.
    pub(super) fn share(&self) -> f64 {
        self.costs.1 as f64 / self.costs.0.max(1) as f64
    }

    /// The number of jobs without an end state, sent or not.
    pub(super) fn open(&self) -> usize {
        self.pending.len() + self.jobs.len() - self.next
    }

    pub(super) fn store(&self) -> &dyn ObjectStore {
        self.context.store.as_ref()
    }
}
